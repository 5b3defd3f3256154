"""Data types: small frozen values that the stages exchange.

Notation for shapes: T frames of a clip, T' = T / tubelet temporal steps of the token grid, h x w
tokens per step, N frames of the video. Times are seconds from the video's first frame, computed
from presentation timestamps. Arrays are numpy; this module does not use torch, files, or a
terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION: Final = 1

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
UInt8 = NDArray[np.uint8]

OnProgress = Callable[[str, int, int], None]
"""Called with the progress of a stage: (stage, done, total)."""

Output = Literal["softmax", "sigmoid", "identity"]
"""Activation of the head's logits: softmax for exclusive classes; sigmoid for independent classes,
of which several or none may be present; identity for raw values, such as those of a regression."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoInfo:
    """Properties of a video, from its container and its packets.

    Width and height are those of the displayed picture in pixels, after rotation.
    """

    path: str
    """As specified by the user; `<frames>` for frames in memory."""
    sha256: str
    """Of the file; for frames in memory, of their shape, times, and pixels."""
    size_bytes: int
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation: int
    """Counterclockwise degrees that turn the stored picture upright: 0, 90, 180, or 270."""
    mirrored: bool
    """The picture is flipped horizontally after the rotation."""
    sample_aspect_ratio: tuple[int, int]
    """Of the upright picture; (1, 1) if pixels are square or the file does not specify it."""
    transfer: Literal["sdr", "pq", "hlg"]
    interlaced: bool
    start_s: float
    """Presentation time of the first frame in the container."""
    duration_s: float
    """From the first frame's start to the last frame's end."""
    rate: float
    """Mean frames per second."""
    variable_rate: bool
    times_s: Float64
    """[N] start of every frame, increasing from 0."""
    audio: str | None
    """Codec of the audio track, None if there is none."""
    frames_declared: int
    """Number of frames stated by the container; 0 if it states none."""
    packets_bad: int = 0
    truncated: bool = False
    times_repaired: bool = False
    """The timestamps contradicted the order of the frames and have been sorted."""
    color_guessed: bool = False
    """The file's color matrix is not supported; the most similar one was used."""
    url: str | None = None
    """Where the file was downloaded from, without credentials; `path` is then its copy."""

    @property
    def address(self) -> str:
        """Where the video is from, for people and reports: its URL, else its path."""
        return self.url or self.path

    @property
    def frames(self) -> int:
        """Number of frames, N."""
        return len(self.times_s)


@dataclass(frozen=True, slots=True)
class Clip:
    """The frames of one input to the model."""

    index: int
    frame_indices: tuple[int, ...]
    """T positions in the video; a short video repeats its last frame."""
    times_s: tuple[float, ...]
    """T start times of those frames."""
    padded: int = 0
    """How many of the T frames are repeats that pad a short clip."""
    interval_s: float = 0.0
    """Nominal seconds between two frames. A clip covers the video up to this distance from its
    frames, but at most two seconds."""

    @property
    def start_s(self) -> float:
        """Start of the first frame."""
        return self.times_s[0]

    @property
    def end_s(self) -> float:
        """Start of the last frame."""
        return self.times_s[-1]


@dataclass(frozen=True, slots=True)
class ModelInput:
    """The input that a model expects: sampling, size, and preprocessing."""

    frames: int
    size: tuple[int, int]
    """Height and width in pixels."""
    stride: int
    """Distance between sampled frames, in frames at `rate`."""
    rate: float
    """Frames per second that `stride` refers to."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: int | tuple[int, int] | None
    """Pixels of the shorter side after scaling, before the center crop; or height and width after
    scaling; or None for no scaling."""
    longest: int | None = None
    """Maximum pixels of the longer side after scaling, if `resize` is the shorter one."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = (
        "bilinear"
    )
    antialias: bool = True
    backend: Literal["torchvision", "pillow"] = "torchvision"
    """Which of Hugging Face's processors scaling and padding reproduce, torchvision or Pillow.
    Results differ by one level of 256 in some pixels, and in the placement of odd padding."""
    rescale: float = 1 / 255
    offset: float = 0.0

    @property
    def interval_s(self) -> float:
        """Seconds between two sampled frames."""
        return self.stride / self.rate


@dataclass(frozen=True, slots=True)
class AttentionLayout:
    """The attention of a model as data, so that methods do not depend on the model family."""

    kind: Literal["divided", "joint", "space", "frame"]
    """Alternating temporal and spatial attention; attention over all tokens; attention within each
    frame, with the head on the mean of all tokens; or a separate prediction for each frame."""
    pooling: Literal["cls", "mean", "token", "attentive"]
    """Input of the head: the class token, the mean of all tokens, token 0, or a pooler's query."""
    grid: tuple[int, int, int]
    """(T', h, w)."""
    tubelet: int
    depth: int
    prefix_tokens: int
    """Number of tokens before the patches, including the class token."""
    order: Literal["thw", "hwt"] = "thw"
    """Order of the patch axes in the token sequence of joint attention, slowest first."""
    pooler_depth: int = 0
    """Number of self-attention blocks in an attentive pooler, before its query."""


@dataclass(frozen=True, slots=True)
class RandomMasks:
    """What a model was taught to answer in spite of: tokens of a clip removed at random."""

    share: float
    """How likely each token was removed; the highest where that varied. Above 0, at most 1."""
    replacement: Literal["blur", "mean", "noise"]
    """What stood in their place, as `--replacement` calls it."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"a share of random masks is above 0, at most 1, not {self.share}")


@dataclass(frozen=True, slots=True, eq=False)
class ModelInfo:
    """Properties of a model, as in the report."""

    name: str
    family: str
    source: str
    """Origin of the weights: bundled, a path, or a hub name with its revision."""
    weights_sha256: str
    license: str
    note: str
    """One line about limits of the model; empty if there are none."""
    input: ModelInput
    layout: AttentionLayout
    labels: tuple[str, ...]
    parameters: int
    background: int | None = None
    """Index of the background class ("nothing happens"), if any."""
    output: Output = "softmax"
    """Activation of its logits."""
    random_masks: RandomMasks | None = None
    """Random masks that it was trained with, if known."""


Reason = Literal["top-1", "named", "index"]
"""Why a class is explained: the most probable one, or asked for by name or by index."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Output of the model and the target class."""

    scores: Float32
    """[classes] probabilities, which sum to one only after a softmax; or raw values."""
    target: int
    reason: Reason
    labels: tuple[str, ...]
    output: Output = "softmax"
    """Activation that produced the scores."""

    @property
    def label(self) -> str:
        """Name of the target class."""
        return self.labels[self.target]

    @property
    def score(self) -> float:
        """Score of the target class."""
        return float(self.scores[self.target])

    @property
    def is_probability(self) -> bool:
        """Whether scores are probabilities."""
        return self.output != "identity"

    @property
    def weight(self) -> float:
        """Weight of a clip with this prediction in the video's frame scores: p(target | clip).

        One for a raw value: its zero depends on the units, a low value is as informative as a high
        one, and a negative weight would invert the scores.
        """
        return self.score if self.is_probability else 1.0

    def top(self, k: int = 5) -> list[tuple[int, str, float]]:
        """The k classes with the highest scores as (index, label, score)."""
        order = np.argsort(-self.scores, kind="stable")[:k]
        return [(int(i), self.labels[i], float(self.scores[i])) for i in order]


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """One raw value per token: not normalized, not thresholded, not smoothed."""

    values: Float32
    """[T', h, w]."""
    method: str
    target: int | None
    """The explained class, None if the method is class-blind."""
    layers: tuple[int, ...]
    units: str
    signed: bool
    passes: float
    """Measured cost in forward passes of one clip; a backward pass counts as two."""
    cls_self_mass: float | None = None
    """Share of the read-out attention on the class token itself, if known."""
    space_variation: float | None = None
    """`statistics.space_variation` of the underlying attention; None if none was read."""
    attention_variation: float | None = None
    """Coefficient of variation of the underlying attention over all tokens; None if none was
    read."""

    @property
    def temporal(self) -> Float32:
        """[T'] the attribution summed over space."""
        return np.asarray(self.values.sum(axis=(1, 2), dtype=np.float64), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ClassAttributions:
    """Raw attributions for several classes, computed in the same forward passes."""

    classes: tuple[int, ...]
    """[K] the classes with the highest scores in the video, highest first."""
    values: Float32
    """[K, C, T', h, w]."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the explained part of a video the model has seen."""

    covered_s: float
    """Seconds covered by clips."""
    covered_share: float
    """The same as a share of the part's duration."""
    frames_seen: int
    """Number of frames that were model inputs."""
    seen_share: float
    """The same as a share of the part's frames."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameScores:
    """A score for every frame of the explained part, by default the entire video."""

    times_s: Float64
    """[N]."""
    score: Float32
    """[N] raw temporal attribution, interpolated between the model's input frames."""
    weighted_score: Float32
    """[N] the same with each clip multiplied by its `Prediction.weight`."""
    seen: Bool
    """[N] True if the frame was a model input."""
    covered: Bool
    """[N] False if no clip covers the frame: its scores are NaN."""
    end_s: float
    """End of the last frame."""
    first: int = 0
    """Position of the first of the N frames in the video."""

    def runs(self) -> list[tuple[int, int]]:
        """Contiguous runs of covered frames: half-open ranges [start, stop) in the N frames."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], self.covered, [0]])))
        return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def spans(self) -> list[tuple[float, float]]:
        """The same in seconds; a frame ends when the next one starts."""
        times = np.append(self.times_s, self.end_s)
        return [(float(times[start]), float(times[stop])) for start, stop in self.runs()]

    @property
    def coverage(self) -> Coverage:
        """How much of the explained part the model has seen."""
        covered_s = sum(stop - start for start, stop in self.spans())
        duration_s = max(self.end_s - float(self.times_s[0]), 1e-9)
        seen = int(self.seen.sum())
        return Coverage(covered_s, min(covered_s / duration_s, 1.0), seen, seen / len(self.times_s))


@dataclass(frozen=True, slots=True, eq=False)
class HeatMaps:
    """Spatial maps on the video's time axis; drawn frames interpolate between them."""

    times_s: Float64
    """[K] increasing."""
    values: Float32
    """[K, h, w]."""
    box: tuple[float, float, float, float]
    """Part of the picture covered by the maps: left, top, right, bottom as shares of its width and
    height; below 0 or above 1 if the model input was padded."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time span with a large share of the weighted score."""

    start_s: float
    peak_s: float
    end_s: float
    """End of its last frame."""
    peak_score: float
    """Weighted score at the peak; moments are ranked by it."""
    share: float
    """Share of the weighted score of all covered frames, 0 to 1."""
    center: tuple[float, float]
    """Center of mass of the map at the peak: x and y, each 0 to 1 of the picture."""
    box: tuple[float, float, float, float]
    """Bounding box of the strongest half of the map at the peak: left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class TemporalStats:
    """Statistics of the temporal scores."""

    minimum: float
    """Minimum, maximum, and mean are of the covered frames' scores."""
    maximum: float
    mean: float
    coefficient_of_variation: float
    """Standard deviation over mean of the clips' scores before stitching."""
    entropy: float
    """Entropy of the clips' scores as a distribution, over that of a uniform one: 0 to 1."""
    flat: bool
    """The curve is indistinguishable from a uniform one, or the picture is still."""
    still: bool = False
    """The picture hardly changes within any clip: no moment can matter more than another."""
    peak_s: float | None = None
    """Time of the highest weighted score; None if the curve is flat or never above zero."""
    peaks_equal: int = 0
    """Number of other spans in the upper half of the range with peaks within 2 % of the highest."""


@dataclass(frozen=True, slots=True)
class SpatialStats:
    """Statistics of the spatial maps."""

    coefficient_of_variation: float
    """Of spatial attention within a frame, root mean square over clips; of the maps if the method
    does not read attention."""
    flat: bool
    """The maps are indistinguishable from uniform ones."""
    attention_variation: float | None = None
    """Coefficient of variation of attention over all tokens of a clip, root mean square over clips;
    None if the method does not read attention."""

    def uninformative(self, uniform_below: float) -> bool:
        """Whether attention was read and cannot be told from uniform, in space and in time.

        Args:
            uniform_below: coefficient of variation below which attention counts as uniform.
        """
        return self.attention_variation is not None and self.attention_variation < uniform_below


WARNINGS = frozenset(
    (
        *("attention-uninformative", "batch-size-reduced", "class-blind-method", "color-guessed"),
        *("decode-errors", "flat-spatial", "flat-temporal", "low-confidence", "low-frame-rate"),
        *("model-note", "not-faithful", "nothing-left", "setting-without-effect", "short-video"),
        *("sound-errors", "sound-left-out", "sparse-sampling", "stride-mismatch"),
        *("times-repaired", "truncated", "untrained-size", "upsampled-input"),
    )
)
"""Codes of all warnings of a report; they are stable."""


@dataclass(frozen=True, slots=True)
class ReportWarning:
    """A warning in the report; `code` is one of `WARNINGS`, `text` is for people."""

    code: str
    text: str


ROUNDING = 1e-5
"""Part of a score by which it may differ because of rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class FaithfulnessRow:
    """Deletion and insertion curves of the target's score, in the order of a method.

    Areas have the units of the score: 0 to 1 for a probability, any range for a raw value.
    """

    method: str
    deletion: Float32
    """[steps + 1] from the complete clip to an empty one, most relevant first; mean over clips."""
    insertion: Float32
    """[steps + 1] from an empty clip to the complete one, most relevant first; mean over clips."""
    deletion_area: float
    """Area under `deletion` over [0, 1]; lower is better."""
    insertion_area: float
    """Area under `insertion`; higher is better."""
    srg_low: float | None = None
    """Lower end of the 95 % bootstrap interval of `srg` over clips; None for one clip."""
    srg_high: float | None = None
    """Upper end of that interval."""

    @property
    def srg(self) -> float:
        """Symmetric relevance gain: insertion minus deletion."""
        return self.insertion_area - self.deletion_area

    def gains_over(self, srg: float) -> bool:
        """Whether the gain is above another one by more than rounding."""
        return bool(self.srg > srg + ROUNDING * abs(float(self.deletion[0])))


@dataclass(frozen=True, slots=True, eq=False)
class Faithfulness:
    """Faithfulness of an explanation, compared with baselines."""

    replacement: str
    """What replaced removed parts."""
    clips: tuple[int, ...]
    """Positions of the measured clips: those with the highest scores of the class."""
    rows: tuple[FaithfulnessRow, ...]
    """The method of the explanation first, then the baselines."""
    quick: bool = False
    """Measured with a fifth of the steps, and thus of the passes."""
    passes: int = 0
    """Cost in forward passes."""

    @property
    def steps(self) -> int:
        """Number of removal steps per clip."""
        return len(self.rows[0].deletion) - 1

    @property
    def beaten_by(self) -> tuple[str, ...]:
        """Baselines that are at least as faithful."""
        explained, *baselines = self.rows
        return tuple(row.method for row in baselines if not explained.gains_over(row.srg))

    @property
    def gains(self) -> bool:
        """Whether the order of the explanation is better than its reverse."""
        return self.rows[0].gains_over(0.0)


@dataclass(frozen=True, slots=True)
class RunDetails:
    """Facts about a run that differ between runs with equal results."""

    folder: str
    """Working folder, the base of relative paths."""
    device: str
    precision: str
    threads: int
    torch: str
    """Version of torch."""
    host: str
    platform: str
    started_at: str
    """UTC, in ISO 8601 format."""
    seconds: dict[str, float]
    """Duration of each stage."""
    peak_memory_bytes: int | None
    """None if the system does not report it."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The explanation of a video: plain data and numpy arrays."""

    video: VideoInfo
    model: ModelInfo
    settings: dict[str, Any]
    """The settings as nested plain data."""
    strategy: str
    clips: tuple[Clip, ...]
    prediction: Prediction
    clip_predictions: tuple[Prediction, ...]
    attributions: tuple[Attribution, ...]
    """Raw, one per clip."""
    frames: FrameScores
    maps: HeatMaps
    """Post-processed according to the settings; raw maps are in `attributions`."""
    moments: tuple[Moment, ...]
    temporal: TemporalStats
    spatial: SpatialStats
    warnings: tuple[ReportWarning, ...]
    fingerprint: str = ""
    """Hash of input, settings, weights, and version; equal ones mean equal explanations."""
    run: RunDetails | None = None
    """Facts about the run that computed it, if known."""
    faithfulness: Faithfulness | None = None
    """None if not measured."""
    by_class: ClassAttributions | None = None
    """Attributions for the top five classes, if raw attributions are requested and the method
    computes those of all classes in one pass."""
    source: Any = None
    """The `video.frame_source.SeekableSource` to read frames from for drawing; None for the file of
    `video`."""

    @property
    def coverage(self) -> Coverage:
        """How much of the explained part the model has seen."""
        return self.frames.coverage

    @property
    def part(self) -> range:
        """Positions of the explained frames in the video; these are also drawn."""
        first = self.frames.first
        return range(first, first + len(self.frames.times_s))

    @property
    def start_s(self) -> float:
        """Start of the first explained frame."""
        return float(self.frames.times_s[0])

    @property
    def end_s(self) -> float:
        """End of the last explained frame."""
        return self.frames.end_s

    def __repr__(self) -> str:
        """One line without the arrays."""
        answer = f"{self.prediction.label!r} {self.prediction.score:.3g}"
        method, model = self.attributions[0].method, self.model.name
        clips = f"{len(self.clips)} clips, {self.video.frames} frames"
        return (
            f"<{type(self).__name__} of {self.video.path!r}: {answer}, {method}, {model}, {clips}>"
        )
