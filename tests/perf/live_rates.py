"""Windows of a stream a second: ``python tests/perf/live_rates.py [--device cuda]``.

The bundled model, and published sizes with random weights; a camera of 640x360 pixels. Interleaved
rounds in one process: windows that are only classified, and windows that are explained, whose maps
are made ready to be drawn by another thread, as in a stream. Run alone. Prints a Markdown table;
``--json`` prints every number.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from device_rates import name_of
from live_cost import RATE, random_weights
from measure import Row, interleaved
from start_cost import machine

from staa_cli.config.settings import Settings
from staa_cli.live.capture import Capture, Waits
from staa_cli.live.explainer import ExplainedWindow, Recent, WindowExplainer
from staa_cli.live.frames import Ring, Window
from staa_cli.live.overlay import LatestMaps, live_look
from staa_cli.live.run import OVERLAP, RECENT_S
from staa_cli.live.timeline import Timeline
from staa_cli.methods.run import predict_batch
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.video.pixels import Converter
from staa_cli.video.stream_address import StreamAddress

BUNDLED = "tiny-events"
MODELS = {
    BUNDLED: "tiny-events",
    "timesformer_base_patch16_224": "TimeSformer-B 8x224",
    "videomae_base_patch16_224": "VideoMAE-B 16x224",
}
"""Models, and what they are called."""
TURN = 2
"""Windows one after the other."""
HOP = {"cpu": 8}
"""Frames from window to window, by device; one where it is not named."""


class Camera:
    """Windows of a synthetic stream, one after the other.

    Args:
        explainer: whose windows.
        windows: how many.
        hop: frames from window to window.
    """

    def __init__(self, explainer: WindowExplainer, windows: int, hop: int) -> None:
        ring, self.timeline = Ring(explainer.spacing(hop)), Timeline(windows * hop / RATE + 60)
        source = f"lavfi:testsrc2=size=640x360:rate={RATE}"
        capture = Capture(StreamAddress.parse(source), Waits(), {}, takes_all=True)
        self.windows: list[Window] = []
        for frame, _ in capture.frames():
            self.timeline.add(frame)
            self.windows += ring.add(frame)
            if len(self.windows) >= windows:
                break
        capture.stopped.set()
        assert capture.info is not None
        self.info = capture.info


def classify(model: LoadedModel, camera: Camera) -> Callable[[], None]:
    """A job that classifies the next windows; each frame is resized once."""
    windows, convert = iter(camera.windows), Converter(camera.info)
    ready: dict[int, torch.Tensor] = {}

    def job() -> None:
        for _ in range(TURN):
            frames = next(windows).frames
            for frame in frames:
                if frame.number not in ready:
                    ready[frame.number] = model.preprocess_frame(convert.rgb(frame.picture))
            inputs = torch.stack([ready[frame.number] for frame in frames])[None]
            predict_batch(model.module, model.place(inputs), model.info.output)

    return job


def explain(explainer: WindowExplainer, camera: Camera, beside: Executor) -> Callable[[], None]:
    """A job that explains the next windows, with the maps of each beside the passes of the next."""
    windows, look = iter(camera.windows), live_look(Settings().render)
    recent = Recent(RECENT_S, RECENT_S, explainer.spacing(1).span_s / OVERLAP)

    def ready(explained: ExplainedWindow) -> LatestMaps:
        recent.add(explained)
        shown = recent.shown()
        first = shown[0].window.clip.frame_indices[0]
        source = camera.timeline.span(first, explained.window.completed.number, camera.info)
        assert source is not None
        return LatestMaps(explained, explainer.together(shown, source, first), look)

    def job() -> None:
        making: Future[LatestMaps] | None = None
        for _ in range(TURN):
            explained = explainer.explain(next(windows), camera.info)
            if making is not None:
                making.result()
            making = beside.submit(ready, explained)
        assert making is not None
        making.result()

    return job


def explainer_of(name: str, device: str, variant: str) -> WindowExplainer:
    """An explainer that is warm, of a model in a variant: a precision, or one and `+compile`."""
    precision, _, compiled = variant.partition("+")
    options: dict[str, Any] = {"device": device, "precision": precision, "compile": bool(compiled)}
    with tempfile.TemporaryDirectory() as folder:
        if name == BUNDLED:
            model = load_model(name, **options)
        else:
            _, file, *_ = random_weights(name, Path(folder))
            model = load_model(file, arch=name, **options)
    explainer = WindowExplainer(model, Settings())
    explainer.warm_up()
    return explainer


def rows_of(name: str, device: str, variants: list[str], rounds: int) -> Iterator[Row]:
    """What a model reaches in each variant; all take turns."""
    hop = HOP.get(device, 1)
    # The curve has its length before the first round that counts.
    settled = round(RECENT_S * RATE / hop / TURN) if device != "cpu" or name == BUNDLED else 1
    jobs: dict[str, Callable[[], None]] = {}
    with ThreadPoolExecutor(1) as beside:
        for variant in variants:
            explainer = explainer_of(name, device, variant)
            camera = Camera(explainer, TURN * (settled + rounds + 1), hop)
            jobs[f"classified {variant}"] = classify(explainer.model, camera)
            jobs[f"explained {variant}"] = explain(explainer, camera, beside)
        every = interleaved(jobs, settled + rounds)
    times = {kind: [second / TURN for second in every[kind][settled:]] for kind in jobs}
    medians = {kind: statistics.median(seconds) for kind, seconds in times.items()}
    for variant in variants:
        explained = medians[f"explained {variant}"]
        yield {
            "model": MODELS[name],
            "variant": variant,
            "classified_per_s": 1 / medians[f"classified {variant}"],
            "explained_per_s": 1 / explained,
            "ratio": explained / medians[f"classified {variant}"],
            "first": explained / medians[f"explained {variants[0]}"],
            "n": rounds,
            "seconds": {kind: times[f"{kind} {variant}"] for kind in ("classified", "explained")},
        }


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--variants", default="fp32", help="such as fp32,bf16,fp32+compile")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    variants = given.variants.split(",")
    rows = [
        row
        for name in given.model or MODELS
        for row in rows_of(name, given.device, variants, given.rounds)
    ]
    device = machine() if given.device == "cpu" else name_of(given.device)
    if given.json:
        print(json.dumps({"device": device, "rows": rows}, indent=2))
        return
    print("| model | precision | classified a second | explained a second |", end="")
    print(f" explained / classified | time over {variants[0]} |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        rates = f"{row['classified_per_s']:.3g} | {row['explained_per_s']:.3g}"
        ratios = f"{row['ratio']:.2f} | {row['first']:.2f}"
        print(f"| {row['model']} | {row['variant']} | {rates} | {ratios} |")
    print(f"\nMedians of {given.rounds} interleaved rounds of {TURN} windows; {device}")


if __name__ == "__main__":
    main()
