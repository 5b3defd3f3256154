"""Details of an explained video for -v and -vv, from its report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from staa_cli.formatting import counted, raw

if TYPE_CHECKING:
    from staa_cli.results.document import Report


def work_in_words(report: Report) -> Iterator[str]:
    """Clips and the time of each stage, for -v."""
    clips, model_input = report.sampling.clips, report.model.input
    yield (
        f"{counted(len(clips), 'clip')} of {counted(len(clips[0].frame_indices), 'frame')}, "
        f"{report.sampling.strategy}, one frame every "
        f"{raw(model_input.stride / model_input.rate)} s, read by {report.method.name}"
    )
    if report.run is not None:
        yield ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in report.run.seconds.items())


def facts_in_words(report: Report) -> Iterator[str]:
    """Facts about video, model, and decoding, for -vv."""
    video, model, run = report.video, report.model, report.run
    rate = "variable rate" if video.variable_rate else f"{video.rate:.4g} frames/s"
    yield (
        f"{video.codec} in {video.container}, {video.width} x {video.height} "
        f"{video.pixel_format}, {video.transfer}, rotated by {video.rotation}, "
        f"{counted(video.frames, 'frame')} in {video.duration_s:.2f} s, {rate}"
    )
    yield (
        f"decoding: {video.packets_bad} bad packets, {video.frames_declared} frames declared"
        + "".join(f", {name.replace('_', ' ')}" for name in _ANOMALIES if getattr(video, name))
    )
    layout = model.layout
    yield (
        f"{model.name}: {model.family} from {model.source}, {model.parameters:,} "
        f"parameters, {layout.kind} attention, {layout.depth} blocks of "
        f"{' x '.join(map(str, layout.grid))} tokens, {model.output} of {model.classes} "
        f"classes, weights {model.weights_sha256[:12]}"
    )
    if run is not None:
        peak = run.peak_memory_bytes
        yield (
            f"{run.device}, {run.precision}, {counted(run.threads, 'thread')}, "
            f"torch {run.torch}" + (f", peak memory {peak / 2**20:,.0f} MiB" if peak else "")
        )


_ANOMALIES = ("truncated", "times_repaired", "color_guessed", "interlaced", "mirrored")
