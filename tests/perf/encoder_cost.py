"""What encoding costs, by preset and threads: ``python tests/perf/encoder_cost.py``.

A noisy event scene with the bundled model's heat, in two sizes. CPU time of interleaved rounds in
one process, relative to x264's veryfast with one thread; sizes of the files beside, and what ffmpeg
finds different from the drawn frames. ``--video`` measures another video, ``--json`` prints every
number, wall times among them, which mean something only on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from measure import Row, interleaved
from start_cost import machine

from staa_cli import explain_video, load_model
from staa_cli.config.settings import RenderSettings
from staa_cli.render.painter import Painter
from staa_cli.synthetic.events import make_scene, render
from staa_cli.video.container import open_video, packets
from staa_cli.video.decode import all_frames, file_of, table_of
from staa_cli.video.encode import Shape, VideoWriter, write_video
from staa_cli.video.encoders import X264, Encoder, Quality
from staa_cli.video.pixels import Converter, frame_of
from staa_cli.video.table import DecodeReport

HEIGHTS = (360, 720)
RATE, LENGTH_S, NOISE = 24, 4, 3.0
PRESETS = ("ultrafast", "superfast", "veryfast", "medium")
BASE = "veryfast"


def write_clip(path: Path, height: int, seconds: int = LENGTH_S, noise: float = NOISE) -> None:
    """An event scene of 16:9, with the noise of a sensor, in levels."""
    width = height * 16 // 9
    scene = make_scene(1, label=1, duration_s=seconds, width=width / height)
    rng = np.random.default_rng(0)

    def pictures() -> Iterator[Any]:
        for at in range(0, seconds * RATE, RATE):
            for picture in render(scene, np.arange(at, at + RATE) / RATE, height)[0]:
                grain = rng.normal(0, noise, picture.shape)
                yield (picture + grain).clip(0, 255).astype(np.uint8)

    write_video(path, pictures(), rate=RATE)


@dataclass
class Drawn:
    """A video, the parts of the work on it, and its drawn frames."""

    path: Path
    most: int
    """Frames that are taken at most."""

    def __post_init__(self) -> None:
        explanation = explain_video(self.path, load_model("tiny-events"))
        self.info = explanation.video
        self.painter = Painter(explanation, RenderSettings())
        self.frames = list(self.draw())

    def decode(self) -> Iterator[tuple[int, VideoFrame]]:
        """Decoded frames."""
        with open_video(file_of(self.info)) as (container, stream):
            found = all_frames(table_of(self.info), packets(container, stream), DecodeReport())
            yield from islice(found, self.most)

    def draw(self) -> Iterator[VideoFrame]:
        """Drawn frames."""
        convert = Converter(self.info)
        for index, frame in self.decode():
            time_s = float(self.info.times_s[index])
            yield frame_of(self.painter.draw(index, time_s, convert.planes(frame)))

    def encode(self, path: Path, encoder: Encoder, quality: Quality) -> None:
        """Encode the drawn frames."""
        width, height = self.painter.size
        shape = Shape(width, height, Fraction(1, RATE), Fraction(RATE), variable_rate=False)
        with VideoWriter(path, shape, encoders=(encoder,), quality=quality) as writer:
            for number, frame in enumerate(self.frames):
                writer.write(frame, number, 1)

    def likeness(self, path: Path, folder: Path) -> tuple[float, float]:
        """PSNR in dB, and SSIM, of an encoded file beside the drawn frames, by ffmpeg."""
        raw, (width, height) = folder / "drawn.yuv", self.painter.size
        if not raw.exists():
            with raw.open("wb") as file:
                file.writelines(frame.to_ndarray().tobytes() for frame in self.frames)
        given = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}")
        graph = "[0:v]split[a][b];[1:v]split[c][d];[a][c]ssim;[b][d]psnr"
        line = ["ffmpeg", "-nostdin", "-i", str(path), *given, "-r", str(RATE), "-i", str(raw)]
        line += ["-lavfi", graph, "-f", "null", "-"]
        told = subprocess.run(line, check=True, capture_output=True, text=True).stderr
        psnr, ssim = (
            re.search(pattern, told) for pattern in (r"average:([\d.]+)", r"All:([\d.]+)")
        )
        assert psnr is not None
        assert ssim is not None
        return float(psnr[1]), float(ssim[1])


def with_options(**options: str) -> Encoder:
    """x264 with options of FFmpeg that replace ours."""
    return replace(X264, options=lambda quality: X264.options(quality) | options)


def variants() -> dict[str, tuple[Encoder, Quality]]:
    """What is measured, by name: presets with one thread, then threads of the default."""
    found = {preset: (X264, Quality(preset, threads=1)) for preset in PRESETS}
    own = with_options(**{"x264-params": ""})
    found["superfast, of x264 itself"] = own, Quality("superfast", threads=1)
    found["superfast, `--reproducible`"] = X264, Quality(repeatable=True, threads=1)
    without = with_options(**{"x264-params": "mbtree=0"})
    found["superfast, `--reproducible`, without AVX2"] = without, Quality(threads=1)
    for kind, counts in (("frame", (1, 2, 4, 8, 16)), ("slice", (2, 4, 8, 16))):
        for count in counts:
            words = f"{count} {'threads' if count > 1 else 'thread'}"
            words += ", sliced" if kind == "slice" else ""
            found[words] = with_options(threads=str(count), thread_type=kind), Quality()
    return found


def both_clocks() -> Any:
    """CPU and wall time in seconds: [2]."""
    return np.array([time.process_time(), time.perf_counter()])


def measured(video: Path, rounds: int, most: int) -> dict[str, Any]:
    """Parts of the work in seconds of CPU time per frame, and a row for each variant."""
    drawn = Drawn(video, most)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs: dict[str, Callable[[], object]] = {
            "decode": lambda: list(drawn.decode()),
            "draw": lambda: sum(1 for _ in drawn.draw()),
        }
        paths = {name: folder / f"{at}.mp4" for at, name in enumerate(variants())}
        for label, (encoder, quality) in variants().items():
            jobs[label] = partial(drawn.encode, paths[label], encoder, quality)
        times = interleaved(jobs, rounds, both_clocks)
        cpu, wall = (
            {label: float(np.median(taken, axis=0)[clock]) for label, taken in times.items()}
            for clock in range(2)
        )
        size = paths[BASE].stat().st_size
        rows: list[Row] = [
            {
                "what": label,
                "cpu": cpu[label] / cpu[BASE],
                "wall": wall[label] / wall[BASE],
                "size": paths[label].stat().st_size / size,
                "psnr": likeness[0],
                "ssim": likeness[1],
            }
            for label in variants()
            for likeness in [drawn.likeness(paths[label], folder)]
        ]
        parts = {"decode": cpu["decode"], "draw": cpu["draw"] - cpu["decode"]}
        parts |= {f"encode, {preset}": cpu[preset] for preset in PRESETS}
        parts = {part: seconds / len(drawn.frames) for part, seconds in parts.items()}
    return {"size": drawn.painter.size, "parts": parts, "rows": rows, "rounds": rounds}


def show(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Tables of the parts, of the presets, and of the threads."""
    names = list(found)
    print(f"| CPU time per frame | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for part in next(iter(found.values()))["parts"]:
        cells = [f"{1000 * found[name]['parts'][part]:.1f} ms" for name in names]
        print(f"| {part} | {' | '.join(cells)} |")
    head = "| {} | CPU time | size | PSNR | SSIM |\n|---|---|---|---|---|"
    for name in names:
        for title, threads in (("preset, one thread", False), ("superfast", True)):
            print(f"\n{head.format(f'{name}, {title}')}")
            for row in found[name]["rows"]:
                if row["what"][0].isdigit() == threads:
                    print(
                        f"| {row['what']} | {row['cpu']:.2f} | {row['size']:.2f} | "
                        f"{row['psnr']:.1f} dB | {row['ssim']:.4f} |"
                    )
    rounds = next(iter(found.values()))["rounds"]
    print(f"\nMedians of {rounds} rounds on: {machine()}.")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=RATE * LENGTH_S)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        videos = {given.video.name: given.video} if given.video else {}
        for height in HEIGHTS if not videos else ():
            name = f"{height * 16 // 9}x{height}"
            videos[name] = Path(folder) / f"{name}.mp4"
            write_clip(videos[name], height)
        for name, path in videos.items():
            found[name] = measured(path, given.rounds, given.frames)
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
