"""The nouns: small frozen values that the stages hand to each other.

Shapes use the letters of the method: T frames of a clip, T' = T / tubelet steps of the token
grid, h x w tokens a frame, N frames of the video. Times are seconds from the video's first frame,
taken from its presentation time stamps. Arrays are numpy; nothing here knows torch, a file, or a
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
"""Told how far a stage of the work is: (stage, done, total)."""

Output = Literal["softmax", "sigmoid", "identity"]
"""What makes a head's logits an answer: probabilities of classes of which one is right; a
probability of each class by itself, where several may be right or none; or nothing, where they are
values, as of a regression."""


@dataclass(frozen=True, slots=True, eq=False)
class VideoInfo:
    """What a video is, before anything of it is decoded for the model.

    Width and height are those of the picture as a person sees it: rotation applied, in pixels.
    """

    path: str
    """As it was given; `<frames>` where it is no file, but frames in memory."""
    sha256: str
    """Of the file's bytes; of frames in memory, of their shape, times, and pixels."""
    size_bytes: int
    container: str
    codec: str
    pixel_format: str
    width: int
    height: int
    rotation: int
    """Degrees counter-clockwise that turn the stored picture upright: 0, 90, 180, or 270."""
    mirrored: bool
    """The upright picture is flipped left to right after the turn."""
    sample_aspect_ratio: tuple[int, int]
    """Of the upright picture; (1, 1) where pixels are square or nothing is said."""
    transfer: Literal["sdr", "pq", "hlg"]
    interlaced: bool
    start_s: float
    """Presentation time of the first frame on the container's own clock."""
    duration_s: float
    """From the first frame's start to the last frame's end."""
    rate: float
    """Mean frames a second."""
    variable_rate: bool
    times_s: Float64
    """[N] start of every frame, rising, the first one 0."""
    audio: str | None
    """Codec of the sound track, None where there is none."""
    frames_declared: int
    """What the container claims; 0 where it claims nothing."""
    packets_bad: int = 0
    truncated: bool = False
    times_repaired: bool = False
    """The file's time stamps contradict the order of its frames, and were put in order."""
    color_guessed: bool = False
    """The file names a color matrix that cannot be computed here; the nearest one was taken."""

    @property
    def frames(self) -> int:
        """Number of frames that a player shows."""
        return len(self.times_s)


@dataclass(frozen=True, slots=True)
class Clip:
    """The frames that one forward pass sees."""

    index: int
    frame_indices: tuple[int, ...]
    """T positions in the video; a short video repeats its last frame."""
    times_s: tuple[float, ...]
    """T start times of those frames."""
    padded: int = 0
    """How many of the T frames are repeats that fill a short clip up."""
    interval_s: float = 0.0
    """Seconds between two frames as they were wanted: so far from its frames a clip still speaks,
    but no further than two seconds."""

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
    """What a model expects to be fed."""

    frames: int
    size: tuple[int, int]
    """Height and width in pixels."""
    stride: int
    """Frames between two sampled frames, at `rate`."""
    rate: float
    """Frames a second that `stride` refers to."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: int | tuple[int, int] | None
    """Length in pixels that the picture's shorter side is scaled to before the center crop; or the
    height and width that every picture is scaled to; or None, which leaves it as it is."""
    longest: int | None = None
    """Length that the longer side has at most after that, where only the shorter is given."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = (
        "bilinear"
    )
    antialias: bool = True
    backend: Literal["torchvision", "pillow"] = "torchvision"
    """Whose arithmetic scales and pads: that of Hugging Face's processors for torch, or for Pillow.
    They differ by one level of 256 here and there, and where padding is of an odd number."""
    rescale: float = 1 / 255
    offset: float = 0.0

    @property
    def interval_s(self) -> float:
        """Seconds between two sampled frames."""
        return self.stride / self.rate


@dataclass(frozen=True, slots=True)
class AttentionLayout:
    """How a model attends, as data; methods read this and never ask for a family by name."""

    kind: Literal["divided", "joint", "space", "frame"]
    """Space and time in turn; all tokens at once; each frame by itself, then one mean of tokens; or
    each frame by itself up to its own logits."""
    pooling: Literal["cls", "mean", "token", "attentive"]
    """What the head reads: the class token, all tokens' mean, token 0, or a pooler's query."""
    grid: tuple[int, int, int]
    """(T', h, w)."""
    tubelet: int
    depth: int
    prefix_tokens: int
    """Tokens before the patches, the class token among them."""
    order: Literal["thw", "hwt"] = "thw"
    """Which of the patch axes runs slowest to fastest in the token sequence of joint attention."""
    pooler_depth: int = 0
    """Blocks of attentive pooling before its query."""


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
    """What the report says about a model."""

    name: str
    family: str
    source: str
    """Where the weights come from: bundled, a path, or a hub name with its revision."""
    weights_sha256: str
    license: str
    note: str
    """One line that a user should read before believing a result; empty where there is none."""
    input: ModelInput
    layout: AttentionLayout
    labels: tuple[str, ...]
    parameters: int
    background: int | None = None
    """The class that stands for "nothing happens here", where there is one."""
    output: Output = "softmax"
    """What its logits mean."""
    random_masks: RandomMasks | None = None
    """With which it was trained, where that is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the model answers, and the class that is explained."""

    scores: Float32
    """[classes] probabilities, which sum to one after a softmax alone; or raw values."""
    target: int
    reason: Literal["top-1", "named", "index"]
    labels: tuple[str, ...]
    output: Output = "softmax"
    """What the scores are."""

    @property
    def label(self) -> str:
        """Name of the target class."""
        return self.labels[self.target]

    @property
    def score(self) -> float:
        """That of the target class."""
        return float(self.scores[self.target])

    @property
    def is_probability(self) -> bool:
        """Whether scores are probabilities."""
        return self.output != "identity"

    @property
    def weight(self) -> float:
        """How much a clip of that answer counts on the video's time axis: p(target | clip).

        One for a raw value. Where its zero lies is a matter of units, and a low value is as much of
        an answer as a high one: no clip says more than another, and no sign may turn.
        """
        return self.score if self.is_probability else 1.0

    def top(self, k: int = 5) -> list[tuple[int, str, float]]:
        """The k classes of the highest scores as (index, label, score)."""
        order = np.argsort(-self.scores, kind="stable")[:k]
        return [(int(i), self.labels[i], float(self.scores[i])) for i in order]


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """One number a token, raw: not normalized, not thresholded, not smoothed."""

    values: Float32
    """[T', h, w]."""
    method: str
    target: int | None
    """The class it speaks of, None where the method is class-blind."""
    layers: tuple[int, ...]
    units: str
    signed: bool
    passes: float
    """What it took, in forward passes of one clip, as counted; a backward pass counts as two."""
    cls_self_mass: float | None = None
    """Share of the read-out that stays on the class token itself, where that can be told."""
    space_variation: float | None = None
    """How far the attention over space that it comes from is from uniform, where the values are
    more than that attention; see `statistics.space_variation`."""

    @property
    def temporal(self) -> Float32:
        """[T'] the attribution summed over space."""
        return np.asarray(self.values.sum(axis=(1, 2), dtype=np.float64), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ClassAttributions:
    """Raw attributions of several classes, from the same passes over the same clips."""

    classes: tuple[int, ...]
    """[K] those that the video is most probably of, the first one most."""
    values: Float32
    """[K, C, T', h, w]."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the stretch that is explained the model has been shown."""

    covered_s: float
    """Seconds that clips reach."""
    covered_share: float
    """The same, of the stretch."""
    frames_seen: int
    """Frames that the model received."""
    seen_share: float
    """The same, of the stretch's frames."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameScores:
    """One score for every frame of the stretch that is explained, most often the whole video."""

    times_s: Float64
    """[N]."""
    score: Float32
    """[N] raw temporal attribution, interpolated between the frames that the model saw."""
    weighted_score: Float32
    """[N] the same, each clip's part multiplied by p(target | clip); by one for a raw value."""
    seen: Bool
    """[N] True where the model received this very frame."""
    covered: Bool
    """[N] False where no clip reaches: the scores are NaN there, since nothing is known."""
    end_s: float
    """When the last of the frames ends."""
    first: int = 0
    """Position in the video of the first of the N frames."""

    def runs(self) -> list[tuple[int, int]]:
        """Uninterrupted covered frames, as positions among the N: [start, stop)."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], self.covered, [0]])))
        return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]

    def spans(self) -> list[tuple[float, float]]:
        """The same in seconds; a frame lasts until the next one begins."""
        times = np.append(self.times_s, self.end_s)
        return [(float(times[start]), float(times[stop])) for start, stop in self.runs()]

    @property
    def coverage(self) -> Coverage:
        """How much of the stretch the model has been shown."""
        covered_s = sum(stop - start for start, stop in self.spans())
        whole_s = max(self.end_s - float(self.times_s[0]), 1e-9)
        seen = int(self.seen.sum())
        return Coverage(covered_s, min(covered_s / whole_s, 1.0), seen, seen / len(self.times_s))


@dataclass(frozen=True, slots=True, eq=False)
class HeatMaps:
    """Spatial maps on the video's time axis, raw; what is drawn is interpolated between them."""

    times_s: Float64
    """[K] rising."""
    values: Float32
    """[K, h, w]."""
    box: tuple[float, float, float, float]
    """Part of the picture that the maps cover: left, top, right, bottom, as shares of it; beyond 0
    and 1 where the model saw padding around it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of time that carries much of the evidence."""

    start_s: float
    peak_s: float
    end_s: float
    """When its last frame ends."""
    peak_score: float
    """The weighted score there, by which moments are ranked."""
    share: float
    """Part of the weighted score of all covered frames, 0 to 1."""
    center: tuple[float, float]
    """Center of mass of the map at the peak: x and y in the picture, each 0 to 1."""
    box: tuple[float, float, float, float]
    """Smallest box around the strongest half of the map at the peak: left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class TemporalStats:
    """How much the temporal score says at all."""

    minimum: float
    """Of the covered frames' scores, as are maximum and mean."""
    maximum: float
    mean: float
    coefficient_of_variation: float
    """Standard deviation over mean of the clips' scores, before they are stitched."""
    entropy: float
    """Of the clips' scores as a distribution, divided by that of the uniform one: 0 to 1."""
    flat: bool
    """The curve cannot be told from a uniform one, or there is nothing that it could tell of."""
    still: bool = False
    """The picture hardly changes within any clip: what varies is the model, not what it saw."""
    peak_s: float | None = None
    """When the weighted score is highest; None where it is flat or nowhere above zero."""
    peaks_equal: int = 0
    """Other stretches in the upper half of its range whose peaks are as high, but for 2 %."""


@dataclass(frozen=True, slots=True)
class SpatialStats:
    """How much the maps say of places at all."""

    coefficient_of_variation: float
    """How far attention over space is from its mean in a frame, over that mean: root mean square
    over clips. Where a method reads no attention, of its maps."""
    flat: bool
    """A uniform map explains it: no place stands out."""


@dataclass(frozen=True, slots=True)
class ReportWarning:
    """Something the reader of a report should know; `code` is stable, `text` is for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class FaithfulnessRow:
    """A class's score while clips are taken away and brought back, in a method's order.

    Areas are in its units: 0 to 1 of a probability, anything of a raw value.
    """

    method: str
    deletion: Float32
    """[steps + 1] from the whole clip to nothing, the most relevant first; mean over clips."""
    insertion: Float32
    """[steps + 1] from nothing to the whole clip, the most relevant first; mean over clips."""
    deletion_area: float
    """Area under `deletion` over [0, 1]; the lower, the better."""
    insertion_area: float
    """Area under `insertion`; the higher, the better."""
    srg_low: float | None = None
    """Lower end of the 95 % bootstrap interval of `srg` over clips; None of one clip."""
    srg_high: float | None = None
    """Its upper end."""

    @property
    def srg(self) -> float:
        """Symmetric relevance gain: insertion minus deletion."""
        return self.insertion_area - self.deletion_area


@dataclass(frozen=True, slots=True, eq=False)
class Faithfulness:
    """Whether the model needs what the explanation points to, beside baselines."""

    replacement: str
    """What stood where something was removed."""
    clips: tuple[int, ...]
    """Positions of the clips that were asked about: those that speak most for the class."""
    rows: tuple[FaithfulnessRow, ...]
    """The explanation's own method first, then the baselines."""
    quick: bool = False
    """In a fifth of the steps, and so of the passes: a first look."""
    passes: int = 0
    """Forward passes that it took."""

    @property
    def steps(self) -> int:
        """In which a clip was taken away, and brought back."""
        return len(self.rows[0].deletion) - 1

    @property
    def beaten_by(self) -> tuple[str, ...]:
        """Baselines that are at least as faithful."""
        own, *others = self.rows
        return tuple(row.method for row in others if row.srg >= own.srg)


@dataclass(frozen=True, slots=True)
class RunDetails:
    """What differs from one run to the next, though all else is the same."""

    folder: str
    """In which relative paths begin."""
    device: str
    precision: str
    threads: int
    torch: str
    """Its version."""
    host: str
    platform: str
    started_at: str
    """In UTC, as ISO 8601 has it."""
    seconds: dict[str, float]
    """Spent in each stage."""
    peak_memory_bytes: int | None
    """None where the system does not tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """All that is known about one explained video: plain data and numpy arrays."""

    video: VideoInfo
    model: ModelInfo
    settings: dict[str, Any]
    """The settings in force, as nested plain data."""
    strategy: str
    clips: tuple[Clip, ...]
    prediction: Prediction
    clip_predictions: tuple[Prediction, ...]
    attributions: tuple[Attribution, ...]
    """One a clip, raw."""
    frames: FrameScores
    maps: HeatMaps
    """Post-processed as the settings say; the raw maps are in `attributions`."""
    moments: tuple[Moment, ...]
    temporal: TemporalStats
    spatial: SpatialStats
    warnings: tuple[ReportWarning, ...]
    fingerprint: str = ""
    """Of input, settings, weights, and version together; equal ones need no second look."""
    run: RunDetails | None = None
    """Of the run that made it, where that is known."""
    faithfulness: Faithfulness | None = None
    """Measured where it was asked for."""
    by_class: ClassAttributions | None = None
    """Those of the top five classes, where raw attributions were asked for and the method has them
    of every class after one pass."""
    source: Any = None
    """A `video.frame_source.SeekableSource` that its frames are read from again; None for the file
    that `video` names."""

    @property
    def coverage(self) -> Coverage:
        """How much of the stretch the model has been shown."""
        return self.frames.coverage

    @property
    def part(self) -> range:
        """Positions in the video of the frames that are explained, and drawn."""
        first = self.frames.first
        return range(first, first + len(self.frames.times_s))

    @property
    def start_s(self) -> float:
        """When the first of them begins."""
        return float(self.frames.times_s[0])

    @property
    def end_s(self) -> float:
        """When the last of them ends."""
        return self.frames.end_s

    def __repr__(self) -> str:
        """One line: the arrays in it would fill pages."""
        found = f"{self.prediction.label!r} {self.prediction.score:.3g}"
        method, model = self.attributions[0].method, self.model.name
        clips = f"{len(self.clips)} clips, {self.video.frames} frames"
        return (
            f"<{type(self).__name__} of {self.video.path!r}: {found}, {method}, {model}, {clips}>"
        )
