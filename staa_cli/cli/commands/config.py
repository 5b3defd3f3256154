"""`staa config`: show, check, and create configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from staa_cli.cli.completion import complete_presets
from staa_cli.cli.help import HelpGroup
from staa_cli.cli.options import command, put, put_json
from staa_cli.cli.terminal import Console, table, terminal_width
from staa_cli.config.settings import (
    Loaded,
    OutputSettings,
    config_errors,
    keys,
    load_settings,
    value_of,
)
from staa_cli.errors import ExitCode, OutputError, UsageError
from staa_cli.references import is_reference

_Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="PRESET|FILE",
        help="A preset, or a YAML file.",
        autocompletion=complete_presets,
    ),
]


def add(app: typer.Typer) -> None:
    """Register the command and its subcommands."""
    group = typer.Typer(cls=HelpGroup, no_args_is_help=False)
    group.callback(epilog="\nstaa config show --config fast\nstaa config init staa.yaml\n")(_group)
    command(group, "\nstaa config show\nstaa config show --config fast --json\n")(show)
    command(group, "\nstaa config validate staa.yaml\n")(validate)
    command(group, "\nstaa config init\nstaa config init other.yaml --force\n")(init)
    app.add_typer(group, name="config")


def _group() -> None:
    """Show, check, and start configuration files."""


def show(
    *,
    config: _Config = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    console: Console,
) -> None:
    """Print every setting with its value and where the value comes from."""
    loaded = load_settings(config, {}, os.environ)
    if json:
        put_json(console, _as_json(loaded), indent=2)
        return
    rows = [(name, _text(value_of(loaded.settings, name)), loaded.origins[name]) for name in keys()]
    put(console, table(("SETTING", "VALUE", "FROM"), rows, terminal_width(sys.stdout)))


def validate(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="Files or presets.", autocompletion=complete_presets),
    ],
    *,
    console: Console,
) -> None:
    """Check configuration files, and the files they extend; report every error with its line."""
    bad = False
    for file in files:
        errors = [*config_errors(file), *_name_errors(file)]
        bad = bad or bool(errors)
        for error in errors:
            console.error(error)
        if not errors:
            console.message(f"{file}: ok")
    if bad:
        raise typer.Exit(ExitCode.USAGE)


def _name_errors(file: str) -> list[UsageError]:
    """Errors for unknown methods or formats, which settings alone cannot check."""
    from staa_cli.config.files import read_config

    ignored: list[UsageError] = []  # reported already
    for name, origin, value in read_config(file, keys(), ignored.append):
        try:
            if name == "method.name" and not is_reference(value):  # does not run user code
                from staa_cli.methods import candidates

                candidates(value)
            elif name == "output.formats":
                from staa_cli.results.writers.base import wanted_writers

                wanted_writers(OutputSettings(formats=value))
        except UsageError as error:
            return [UsageError(f"{origin}: {error.cause}", error.hint)]
    return []


def init(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to write it.")] = "staa.yaml",
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    console: Console,
) -> None:
    """Write a commented file with every setting at its default."""
    from staa_cli.config.files import default_yaml

    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as out:
            out.write(default_yaml(keys()))
    except FileExistsError as error:
        raise UsageError(f"{file} exists", "--force replaces it") from error
    except OSError as error:
        raise OutputError(f"cannot write {file}: {(error.strerror or '').lower()}") from error
    put(console, file)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_json(loaded: Loaded) -> dict[str, dict[str, object]]:
    return {
        name: {"value": value_of(loaded.settings, name), "from": loaded.origins[name]}
        for name in keys()
    }
