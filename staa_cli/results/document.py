"""The document behind report.json, as types: `report` fills them, `generate_schema` tells them.

The fields are those of the file. The text of a type, or under a field, stands in the JSON Schema
that ships with staa, and so do the bounds of its type: this module is where to change them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Point = tuple[float, float]
Box = tuple[float, float, float, float]

_ONE_SCORE = Meta(
    extra_json_schema={"oneOf": [{"required": [n]} for n in ("probability", "value")]}
)
_ONE_TARGET_SCORE = Meta(
    extra_json_schema={"oneOf": [{"required": [n]} for n in ("target_probability", "target_value")]}
)

Base64 = Annotated[str, Meta(extra_json_schema={"contentEncoding": "base64"})]


class Part(Struct, frozen=True, omit_defaults=True):
    """A map in a document. Only what may be missing from it has a default, which is None."""


class Document(Part, frozen=True):
    """The head of every JSON file that staa writes, by which it knows its own."""

    schema_version: Literal[1]
    """Version of this schema."""
    staa_version: str
    """Version of staa that wrote the report."""


class Video(Part, frozen=True):
    """The input file."""

    path: str
    r"""As it was given, or <frames> for frames in memory; bytes that are no UTF-8 as \xff."""
    sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
    """Hexadecimal; of the file's bytes, or of the shape, times, and pixels of frames in memory."""
    size_bytes: Count
    """Size of the file."""
    container: str
    """Format of the file."""
    codec: str
    """Codec of the video track."""
    pixel_format: str
    """As stored."""
    width: Positive
    """Of the upright picture, in pixels."""
    height: Positive
    """Of the upright picture, in pixels."""
    rotation: Literal[0, 90, 180, 270]
    """Degrees counter-clockwise that turn the stored picture upright."""
    mirrored: bool
    """The upright picture is flipped left to right after the turn."""
    sample_aspect_ratio: tuple[int, int]
    """Width to height of a pixel of the upright picture."""
    transfer: Literal["sdr", "pq", "hlg"]
    """Transfer function."""
    interlaced: bool
    """The video is stored as fields."""
    start_s: float
    """Time of the first frame on the container's own clock."""
    duration_s: Amount
    """From the first frame's start to the last frame's end."""
    frames: Positive
    """Frames that a player shows."""
    rate: Amount
    """Mean frames a second."""
    variable_rate: bool
    """The frames are not equally spaced."""
    audio: str | None
    """Codec of the sound track, null without one."""
    frames_declared: Count
    """What the container claims; 0 where it claims nothing."""
    packets_bad: Count
    """Packets that did not decode."""
    truncated: bool
    """The file ends early."""
    times_repaired: bool
    """Its time stamps contradict the order of its frames."""
    color_guessed: bool
    """It names a color matrix that cannot be computed here."""
    path_bytes: Base64 | None = None
    """The very bytes of the path, in base64; there only where they are no UTF-8, and path is then
    for reading alone."""


class ModelInput(Part, frozen=True):
    """What the model is fed."""

    frames: Positive
    """Frames a clip."""
    size: tuple[int, int]
    """Height and width in pixels."""
    stride: Positive
    """Frames from one sampled frame to the next, at `rate`."""
    rate: Annotated[float, Meta(gt=0)]
    """Frames a second that the stride refers to."""
    mean: list[float]
    """Subtracted a channel."""
    std: list[float]
    """Divided by a channel."""
    resize: Positive | Annotated[list[Positive], Meta(min_length=2, max_length=2)] | None
    """Pixels that the picture's shorter side is scaled to before the crop; or height and width,
    whatever its shape; null: not scaled."""
    # No tuple: beside a bounded number in a union, msgspec 0.22 crashes with one (a test watches).
    longest: Positive | None
    """Pixels that the longer side has at most after that; null: no limit."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
    """Of the scaling."""
    antialias: bool
    """Of the scaling."""
    backend: Literal["torchvision", "pillow"]
    """Whose arithmetic scales and pads."""
    rescale: float
    """Factor from bytes to numbers."""
    offset: float
    """Added after that factor."""


class Layout(Part, frozen=True):
    """How the model attends."""

    kind: Literal["divided", "joint", "space", "frame"]
    """Space and time in turn, all tokens at once, or each frame alone, up to one token or to its
    logits."""
    pooling: Literal["cls", "mean", "token", "attentive"]
    """What the head reads."""
    grid: tuple[int, int, int]
    """Rows of tokens: time, height, width."""
    tubelet: Positive
    """Frames a token."""
    depth: Positive
    """Number of blocks."""
    prefix_tokens: Count
    """Tokens before the patches."""
    order: Literal["thw", "hwt"]
    """Order of the patches in the sequence, slowest first."""
    pooler_depth: Count
    """Blocks of attentive pooling before its query."""


class Model(Part, frozen=True):
    """The model that was explained."""

    name: str
    """As staa calls it."""
    family: str
    """Architecture."""
    source: str
    """Where the weights come from."""
    weights_sha256: str
    """Of the weights, hexadecimal."""
    license: str
    """Of the weights, as far as it is known."""
    note: str
    """One line to read before believing a result; empty where there is none."""
    parameters: Count
    """Number of parameters."""
    classes: Positive
    """Number of classes, or of values."""
    output: Literal["softmax", "sigmoid", "identity"]
    """What its logits mean. softmax: probabilities of classes of which one is right, which sum to
    one. sigmoid: a probability of each class by itself. identity: raw values, as of a regression,
    which `prediction` has under `value` in place of `probability`."""
    input: ModelInput
    layout: Layout
    background: Count | None
    """Index of the class that stands for "nothing happens here", null where there is none."""


class Clip(Part, frozen=True):
    """The frames of one forward pass."""

    index: Count
    """Position of the clip."""
    start_s: Amount
    """Start of its first frame."""
    end_s: Amount
    """Start of its last frame."""
    padded: Count
    """Repeats at its end that fill a short video up."""
    frame_indices: list[Count]
    """Positions in the video."""
    times_s: list[float]
    """Start times of those frames."""
    interval_s: Amount
    """Seconds between two frames as they were wanted: so far from its frames a clip still speaks,
    but no further than two seconds."""


class Sampling(Part, frozen=True):
    """Which frames the model saw."""

    strategy: str
    """How the clips were laid over the video."""
    clips: Annotated[list[Clip], Meta(min_length=1)]
    """One a forward pass, in order."""


class Scored(Part, frozen=True):
    """A class, and its probability or value, whichever it has."""

    index: Count
    """Index of the class."""
    label: str
    """Name of the class."""
    probability: Share | None = None
    """Of the class."""
    value: float | None = None
    """In place of a probability where model.output is identity."""

    def __post_init__(self) -> None:
        _one_of(self.probability, self.value)

    @property
    def score(self) -> float:
        """The probability or the value."""
        return _one_of(self.probability, self.value)


class Target(Scored, frozen=True, kw_only=True):
    """The class that is explained."""

    probability: Share | None = None
    """Over the whole video: the mean of its clips; where model.background is a class, each weighted
    by one less its probability."""
    value: float | None = None
    """In place of a probability where model.output is identity: the raw value, over the whole
    video."""
    reason: Literal["top-1", "named", "index"]
    """Why this class."""


class ClipPrediction(Part, frozen=True):
    """What the model says of one clip."""

    clip: Count
    """Index of the clip."""
    top_k: list[Annotated[Scored, _ONE_SCORE]]
    """The classes of the highest probabilities or values, the first the highest."""
    target_probability: Share | None = None
    """Of the explained class in this clip."""
    target_value: float | None = None
    """In place of a probability, as above."""

    def __post_init__(self) -> None:
        _one_of(self.target_probability, self.target_value)

    @property
    def target_score(self) -> float:
        """The target's probability or value."""
        return _one_of(self.target_probability, self.target_value)


class Prediction(Part, frozen=True):
    """What the model says."""

    target: Annotated[Target, _ONE_SCORE]
    top_k: list[Annotated[Scored, _ONE_SCORE]]
    """The classes of the highest probabilities or values, the first the highest."""
    clips: list[Annotated[ClipPrediction, _ONE_TARGET_SCORE]]
    """The same for every clip."""


class Method(Part, frozen=True):
    """How importance was read."""

    name: str
    """Attribution method."""
    layers: list[int]
    """Blocks that were read."""
    class_specific: bool
    """The maps speak of the target; otherwise of no class."""
    signed: bool
    """Negative values speak against the target."""
    units: str
    """Of the raw values."""
    passes: Amount
    """What the maps of all clips took, in forward passes of one clip, as counted; a backward pass
    counts as two."""
    passes_per_clip: Amount
    """The same over the number of clips."""
    cls_self_mass: float | None
    """Mean share of the read-out that stays on the class token, null where that cannot be told."""
    post: dict[str, Any]
    """What was done to a copy of the maps before drawing, with its parameters."""


class Frames(Part, frozen=True):
    """One entry a frame of the stretch that is explained in every column.

    Most often that is the whole video.
    """

    index: list[int]
    """Position in the video."""
    time_s: list[float]
    """Start of the frame."""
    score: list[float | None]
    """Temporal attribution, interpolated between seen frames, and smoothed where
    settings.post.smooth says so; null where no clip reaches."""
    weighted_score: list[float | None]
    """The same times the target's probability in the clip; the same as it is where the model
    answers with a raw value."""
    seen: list[bool]
    """The model received this very frame."""


class Coverage(Part, frozen=True):
    """How much of the stretch that is explained the model has been shown."""

    covered_s: Amount
    """Seconds that clips reach."""
    covered_share: Share
    """The same, of the stretch."""
    frames_seen: Positive
    """Frames that the model received."""
    seen_share: Share
    """The same, of the stretch's frames."""


class Moment(Part, frozen=True):
    """A stretch in which the weighted score stands out."""

    start_s: Amount
    """Its start."""
    peak_s: Amount
    """Its strongest time."""
    end_s: Amount
    """Its end."""
    peak_score: float
    """The weighted score at the peak, by which moments are ranked."""
    share: float
    """Part of the weighted score of all covered frames."""
    center: Point
    """Center of mass of the map at the peak. x and y as shares of the picture."""
    box: Box
    """Smallest box around the strongest half of the map at the peak. Left, top, right, bottom as
    shares of the picture."""


class Temporal(Part, frozen=True):
    """How much the temporal score says."""

    minimum: float
    """Of the covered frames' scores."""
    maximum: float
    """Of the covered frames' scores."""
    mean: float
    """Of the covered frames' scores."""
    coefficient_of_variation: float
    """Standard deviation over mean of the clips' scores, before they are stitched."""
    entropy: float
    """Of the clips' scores as a distribution, 1 for a uniform one."""
    flat: bool
    """The curve cannot be told from a uniform one, or the picture is still."""
    still: bool
    """The picture hardly changes within any clip, so that no moment can matter more than
    another."""
    peak_s: Amount | None
    """When the weighted score is highest; null where the curve, raw or as it is drawn, is flat or
    nowhere above zero."""
    peaks_equal: Count
    """Other stretches in the upper half of its range whose peaks are as high, but for 2 %."""


class Knots(Part, frozen=True):
    """One entry in every column for each time at which there is a map."""

    time_s: list[float]
    """Rising."""
    x: list[float]
    """Center of mass as a share of the picture's width."""
    y: list[float]
    """Center of mass as a share of the picture's height."""
    mass: list[float]
    """Sum of the map."""
    entropy: list[float]
    """Of the map, 1 for a uniform one."""


class Spatial(Part, frozen=True):
    """Where the evidence lies."""

    grid: tuple[int, int]
    """Rows and columns of a map."""
    box: Box
    """Part of the picture that the maps cover, the model's crop. Left, top, right, bottom as shares
    of the picture, beyond 0 and 1 where the model saw padding around it."""
    maps: str | None
    """File beside the report with all maps, null where none was asked for."""
    mean_map: list[list[float]]
    """The mean of all maps, row by row."""
    center: Point
    """Center of mass of the mean map. x and y as shares of the picture."""
    entropy: Share
    """Of the mean map, 1 for a uniform one."""
    coefficient_of_variation: Amount
    """How far attention over space is from its mean in a frame, over that mean: root mean square
    over clips. Where a method reads no attention, of its maps."""
    flat: bool
    """A uniform map explains them: no place stands out."""
    knots: Knots


class WarningRow(Part, frozen=True):
    """Something to know first."""

    code: Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
    """Stable, for programs."""
    text: str
    """For people."""


class FaithfulnessRow(Part, frozen=True):
    """What became of the class in one method's order."""

    method: str
    """A name from `staa methods`."""
    deletion: float
    """Area under deletion_curve; the lower, the better."""
    insertion: float
    """Area under insertion_curve; the higher, the better."""
    faithfulness: float
    """Insertion minus deletion."""
    deletion_curve: list[float]
    """Probability of the class, or its value, from the whole clips to nothing."""
    insertion_curve: list[float]
    """Probability of the class, or its value, from nothing to the whole clips."""


class Faithfulness(Part, frozen=True):
    """Whether the model needs what the explanation points to; absent where nobody asked."""

    replacement: Literal["blur", "mean", "black"]
    """What stood where something was removed."""
    quick: bool
    """Whether this is a quick check: a fifth of the steps, and so of the passes, of a full one."""
    steps: Positive
    """Steps in which a clip was taken away, and brought back; a point more of each curve."""
    passes: Count
    """Forward passes that the check took, which method.passes does not count."""
    clips: list[Count]
    """Positions of the clips that were asked about."""
    rows: list[FaithfulnessRow]
    """The explanation's own method first, then baselines."""
    beaten_by: list[str]
    """Baselines that are at least as faithful."""


class Run(Part, frozen=True):
    """What differs from run to run. Absent with --reproducible."""

    folder: str
    r"""In which relative paths begin; bytes of it that are no UTF-8 as \xff."""
    device: str
    """Where the model ran."""
    precision: str
    """Number format of the forward pass."""
    threads: Positive
    """CPU threads."""
    torch: str
    """Version of torch."""
    host: str
    """Name of the machine."""
    platform: str
    """Its operating system and processor."""
    started_at: str
    """Date and time in UTC, as ISO 8601 has them."""
    seconds: dict[str, Amount]
    """Spent in each stage."""
    peak_memory_bytes: Count | None = None
    """Most memory that the process held; absent where the system does not tell."""
    folder_bytes: Base64 | None = None
    """The very bytes of the folder, there only where they are no UTF-8."""


class Report(Document, frozen=True):
    """What report.json holds.

    Within a version properties are only ever added, so a reader should pass over what it does not
    know. Times are seconds from the video's first frame. Numbers have 6 significant digits, times
    at least milliseconds.
    """

    fingerprint: str
    """Of input, settings, weights, and version together; equal ones need no second look."""
    video: Video
    model: Model
    settings: dict[str, Any]
    """The settings that the result depends on, as `staa config show` names them."""
    sampling: Sampling
    prediction: Prediction
    method: Method
    frames: Frames
    coverage: Coverage
    moments: list[Moment]
    """Stretches in which the weighted score stands in the upper half of its range, that of the
    highest peak first. Each rests on at least three frames that the model saw, one on either side
    among them."""
    temporal: Temporal
    spatial: Spatial
    warnings: list[WarningRow]
    """What a reader should know first."""
    faithfulness: Faithfulness | None = None
    run: Run | None = None


def _one_of(probability: float | None, value: float | None) -> float:
    """The one of two scores that is there.

    Raises:
        ValueError: both are, or none.
    """
    score = probability if value is None else value
    if score is None or (probability is not None and value is not None):
        raise ValueError("a score is a probability or a value, one of them")
    return score
