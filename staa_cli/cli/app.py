"""The command line: parses, validates, calls the pipeline, computes nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer

from staa_cli.cli.commands import (
    benchmark,
    compare,
    config,
    diff,
    doctor,
    explain,
    export,
    methods,
    models,
    render,
    report,
    schema,
    stream,
)
from staa_cli.cli.help import HelpGroup, help_hint
from staa_cli.cli.options import State
from staa_cli.cli.process import keep_freed_memory, leave, mute_compiling
from staa_cli.cli.terminal import Color, Console, wants_color
from staa_cli.config.settings import keys
from staa_cli.errors import ExitCode, UsageError
from staa_cli.failures import understood
from staa_cli.paths import STDOUT_ERRORS
from staa_cli.registry import nearest

_EXAMPLES = """
staa explain video.mp4
staa explain clips/ -r --model ./my-checkpoint --class pouring
staa explain -h
"""

app = typer.Typer(
    name="staa",
    cls=HelpGroup,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        from staa_cli import __version__

        print(__version__)
        raise typer.Exit


@app.callback(epilog=_EXAMPLES)
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show where and when a video transformer looked, and how far that can be trusted."""


_COMMANDS = (
    *(explain, stream, compare, render, report, diff, export, benchmark),
    *(models, methods, config, doctor, schema),
)
for _command in _COMMANDS:
    _command.add(app)


def main() -> NoReturn:
    """Entry point of the console script."""
    # Set before torch is imported. Otherwise its threads spin while they wait for each other, and
    # next to another busy process that takes several times as long as the work.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed_memory()
    mute_compiling()
    for name in ("stdout", "stderr"):  # closed by the caller: discard output
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors become messages only here."""
    if "_STAA_COMPLETE" in os.environ:
        return _complete()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors=STDOUT_ERRORS)
    state = State(Console())
    try:
        _check_completion(arguments)
        _invoke(arguments or ["--help"], state)
        sys.stdout.flush()
    except typer.Exit as error:
        return error.exit_code
    except SystemExit as error:  # of --install-completion and --show-completion
        return ExitCode.USAGE if error.code else ExitCode.OK
    except KeyboardInterrupt:
        state.console.message("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        _abandon(sys.stdout)
        return ExitCode.BROKEN_PIPE
    except Exception as error:
        return _failed(error, state.console)
    return ExitCode.OK


def _check_completion(arguments: Sequence[str]) -> None:
    """Refuse a shell name: completion is installed for the current shell.

    Raises:
        UsageError: a shell is named.
    """
    if len(arguments) > 1 and arguments[0] in ("--install-completion", "--show-completion"):
        line = f"staa {arguments[0]}"
        raise UsageError(
            f"{arguments[0]} takes no shell name: it applies to the shell it runs in",
            f"run it from that shell, for example: {arguments[1]} -c '{line}'",
        )


def _complete() -> int:
    """Answer a shell's completion request; errors must not be printed on its line."""
    try:
        app(prog_name="staa")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.OK
    except Exception:
        return ExitCode.INTERNAL
    return ExitCode.OK


def _invoke(arguments: Sequence[str], state: State) -> None:
    command = typer.main.get_command(app)
    color = wants_color(sys.stdout, _color_flag(arguments), os.environ)
    try:
        with command.make_context("staa", list(arguments), obj=state, color=color) as ctx:
            command.invoke(ctx)
    except _ParserError as error:
        raise _usage_error(error) from error


# Typer does not export its parser's base exception; this is the parent of one that it exports.
_ParserError: type[Exception] = typer.BadParameter.__mro__[1]


def _usage_error(error: Any) -> UsageError:
    ctx, option = getattr(error, "ctx", None), getattr(error, "option_name", None)
    if ctx is not None and option is not None and hasattr(error, "possibilities"):
        similar = nearest(option.lstrip("-"), names := _names(ctx))
        flags = dict.fromkeys(names[name] for name in similar)
        hint = f"did you mean {' or '.join(flags)}?" if flags else help_hint(ctx)
        return UsageError(f"no such option: {option}", hint)
    text = error.format_message().rstrip(".")
    return UsageError(text[:1].lower() + text[1:], help_hint(ctx))


def _names(ctx: typer.Context) -> dict[str, str]:
    """Names that suggest an option: its own, or that of its setting."""
    flags = {
        flag.lstrip("-"): flag
        for param in ctx.command.get_params(ctx)
        for flag in param.opts
        if flag.startswith("--")
    }
    settings = {
        key.name.rpartition(".")[2].replace("_", "-"): key.flag
        for key in keys().values()
        if key.flag in flags.values()
    }
    return settings | flags


def _color_flag(arguments: Sequence[str]) -> Color:
    """The value of `--color`, read early: help is printed before options are parsed."""
    line = " ".join(arguments).replace("--color=", "--color ")
    return "always" if "--color always" in line else "never" if "--color never" in line else "auto"


def _failed(error: Exception, console: Console) -> int:
    console.trace(error)
    failure = understood(error)
    console.error(failure)
    return failure.exit_code


def _abandon(stream: TextIO) -> None:
    """Redirect a stream to null, so that the interpreter's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
