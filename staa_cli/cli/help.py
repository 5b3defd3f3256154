"""Help pages: one sentence, examples, then the options in groups with the values in force."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from staa_cli.config import Loaded, keys, load_settings, value_of
from staa_cli.errors import StaaError, UsageError
from staa_cli.registry import did_you_mean

PANELS = ("Arguments", "Inputs", "Model", "Sampling", "Attribution", "Picture", "Output", "Run")
_MESSAGES = "Messages"
_WIDEST = 100
_FIRST_COLUMN = 24


class HelpCommand(TyperCommand):
    """A command whose help page is ours."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx))


class HelpGroup(TyperGroup):
    """A group of commands whose help page is ours."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names.

        Raises:
            UsageError: there is none of that name.
        """
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            hint = did_you_mean(name, self.commands) or what_there_is(ctx)
            raise UsageError(f"no such command: {name}", hint)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order in which they were registered."""
        return list(self.commands)


def what_there_is(ctx: Any) -> str:
    """A hint to the help page of a command, or to that of all."""
    return f"`{ctx.command_path if ctx is not None else 'staa'} --help` shows what there is"


def page(command: Any, ctx: typer.Context) -> str:
    """A command in, its help page out, as wide as the terminal up to 100 columns."""
    width = max(40, min(shutil.get_terminal_size().columns, _WIDEST))
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    parts = [
        _wrapped(f"Usage: {usage}", width, hanging=len("Usage: ")),
        _wrapped(" ".join((command.help or "").split()), width),
    ]
    if command.epilog:
        parts.append(_section("Examples", textwrap.indent(command.epilog.strip("\n"), "  ")))
    tables = dict(_panels(command, ctx))
    if isinstance(command, TyperGroup):
        rows = [(name, each.get_short_help_str(200)) for name, each in command.commands.items()]
        tables = {"Commands": rows} | tables
    first = min(max(len(name) for rows in tables.values() for name, _ in rows), _FIRST_COLUMN)
    parts += [_section(title, _rows(rows, first + 2, width)) for title, rows in tables.items()]
    return "\n\n".join(parts) + "\n"


def _panels(command: Any, ctx: typer.Context) -> Iterable[tuple[str, list[tuple[str, str]]]]:
    panels: dict[str, list[tuple[str, str]]] = {}
    settings = _in_force()
    for param in command.get_params(ctx):
        if param.param_type_name == "option":
            panel = getattr(param, "rich_help_panel", None) or _MESSAGES
            panels.setdefault(panel, []).append(_option(param, settings))
        elif param.help:
            panels.setdefault("Arguments", []).append((_argument(param), param.help))
    if list(panels) == [_MESSAGES]:
        panels = {"Options": panels[_MESSAGES]}
    order = {title: place for place, title in enumerate(PANELS)}
    return sorted(panels.items(), key=lambda item: order.get(item[0], len(order)))


def _argument(param: Any) -> str:
    return f"{param.metavar or param.name}{'...' if param.nargs != 1 else ''}"


def _option(param: Any, settings: Loaded) -> tuple[str, str]:
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in param.opts if name.startswith("--")]
    names = ", ".join(short + long) if short else "    " + ", ".join(long)
    value = "" if param.is_flag or param.count else f" {param.metavar or 'TEXT'}"
    return names + value, f"{param.help or ''}{_worth(param.name, settings)}"


def _worth(name: str, settings: Loaded) -> str:
    """What a setting is when its option is not given: ``  [dense, by STAA_SAMPLING_STRATEGY]``."""
    key = keys().get(name.replace("__", "."))
    if key is None or isinstance(key.default, bool):
        return ""
    value, origin = value_of(settings.settings, key.name), settings.origins[key.name]
    text = key.unset if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return f" [{text}]" if origin == "default" else f" [{text}, by {origin}]"


def _in_force() -> Loaded:
    try:
        return load_settings(None, {}, os.environ)
    except StaaError:  # the command itself will say what is wrong
        return load_settings(None, {}, {})


def _section(title: str, body: str) -> str:
    return f"{typer.style(title + ':', bold=True)}\n{body}"


def _rows(rows: Sequence[tuple[str, str]], first: int, width: int) -> str:
    room = width - first - 2
    lines: list[str] = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
        if len(name) + 2 > first:
            lines.append("  " + typer.style(name, fg="cyan"))
            lines += [" " * (first + 2) + line for line in wrapped]
            continue
        lines.append(f"  {typer.style(name, fg='cyan')}{' ' * (first - len(name))}{wrapped[0]}")
        lines += [" " * (first + 2) + line for line in wrapped[1:]]
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(text: str, width: int, hanging: int = 0) -> str:
    return textwrap.fill(text, width, subsequent_indent=" " * hanging, break_on_hyphens=False)
