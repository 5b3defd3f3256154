"""Artificial explanations: a blob moves over the picture, its strength rises and falls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from staa_cli.schema import (
    AttentionLayout,
    Attribution,
    Clip,
    Explanation,
    Faithfulness,
    FaithfulnessRow,
    FrameScores,
    HeatMaps,
    ModelInfo,
    ModelInput,
    Moment,
    Output,
    Prediction,
    ReportWarning,
    RunDetails,
    SpatialStats,
    TemporalStats,
    VideoInfo,
)

Strength = Callable[[float], Any]
"""Strength of the heat by time in seconds."""

LABELS = ("windsurfing", "sailing", "surfing water", "kitesurfing", "jetskiing", "swimming")


def explanation(
    size: tuple[int, int] = (1280, 720),
    frames: int = 300,
    rate: float = 30.0,
    clip_frames: int = 8,
    stride: int = 6,
    clip_starts: Iterable[int] | None = None,
    grid: tuple[int, int] = (14, 14),
    labels: Sequence[str] = LABELS,
    confidence: float = 0.87,
    flat: bool = False,
    flat_space: bool = False,
    part: tuple[int, int] | None = None,
    box: tuple[float, float, float, float] | None = None,
    maps: np.ndarray | None = None,
    strength: Strength | None = None,
    signed: bool = False,
    settings: dict[str, Any] | None = None,
    host: str = "somewhere",
    output: Output = "softmax",
) -> Explanation:
    """An explanation of a video of that size.

    `part` is the half-open range of explained frames; `confidence` is the target's score, a raw
    value for the output `identity`.
    """
    width, height = size
    times = np.arange(frames) / rate
    span = clip_frames * stride
    starts = range(0, frames, span) if clip_starts is None else clip_starts
    clips = tuple(_clip(i, start, times, clip_frames, stride) for i, start in enumerate(starts))
    strength = strength or (lambda t: 0.02 + np.exp(-(((t - 0.55 * times[-1]) / 1.2) ** 2)))
    if flat:
        strength = lambda t: 1.0 + 0.001 * np.sin(t)  # noqa: E731
    knots = np.unique([time for clip in clips for time in clip.times_s])
    covered = np.zeros(frames, bool)
    for clip in clips:
        reach_s = clip.interval_s + 1e-6
        covered |= (times >= clip.start_s - reach_s) & (times <= clip.end_s + reach_s)
    values = blobs(knots, times[-1], grid, strength) if maps is None else maps
    score = np.interp(times, knots, values.sum(axis=(1, 2)))
    seen = np.zeros(frames, bool)
    seen[[i for clip in clips for i in clip.frame_indices]] = True
    prediction = _prediction(labels, confidence, output)
    weight = 1 if output == "identity" else confidence
    attributions = tuple(
        _attribution(values, knots, clip, grid, signed, prediction.target) for clip in clips
    )
    score = np.where(covered, score, np.nan)
    peak = int(np.nanargmax(score))
    first, last = part or (0, frames)
    return Explanation(
        video=_video(width, height, times, rate),
        model=_model(labels, clip_frames, stride, grid, output),
        settings=settings or {"method": {"name": "staa"}, "post": {"focus_sigma": 1.0}},
        strategy="dense",
        clips=clips,
        prediction=prediction,
        clip_predictions=tuple(prediction for _ in clips),
        attributions=attributions,
        frames=FrameScores(
            times[first:last],
            score.astype(np.float32)[first:last],
            (score * weight).astype(np.float32)[first:last],
            seen[first:last],
            covered[first:last],
            float(np.append(times, frames / rate)[last]),
            first,
        ),
        maps=HeatMaps(knots, values.astype(np.float32), box or center_box(width, height)),
        moments=() if flat else _moments(times, score, peak),
        temporal=_facts(score[covered], flat),
        spatial=SpatialStats(0.0 if flat_space else 1.5, flat_space),
        warnings=(ReportWarning("flat-temporal", "The curve is flat."),) if flat else (),
        run=RunDetails(
            folder="/videos",
            device="cpu",
            precision="fp32",
            threads=2,
            torch="2.4.0",
            host=host,
            platform="Linux",
            started_at="2024-11-01T12:00:00+00:00",
            seconds={"decode": 0.25, "forward": 1.5},
            peak_memory_bytes=2**30,
        ),
    )


def center_box(width: int, height: int) -> tuple[float, float, float, float]:
    """The model's square crop in the middle of the picture."""
    side = min(width, height)
    left, top = (width - side) / 2 / width, (height - side) / 2 / height
    return (left, top, 1 - left, 1 - top)


def blobs(times: np.ndarray, end_s: float, grid: tuple[int, int], strength: Strength) -> np.ndarray:
    """[K, h, w] a Gaussian spot on a circle, with a little noise from a fixed seed."""
    rng = np.random.default_rng(7)
    rows, columns = (np.arange(n)[:, None] if i == 0 else np.arange(n) for i, n in enumerate(grid))
    phase = 2 * np.pi * times / max(end_s, 1e-9)
    y = (0.5 + 0.28 * np.sin(phase))[:, None, None] * grid[0]
    x = (0.5 + 0.28 * np.cos(phase))[:, None, None] * grid[1]
    spot = np.exp(-(((rows - y) / grid[0]) ** 2 + ((columns - x) / grid[1]) ** 2) / 0.02)
    noise = 0.04 * rng.random((len(times), *grid))
    strengths = np.array([strength(t) for t in times])[:, None, None]
    values: np.ndarray = (0.02 * (spot + noise) * strengths).astype(np.float32)
    return values


def _clip(index: int, start: int, times: np.ndarray, count: int, stride: int) -> Clip:
    unlimited = [start + i * stride for i in range(count)]
    indices = [min(i, len(times) - 1) for i in unlimited]
    padded = sum(i > len(times) - 1 for i in unlimited)
    starts = tuple(float(times[i]) for i in indices)
    return Clip(
        index, tuple(indices), starts, padded, stride * float(times[1]) if len(times) > 1 else 1.0
    )


def _attribution(
    values: np.ndarray,
    knots: np.ndarray,
    clip: Clip,
    grid: tuple[int, int],
    signed: bool,
    target: int,
) -> Attribution:
    rows = np.searchsorted(knots, clip.times_s)
    sign = np.where(np.arange(grid[1]) % 2, -1, 1) if signed else 1
    return Attribution(
        values=(values[rows] * sign).astype(np.float32),
        method="staa",
        target=target if signed else None,
        layers=(11,),
        units="attention",
        signed=signed,
        passes=1.0,
    )


def _prediction(labels: Sequence[str], confidence: float, output: Output) -> Prediction:
    others = np.linspace(2, 1, len(labels) - 1) if len(labels) > 1 else np.zeros(0)
    others = others / max(others.sum(), 1) * (1 - confidence)
    scores = np.array([confidence, *others], np.float32)
    return Prediction(scores, 0, "top-1", tuple(labels), output)


def _video(width: int, height: int, times: np.ndarray, rate: float) -> VideoInfo:
    return VideoInfo(
        path="clips/windsurfing.mp4",
        sha256="ab" * 32,
        size_bytes=1_046_000,
        container="mov",
        codec="h264",
        pixel_format="yuv420p",
        width=width,
        height=height,
        rotation=0,
        mirrored=False,
        sample_aspect_ratio=(1, 1),
        transfer="sdr",
        interlaced=False,
        start_s=0.0,
        duration_s=len(times) / rate,
        rate=rate,
        variable_rate=False,
        times_s=times,
        audio=None,
        frames_declared=len(times),
    )


def _model(
    labels: Sequence[str], frames: int, stride: int, grid: tuple[int, int], output: Output
) -> ModelInfo:
    return ModelInfo(
        name="timesformer-base-k400",
        family="timesformer",
        source="bundled",
        weights_sha256="cd" * 32,
        license="Apache-2.0",
        note="",
        input=ModelInput(frames, (224, 224), stride, 30.0, (0.45,) * 3, (0.225,) * 3, 224),
        layout=AttentionLayout("divided", "cls", (frames, *grid), 1, 12, 1),
        labels=tuple(labels),
        parameters=121_000_000,
        output=output,
    )


def _moments(times: np.ndarray, score: np.ndarray, peak: int) -> tuple[Moment, ...]:
    lo, hi = max(peak - 20, 0), min(peak + 20, len(times) - 1)
    far = (peak + len(times) // 2) % len(times)
    share = float(np.nansum(score[lo : hi + 1]) / max(np.nansum(score), 1e-12))
    top = float(score[peak])
    return (
        Moment(times[lo], times[peak], times[hi], top, share, (0.4, 0.5), (0.3, 0.4, 0.5, 0.6)),
        Moment(times[max(far - 5, 0)], times[far], times[min(far + 5, len(times) - 1)], top / 2,
               0.04, (0.6, 0.5), (0.5, 0.4, 0.7, 0.6)),
    )  # fmt: skip


def _facts(score: np.ndarray, flat: bool) -> TemporalStats:
    mean = float(score.mean())
    spread = float(score.std() / mean) if mean else 0.0
    share = score / score.sum() if score.sum() else np.full(len(score), 1 / len(score))
    entropy = -(share * np.log(np.maximum(share, 1e-12))).sum() / np.log(max(len(score), 2))
    return TemporalStats(
        float(score.min()), float(score.max()), mean, spread, float(min(entropy, 1.0)), flat
    )


def measured(
    beaten: bool = True, times: float = 1.0, above: float = 0.0, interval: bool = True
) -> Faithfulness:
    """Faithfulness of three methods; the last one is as faithful as the first if `beaten`.

    `times` and `above` scale and shift the probabilities to raw values. Without `interval`, it is
    that of one clip.
    """
    curve = np.array([1.0, 0.5, 0.0], np.float32)

    def row(
        name: str, deletion: np.ndarray, insertion: np.ndarray, *areas: float
    ) -> FaithfulnessRow:
        curves = [(above + times * curve).astype(np.float32) for curve in (deletion, insertion)]
        scaled = [above + times * area for area in areas]
        gain = scaled[1] - scaled[0]
        ends = (gain - 0.1 * times, gain + 0.2 * times) if interval else (None, None)
        return FaithfulnessRow(name, curves[0], curves[1], *scaled, *ends)

    rows = (
        row("staa", curve, 1 - curve / 4, 0.25, 0.75),
        row("random", curve, 1 - curve, 0.5, 0.5),
        row("center", curve, 1 - curve, 0.25, 0.75 if beaten else 0.5),
    )
    return Faithfulness("blur", (0, 2) if interval else (0,), rows)
