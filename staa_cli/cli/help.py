"""Help pages: one sentence, examples, then the options in groups with their current values."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from staa_cli.config.presets import describe_presets
from staa_cli.config.settings import Loaded, keys, load_settings, value_of
from staa_cli.errors import ExitCode, StaaError, UsageError
from staa_cli.registry import did_you_mean

PANELS = (
    *("Arguments", "Inputs", "Source", "Model", "Sampling", "Attribution", "Picture", "Gate"),
    *("Output", "Alerts", "CI", "Run"),
)
_MESSAGES, _WHOLE = "Messages", "staa.whole_help"
_MAX_WIDTH = 100
_FIRST_COLUMN = 24


class HelpCommand(TyperCommand):
    """A command with our help page."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Record whether the full page is requested, then parse as usual."""
        ctx.meta[_WHOLE] = "--help" in args
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page: the most important options for -h, all for --help."""
        formatter.write(page(self, ctx, whole=ctx.meta[_WHOLE]))


class HelpGroup(TyperGroup):
    """A group of commands with our help page."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command named by the first argument.

        Raises:
            UsageError: there is no such command.
        """
        name = args[0]
        running = not ctx.resilient_parsing  # not in shell completion
        if running and name not in self.commands and not name.startswith("-"):
            hint = did_you_mean(name, self.commands) or help_hint(ctx)
            raise UsageError(f"no such command: {name}", hint)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order in which they were registered."""
        return list(self.commands)


def help_hint(ctx: Any) -> str:
    """A hint at the help page of a command, or at the main one."""
    return f"`{ctx.command_path if ctx is not None else 'staa'} --help` lists what is available"


def page(command: Any, ctx: typer.Context, *, whole: bool = True) -> str:
    """A command's help page, as wide as the terminal up to 100 columns.

    Args:
        command: a command, or a group of them.
        ctx: where it was called.
        whole: show all options, not only the most important ones.
    """
    width = max(40, min(shutil.get_terminal_size().columns, _MAX_WIDTH))
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    parts = [
        _wrapped(f"Usage: {usage}", width, hanging=len("Usage: ")),
        _wrapped(" ".join((command.help or "").split()), width),
    ]
    if command.epilog:
        parts.append(_section("Examples", textwrap.indent(command.epilog.strip("\n"), "  ")))
    params = command.get_params(ctx)
    common = [param for param in params if _is_common(param)]
    short, root = len(params) - len(common) > _MAX_OTHERS, ctx.parent is None
    tables = dict(_panels(params if whole or not short else common, short))
    if isinstance(command, TyperGroup):
        rows = [(name, sub.get_short_help_str(200)) for name, sub in command.commands.items()]
        tables = {"Commands": rows} | tables
    has_presets = any(param.name == "config" for param in params)
    if whole and short and has_presets:
        tables["Presets of --config"] = list(describe_presets().items())
    if whole and (short or root):
        tables["Exit codes"] = [(str(int(code)), code.meaning) for code in ExitCode]
    first = min(max(len(name) for rows in tables.values() for name, _ in rows), _FIRST_COLUMN)
    parts += [_section(title, _rows(rows, first + 2, width)) for title, rows in tables.items()]
    if short and not whole:
        presets = ", presets," if has_presets else ""
        more = f"All options{presets} and exit codes: {ctx.command_path} --help"
        parts.append(_wrapped(more, width))
    return "\n\n".join(parts) + "\n"


_COMMON = frozenset(
    (
        *("recursive", "model", "target", "device", "method__name", "render__view"),
        *("sampling__strategy", "sampling__start", "sampling__end"),
        *("output__dir", "output__plot", "output__storyboard", "output__faithfulness"),
        *(
            "output__quick_faithfulness",
            "json",
            "config",
            "dry_run",
            "force",
            "quiet",
            "verbose",
            "help",
        ),
        *("methods", "classes", "full_faithfulness", "no_faithfulness"),
        *("dataset", "metrics", "clips", "seed", "into"),
        *("max_shift", "max_label_changes", "fail_if", "noise"),
        *("rows", "maps", "url", "html"),
        *("output", "realtime", "hop", "alert", "exec_", "serve"),
    )
)
"""The most important options; if a command has many others, -h shows only these."""
_MAX_OTHERS = 5
"""Number of other options that -h also shows."""


def _is_common(param: Any) -> bool:
    return param.param_type_name != "option" or param.name in _COMMON


def _panels(params: Sequence[Any], short: bool) -> Iterable[tuple[str, list[tuple[str, str]]]]:
    """Options in groups; `short` says that -h has a shorter page."""
    panels: dict[str, list[tuple[str, str]]] = {}
    settings = _current_settings()
    for param in params:
        if param.param_type_name == "option":
            panel = getattr(param, "rich_help_panel", None) or _MESSAGES
            name, text = _option(param, settings)
            if param.name == "help":
                text = (
                    ("Show the most important options; --help shows all.")
                    if short
                    else "Show this page."
                )
            panels.setdefault(panel, []).append((name, text))
        elif param.help:
            panels.setdefault("Arguments", []).append((_argument(param), param.help))
    if list(panels) == [_MESSAGES]:
        panels = {"Options": panels[_MESSAGES]}
    order = {title: position for position, title in enumerate(PANELS)}
    return sorted(panels.items(), key=lambda item: order.get(item[0], len(order)))


def _argument(param: Any) -> str:
    return f"{param.metavar or param.name}{'...' if param.nargs != 1 else ''}"


def _option(param: Any, settings: Loaded) -> tuple[str, str]:
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in param.opts if name.startswith("--")]
    names = ", ".join(short + long) if short else "    " + ", ".join(long)
    value = "" if param.is_flag or param.count else f" {param.metavar or 'TEXT'}"
    return names + value, f"{param.help or ''}{_current_value(param.name, settings)}"


def _current_value(name: str, settings: Loaded) -> str:
    """The value of a setting without its option: ``  [dense, by STAA_SAMPLING_STRATEGY]``."""
    key = keys().get(name.replace("__", "."))
    if key is None or isinstance(key.default, bool):
        return ""
    value, origin = value_of(settings.settings, key.name), settings.origins[key.name]
    text = key.unset if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return f" [{text}]" if origin == "default" else f" [{text}, by {origin}]"


def _current_settings() -> Loaded:
    try:
        return load_settings(None, {}, os.environ)
    except StaaError:  # the command itself will report the error
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
