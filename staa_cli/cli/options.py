"""Shared by all commands: console, settings as options, and output to stdout."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from staa_cli.cli.completion import (
    Offers,
    complete_classes,
    complete_method,
    complete_models,
    complete_presets,
    one_of,
)
from staa_cli.cli.help import HelpCommand, HelpGroup
from staa_cli.cli.terminal import Console
from staa_cli.config.presets import presets
from staa_cli.config.settings import Loaded, keys, load_settings, value_of
from staa_cli.config.values import Key
from staa_cli.errors import UsageError
from staa_cli.formatting import percent, raw
from staa_cli.paths import textual

SETTINGS: dict[str, tuple[str, ...]] = {
    "Model": (
        *("model", "arch", "labels", "target", "device", "precision", "compile", "threads"),
        *("batch_size", "offline"),
    ),
    "Inputs": ("max_download", "cache_dir"),
    "Sampling": (
        *("sampling.strategy", "sampling.frames", "sampling.size", "sampling.stride"),
        *("sampling.hop", "sampling.clips", "sampling.seed", "sampling.start", "sampling.end"),
        "sampling.keep_rest",
    ),
    "Attribution": (
        *("method.name", "method.layers", "method.combine", "method.replacement"),
        *("method.samples", "post.threshold", "post.threshold_value", "post.focus_sigma"),
        *("post.focus_gamma", "post.smooth", "post.smooth_s"),
    ),
    "Picture": (
        *("render.view", "render.opacity", "render.colormap", "render.scale", "render.strip"),
        *("render.encoder", "render.preset"),
    ),
    "Output": tuple(name for name in keys() if name.startswith("output.")),
}
"""Settings with an option, by group in the help; others are set only in files."""


def without(*names: str) -> dict[str, tuple[str, ...]]:
    """The settings with an option, except some."""
    return {
        panel: tuple(name for name in group if name not in names)
        for panel, group in SETTINGS.items()
    }


_OFFERS: dict[str, Callable[..., Offers]] = {
    "model": complete_models,
    "method.name": complete_method,
    "target": complete_classes,
    "device": one_of("auto", "cpu", "cuda", "mps"),
}


@dataclass
class State:
    """State of the running command for the error handling in `run`."""

    console: Console


_MESSAGES: dict[str, Any] = {
    "quiet": Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print only errors, and the output of --json."),
    ],
    "verbose": Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Print more: the origin of settings, clips, timings, the full text of "
            "warnings; -vv adds details of video and model, library logs, and "
            "tracebacks.",
        ),
    ],
    "no_progress": Annotated[bool, typer.Option("--no-progress", help="Show no progress bar.")],
    "color": Annotated[
        str,
        typer.Option(
            "--color",
            metavar="WHEN",
            help="Color: auto, always, never. [auto]",
            autocompletion=one_of("auto", "always", "never"),
        ),
    ],
}
_CONFIG = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="PRESET|FILE",
        help=f"Take settings from a preset ({', '.join(presets())}) or a YAML file.",
        rich_help_panel="Run",
        autocompletion=complete_presets,
    ),
]


def command(
    app: typer.Typer,
    examples: str,
    *,
    settings: Mapping[str, Sequence[str]] | None = None,
    alone: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command; its docstring's first paragraph is its help.

    The function receives a `console` and, if `settings` names groups of settings, `loaded`: the
    current settings. Every named setting becomes an option with the setting's description. With
    `alone`, the function runs when the group `app` is called without a subcommand.
    """
    names = {name: panel for panel, group in (settings or {}).items() for name in group}

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(ctx: typer.Context, **values: Any) -> None:
            if alone and ctx.invoked_subcommand is not None:
                return
            state: State = ctx.obj
            state.console = console = _console(values)
            shared: dict[str, Any] = {"console": console}
            if names:
                flags = _flags(values, names)
                shared["loaded"] = load_settings(values.pop("config"), flags, os.environ)
                _print_settings(shared["loaded"], console)
            with console.logs():
                function(**values, **shared)

        parameters = {"ctx": inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context)}
        parameters |= _setting_parameters(names) | _own_parameters(function)
        if names:
            parameters["config"] = _parameter("config", _CONFIG, None)
        parameters |= {name: _parameter(name, a, _unset(a)) for name, a in _MESSAGES.items()}
        run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {name: p.annotation for name, p in parameters.items()}
        doc = (function.__doc__ or "").split("\n\n")[0]
        name = function.__name__.rstrip("_").replace("_", "-")
        if alone:
            app.callback(cls=HelpGroup, help=doc, epilog=examples, invoke_without_command=True)(run)
        else:
            app.command(name, cls=HelpCommand, help=doc, epilog=examples)(run)
        return function

    return register


def put(console: Console, line: str) -> None:
    """Print a line of results to stdout, flushed, unless -q."""
    if console.verbosity >= 0:
        console.write(line, sys.stdout)


def as_argument(path: Path | str) -> str:
    """A path, or a URL, that no program mistakes for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def answer(row: Mapping[str, Any]) -> str:
    """A class and its score in a report: `pouring 87 %`, or `output score 1.55` for raw values."""
    if "probability" in row:
        return f"{row['label']} {percent(row['probability'])}"
    return f"{row['label']} score {raw(row['value'])}"


def put_json(console: Console, value: Any, *, indent: int | None = None) -> None:
    """Print a JSON value to stdout, even with -q: ASCII, valid Unicode, and never NaN."""
    console.write(json.dumps(textual(value), allow_nan=False, indent=indent), sys.stdout)


_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, _KEYWORD, annotation=annotation, default=default)


def _unset(annotation: Any) -> Any:
    kind = get_args(annotation)[0]
    return {bool: False, int: 0, str: "auto"}[kind]


def _own_parameters(function: Callable[..., None]) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return {
        name: parameter.replace(annotation=hints[name], kind=_KEYWORD)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("console", "loaded")
    }


def _setting_parameters(names: Mapping[str, str]) -> dict[str, inspect.Parameter]:
    return {
        name.replace(".", "__"): _parameter(
            name.replace(".", "__"), _annotation(keys()[name], panel), None
        )
        for name, panel in names.items()
    }


def _annotation(key: Key, panel: str) -> Any:
    help_text = key.line[0].upper() + key.line[1:] + "."
    names = [name for name in (key.flag, key.short) if name is not None]
    if key.type is bool:
        text = f"Do not {key.doc}." if key.turns_off else help_text
        return Annotated[
            bool | None, typer.Option(*names, help=text, rich_help_panel=panel, show_default=False)
        ]
    offers = one_of(*key.choices) if key.choices else None
    option = typer.Option(
        *names,
        help=help_text,
        metavar=_metavar(key),
        rich_help_panel=panel,
        autocompletion=_OFFERS.get(key.name, offers),
    )
    return Annotated[str | None, option]


def _metavar(key: Key) -> str:
    if key.metavar is not None:
        return key.metavar
    if key.unit is not None:
        return key.unit.upper()
    numbers = [kind for kind in (key.type, *get_args(key.type)) if kind in (int, float)]
    literal = get_origin(key.type) is Literal
    return "KIND" if literal else "N" if int in numbers else "X"


def _flags(values: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Option values by dotted key; an option shared by two keys sets both."""
    flags: dict[str, Any] = {}
    for name in names:
        value, key = values.pop(name.replace(".", "__")), keys()[name]
        if value is not None and key.turns_off:
            value = not value
        flags |= {other.name: value for other in keys().values() if other.flag == key.flag}
    return flags


def _print_settings(loaded: Loaded, console: Console) -> None:
    for name, origin in loaded.origins.items():
        if origin != "default":
            console.detail(f"{name} = {value_of(loaded.settings, name)}, by {origin}")


def _console(values: dict[str, Any]) -> Console:
    quiet, verbose = values.pop("quiet"), values.pop("verbose")
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other", "give one of them")
    progress, color = not values.pop("no_progress"), values.pop("color")
    if color not in ("auto", "always", "never"):
        raise UsageError(f"--color: expected auto, always, or never, not {color!r}")
    return Console(-1 if quiet else verbose, color, progress=progress)
