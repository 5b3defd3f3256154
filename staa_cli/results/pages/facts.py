"""Facts about model, sampling, method, video, and run, as lists of a page."""

from __future__ import annotations

from collections.abc import Iterator

from staa_cli.formatting import clock, counted, number, percent
from staa_cli.results.pages.page import escaped, words
from staa_cli.schema import Explanation

_TIMES = "\u00d7"
Facts = list[tuple[str, str]]


def facts_sections(explanation: Explanation, media: str) -> Iterator[str]:
    """One collapsed list for each subject."""
    yield _section("Model", _model(explanation))
    yield _section("Sampling and method", [*_sampling(explanation), *_method(explanation)])
    yield _section("Video", [*_video(explanation), ("in this page", media)])
    if explanation.run is not None:
        yield _section("Run", _run(explanation))


def _section(title: str, facts: Facts) -> str:
    rows = "".join(
        f"<dt>{escaped(name)}</dt><dd>{words(fact)}</dd>" for name, fact in facts if fact
    )
    return f"<details><summary><h2>{title}</h2></summary><dl>{rows}</dl></details>"


def _model(explanation: Explanation) -> Facts:
    model = explanation.model
    wanted, layout = model.input, model.layout
    height, width = wanted.size
    grid = f" {_TIMES} ".join(map(str, layout.grid))
    return [
        ("name", model.name),
        ("family", model.family),
        ("weights", model.source),
        ("input", f"{counted(wanted.frames, 'frame')} of {width} {_TIMES} {height}, "
                  f"{wanted.interval_s:.3g} s apart"),
        ("tokens", f"{grid} in {counted(layout.depth, 'block')}"),
        ("attention", f"{layout.kind}, read from {layout.pooling}"),
        ("classes", f"{len(model.labels):,}"),
        ("parameters", f"{model.parameters:,}"),
        ("license", model.license),
        ("note", model.note),
    ]  # fmt: skip


def _sampling(explanation: Explanation) -> Facts:
    coverage = explanation.coverage
    return [
        ("sampling", f"{explanation.strategy}, {counted(len(explanation.clips), 'clip')}"),
        ("frames seen", f"{coverage.frames_seen:,} ({percent(coverage.seen_share)})"),
        ("time covered", f"{coverage.covered_s:.3g} s ({percent(coverage.covered_share)})"),
    ]


def _method(explanation: Explanation) -> Facts:
    first = explanation.attributions[0]
    passes = sum(attribution.passes for attribution in explanation.attributions)
    post = explanation.settings.get("post", {})
    changed = [f"{name} {value}" for name, value in post.items() if name in _SHOWN and value]
    return [
        ("method", first.method),
        ("explains", "one class" if first.target is not None else "what was read, for any class"),
        ("blocks read", ", ".join(map(str, first.layers))),
        ("units", first.units),
        ("cost", f"{passes / len(explanation.attributions):.3g} forward passes a clip"),
        ("varies in time", f"by {percent(explanation.temporal.coefficient_of_variation)}"),
        ("varies in space", f"by {percent(explanation.spatial.coefficient_of_variation)}"),
        ("drawn with", ", ".join(text for text in changed if not text.endswith(" none"))),
    ]


_SHOWN = ("threshold", "threshold_value", "focus_sigma", "smooth")


def _video(explanation: Explanation) -> Facts:
    video = explanation.video
    rate = f"{video.rate:.4g} per second, {'variable' if video.variable_rate else 'constant'}"
    turned = f", turned by {video.rotation}°" if video.rotation else ""
    return [
        ("file", video.address),
        ("size", f"{video.width} {_TIMES} {video.height}{turned}"),
        ("duration", f"{clock(video.duration_s, video.duration_s, 2)}, "
                     f"{counted(video.frames, 'frame')}"),
        ("rate", rate),
        ("format", f"{video.container}, {video.codec}, {video.pixel_format}"),
        ("sound", video.audio or "none"),
        ("bytes", f"{video.size_bytes:,}"),
        ("sha256", video.sha256[:16] + "…"),
    ]  # fmt: skip


def _run(explanation: Explanation) -> Facts:
    run = explanation.run
    assert run is not None
    memory = f"{run.peak_memory_bytes / 1e9:.2g} GB" if run.peak_memory_bytes else ""
    return [
        ("started", run.started_at),
        ("device", f"{run.device}, {run.precision}, {counted(run.threads, 'thread')}"),
        ("seconds", ", ".join(f"{name} {number(spent)}" for name, spent in run.seconds.items())),
        ("memory", memory),
        ("host", run.host),
    ]
