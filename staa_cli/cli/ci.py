"""Options for CI services, and what they print and write at the end of a command."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from staa_cli.cli.completion import one_of
from staa_cli.cli.terminal import Console
from staa_cli.errors import OutputError, StaaError, UsageError

if TYPE_CHECKING:
    from staa_cli.results.diff.document import GateResult
    from staa_cli.results.document import Place
    from staa_cli.results.index.document import Index
    from staa_cli.results.index.gates import ReportGates

SummaryMd = Annotated[
    Path | None,
    typer.Option(
        "--summary-md",
        metavar="FILE",
        help="Append a summary in Markdown, cut so that FILE stays below 900 kB.",
        rich_help_panel="CI",
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        metavar="FILE",
        help="Write JUnit XML: a failed input is an error, a finished one is skipped.",
        rich_help_panel="CI",
    ),
]
Annotations = Annotated[
    str | None,
    typer.Option(
        "--annotations",
        metavar="KIND",
        help="Print failures and warnings as annotations of a CI service to stderr: github.",
        rich_help_panel="CI",
        autocompletion=one_of("github"),
    ),
]


FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        metavar="EXPR",
        help="Exit with 1 if an expression over a report is true of a video.",
        rich_help_panel="CI",
    ),
]


@dataclass(frozen=True, slots=True)
class Ci:
    """What a CI service gets.

    Raises:
        UsageError: unknown annotations, or a folder in place of a file.
    """

    summary_md: Path | None = None
    junit: Path | None = None
    annotations: str | None = None

    def __post_init__(self) -> None:
        if self.annotations not in (None, "github"):
            raise UsageError(f"--annotations: expected github, not {self.annotations!r}")
        for option, path in (("--summary-md", self.summary_md), ("--junit", self.junit)):
            if path is not None and path.is_dir():
                raise UsageError(f"{option}: {path} is a folder", "name a file")

    @property
    def wanted(self) -> bool:
        """Whether there is anything to do."""
        return (self.summary_md, self.junit, self.annotations) != (None, None, None)

    def tell(
        self,
        index: Index,
        folder: Path,
        console: Console,
        *,
        seconds: Mapping[Place, float] | None = None,
        unchanged: Collection[Place] = (),
        gates: ReportGates | None = None,
    ) -> bool:
        """Write the requested files, and print annotations; whether all could be written.

        What cannot be written is told, and does not keep the rest from being written.

        Args:
            index: of the results.
            folder: of the index.
            console: for annotations, and a warning if the summary is cut.
            seconds: time that each result took, by its folder.
            unchanged: folders of results of an earlier run.
            gates: that have judged the results.
        """
        from staa_cli.files import atomic_path
        from staa_cli.results.index.annotations import github
        from staa_cli.results.index.junit import junit
        from staa_cli.results.index.summary import markdown

        outcomes = gates.outcomes() if gates else []
        failed = [line for gate, line in outcomes if gate.status != "passed"]
        if self.annotations is not None:
            for line in github(index, folder, failed):
                console.write(line)  # not on stdout, which is for results; GitHub reads both
        complete = True
        if self.junit is not None:
            try:
                with atomic_path(self.junit) as part:
                    part.write_bytes(junit(index, seconds, unchanged, outcomes))
            except OutputError as error:
                console.error(error)
                complete = False
        if self.summary_md is not None:
            lines = markdown(index, [line for _, line in outcomes])
            try:
                append_summary(self.summary_md, lines, console)
            except OutputError as error:
                console.error(error)
                complete = False
        return complete


def tell_gates(outcomes: Iterable[tuple[GateResult, str]], console: Console) -> None:
    """Print the outcome of every gate, each in a line: as an error unless it has passed."""
    for gate, line in outcomes:
        if gate.status == "passed":
            console.message(line)
        else:
            console.error(StaaError(line))


def append_summary(path: Path, lines: Sequence[str], console: Console) -> None:
    """Append lines of Markdown to a file, and warn if they are cut.

    Raises:
        OutputError: it cannot be written.
    """
    from staa_cli.results.markdown import append

    if not append(path, lines):
        console.warning(f"{path} was cut below 900 kB")
