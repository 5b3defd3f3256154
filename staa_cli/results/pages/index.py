"""The page of a folder of results: index.html, a table that draws only the rows that are seen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from staa_cli import __version__
from staa_cli.files import ANNOTATED, PAGE, REPORT
from staa_cli.formatting import counted
from staa_cli.paths import as_text
from staa_cli.results.index.collect import OnResult, folder_of, path_of
from staa_cli.results.index.document import Entry, Index
from staa_cli.results.index.summary import answer_of, headline, peak_of
from staa_cli.results.pages.page import (
    base64_block,
    data_block,
    escaped,
    keys_dialog,
    page,
    words,
)
from staa_cli.results.pages.thumbnails import ACROSS, DOWN, Thumbnails

STYLES, SCRIPTS = ("page.css", "index.css"), ("rows.js", "table.js", "index.js")
"""Its assets."""
LINKED = (PAGE, ANNOTATED, REPORT)
"""What a row links to: the first that there is."""
_LISTED = 500
"""Maximum number of rows without scripts."""
_LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
"""A character for each level of a curve; a blank where no clip reaches."""
_HELP = keys_dialog(
    {
        "/": "filter by text",
        "↑ ↓": "previous or next video",
        "page-up page-down": "ten videos up or down",
        "home end": "first or last video",
        "enter": "open the video",
        "esc": "show all videos again",
        "?": "this list",
    }
)


def index_page(
    index: Index, folder: Path, on_result: OnResult = lambda name, done, total: None
) -> str:
    """HTML of the page.

    Args:
        index: of the results.
        folder: with the results, of which the pictures are read, and the page.
        on_result: called before every result.
    """
    thumbnails, slots = Thumbnails(len(index.results)), []
    for done, entry in enumerate(index.results):
        on_result(entry.folder.path, done, len(index.results))
        slots.append(thumbnails.add(folder_of(entry, folder), entry))
    thumbnails.finish()
    data = _data(index.results) | {
        "slot": slots,
        "sizes": thumbnails.sizes,
        "cell": thumbnails.cell,
        "sheet": [ACROSS, DOWN],
        "failed": [*_failed(index)],
    }
    sheets = "".join(
        base64_block(f"sheet-{number}", sheet) for number, sheet in enumerate(thumbnails.sheets)
    )
    heading = headline(index)
    body = (
        f"<header><h1>{escaped(heading.split(', ')[0])}</h1>"
        f'<p class="soft">{" · ".join(_facts(index, heading))}</p></header>'
        f"<main>{_TOOLS}{_TABLE}{_without_scripts(index)}</main>"
        f'<footer class="soft">staa {escaped(__version__)}</footer>'
        f"{_HELP}{data_block('index-data', data)}{sheets}"
    )
    return page(f"{heading} · staa", body, styles=STYLES, scripts=SCRIPTS)


_TOOLS = (
    '<div class="tools" role="search" hidden>'
    '<input type="search" class="text" placeholder="Filter" aria-label="Filter by text" '
    'title="Filter by text (/)" autocomplete="off" spellcheck="false">'
    '<select class="label" aria-label="Label"></select>'
    '<select class="warning" aria-label="Warnings"></select>'
    '<span class="count soft" role="status"></span>'
    '<button class="help" type="button" aria-label="Keys" title="Keys (?)">?</button></div>'
)
_COLUMNS = (
    ("video", "video"),
    ("label", "label"),
    ("score", "score"),
    ("time", "importance over time"),
    ("srg", "SRG"),
    ("warned", "warnings"),
)
_TABLE = (
    '<table class="list" hidden><caption>Videos with their results</caption><thead><tr>'
    '<th scope="col" class="picture"><span>picture</span></th>'
    + "".join(
        f'<th scope="col" class="{name}"><button type="button" data-sort="{name}">{text}</button>'
        "</th>"
        for name, text in _COLUMNS
    )
    + '</tr></thead><tbody></tbody></table><p class="none soft" hidden>No video matches.</p>'
)


def _facts(index: Index, heading: str) -> Iterable[str]:
    """What all results have in common, and how many failed or have warnings."""
    for names in (
        {entry.model for entry in index.results},
        {entry.method for entry in index.results},
    ):
        if len(names) == 1:
            yield words(names.pop())
    yield from map(escaped, heading.split(", ")[1:])


def _data(results: Sequence[Entry]) -> dict[str, Any]:
    """Columns of the table; texts that repeat are numbers of a list."""
    labels = sorted({entry.label for entry in results} | {entry.target.label for entry in results})
    codes = sorted({warning.code for entry in results for warning in entry.warnings})
    label, code = _numbers(labels), _numbers(codes)
    faithfulness = [entry.faithfulness for entry in results]
    return {
        "labels": labels,
        "codes": codes,
        "files": LINKED,
        "folder": [entry.folder.path for entry in results],
        "links": {
            number: quote(os.fsencode(path_of(entry.folder)))
            for number, entry in enumerate(results)
            if entry.folder.path_bytes is not None
        },
        "video": [entry.video.path for entry in results],
        "file": [linked_file(entry) for entry in results],
        "label": [label[entry.label] for entry in results],
        "target": [label[entry.target.label] for entry in results],
        "score": [float(f"{entry.target.score:.3g}") for entry in results],
        "raw": [int(entry.output == "identity") for entry in results],
        "start": [round(entry.start_s, 2) for entry in results],
        "end": [round(entry.end_s, 2) for entry in results],
        "peak": [None if entry.flat else _rounded(entry.peak_s) for entry in results],
        "flat": [int(entry.flat) for entry in results],
        "curve": ["".join(map(level, entry.curve)) for entry in results],
        "warned": [sorted({code[warning.code] for warning in entry.warnings}) for entry in results],
        "srg": [None if one is None else _rounded(one.srg) for one in faithfulness],
        "beaten": [int(bool(one and one.beaten_by)) for one in faithfulness],
    }


def _numbers(texts: Sequence[str]) -> dict[str, int]:
    return {text: number for number, text in enumerate(texts)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def level(share: float | None) -> str:
    """A share, 0 to 1, of a curve as a character; None is a gap."""
    return " " if share is None else _LEVELS[round(share * (len(_LEVELS) - 1))]


def linked_file(entry: Entry) -> int:
    """What a row links to, as a place in `LINKED`."""
    return next((n for n, name in enumerate(LINKED) if name in entry.files), len(LINKED) - 1)


def _failed(index: Index) -> Iterable[tuple[str, str, str]]:
    """Name, cause, and hint of what has no result."""
    for failed in index.failed_inputs:
        yield failed.input.path, failed.cause, failed.hint or ""
    for broken in index.broken_reports:
        yield broken.report.path.rpartition("/")[0] or ".", broken.cause, broken.hint or ""


def _without_scripts(index: Index) -> str:
    """A plain table of the first results."""
    rows = [
        f'<tr><td>{words(name)}</td><td colspan="2">{words(cause)}</td></tr>'
        for name, cause, _ in _failed(index)
    ]
    for entry in index.results:
        link = f"./{quote(os.fsencode(path_of(entry.folder)))}/{LINKED[linked_file(entry)]}"
        codes = ", ".join(dict.fromkeys(warning.code for warning in entry.warnings))
        rows.append(
            f'<tr><td><a href="{escaped(link)}">{words(as_text(entry.video.path))}</a></td>'
            f"<td>{words(answer_of(entry))}</td><td>{peak_of(entry)} {escaped(codes)}</td></tr>"
        )
    more = len(rows) - _LISTED
    note = f'<p class="soft">{counted(more, "more row")} in index.json</p>' if more > 0 else ""
    return f"<noscript><table>{''.join(rows[:_LISTED])}</table>{note}</noscript>"
