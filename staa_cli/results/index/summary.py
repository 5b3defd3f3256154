"""The results of a folder as lines of Markdown, for the summary of a CI step."""

from __future__ import annotations

from collections.abc import Sequence

from staa_cli.formatting import LOSES, answer, clock, counted, with_interval
from staa_cli.results.index.document import Entry, Index
from staa_cli.results.markdown import literal, table


def headline(index: Index) -> str:
    """`120 videos, 3 failed, 12 with warnings`; what there is none of is left out."""
    failed = len(index.failed_inputs) + len(index.broken_reports)
    warned = sum(bool(entry.warnings) for entry in index.results)
    parts = [counted(len(index.results) + failed, "video")]
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"{warned:,} with warnings"] if warned else []
    return ", ".join(parts)


def markdown(index: Index, gates: Sequence[str] = ()) -> list[str]:
    """Lines of a summary: gates and failures first, as the end may be cut.

    Args:
        index: of the results.
        gates: the outcome of every gate in a line.
    """
    lines = [f"## staa: {headline(index)}", ""]
    lines += [f"- {literal(line)}" for line in gates]
    lines += [
        f"- **failed** {literal(f'{failed.input.path}: {failed.cause}')}"
        for failed in index.failed_inputs
    ]
    lines += [f"- **failed** {literal(broken.cause)}" for broken in index.broken_reports]
    if not index.results:
        return lines
    measured = any(entry.faithfulness for entry in index.results)
    headers = ["video", "answer", "highest at", *(["SRG"] if measured else []), "warnings"]
    return [
        *lines,
        *([""] if lines[-1] else []),
        *table(headers, [_row(entry, measured) for entry in index.results]),
    ]


def _row(entry: Entry, measured: bool) -> list[str]:
    return [
        entry.video.path,
        answer_of(entry),
        peak_of(entry),
        *([faithfulness_of(entry)] if measured else []),
        ", ".join(dict.fromkeys(warning.code for warning in entry.warnings)),
    ]


def answer_of(entry: Entry) -> str:
    """`hop 98 %`; `sailing, explained: hop 3 %` if another class was asked for."""
    target = entry.target
    asked = f"{target.label} {answer(target.score, entry.output)}"
    return asked if entry.label == target.label else f"{entry.label}, explained: {asked}"


def peak_of(entry: Entry) -> str:
    """The time of the highest score; empty where no moment stands out."""
    if entry.flat or entry.peak_s is None:
        return "-"
    return clock(entry.peak_s, entry.duration_s)


def faithfulness_of(entry: Entry) -> str:
    """The gain with its interval; `LOSES` if a baseline is at least as faithful."""
    measured = entry.faithfulness
    if measured is None:
        return "-"
    gain = with_interval(measured.srg, measured.srg_low, measured.srg_high, entry.output)
    return f"{gain} {LOSES}" if measured.beaten_by else gain
