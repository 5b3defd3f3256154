"""`staa models`: list named models, and inspect a checkpoint."""

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
    """Register the command and its subcommand."""
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
    from staa_cli.models.catalog.zoo import MAKE, list_zoo, zoo_names

    rows = list_zoo() if zoo else list_models()
    if zoo and not rows:
        raise UnavailableError("no model of the zoo is here", f"a checkout makes them: {MAKE}")
    if json:
        put_json(console, rows, indent=2)
        return
    headers = ("NAME", "INPUT", "ABOUT")
    put(console, table(headers, [_row(model) for model in rows], terminal_width(sys.stdout)))
    if not zoo and zoo_names():
        console.message("--zoo lists the small models of the benchmark's zoo")


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

    facts = inspect_model(path, arch=arch, offline=offline, announce=console.message)
    if json:
        put_json(console, facts, indent=2)
    else:
        rows = _facts(facts)
        if facts["accuracy"] is not None:
            rows.insert(-1, ("accuracy", _accuracy(path, facts)))
        width = max(len(name) for name, _ in rows) + 2
        for name, value in rows:
            put(console, f"{name:<{width}}{shown(value)}")
    if not facts["fits"]:
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    if "input" not in model:
        return model["name"], "-", f"{model['origin']}; {model['note']}"
    model_input = model["input"]
    height, width = model_input["size"]
    side = f"{height}" if height == width else f"{height}x{width}"
    shape = f"{model_input['frames']}x{side} {model_input['rate'] / model_input['stride']:.3g}/s"
    about = f"{model['family']}, {model['classes']} classes, {model['license']}; {model['note']}"
    if "accuracy" in model:
        about = f"accuracy {_accuracy(model['name'], model)}; {about}"
    return model["name"], shape, about.rstrip("; ")


def _accuracy(name: str, facts: dict[str, Any]) -> str:
    """What share of held-out clips a model classifies correctly, and whether it is too small."""
    from staa_cli.models.catalog.zoo import ENOUGH, is_left_out

    accuracy = facts["accuracy"]
    if accuracy is None:
        return "unknown"
    text = f"{accuracy:.3f} on held-out {facts['dataset'] or 'clips'}"
    below = f" (below {ENOUGH}: left out of means over the zoo)"
    return text + (below if is_left_out(name, accuracy) else "")


def _facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    model_input, attention = facts["input"], facts["attention"]
    height, width = model_input["size"]
    size = sum(file["bytes"] for file in facts["files"])
    built = (f"{name} {value}" for name, value in facts["configuration"].items())
    rows = [
        ("path", facts["path"]),
        ("files", f"{_first([f['name'] for f in facts['files']])} ({size / 1e6:,.1f} MB)"),
        ("family", facts["family"]),
        ("configuration", ", ".join(built)),
        (
            "input",
            f"{model_input['frames']} frames of {height} x {width}, every {_interval(model_input)}",
        ),
        (
            "attention",
            "{kind}, reads {pooling}, {depth} blocks of {grid} tokens".format(
                **attention | {"grid": " x ".join(map(str, attention["grid"]))}
            ),
        ),
        ("classes", f"{facts['classes']}: {_first(facts['labels'])}"),
        ("output", f"{facts['output']}: {_OUTPUTS[facts['output']]}"),
        ("parameters", f"{facts['parameters']:,}"),
        ("license", facts["license"]),
        ("note", facts["note"]),
        ("left out", _first(facts["left_out"])),
        ("missing", _first(facts["missing"])),
        ("unexpected", _first(facts["unexpected"])),
        ("misshapen", _first(facts["misshapen"])),
        ("weights", "all fit" if facts["fits"] else "do not fit"),
    ]
    return [(name, value) for name, value in rows if value]


def _interval(model_input: dict[str, Any]) -> str:
    return f"{model_input['stride'] / model_input['rate']:.3g} s"


def _first(names: list[str], count: int = 5) -> str:
    more = len(names) - count
    return ", ".join(names[:count]) + (f", and {more} more" if more > 0 else "")
