"""Results as annotations of a CI service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from staa_cli.formatting import counted
from staa_cli.paths import as_text, shown
from staa_cli.results.index.document import Index

_MOST = 10
"""GitHub shows so many annotations of a step."""


def github(index: Index, folder: Path, gates: Sequence[str] = ()) -> list[str]:
    """Workflow commands of GitHub: an error or a warning for each video that has one.

    At most ten, errors first; the last one counts what has no annotation.

    Args:
        index: of the results.
        folder: of the index.
        gates: outcomes of those that have not passed, each in a line; they come first.
    """
    commands = [f"::error title={_property('staa: gate')}::{_escaped(line)}" for line in gates]
    commands += [*_errors(index, folder), *_warnings(index)]
    more = len(commands) - _MOST + 1
    if more <= 1:
        return commands
    kind = "error" if commands[_MOST - 1].startswith("::error") else "warning"
    text = f"{counted(more, 'more video')} with errors or warnings"
    return [*commands[: _MOST - 1], f"::{kind} title=staa::{text}"]


def _errors(index: Index, folder: Path) -> Iterator[str]:
    for failed in index.failed_inputs:
        yield _command("error", failed.input.path, failed.kind, failed.cause, failed.hint)
    for broken in index.broken_reports:
        report = as_text(folder / broken.report.path)
        yield _command("error", report, "InputError", broken.cause, broken.hint)


def _warnings(index: Index) -> Iterator[str]:
    for entry in index.results:
        if entry.warnings:
            codes = ", ".join(dict.fromkeys(warning.code for warning in entry.warnings))
            texts = [warning.text for warning in entry.warnings]
            yield _command("warning", entry.video.path, codes, *texts)


def _command(kind: str, file: str, title: str, *lines: str | None) -> str:
    text = "%0A".join(_escaped(line) for line in lines if line)
    return f"::{kind} file={_property(file)},title={_property(f'staa: {title}')}::{text}"


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _escaped(text: str) -> str:
    """Text of a command: GitHub's escapes, and no other control characters."""
    text = as_text(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return shown(text)
