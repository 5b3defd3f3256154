"""A camera that shows a clock: ``python tests/support/clocked.py --seconds 6 > /dev/null``.

Writes MPEG-TS to standard output at its own rate; with ``--port``, to the first who connects there,
from then on, so that nothing waits for a reader that is being started. The upper right corner of
each frame carries the time at which it was drawn, by `time.monotonic`, as black and white boxes,
outside the middle that models see.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
BITS, COLUMNS, BOX = 24, 8, 12
"""Milliseconds, for four hours; boxes of 12 pixels in three rows."""
MARGIN = 8


def draw_clock(picture: Picture, seconds: float) -> None:
    """Draw a time into a picture uint8 [H, W, 3], W at least 4/3 H."""
    for bit, (rows, columns) in enumerate(_boxes(picture.shape[1])):
        picture[rows, columns] = 235 if _ticks(seconds) >> bit & 1 else 16


def age_s(picture: Picture, now_s: float) -> float:
    """Seconds since a picture was drawn."""
    boxes = [picture[rows, columns].mean() for rows, columns in _boxes(picture.shape[1])]
    ticks = sum(int(value > 100) << bit for bit, value in enumerate(boxes))
    age = (_ticks(now_s) - ticks) % (1 << BITS)
    return (age if age < 1 << (BITS - 1) else age - (1 << BITS)) / 1000


def _ticks(seconds: float) -> int:
    return int(1000 * seconds) % (1 << BITS)


def _boxes(width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the inner part of each box."""
    for bit in range(BITS):
        row, column = divmod(bit, COLUMNS)
        top = MARGIN + row * BOX
        left = width - MARGIN - (COLUMNS - column) * BOX
        yield slice(top, top + BOX), slice(left, left + BOX)


def pictures(width: int, height: int, seed: int = 0) -> Iterator[Picture]:
    """Pictures of something that moves over something that does not, without end."""
    random = np.random.default_rng(seed)
    coarse = random.integers(40, 200, (height // 24 + 1, width // 24 + 1, 3), np.uint8)
    ground = np.repeat(np.repeat(coarse, 24, axis=0), 24, axis=1)[:height, :width]
    number = 0
    while True:
        picture = ground.copy()
        angle = number / 12
        x = int(width * (0.5 + 0.22 * np.cos(angle)))
        y = int(height * (0.5 + 0.3 * np.sin(2 * angle)))
        picture[max(y - 30, 0) : y + 30, x - 30 : x + 30] = (230, 60, 40)
        yield picture
        number += 1


def _output(port: int | None) -> Any:
    """Where the stream goes."""
    if port is None:
        return os.fdopen(sys.stdout.fileno(), "wb", buffering=0)
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(60)
        print(server.getsockname()[1], flush=True)
        connection, _ = server.accept()
    return connection.makefile("wb", buffering=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=30)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--port", type=int, help="of a server on this host; 0 chooses one")
    asked = parser.parse_args()
    width, height = map(int, asked.size.split("x"))
    options = {"omit_video_pes_length": "0", "flush_packets": "1"}
    with av.open(_output(asked.port), "w", format="mpegts", options=options) as container:
        encoder = {"preset": "ultrafast", "tune": "zerolatency", "threads": "1", "crf": "20"}
        stream: Any = container.add_stream("libx264", rate=asked.rate, options=encoder)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = asked.rate
        start = time.monotonic()
        for number, picture in zip(
            range(round(asked.seconds * asked.rate)), pictures(width, height), strict=False
        ):
            time.sleep(max(0.0, start + number / asked.rate - time.monotonic()))
            draw_clock(picture, time.monotonic())
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, asked.rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
