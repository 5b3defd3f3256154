"""What explaining costs beside the plain forward pass: ``python tests/perf/explain_cost.py``.

Four measurements, each a ratio taken within one run: interleaved rounds in one process for time, a
fresh process each for memory. Prints a Markdown table; ``--json`` prints every number.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import child, interleaved, show

from staa_cli.memory import peak_memory_bytes

CLIP_S, RATE, SIZE = 10, 24, (640, 360)


def ratio_of_times(rounds: int) -> dict[str, Any]:
    """Median time of the default over that of the plain forward, TimeSformer-B, 8 x 224 x 224."""
    import torch

    from staa_cli.methods.run import predict_batch

    model, clip = base_model()
    jobs = {
        "plain": lambda: predict_batch(model, clip),
        "explained": lambda: explained(model, clip),
    }
    times = interleaved(jobs, rounds)
    pairs = [b / a for a, b in zip(times["plain"], times["explained"], strict=True)]
    return {
        "what": "explaining (the default, `staa-class`) / plain forward, wall, TimeSformer-B 8x224",
        "ratio": statistics.median(pairs),
        "limit": 1.10,
        "n": rounds,
        "forward_s": statistics.median(times["plain"]),
        "threads": torch.get_num_threads(),
    }


def base_model() -> tuple[Any, Any]:
    """TimeSformer-B with random weights, and a clip [1, 8, 3, 224, 224]."""
    import torch

    from staa_cli.models.families.timesformer.module import timesformer_base_patch16_224

    torch.manual_seed(0)
    return timesformer_base_patch16_224().eval(), torch.randn(1, 8, 3, 224, 224)


def explained(model: Any, clip: Any) -> object:
    """One pass with the default method."""
    from staa_cli.methods import Options, choose_method
    from staa_cli.methods.run import explain_batch

    layout, options = model.layout(), Options()
    method = choose_method("auto", model, layout, options)
    return explain_batch(model, layout, clip, method, options)


def peak_of(kind: str) -> int:
    """Peak resident bytes of this process after one forward, plain or explained."""
    from staa_cli.methods.run import predict_batch

    model, clip = base_model()
    if kind == "plain":
        predict_batch(model, clip)
    else:
        explained(model, clip)
    return peak_memory_bytes()


def ratio_of_peaks(rounds: int) -> dict[str, Any]:
    """Peak resident memory of a process that explains over that of one that only predicts."""
    plain, ours = (
        statistics.median(child(__file__, "--peak", kind) for _ in range(rounds))
        for kind in ("plain", "explained")
    )
    return {
        "what": "peak resident memory, explaining / plain forward",
        "ratio": ours / plain,
        "limit": 1.10,
        "n": rounds,
        "plain_mb": plain / 2**20,
    }


def ratio_to_floors(rounds: int) -> dict[str, Any]:
    """Wall time of a whole `staa explain` over the sum of what it cannot do without."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "clip.mp4"
        write_clip(video, CLIP_S)
        whole, floors = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "staa_cli", "explain", video, "-q", "--force", "-o", folder],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            whole.append(time.perf_counter() - began)
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import torch, av"], check=True)
            imports = time.perf_counter() - began
            floors.append(imports + child(__file__, "--floors", video))
    pairs = [a / b for a, b in zip(whole, floors, strict=True)]
    return {
        "what": f"whole `staa explain`, {CLIP_S} s of {SIZE[0]}x{SIZE[1]} / sum of its floors",
        "ratio": statistics.median(pairs),
        "limit": 1.25,
        "n": rounds,
        "whole_s": statistics.median(whole),
        "floors_s": statistics.median(floors),
    }


def floors_of(video: Path) -> float:
    """Seconds to decode a video, run its clips through the model, and encode it again."""
    import torch

    from staa_cli.config.settings import Settings
    from staa_cli.explain.pipeline import open_model
    from staa_cli.explain.sampling import plan_for
    from staa_cli.methods.run import predict_batch
    from staa_cli.video.annotate import annotate
    from staa_cli.video.decode import iter_frames
    from staa_cli.video.probe import probe

    model, info = open_model(Settings()), probe(video)
    clips = plan_for(info.times_s, model.input, Settings().sampling).clips
    wanted = sorted({index for clip in clips for index in clip.frame_indices})
    batch = torch.zeros(1, model.input.frames, 3, *model.input.size)
    began = time.perf_counter()
    for _ in iter_frames(info, wanted):
        pass
    for _ in clips:
        predict_batch(model.module, batch)
    annotate(info, video.with_suffix(".floor.mp4"), lambda index, time_s, planes: planes)
    return time.perf_counter() - began


def ratio_of_lengths() -> dict[str, Any]:
    """Peak memory of explaining ten minutes over that of explaining one."""
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for minutes in (1, 10):
            video = Path(folder) / f"{minutes}.mp4"
            write_clip(video, 60 * minutes)
            peaks.append(child(__file__, "--explain-peak", video))
    return {
        "what": "peak resident memory, ten minutes of video / one minute",
        "ratio": peaks[1] / peaks[0],
        "limit": 1.10,
        "n": 1,
        "one_minute_mb": peaks[0] / 2**20,
    }


def explain_peak(video: Path) -> int:
    """Peak resident bytes of this process after explaining and drawing a video."""
    from staa_cli import explain_video

    explain_video(video).save(video.parent / f"{video.stem}-out")
    return peak_memory_bytes()


def write_clip(path: Path, duration_s: int) -> None:
    """An event scene, repeated as often as the length asks for."""
    import numpy as np

    from staa_cli.synthetic.events import make_scene, render
    from staa_cli.video.encode import write_video

    width, height = SIZE
    scene = make_scene(1, label=1, duration_s=2.0, width=width / height)
    pictures = np.concatenate(
        [render(scene, np.arange(i, i + 12) / RATE, height)[0] for i in range(0, 2 * RATE, 12)]
    )
    count = duration_s * RATE
    write_video(path, (pictures[i % len(pictures)] for i in range(count)), rate=RATE)


def main() -> None:
    """Measure, or do a child's part."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command does it
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    for part in ("--peak", "--floors", "--explain-peak"):
        parser.add_argument(part, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print(peak_of(given.peak))
    elif given.floors:
        print(floors_of(Path(given.floors)))
    elif given.explain_peak:
        print(explain_peak(Path(given.explain_peak)))
    else:
        few = max(given.rounds // 2, 1)
        rows = [
            ratio_of_times(given.rounds),
            ratio_of_peaks(few),
            ratio_to_floors(few),
            ratio_of_lengths(),
        ]
        show(rows, given.json)


if __name__ == "__main__":
    main()
