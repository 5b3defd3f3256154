"""`staa models`: the models that need no checkpoint."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from staa_cli.cli.command import command, put, put_json
from staa_cli.console import Console, table, terminal_width

_EXAMPLES = """
staa models
staa models --json
staa explain video.mp4 --model tiny-events
"""


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, _EXAMPLES)(models)


def models(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    console: Console,
) -> None:
    """List the models that come with staa; a checkpoint's path works wherever a name does."""
    from staa_cli.models import list_models

    found = list_models()
    if json:
        put_json(console, found, indent=2)
        return
    headers = ("NAME", "INPUT", "CLASSES", "ABOUT")
    put(console, table(headers, [_row(model) for model in found], terminal_width(sys.stdout)))


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    given = model["input"]
    height, width = given["size"]
    shape = f"{given['frames']}x{height}x{width} {given['rate'] / given['stride']:.3g}/s"
    about = f"{model['family']}, {model['licence']}; {model['note']}".rstrip("; ")
    return model["name"], shape, str(len(model["classes"])), about
