"""What there is to do for a video, told before it is done: passes, and how long they may take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from staa_cli.config.settings import Depth, Settings
from staa_cli.evaluation import measure
from staa_cli.explain.attribution import attend
from staa_cli.explain.pipeline import method_options
from staa_cli.explain.sampling import DENSE
from staa_cli.files import ANNOTATED
from staa_cli.methods import Method, Options, choose_method
from staa_cli.methods.run import predict_batch
from staa_cli.models.load import LoadedModel
from staa_cli.schema import AttentionLayout, VideoInfo
from staa_cli.video.decode import iter_frames
from staa_cli.video.encode import write_video

_PASSES, _FRAMES = 3, 16
"""That a trial times."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is known as soon as a video's clips are."""

    clips: int
    passes: int
    """Forward passes that explain, of one clip each; a backward pass counts as two."""
    faithfulness_passes: int
    """Those that measure faithfulness, at most; of a perturbed copy each."""
    dense_s: float | None
    """Seconds of video that are covered without a gap; None where clips are picked out of it."""

    @property
    def total(self) -> int:
        """All passes."""
        return self.passes + self.faithfulness_passes


def workload(
    clips: int,
    model: LoadedModel,
    settings: Settings,
    methods: Sequence[str],
    depth: Depth | None,
    classes: int = 1,
) -> Workload:
    """What so many clips will cost.

    Args:
        clips: of the video.
        model: that is asked.
        settings: of sampling, target, and method.
        methods: their names.
        depth: in how many steps faithfulness is measured, None for not at all.
        classes: that each of the methods explains.

    Raises:
        UsageError: a method does not fit the model.
    """
    model = model.fitted(settings.sampling.frames, settings.sampling.size)
    options = method_options(settings.method)
    chosen = [choose_method(name, model.module, model.layout, options) for name in methods]
    passes_each = [_passes(method, model.layout, options) for method in chosen]
    served = all(method.serves_all for method in chosen)
    # A class that nobody named is found by a pass of its own where no method finds it on its way.
    finds = settings.target is None and classes == 1 and clips > 1
    finds = finds and not any(method.serves_all for method in chosen)
    finds = finds and (len(chosen) > 1 or chosen[0].perturbations(model.layout, options) > 0)
    measured = 0
    if depth is not None:
        groups, size = (classes, 1) if classes > 1 else (1, len(chosen))
        measured = min(clips, measure.CLIPS) * groups * measure.perturbations(size, depth)
    dense_s = None
    if settings.sampling.strategy in DENSE and settings.sampling.hop <= 1:
        step_s = settings.sampling.hop * model.input.frames * _interval_s(model, settings)
        dense_s = (clips - 1) * step_s
    passes = clips * (sum(passes_each) * (1 if served else classes) + finds)
    return Workload(clips, passes, measured, dense_s)


def _passes(method: Method, layout: AttentionLayout, options: Options) -> int:
    """Of one clip: one that predicts, and what the method asks beyond it."""
    copies = method.perturbations(layout, options)
    return 1 + copies * (3 if method.gradients else 1) if copies else _own(method)


def _own(method: Method) -> int:
    return max(1, round(method.passes_per_clip))


def _interval_s(model: LoadedModel, settings: Settings) -> float:
    return (settings.sampling.stride or model.input.stride) / model.input.rate


def time_pass(model: LoadedModel, settings: Settings) -> float:
    """Seconds that one pass takes here and now, of a clip of noise."""
    model = model.fitted(settings.sampling.frames, settings.sampling.size)
    given, options = model.input, method_options(settings.method)
    method = choose_method(settings.method.name, model.module, model.layout, options)
    batch = 1 if model.device.type == "cpu" else 8
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(batch, given.frames, 3, *given.size, generator=generator)
    cheap = method.perturbations(model.layout, options) == 0

    def once() -> float:
        began = time.perf_counter()
        if cheap:
            attend(model, noise, method, options, 0, range(batch))
        else:
            predict_batch(model.module, model.place(noise), model.info.output)
        return (time.perf_counter() - began) / batch / (_own(method) if cheap else 1)

    once()  # the first one also makes ready
    return median(once() for _ in range(_PASSES))


def time_frame(info: VideoInfo, settings: Settings) -> float:
    """Seconds a pixel that it takes to decode and to encode a frame of a video.

    Raises:
        VideoError: no frame of it can be read.
    """
    began = time.perf_counter()
    pictures = [picture for _, picture in iter_frames(info, range(min(_FRAMES, info.frames)))]
    with TemporaryDirectory() as folder:
        write_video(Path(folder) / ANNOTATED, pictures, rate=25, preset=settings.render.preset)
    spent = time.perf_counter() - began
    return spent / sum(int(np.prod(picture.shape[:2])) for picture in pictures)
