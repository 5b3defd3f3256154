"""Frames per core of explaining and annotating: ``python tests/perf/throughput_cost.py``.

Decoding, explaining with the bundled model, and annotating a video of 720p, beside PyAV that only
decodes and encodes the same frames, by x264 with the same preset, and with all our options. CPU
time of interleaved rounds in one process. Prints a Markdown table; ``--json`` prints every number.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
from encoder_cost import write_clip
from measure import Row, interleaved, show
from start_cost import machine

from staa_cli import explain_video, load_model
from staa_cli.cli.process import keep_freed_memory
from staa_cli.config.settings import Settings
from staa_cli.results.writers.annotated_mp4 import AnnotatedMp4
from staa_cli.video.encoders import X264, Quality

HEIGHT, LENGTH_S = 720, 10
LEAST = 0.6
"""Frames per second and core, as a share of those of decoding and encoding alone."""
MOST_OF_OURS = 2.0
"""Our options of x264 take less time, so that the rest weighs more."""


def transcode(video: Path, out: Path, options: dict[str, str]) -> None:
    """Decode and encode all frames by PyAV alone, with one thread each."""
    with av.open(str(video)) as source, av.open(str(out), "w") as target:
        stream = source.streams.video[0]
        stream.codec_context.thread_count = 1
        copy: Any = target.add_stream(X264.codec, rate=stream.average_rate, options=options)
        copy.width, copy.height, copy.pix_fmt = stream.width, stream.height, "yuv420p"
        for frame in source.decode(stream):
            frame.pict_type = 0
            target.mux(copy.encode(frame))
        target.mux(copy.encode(None))


def rows(rounds: int) -> list[Row]:
    """Our CPU time relative to that of decoding and encoding alone."""
    model, settings = load_model("tiny-events"), Settings(threads=1)
    render = settings.render
    ours = X264.options(Quality(render.preset, render.crf, threads=1))
    plain = {"preset": render.preset, "crf": str(render.crf), "threads": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video, out = folder / "clip.mp4", folder / "out.mp4"
        write_clip(video, HEIGHT, LENGTH_S, noise=0)
        jobs: dict[str, Callable[[], object]] = {
            "plain": lambda: transcode(video, out, plain),
            "ours": lambda: transcode(video, out, ours),
            "explained": lambda: explain_video(video, model),
            "annotated": lambda: AnnotatedMp4(explain_video(video, model), settings).write(out),
        }
        times = interleaved(jobs, rounds, time.process_time)
    seconds = {name: statistics.median(taken) for name, taken in times.items()}
    return [
        {
            "what": f"decode, explain, annotate / decode and encode {how}, CPU time, "
            f"{LENGTH_S} s of {HEIGHT}p",
            "ratio": seconds["annotated"] / seconds[alone],
            "limit": limit,
            "n": rounds,
            **seconds,
        }
        for alone, how, limit in (
            ("plain", f"alone, x264's {render.preset}", 1 / LEAST),
            ("ours", "alone, our options of x264", MOST_OF_OURS),
        )
    ]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # both as the command does it
    keep_freed_memory()
    measured = rows(given.rounds)
    show(measured, given.json)
    if not given.json:
        row = measured[0]
        print(
            f"\nDecoding and encoding took {row['plain']:.2f} s alone, {row['ours']:.2f} s with "
            f"our options; explaining {row['explained']:.2f} s, annotating "
            f"{row['annotated'] - row['explained']:.2f} s: {1 / row['ratio']:.2f} of the frames "
            f"per core, on: {machine()}."
        )


if __name__ == "__main__":
    main()
