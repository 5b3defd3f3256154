"""The page of two runs compared: a table of all videos, and a viewer for those that changed most.

It is made from the comparison and the result folders, with neither model nor decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from staa_cli import __version__
from staa_cli.formatting import counted, megabytes, percent
from staa_cli.paths import as_text
from staa_cli.results.diff.document import Diff, Pair, Side
from staa_cli.results.diff.pairs import Result
from staa_cli.results.diff.summary import STATUS, answers_of, caveats, outcomes
from staa_cli.results.index.collect import path_of
from staa_cli.results.pages.diff_rows import PairRows, beyond_gates, not_compared, ranked
from staa_cli.results.pages.media import EMBEDDED_BYTES
from staa_cli.results.pages.page import (
    base64_block,
    data_block,
    escaped,
    keys_dialog,
    page,
    words,
)
from staa_cli.results.pages.pair import Compared, pair_viewer
from staa_cli.results.pages.pair_facts import facts, verdict
from staa_cli.results.pages.stored_video import stored_video
from staa_cli.results.stored import load_consistent

STYLES = ("page.css", "index.css", "viewer.css", "diff.css")
SCRIPTS = ("heat.js", "player.js", "viewer.js", "rows.js", "table.js", "diff.js")
"""Its assets."""
GENERATOR = "staa diff"
_LISTED = 500
"""Maximum number of rows without scripts."""
OnPair = Callable[[str, int, int], None]
"""Called with a video's name, the number of pairs before it, and the number of all."""
_HELP = keys_dialog(
    {
        "enter": "in the list: open the video",
        "↑ ↓": "in the list: previous or next video",
        "/": "in the list: filter by text",
        "esc": "back to the list; there, show all videos again",
        "n p": "next or previous video",
        "space": "play or pause",
        "← →": "previous or next frame; with shift, a second",
        "home end": "first or last frame, or video of the list",
        "h": "heat on or off",
        "[ ]": "less or more opaque",
        "?": "this list",
    }
)


def diff_page(diff: Diff, folder: Path, on_pair: OnPair = lambda name, done, total: None) -> str:
    """HTML of the page.

    Args:
        diff: the comparison, whose reports are read again.
        folder: of the page, which links are relative to.
        on_pair: called before every pair.

    Raises:
        InputError: a report has become unreadable since.
    """
    order = ranked(diff)
    rows, articles = PairRows(diff, folder), list[str]()
    policies, size = set[str](), 0
    for done, number in enumerate(order):
        pair = diff.pairs[number]
        on_pair(as_text(pair.video.path), done, len(order))
        both = [path_of(side) for side in (pair.old, pair.new)]
        shown = size < EMBEDDED_BYTES
        old, new = (Result.load(path) if shown else _without_maps(path) for path in both)
        compared = Compared.of(old, new)
        rows.add(number, compared)
        if shown:
            media = stored_video((new, old), folder)
            viewer = pair_viewer(compared, media, f"pair-{done}")
            article = _article(diff, number, compared, viewer, rows.links_to_last())
            if size + len(article) <= EMBEDDED_BYTES or not articles:
                articles.append(article)
                policies.add(media.policy)
            size += len(article)  # also of one that is too large: later ones changed less
    return _document(diff, rows, articles, " ".join(sorted(policies)) or "data:")


def _without_maps(path: Path) -> Result:
    return Result(path, load_consistent(path), None)


def _article(diff: Diff, number: int, compared: Compared, viewer: str, links: Sequence[str]) -> str:
    pair = diff.pairs[number]
    ways = " · ".join(
        f'<a href="{escaped(address)}">{name} {escaped(address.rpartition("/")[2])}</a>'
        for name, address in zip(("old", "new"), links, strict=True)
    )
    return (
        f"<article>{_title(pair)}{verdict(compared, pair)}{viewer}"
        f'{facts(compared, pair, number, diff.gates)}<p class="soft links">{ways}</p></article>'
    )


def _title(pair: Pair) -> str:
    kind = ' class="answer"' if pair.label_changed else ""
    before, after = answers_of(pair)
    answers = f"{words(before)} → <span{kind}>{words(after)}</span>"
    folder, _, name = pair.video.path.rpartition("/")
    title = f'<h2 class="title">{words(name)} <span class="answers">{answers}</span></h2>'
    return f'{title}<p class="soft">{words(folder)}</p>'


def _document(diff: Diff, rows: PairRows, articles: Sequence[str], media: str) -> str:
    data, single = rows.data(), len(rows.names) == 1 and not [*not_compared(diff)]
    left = len(rows.names) - len(articles)
    note = "Those first that a gate does not accept, or that changed most. A row opens its video."
    if left:
        note += (
            f" The first {len(articles):,} can be played here; for {left:,} more there are links "
            f"to both reports, as this page would be larger than {megabytes(EMBEDDED_BYTES)}."
        )
    overview = (
        f'<main class="overview"><p class="soft order">{note}</p>{_TOOLS}'
        f"{_table(bool(diff.gates))}{_without_scripts(diff, rows)}</main>"
    )
    sheets = "".join(
        base64_block(f"sheet-{number}", sheet)
        for number, sheet in enumerate(rows.thumbnails.sheets)
    )
    templates = "".join(
        f'<template id="article-{number}">{article}</template>'
        for number, article in enumerate(articles)
    )
    if single:  # there is nothing to choose from
        overview, sheets, templates = "", "", ""
    hidden, shown = ("", articles[0]) if single else (" hidden", "")
    body = (
        f'{_header(diff, single)}{overview}<main class="detail"{hidden}>{shown}</main>'
        f'<footer class="soft">staa {escaped(__version__)}</footer>{_HELP}'
        f"{data_block('diff-data', data)}{sheets}{templates}"
    )
    title = f"{_headline(diff)} · staa diff"
    return page(title, body, styles=STYLES, scripts=SCRIPTS, media=media, generator=GENERATOR)


def _headline(diff: Diff) -> str:
    videos = counted(len(diff.pairs), "video")
    if diff.status is None:
        return f"{videos} compared"
    beyond = len(beyond_gates(diff))
    found = f", {beyond:,} beyond a limit" if beyond else ""
    status = STATUS[diff.status]
    return f"{status[0].upper()}{status[1:]}: {videos}{found}"


def _header(diff: Diff, single: bool) -> str:
    lines = "".join(
        f'<p class="soft"><b>{name}</b> {" · ".join([words(place.path), *_makers(diff, name)])}</p>'
        for name, place in (("old", diff.old), ("new", diff.new))
    )
    notes = "" if single else f'<p class="summary">{_summary(diff)}</p>'
    items = [
        f'<li><code>{words(gate.gate)}</code> <span class="state {gate.status}">'
        f"{STATUS[gate.status]}</span> "
        f"{words(line.removeprefix(f'{gate.gate} {STATUS[gate.status]}').lstrip(': '))}</li>"
        for gate, line in zip(diff.gates, outcomes(diff), strict=True)
    ]
    items += [
        f"<li><b>{escaped(code)}:</b> {words(text)}</li>"
        for code, text in caveats(diff)
        if not single
    ]
    listed = f'<ul class="notes">{"".join(items)}</ul>' if items else ""
    kind = ' class="small"' if single else ""
    return f"<header{kind}><h1>{escaped(_headline(diff))}</h1>{lines}{notes}{listed}</header>"


def _makers(diff: Diff, name: str) -> Iterator[str]:
    """Model and method of a run, or how many there are."""
    sides: list[Side] = [getattr(pair, name) for pair in diff.pairs]
    for texts, noun in (
        ({side.model for side in sides}, "models"),
        ({side.method for side in sides}, "methods"),
    ):
        if texts:
            yield words(next(iter(texts))) if len(texts) == 1 else f"{len(texts)} {noun}"


def _summary(diff: Diff) -> str:
    if not diff.pairs:
        return "No video is in both runs."
    shifts = [pair.temporal.shift_s for pair in diff.pairs]
    moved = [pair.spatial.energy_moved for pair in diff.pairs]
    labels = sum(pair.label_changed for pair in diff.pairs)
    parts = [
        f"<b>{counted(labels, 'label') if labels else 'no label'}</b> changed",
        f"importance moved by <b>{median(shifts):.2f} s</b>",
        f"<b>{percent(median(moved))}</b> of the heat is elsewhere",
    ]
    return " · ".join(parts) + (" (medians)" if len(shifts) > 1 else "")


_TOOLS = (
    '<div class="tools" role="search" hidden>'
    '<input type="search" class="text" placeholder="Filter" aria-label="Filter by text" '
    'title="Filter by text (/)" autocomplete="off" spellcheck="false">'
    '<select class="show" aria-label="Changes"></select>'
    '<select class="measure" aria-label="Measure"></select>'
    '<input type="number" class="limit" aria-label="Limit of the measure" step="any" '
    'placeholder="limit" hidden>'
    '<span class="count soft" role="status"></span>'
    '<button class="help" type="button" aria-label="Keys" title="Keys (?)">?</button></div>'
)
_COLUMNS = (
    ("video", "video"),
    ("label", "label"),
    ("shift", "moved in time"),
    ("moved", "moved in place"),
    ("rank", "rank"),
    ("warned", "warnings"),
)
_GATES = ("gates", "gates")


def _table(gated: bool) -> str:
    columns = (*_COLUMNS, _GATES) if gated else _COLUMNS
    heads = [
        f'<th scope="col" class="{name}"><button type="button" data-sort="{name}">{text}</button>'
        "</th>"
        for name, text in columns
    ]
    legend = (
        '<th scope="col" class="importance"><span class="keyed"><b>importance:</b>'
        '<i class="old"></i>old <i class="new"></i>new</span></th>'
    )
    heads.insert(2, legend)
    return (
        f'<table class="list pairs{" gated" if gated else ""}" hidden>'
        "<caption>Videos with what has changed</caption><thead><tr>"
        f'<th scope="col" class="picture"><span>old and new picture</span></th>{"".join(heads)}'
        '</tr></thead><tbody></tbody></table><p class="none soft" hidden>No video matches.</p>'
    )


def _without_scripts(diff: Diff, rows: PairRows) -> str:
    """A plain table of the first rows."""
    lines = [
        f'<tr><td>{words(name)}</td><td colspan="3">{words(cause)}</td></tr>'
        for name, cause, _, _ in not_compared(diff)
    ]
    for name, answers, old, new, measured in rows.names:
        lines.append(
            f"<tr><td>{words(name)}</td><td>{words(answers)}</td><td>{words(measured)}</td><td>"
            f'<a href="{escaped(old)}">old</a> <a href="{escaped(new)}">new</a></td></tr>'
        )
    more = len(lines) - _LISTED
    note = f'<p class="soft">{counted(more, "more row")}: see staa diff</p>' if more > 0 else ""
    return f"<noscript><table>{''.join(lines[:_LISTED])}</table>{note}</noscript>"
