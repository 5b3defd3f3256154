"""The settings, their defaults, and the origin of every value.

The dataclasses contain the defaults. `load_settings` overrides them with a configuration file, then
with environment variables (`STAA_*`), then with options of the command line.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_type_hints

from staa_cli.config.values import Key, convert, setting
from staa_cli.errors import ConfigError, UsageError
from staa_cli.references import is_reference
from staa_cli.registry import did_you_mean

RESERVED_VARIABLES = frozenset({"STAA_DEBUG", "STAA_STREAM_TOKEN"})
"""Environment variables with the prefix `STAA_` that are not settings."""


@dataclass(frozen=True)
class SamplingSettings:
    """Which frames of a video become model inputs."""

    strategy: Literal["auto", "uniform", "dense", "segments", "random", "range"] = setting(
        "auto", "how clips are placed over the video", flag="--sampling", metavar="RULE"
    )
    frames: int | None = setting(None, "frames per clip", unset="the model's own", at_least=1)
    size: int | None = setting(
        None, "height and width of the model's input in pixels", unset="the model's own", at_least=1
    )
    stride: int | None = setting(
        None,
        "distance between sampled frames, in frames at the model's rate",
        unset="the model's own",
        at_least=1,
        at_most=10_000,
    )
    hop: float = setting(0.5, "step between dense clips, in clip lengths", above=0)
    clips: int = setting(
        8, "number of clips for `segments` and `random`", at_least=1, at_most=1_000_000
    )
    seed: int = setting(0, "seed of `random` clips; --seed also sets the method's seed", at_least=0)
    start: float | None = setting(
        None,
        "ignore everything before this time, in seconds",
        unit="seconds",
        unset="the beginning",
        at_least=0,
    )
    end: float | None = setting(
        None,
        "ignore everything from this time on, in seconds",
        unit="seconds",
        unset="the end",
        above=0,
    )
    keep_rest: bool = setting(
        False, "keep the parts excluded by --start and --end in the output, marked as not seen"
    )


@dataclass(frozen=True)
class MethodSettings:
    """The attribution method and its options."""

    name: str = setting(
        "auto",
        "attribution method",
        takes="auto (staa-class, or staa if the model does not support it), or a method's name",
        flag="--method",
        metavar="NAME",
    )
    layers: Literal["default", "last", "all"] | tuple[int, ...] = setting(
        "default",
        "blocks to read",
        takes="default, last, all, or block numbers such as 0,2",
        metavar="BLOCKS",
    )
    combine: Literal["default", "mean", "contrast"] = setting(
        "default", "how the maps of several blocks are combined"
    )
    seed: int = setting(0, "seed of randomized methods", at_least=0)
    replacement: Literal["blur", "mean", "black", "noise"] = setting(
        "blur", "what replaces removed parts of a clip"
    )
    samples: int | None = setting(
        None,
        "number of perturbed copies or integration steps of sampling methods",
        unset="the method's own",
        at_least=2,
    )


@dataclass(frozen=True)
class PostSettings:
    """Post-processing of a copy of the raw maps before drawing."""

    threshold: Literal["none", "otsu", "percentile", "mean_std"] = setting(
        "none", "set weak values to zero, with one threshold per clip", metavar="RULE"
    )
    threshold_value: float | None = setting(
        None,
        "percentile, or standard deviations above the mean",
        unset="the rule's own",
        at_least=-1_000_000,
        at_most=1_000_000,
    )
    focus_sigma: float = setting(
        0.0, "smooth maps in space and time, in tokens", at_least=0, at_most=100
    )
    focus_gamma: float = setting(1.0, "sharpen maps with this exponent", above=0)
    smooth: Literal["none", "average", "exponential"] = setting(
        "none", "smooth the temporal curve", metavar="RULE"
    )
    smooth_s: float = setting(
        0.5, "width of the temporal smoothing, in seconds", unit="seconds", at_least=0.001
    )
    flat_below: float = setting(
        0.05, "coefficient of variation below which a curve counts as flat", at_least=0
    )
    flat_space_below: float = setting(
        0.2, "the same for spatial attention: below it, maps count as flat", at_least=0
    )


@dataclass(frozen=True)
class RenderSettings:
    """Appearance and encoding of annotated.mp4."""

    view: Literal["heat", "side-by-side", "map", "contour"] = setting(
        "heat", "how the map is shown with the picture"
    )
    opacity: float = setting(0.75, "maximum opacity of the heat map", at_least=0, at_most=1)
    colormap: Literal["inferno", "viridis", "magma", "cividis"] = setting(
        "inferno", "color map of the heat map", metavar="NAME"
    )
    scale: Literal["video", "clip", "frame"] = setting(
        "video",
        "range that the color scale is fitted to; the top 1 % of its hottest map is clipped",
    )
    strip: Literal["below", "over", "none"] = setting(
        "below", "where the temporal curve and the text are placed"
    )
    encoder: Literal["auto", "x264", "nvenc", "videotoolbox", "vaapi"] = setting(
        "auto",
        "encoder of annotated.mp4; auto uses that of the graphics hardware if a test of it works",
        takes="auto, x264, nvenc, videotoolbox, vaapi",
        metavar="NAME",
        shapes_result=False,
    )
    preset: Literal[
        "ultrafast",
        "superfast",
        "veryfast",
        "faster",
        "fast",
        "medium",
        "slow",
        "slower",
        "veryslow",
    ] = setting("superfast", "speed of the encoder, as x264 names it", metavar="SPEED")
    crf: int = setting(23, "quality of the encoder, 0 (best) to 51", at_least=0, at_most=51)


Depth = Literal["quick", "full"]
"""Depth of a faithfulness measurement; quick takes a fifth of the passes of full."""


@dataclass(frozen=True)
class OutputSettings:
    """Which files are written, and where."""

    dir: str = setting(
        "staa-out",
        "folder that receives one subfolder per video, or the URL of one",
        flag="--output-dir",
        short="-o",
        metavar="DIR",
        shapes_result=False,
    )
    annotated: bool = setting(True, "write annotated.mp4", flag="--no-annotated", turns_off=True)
    html: bool = setting(
        True,
        "write report.html, a page with the video, the heat, and the curve",
        flag="--no-html",
        turns_off=True,
    )
    plot: bool = setting(False, "write a plot of the temporal curve")
    storyboard: bool = setting(False, "write an image of the top moments with their times")
    gif: bool = setting(
        False, "write annotated.gif, eight seconds around the highest-scoring moments"
    )
    npz: bool = setting(
        True, "write maps.npz, the raw attributions and the maps", flag="--no-npz", turns_off=True
    )
    csv: bool = setting(False, "write a CSV table with one row per frame")
    faithfulness: bool = setting(False, "measure and plot deletion and insertion against baselines")
    quick_faithfulness: bool = setting(False, "measure faithfulness with a fifth of the passes")

    formats: str | None = setting(
        None, "more output formats from installed packages", unset="none", metavar="A,B"
    )

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the additional formats."""
        return tuple(name.strip() for name in (self.formats or "").split(",") if name.strip())

    @property
    def depth(self) -> Depth | None:
        """Depth of the faithfulness measurement, None for no measurement; full if both are set."""
        return "full" if self.faithfulness else "quick" if self.quick_faithfulness else None


@dataclass(frozen=True)
class Settings:
    """All settings; the constructor without arguments gives the defaults."""

    model: str = setting(
        "tiny-events",
        "a name from `staa models`, a checkpoint's file or folder, or hf-hub:NAME",
        metavar="MODEL",
    )
    arch: str | None = setting(
        None, "architecture of the checkpoint", unset="as stated by the checkpoint", metavar="NAME"
    )
    labels: str | None = setting(
        None,
        "file with class names",
        unset="the model's own",
        metavar="FILE",
        shapes_result=False,
    )
    device: str = setting(
        "auto",
        "where the model runs",
        takes="auto, cpu, cuda, cuda:N, mps",
        metavar="DEVICE",
        shapes_result=False,
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto", "number format of the forward pass"
    )
    threads: int | None = setting(
        None, "CPU threads", unset="one per core", at_least=1, at_most=1024, shapes_result=False
    )
    batch_size: Literal["auto"] | int = setting(
        "auto",
        "clips per forward pass",
        takes="auto (depends on the device), or a number",
        at_least=1,
        at_most=1_000_000,
        shapes_result=False,
    )
    compile: bool = setting(
        False,
        "compile the model first: a slow start, and faster passes on some devices",
        shapes_result=False,
    )
    offline: bool = setting(False, "never use the network", shapes_result=False)
    max_download: float = setting(
        2.0,
        "largest video that is downloaded from a URL",
        unit="GB",
        above=0,
        shapes_result=False,
    )
    cache_dir: str | None = setting(
        None,
        "folder for downloaded videos, and checksums of finished ones",
        unset="staa in the user's cache",
        metavar="DIR",
        shapes_result=False,
    )
    target: str | None = setting(
        None,
        "class to explain, by name or index",
        unset="the most probable",
        flag="--class",
        metavar="CLASS",
    )
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    method: MethodSettings = field(default_factory=MethodSettings)
    post: PostSettings = field(default_factory=PostSettings)
    render: RenderSettings = field(default_factory=RenderSettings)
    output: OutputSettings = field(default_factory=OutputSettings)


@dataclass(frozen=True)
class Loaded:
    """Settings, and the origin of each by dotted key."""

    settings: Settings
    origins: dict[str, str]
    """``default``, ``configs/fast.yaml:12``, ``STAA_MODEL``, or ``--model``."""
    config: str | None = None
    """The selected preset or path."""


@functools.cache
def keys() -> dict[str, Key]:
    """All settings by dotted key, in the order of the dataclasses."""
    return {key.name: key for key in _walk(Settings, "")}


def value_of(settings: Settings, name: str) -> Any:
    """The value of a setting by dotted key."""
    return functools.reduce(getattr, name.split("."), settings)


def load_settings(
    config: str | None, flags: Mapping[str, Any], environ: Mapping[str, str]
) -> Loaded:
    """Load settings from a preset or path, options by dotted key (None if unset), and environment.

    Raises:
        ConfigError: the file or a variable has an unknown key or an invalid value.
        UsageError: an option has an invalid value, or two values contradict each other.
    """
    values: dict[str, Any] = {name: key.default for name, key in keys().items()}
    origins = dict.fromkeys(values, "default")
    for name, origin, value in _layers(config, flags, environ):
        values[name], origins[name] = value, origin
    settings = _build(Settings, values, "")
    for error in _contradictions(settings, origins):
        raise error
    return Loaded(settings, origins, config)


def config_errors(config: str) -> list[UsageError]:
    """All errors in a preset or a configuration file, with their places."""
    from staa_cli.config.files import read_config

    values: dict[str, Any] = {name: key.default for name, key in keys().items()}
    origins = dict.fromkeys(values, "default")
    errors: list[UsageError] = []
    for name, origin, value in read_config(config, keys(), errors.append):
        values[name], origins[name] = value, origin
    if not errors:  # unreadable values could cause false contradictions
        errors += _contradictions(_build(Settings, values, ""), origins)
    return errors


def _layers(
    config: str | None, flags: Mapping[str, Any], environ: Mapping[str, str]
) -> Iterator[tuple[str, str, Any]]:
    if config is not None:
        from staa_cli.config.files import read_config

        yield from read_config(config, keys())
    yield from _from_environment(environ)
    for name, value in flags.items():
        key = keys()[name]
        if value is not None:
            yield name, key.flag, convert(key, value, key.flag, UsageError)


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    known = {key.variable: key for key in keys().values()}
    for variable in sorted(environ):
        if not variable.startswith("STAA_") or variable in RESERVED_VARIABLES:
            continue
        if variable not in known:
            flag = "--" + variable.removeprefix("STAA_").lower().replace("_", "-")
            same_flag = [name for name, key in known.items() if key.flag == flag]
            raise ConfigError(
                f"{variable}: no such setting",
                (f"did you mean {same_flag[0]!r}?" if same_flag else did_you_mean(variable, known))
                or "`staa config show` lists all settings",
            )
        if environ[variable]:
            key = known[variable]
            yield key.name, variable, convert(key, environ[variable], variable)


def _walk(section: Any, prefix: str) -> Iterator[Key]:
    hints = get_type_hints(section)
    for item in fields(section):
        name, hint = prefix + item.name, hints[item.name]
        if is_dataclass(hint):
            yield from _walk(hint, name + ".")
            continue
        facts = {"flag": "--" + item.name.replace("_", "-"), **item.metadata}
        yield Key(name=name, type=hint, default=item.default, **facts)


def _build(section: Any, values: Mapping[str, Any], prefix: str) -> Any:
    hints = get_type_hints(section)
    return section(
        **{
            name: _build(hint, values, f"{prefix}{name}.")
            if is_dataclass(hint)
            else values[prefix + name]
            for name, hint in hints.items()
        }
    )


def _contradictions(settings: Settings, origins: Mapping[str, str]) -> Iterator[UsageError]:
    """Errors of values that are valid alone, but not in combination or not from their origin."""
    for name in ("model", "method.name"):
        value, flag = value_of(settings, name), keys()[name].flag
        if is_reference(value) and not origins[name].startswith("--"):
            packaged = ", or install a package that declares it as an entry point"
            yield ConfigError(
                f"{origins[name]}: {value} would run code, which only {flag} may request",
                f"name it on the command line{packaged if name == 'model' else ''}",
            )
    sampling, post = settings.sampling, settings.post
    if sampling.start is not None and sampling.end is not None and sampling.start >= sampling.end:
        yield UsageError(
            f"{origins['sampling.start']}: the start ({sampling.start:g} s) is not before "
            f"the end ({sampling.end:g} s, from {origins['sampling.end']})",
            "give a start that is smaller than the end, both in seconds",
        )
    if sampling.strategy == "range" and sampling.start is None and sampling.end is None:
        yield UsageError(
            f"{origins['sampling.strategy']}: sampling a range needs a start, an end, or both",
            "add --start SECONDS or --end SECONDS",
        )
    # An option may override the other one in a file.
    if {"--faithfulness", "--quick-faithfulness"} <= set(origins.values()):
        yield UsageError(
            "--faithfulness and --quick-faithfulness contradict each other", "give one of them"
        )
    value = post.threshold_value
    if post.threshold == "percentile" and value is not None and not 0 <= value <= 100:
        yield UsageError(
            f"{origins['post.threshold_value']}: a percentile must be between 0 and "
            f"100, not {value}",
            "add --threshold-value 90",
        )
