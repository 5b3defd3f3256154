"""`staa models`: the models that have a name, and what a checkpoint is."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from staa_cli.cli.completion import complete_models
from staa_cli.cli.options import command, put, put_json
from staa_cli.cli.terminal import Console, shown, table, terminal_width
from staa_cli.errors import ExitCode, UnavailableError

_EXAMPLES = """
staa models
staa models --zoo
staa models inspect ./my-checkpoint
staa explain video.mp4 --model videomae-base-k400
"""
_INSPECT_EXAMPLES = """
staa models inspect ./my-checkpoint
staa models inspect weights.pth --arch videomae_base_patch16_224
staa models inspect hf-hub:facebook/vjepa2-vitl-fpc16-256-ssv2 --json
"""
_OUTPUTS = {
    "softmax": "probabilities of mutually exclusive classes",
    "sigmoid": "an independent probability for each class",
    "identity": "raw values, not probabilities",
}
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add(app: typer.Typer) -> None:
    """Register the command and its part."""
    group = typer.Typer(no_args_is_help=False)
    command(group, _EXAMPLES, alone=True)(models)
    command(group, _INSPECT_EXAMPLES)(inspect)
    app.add_typer(group, name="models")


def models(
    *,
    zoo: Annotated[
        bool,
        typer.Option("--zoo", help="List the benchmark's zoo; needs a checkout of the repository."),
    ] = False,
    json: _Json = False,
    console: Console,
) -> None:
    """List the named models; a path, hf-hub:ORG/NAME, and timm:NAME work as well."""
    from staa_cli.models.catalog.manifests import list_models
    from staa_cli.models.catalog.zoo import MAKE, list_zoo

    rows = list_zoo() if zoo else list_models()
    if zoo and not rows:
        raise UnavailableError("no model of the zoo is here", f"a checkout makes them: {MAKE}")
    if json:
        put_json(console, rows, indent=2)
        return
    headers = ("NAME", "INPUT", "ABOUT")
    put(console, table(headers, [_row(model) for model in rows], terminal_width(sys.stdout)))


def inspect(
    path: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A folder, a file, or a hub name.",
            autocompletion=complete_models,
        ),
    ],
    *,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch",
            metavar="NAME",
            help="Architecture, if the checkpoint does not state one.",
            rich_help_panel="Model",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Never use the network.", rich_help_panel="Model"),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Output")
    ] = False,
    console: Console,
) -> None:
    """Show what a checkpoint contains and which of its weights fit, without executing it."""
    from staa_cli.models.checkpoints.inspection import inspect_model

    found = inspect_model(path, arch=arch, offline=offline, announce=console.message)
    if json:
        put_json(console, found, indent=2)
    else:
        width = max(len(name) for name, _ in _facts(found)) + 2
        for name, value in _facts(found):
            put(console, f"{name:<{width}}{shown(value)}")
    if not found["fits"]:
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    if "input" not in model:
        return model["name"], "-", f"{model['origin']}; {model['note']}"
    given = model["input"]
    height, width = given["size"]
    side = f"{height}" if height == width else f"{height}x{width}"
    shape = f"{given['frames']}x{side} {given['rate'] / given['stride']:.3g}/s"
    about = f"{model['family']}, {model['classes']} classes, {model['license']}; {model['note']}"
    return model["name"], shape, about.rstrip("; ")


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    given, attention = found["input"], found["attention"]
    height, width = given["size"]
    size = sum(file["bytes"] for file in found["files"])
    built = (f"{name} {value}" for name, value in found["configuration"].items())
    rows = [
        ("path", found["path"]),
        ("files", f"{_first([f['name'] for f in found['files']])} ({size / 1e6:,.1f} MB)"),
        ("family", found["family"]),
        ("configuration", ", ".join(built)),
        ("input", f"{given['frames']} frames of {height} x {width}, every {_every(given)}"),
        (
            "attention",
            "{kind}, reads {pooling}, {depth} blocks of {grid} tokens".format(
                **attention | {"grid": " x ".join(map(str, attention["grid"]))}
            ),
        ),
        ("classes", f"{found['classes']}: {_first(found['labels'])}"),
        ("output", f"{found['output']}: {_OUTPUTS[found['output']]}"),
        ("parameters", f"{found['parameters']:,}"),
        ("license", found["license"]),
        ("note", found["note"]),
        ("left out", _first(found["left_out"])),
        ("missing", _first(found["missing"])),
        ("unexpected", _first(found["unexpected"])),
        ("misshapen", _first(found["misshapen"])),
        ("weights", "all fit" if found["fits"] else "do not fit"),
    ]
    return [(name, value) for name, value in rows if value]


def _every(given: dict[str, Any]) -> str:
    return f"{given['stride'] / given['rate']:.3g} s"


def _first(names: list[str], count: int = 5) -> str:
    more = len(names) - count
    return ", ".join(names[:count]) + (f", and {more} more" if more > 0 else "")
