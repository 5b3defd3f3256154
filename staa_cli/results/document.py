"""The content of report.json as types; `report` fills them, `generate_schema` describes them.

The fields are those of the file. Docstrings of types and fields, and the bounds of types, become
the JSON Schema that is part of the package: change them here.
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
    """One object in a document. A default of None marks a property that may be absent."""


class Document(Part, frozen=True):
    """The fields that start every JSON file written by staa and identify it."""

    schema_version: Literal[1]
    """Version of this schema."""
    staa_version: str
    """Version of staa that wrote the file."""


class Place(Part, frozen=True):
    """A file or a folder."""

    path: str
    r"""Path as given; bytes that are not UTF-8 appear as \xff."""
    path_bytes: Base64 | None = None
    """Exact bytes of the path in base64; present only if they are not UTF-8."""


class Failure(Part, frozen=True):
    """A report that could not be used."""

    cause: str
    """What is wrong, with the path."""
    hint: str | None
    """How to fix it."""


class Video(Part, frozen=True):
    """The input file."""

    path: str
    r"""Path as given, URL without credentials, or <frames> for frames in memory; bytes that are not
    UTF-8 appear as \xff."""
    sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")]
    """Hexadecimal hash of the file's bytes; for frames in memory, of their shape, times, and
    pixels."""
    size_bytes: Count
    """Size of the file in bytes."""
    container: str
    """Container format of the file."""
    codec: str
    """Codec of the video track."""
    pixel_format: str
    """Pixel format as stored."""
    width: Positive
    """Width of the upright picture in pixels."""
    height: Positive
    """Height of the upright picture in pixels."""
    rotation: Literal[0, 90, 180, 270]
    """Counterclockwise rotation, in degrees, that makes the stored picture upright."""
    mirrored: bool
    """Whether the upright picture is flipped left to right after the rotation."""
    sample_aspect_ratio: tuple[int, int]
    """Width-to-height ratio of a pixel of the upright picture, as two whole numbers."""
    transfer: Literal["sdr", "pq", "hlg"]
    """Transfer function."""
    interlaced: bool
    """Whether the video is stored as fields."""
    start_s: float
    """Time of the first frame on the container's clock, in seconds."""
    duration_s: Amount
    """Time from the start of the first frame to the end of the last frame, in seconds."""
    frames: Positive
    """Number of frames that a player shows."""
    rate: Amount
    """Mean number of frames per second."""
    variable_rate: bool
    """Whether the frames are unevenly spaced in time."""
    audio: str | None
    """Codec of the sound track; null if there is none."""
    frames_declared: Count
    """Number of frames declared by the container; 0 if it declares none."""
    packets_bad: Count
    """Number of packets that could not be decoded."""
    truncated: bool
    """Whether the file ends early."""
    times_repaired: bool
    """Whether the file's timestamps contradicted the frame order and were repaired."""
    color_guessed: bool
    """Whether the file's color matrix is unsupported and the nearest one was used."""
    path_bytes: Base64 | None = None
    """Exact bytes of the path in base64; present only if they are not UTF-8, in which case path is
    for display only."""


class ModelInput(Part, frozen=True):
    """The input that the model receives."""

    frames: Positive
    """Number of frames per clip."""
    size: tuple[int, int]
    """Height and width in pixels."""
    stride: Positive
    """Distance between sampled frames, in frames at `rate`."""
    rate: Annotated[float, Meta(gt=0)]
    """Frame rate that the stride refers to, in frames per second."""
    mean: list[float]
    """Value subtracted from each channel."""
    std: list[float]
    """Value that each channel is divided by."""
    resize: Positive | Annotated[list[Positive], Meta(min_length=2, max_length=2)] | None
    """Length in pixels that the picture's shorter side is scaled to before the crop, or the height
    and width that every picture is scaled to; null: not scaled."""
    # Not a tuple: msgspec 0.22 crashes on a union of a tuple and a bounded number (tested).
    longest: Positive | None
    """Maximum length of the longer side after scaling, in pixels; null: no limit."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
    """Interpolation used for scaling."""
    antialias: bool
    """Whether scaling uses antialiasing."""
    backend: Literal["torchvision", "pillow"]
    """Library whose scaling and padding arithmetic is used."""
    rescale: float
    """Factor that pixel bytes are multiplied by."""
    offset: float
    """Value added after that factor."""


class Layout(Part, frozen=True):
    """The attention structure of the model."""

    kind: Literal["divided", "joint", "space", "frame"]
    """Attention over space and time in turn (divided), over all tokens at once (joint), or within
    each frame alone, up to one token (space) or its logits (frame)."""
    pooling: Literal["cls", "mean", "token", "attentive"]
    """The tokens that the head reads."""
    grid: tuple[int, int, int]
    """Number of tokens along time, height, and width."""
    tubelet: Positive
    """Number of frames per token."""
    depth: Positive
    """Number of blocks."""
    prefix_tokens: Count
    """Number of tokens before the patch tokens."""
    order: Literal["thw", "hwt"]
    """Order of the patch tokens in the sequence, slowest axis first."""
    pooler_depth: Count
    """Number of attentive pooling blocks before the pooler's query."""


class Model(Part, frozen=True):
    """The model that was explained."""

    name: str
    """Name of the model in staa."""
    family: str
    """Architecture."""
    source: str
    """Origin of the weights."""
    weights_sha256: str
    """Hexadecimal hash of the weights."""
    license: str
    """License of the weights, as far as known."""
    note: str
    """A remark to read before trusting a result; may be empty."""
    parameters: Count
    """Number of parameters."""
    classes: Positive
    """Number of classes, or of output values."""
    output: Literal["softmax", "sigmoid", "identity"]
    """Meaning of the logits. softmax: probabilities of mutually exclusive classes, which sum to
    one. sigmoid: an independent probability for each class. identity: raw values, such as those of
    a regression, which `prediction` reports as `value` instead of `probability`."""
    input: ModelInput
    layout: Layout
    background: Count | None
    """Index of the class that means "nothing happens here"; null if there is none."""


class Clip(Part, frozen=True):
    """The frames of one forward pass."""

    index: Count
    """Index of the clip."""
    start_s: Amount
    """Start time of its first frame in seconds."""
    end_s: Amount
    """Start time of its last frame in seconds."""
    padded: Count
    """Number of repeated frames at the end that pad a short video."""
    frame_indices: list[Count]
    """Indices of the frames in the video."""
    times_s: list[float]
    """Start times of the frames in seconds."""
    interval_s: Amount
    """Intended time between two frames in seconds. The clip counts as covering this much time
    around each of its frames, up to two seconds."""


class Sampling(Part, frozen=True):
    """Which frames the model saw."""

    strategy: str
    """How the clips were placed over the video."""
    clips: Annotated[list[Clip], Meta(min_length=1)]
    """The clips, one per forward pass, in order."""


class Scored(Part, frozen=True):
    """A class with its probability or its raw value."""

    index: Count
    """Index of the class."""
    label: str
    """Name of the class."""
    probability: Share | None = None
    """Probability of the class."""
    value: float | None = None
    """Raw value of the class; replaces the probability where model.output is identity."""

    def __post_init__(self) -> None:
        _one_of(self.probability, self.value)

    @property
    def score(self) -> float:
        """The probability or the value."""
        return _one_of(self.probability, self.value)


class Target(Scored, frozen=True, kw_only=True):
    """The class that is explained."""

    probability: Share | None = None
    """Probability over the whole video: the mean of its clips. If model.background is a class, each
    clip is weighted by one minus the probability of that class."""
    value: float | None = None
    """Raw value over the whole video; replaces the probability where model.output is identity."""
    reason: Literal["top-1", "named", "index"]
    """How the class was chosen."""


class ClipPrediction(Part, frozen=True):
    """The model's prediction for one clip."""

    clip: Count
    """Index of the clip."""
    top_k: list[Annotated[Scored, _ONE_SCORE]]
    """The classes with the highest probabilities or values, highest first."""
    target_probability: Share | None = None
    """Probability of the explained class in this clip."""
    target_value: float | None = None
    """Raw value of the explained class in this clip; replaces the probability where model.output is
    identity."""

    def __post_init__(self) -> None:
        _one_of(self.target_probability, self.target_value)

    @property
    def target_score(self) -> float:
        """The target's probability or value."""
        return _one_of(self.target_probability, self.target_value)


class Prediction(Part, frozen=True):
    """The model's prediction."""

    target: Annotated[Target, _ONE_SCORE]
    top_k: list[Annotated[Scored, _ONE_SCORE]]
    """The classes with the highest probabilities or values over the whole video, highest first."""
    clips: list[Annotated[ClipPrediction, _ONE_TARGET_SCORE]]
    """The predictions for each clip."""


class Method(Part, frozen=True):
    """How importance was measured."""

    name: str
    """Name of the attribution method."""
    layers: list[int]
    """Indices of the blocks that were read."""
    class_specific: bool
    """Whether the maps depend on the explained class."""
    signed: bool
    """Whether negative values are evidence against the explained class."""
    units: str
    """Units of the raw values."""
    passes: Amount
    """Measured cost of the maps of all clips, in forward passes of one clip; a backward pass counts
    as two."""
    passes_per_clip: Amount
    """Measured cost of the maps per clip, in the same unit."""
    cls_self_mass: float | None
    """Mean share of the read-out that stays on the class token; null if it is undefined."""
    post: dict[str, Any]
    """Post-processing applied to a copy of the maps before drawing, with its parameters."""


class Frames(Part, frozen=True):
    """One entry per frame of the explained part of the video in every column.

    Most often that is the whole video.
    """

    index: list[int]
    """Index of the frame in the video."""
    time_s: list[float]
    """Start time of the frame in seconds."""
    score: list[float | None]
    """Temporal attribution, interpolated between the frames that the model saw, and smoothed if
    settings.post.smooth says so; null where no clip covers the frame."""
    weighted_score: list[float | None]
    """The score multiplied by the target's probability in the clip; equal to the score where the
    model's answer is a raw value."""
    seen: list[bool]
    """Whether the model received this exact frame."""


class Coverage(Part, frozen=True):
    """How much of the explained part of the video the model saw."""

    covered_s: Amount
    """Time covered by clips in seconds."""
    covered_share: Share
    """Share of the explained time that clips cover."""
    frames_seen: Positive
    """Number of frames that the model received."""
    seen_share: Share
    """Share of the explained frames that the model received."""


class Moment(Part, frozen=True):
    """A time span in which the weighted score stands out."""

    start_s: Amount
    """Start of the moment in seconds."""
    peak_s: Amount
    """Time of its highest weighted score in seconds."""
    end_s: Amount
    """End of the moment in seconds."""
    peak_score: float
    """Weighted score at the peak, which moments are ranked by."""
    share: float
    """Share of the weighted score of all covered frames."""
    center: Point
    """Center of mass of the map at the peak: x and y as shares of the picture."""
    box: Box
    """Smallest box around the strongest half of the map at the peak: left, top, right, and bottom
    as shares of the picture."""


class Temporal(Part, frozen=True):
    """How informative the temporal score is."""

    minimum: float
    """Minimum of the covered frames' scores."""
    maximum: float
    """Maximum of the covered frames' scores."""
    mean: float
    """Mean of the covered frames' scores."""
    coefficient_of_variation: float
    """Standard deviation divided by mean of the clips' scores, before stitching."""
    entropy: float
    """Normalized entropy of the clips' scores; 1 for a uniform distribution."""
    flat: bool
    """Whether the curve is indistinguishable from a uniform one, or the picture is still."""
    still: bool
    """Whether the picture hardly changes within any clip, so that no moment can matter more than
    another."""
    peak_s: Amount | None
    """Time of the highest weighted score in seconds; null where the curve, raw or smoothed, is flat
    or nowhere above zero."""
    peaks_equal: Count
    """Number of other spans in the upper half of the curve's range whose peaks lie within 2 % of
    the highest."""


class Knots(Part, frozen=True):
    """One entry per map in every column."""

    time_s: list[float]
    """Times of the maps in seconds, in ascending order."""
    x: list[float]
    """Horizontal center of mass as a share of the picture's width."""
    y: list[float]
    """Vertical center of mass as a share of the picture's height."""
    mass: list[float]
    """Sum of the map."""
    entropy: list[float]
    """Normalized entropy of the map; 1 for a uniform one."""


class Spatial(Part, frozen=True):
    """Where in the picture the evidence lies."""

    grid: tuple[int, int]
    """Number of rows and columns of a map."""
    box: Box
    """Part of the picture that the maps cover (the model's crop): left, top, right, and bottom as
    shares of the picture; outside 0 to 1 where the model saw padding."""
    maps: str | None
    """Name of the file in the same folder with all maps; null if it was not requested."""
    mean_map: list[list[float]]
    """Mean of all maps, row by row."""
    center: Point
    """Center of mass of the mean map: x and y as shares of the picture."""
    entropy: Share
    """Normalized entropy of the mean map; 1 for a uniform one."""
    coefficient_of_variation: Amount
    """Deviation of spatial attention from its mean within a frame, divided by that mean: root mean
    square over clips. For methods that read no attention, that of their maps."""
    flat: bool
    """Whether the maps are indistinguishable from uniform, so that no place stands out."""
    knots: Knots
    attention_variation: Amount | None = None
    """Standard deviation of attention over all tokens of a clip, divided by its mean: root mean
    square over clips. Attention is almost uniform if it is low; absent if the method reads none."""


class WarningRow(Part, frozen=True):
    """A caveat about the result."""

    code: Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
    """Stable code for programs."""
    text: str
    """Message for people."""


class FaithfulnessRow(Part, frozen=True):
    """The effect of removing and restoring a clip's parts in one method's order."""

    method: str
    """Name of the method, as in `staa methods`."""
    deletion: float
    """Area under deletion_curve; lower is better."""
    insertion: float
    """Area under insertion_curve; higher is better."""
    srg: float
    """Symmetric relevance gain: insertion minus deletion."""
    deletion_curve: list[float]
    """Probability or value of the class while the clip is removed step by step."""
    insertion_curve: list[float]
    """Probability or value of the class while the clip is restored step by step."""
    srg_low: float | None = None
    """Lower end of the 95 % bootstrap interval of srg over clips; absent for a single clip."""
    srg_high: float | None = None
    """Upper end of that interval; absent for a single clip."""


class Faithfulness(Part, frozen=True):
    """Whether the model relies on what the explanation highlights; present only if requested."""

    replacement: Literal["blur", "mean", "black", "noise"]
    """What replaced removed parts of a clip."""
    quick: bool
    """Whether this is a quick check with a fifth of the steps, and therefore of the passes."""
    steps: Positive
    """Number of steps in which a clip was removed and restored; each curve has one point more."""
    passes: Count
    """Number of forward passes of the check, which method.passes does not include."""
    clips: list[Count]
    """Indices of the clips that were checked."""
    rows: list[FaithfulnessRow]
    """The explanation's method first, followed by the baselines."""
    beaten_by: list[str]
    """Baselines that are at least as faithful as the method."""


class Run(Part, frozen=True):
    """Facts that differ from run to run. Absent with --reproducible."""

    folder: str
    r"""Working folder that relative paths start from; bytes that are not UTF-8 appear as \xff."""
    device: str
    """Device that the model ran on."""
    precision: str
    """Number format of the forward pass."""
    threads: Positive
    """Number of CPU threads."""
    torch: str
    """Version of torch."""
    host: str
    """Name of the machine."""
    platform: str
    """Operating system and processor of the machine."""
    started_at: str
    """Start date and time in UTC, in ISO 8601 format."""
    seconds: dict[str, Amount]
    """Time spent in each stage, in seconds."""
    peak_memory_bytes: Count | None = None
    """Peak memory of the process in bytes; absent if the system does not report it."""
    folder_bytes: Base64 | None = None
    """Exact bytes of the folder in base64; present only if they are not UTF-8."""


class Report(Document, frozen=True):
    """The content of report.json.

    Within a schema version, properties are only added, so readers should ignore unknown ones. Times
    are seconds from the video's first frame. Numbers have 6 significant digits, times at least
    millisecond precision.
    """

    fingerprint: str
    """Hash of input, settings, weights, and version together; equal fingerprints mean the same
    explanation."""
    video: Video
    model: Model
    settings: dict[str, Any]
    """The settings that the result depends on, named as in `staa config show`."""
    sampling: Sampling
    prediction: Prediction
    method: Method
    frames: Frames
    coverage: Coverage
    moments: list[Moment]
    """Spans in which the weighted score is in the upper half of its range, highest peak first. Each
    rests on at least three frames that the model saw, including one on either side of the peak."""
    temporal: Temporal
    spatial: Spatial
    warnings: list[WarningRow]
    """Caveats that a reader should know first."""
    faithfulness: Faithfulness | None = None
    run: Run | None = None


def _one_of(probability: float | None, value: float | None) -> float:
    """The score that is present.

    Raises:
        ValueError: both or none are present.
    """
    score = probability if value is None else value
    if score is None or (probability is not None and value is not None):
        raise ValueError("a score must be either a probability or a value")
    return score
