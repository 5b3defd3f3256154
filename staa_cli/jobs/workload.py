"""Workload of a video: forward passes, and the time of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
from staa_cli.jobs.outcome import Workload
from staa_cli.methods import Method, Options, choose_method
from staa_cli.methods.run import predict_batch
from staa_cli.models.load import LoadedModel
from staa_cli.schema import AttentionLayout, VideoInfo
from staa_cli.video.decode import iter_frames
from staa_cli.video.encode import write_video
from staa_cli.video.encoder_choice import encoders_for

_PASSES, _FRAMES = 3, 16
"""Numbers of passes and frames in a trial."""


def workload(
    clips: int,
    model: LoadedModel,
    settings: Settings,
    methods: Sequence[str],
    depth: Depth | None,
    classes: int = 1,
) -> Workload:
    """The cost of a number of clips.

    Args:
        clips: number of clips.
        model: to explain.
        settings: of sampling, target, and method.
        methods: names of the methods.
        depth: of measuring faithfulness: full, quick, or None for not at all.
        classes: number of classes that each method explains.

    Raises:
        UsageError: a method does not fit the model.
    """
    model = model.fitted(settings.sampling.frames, settings.sampling.size)
    options = method_options(settings.method)
    resolved = [choose_method(name, model.module, model.layout, options) for name in methods]
    passes_each = [_passes(method, model.layout, options) for method in resolved]
    serves_all = all(method.serves_all for method in resolved)
    # Without a named class, an extra pass finds the class unless a method serves all classes.
    finds_class = settings.target is None and classes == 1 and clips > 1
    finds_class = finds_class and not any(method.serves_all for method in resolved)
    finds_class = finds_class and (
        len(resolved) > 1 or resolved[0].perturbations(model.layout, options) > 0
    )
    faithfulness_passes = 0
    if depth is not None:
        groups, size = (classes, 1) if classes > 1 else (1, len(resolved))
        faithfulness_passes = (
            min(clips, measure.CLIPS) * groups * measure.perturbations(size, depth)
        )
    dense_s = None
    if settings.sampling.strategy in DENSE and settings.sampling.hop <= 1:
        step_s = settings.sampling.hop * model.input.frames * _interval_s(model, settings)
        dense_s = (clips - 1) * step_s
    passes = clips * (sum(passes_each) * (1 if serves_all else classes) + finds_class)
    return Workload(clips, passes, faithfulness_passes, dense_s)


def _passes(method: Method, layout: AttentionLayout, options: Options) -> int:
    """Passes of one clip: the prediction, and those of the method."""
    copies = method.perturbations(layout, options)
    return 1 + copies * (3 if method.gradients else 1) if copies else _unperturbed_passes(method)


def _unperturbed_passes(method: Method) -> int:
    return max(1, round(method.passes_per_clip))


def _interval_s(model: LoadedModel, settings: Settings) -> float:
    return (settings.sampling.stride or model.input.stride) / model.input.rate


def time_pass(model: LoadedModel, settings: Settings) -> float:
    """Measure the seconds of one pass of a noise clip."""
    model = model.fitted(settings.sampling.frames, settings.sampling.size)
    model_input, options = model.input, method_options(settings.method)
    method = choose_method(settings.method.name, model.module, model.layout, options)
    batch = 1 if model.device.type == "cpu" else 8
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(batch, model_input.frames, 3, *model_input.size, generator=generator)
    cheap = method.perturbations(model.layout, options) == 0

    def once() -> float:
        start = time.perf_counter()
        if cheap:
            attend(model, noise, method, options, 0, range(batch))
        else:
            predict_batch(model.module, model.place(noise), model.info.output)
        return (time.perf_counter() - start) / batch / (_unperturbed_passes(method) if cheap else 1)

    once()  # warm-up
    return median(once() for _ in range(_PASSES))


def time_frame(info: VideoInfo, settings: Settings) -> float:
    """Measure the seconds per pixel to decode and encode frames of a video.

    Raises:
        VideoError: no frame of it can be read.
    """
    start = time.perf_counter()
    pictures = [picture for _, picture in iter_frames(info, range(min(_FRAMES, info.frames)))]
    with TemporaryDirectory() as folder:
        write_video(
            Path(folder) / ANNOTATED,
            pictures,
            rate=25,
            preset=settings.render.preset,
            encoders=encoders_for(settings.render.encoder),
        )
    spent = time.perf_counter() - start
    return spent / sum(int(np.prod(picture.shape[:2])) for picture in pictures)
