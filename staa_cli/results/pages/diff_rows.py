"""The rows of a page of two runs: what a table says about every video, and those without a pair."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from staa_cli.files import REPORT
from staa_cli.formatting import percent
from staa_cli.results.diff.document import Diff, Pair
from staa_cli.results.diff.pairs import Result
from staa_cli.results.diff.summary import answers_of, score_of
from staa_cli.results.document import Place
from staa_cli.results.index.collect import entry_of, highest_by_part, path_of
from staa_cli.results.index.document import Entry
from staa_cli.results.pages.index import LINKED, level, linked_file
from staa_cli.results.pages.media import link
from staa_cli.results.pages.pair import Compared
from staa_cli.results.pages.thumbnails import ACROSS, DOWN, Thumbnails

_SIDES = ("old", "new")
_COLUMNS = (
    *("video", "label", "target", "score", "curve", "shift", "when", "moved", "where", "rank"),
    *("added", "removed", "beyond", "noise", "folder", "file", "slot"),
)
_REPEATED = ("labels", "codes", "spots", "files")
"""Lists of texts that cells are numbers of."""


def ranked(diff: Diff) -> list[int]:
    """Indices of pairs, those first that gates do not accept or that changed most."""
    beyond = beyond_gates(diff)

    def rank(number: int) -> tuple[int, bool, float]:
        pair = diff.pairs[number]
        return len(beyond.get(number, ())), pair.label_changed, pair.temporal.shift_s

    return sorted(range(len(diff.pairs)), key=rank, reverse=True)


def beyond_gates(diff: Diff) -> Mapping[int, list[int]]:
    """Numbers of the gates that a pair is beyond, by its index."""
    found: dict[int, list[int]] = {}
    for number, gate in enumerate(diff.gates):
        for finding in gate.findings:
            found.setdefault(finding.pair, []).append(number)
    return found


@dataclass(frozen=True, slots=True)
class _Run:
    """A run, as seen from the page."""

    path: Path
    """Its folder."""
    address: str
    """Link to it."""

    @classmethod
    def of(cls, place: Place, folder: Path) -> _Run:
        path = path_of(place)
        path = path if path.is_dir() else path.parent
        return cls(path, link(path, folder))


@dataclass(frozen=True, slots=True)
class _Linked:
    """A result of a run, and what of it a row links to."""

    entry: Entry
    folder: str
    """Address of its folder, relative to that of the run."""
    file: str
    """Address of the file, relative to the folder."""
    is_folder: bool
    """Whether the folder is that of the result, rather than of a report under another name."""

    @classmethod
    def of(cls, result: Result, run: _Run) -> _Linked:
        entry, name = entry_of(result.report, result.path.parent, run.path), result.path.name
        is_folder = name == REPORT
        file = LINKED[linked_file(entry)] if is_folder else quote(os.fsencode(name))
        return cls(entry, quote(os.fsencode(path_of(entry.folder))), file, is_folder)


class PairRows:
    """The columns of the table, in the order of the rows; repeated texts are numbers of a list."""

    def __init__(self, diff: Diff, folder: Path) -> None:
        self.thumbnails = Thumbnails(2 * len(diff.pairs))
        self.names: list[tuple[str, str, str, str, str]] = []
        """Name, answers, links, and a line of measures, for a page without scripts."""
        self._diff, self._beyond = diff, beyond_gates(diff)
        self._runs = [_Run.of(place, folder) for place in (diff.old, diff.new)]
        self._within = {finding.pair for gate in diff.gates for finding in gate.within_noise}
        self._texts: dict[str, dict[str, int]] = {name: {} for name in _REPEATED}
        self._columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}

    def add(self, number: int, compared: Compared) -> None:
        """Add the pair with that index in the comparison."""
        pair = self._diff.pairs[number]
        sides, rank = (pair.old, pair.new), pair.temporal.rank_correlation
        linked = [
            _Linked.of(result, run)
            for result, run in zip((compared.old, compared.new), self._runs, strict=True)
        ]
        cells: dict[str, Any] = {
            "video": pair.video.path,
            "shift": round(pair.temporal.shift_s, 3),
            "rank": None if rank is None else round(rank, 2),
            "moved": round(pair.spatial.energy_moved, 3),
            "when": compared.when(),
            "where": self._text("spots", compared.where()),
            "curve": _levels(compared),
            "added": [self._text("codes", code) for code in pair.warnings_added],
            "removed": [self._text("codes", code) for code in pair.warnings_removed],
            "beyond": self._beyond.get(number, []),
            "noise": int(number in self._within),
            "label": [self._text("labels", side.label) for side in sides],
            "target": [self._text("labels", side.target.label) for side in sides],
            "score": [score_of(side) for side in sides],
            "folder": [one.folder for one in linked],
            "file": [self._text("files", one.file) for one in linked],
            "slot": [self._slot(one, run) for one, run in zip(linked, self._runs, strict=True)],
        }
        for name in _COLUMNS:
            self._columns[name].append(cells[name])
        old, new = (
            f"{run.address}/{one.folder}/{one.file}"
            for one, run in zip(linked, self._runs, strict=True)
        )
        self.names.append(
            (pair.video.path, " → ".join(answers_of(pair)), old, new, _measured(pair, compared))
        )

    def _slot(self, one: _Linked, run: _Run) -> int:
        """Number of the picture of a result, or -1."""
        folder = run.path / path_of(one.entry.folder)
        return self.thumbnails.add(folder, one.entry) if one.is_folder else -1

    def links_to_last(self) -> tuple[str, str]:
        """Links to both results of the pair that was added last."""
        _, _, old, new, _ = self.names[-1]
        return old, new

    def data(self) -> dict[str, Any]:
        """All columns."""
        self.thumbnails.finish()
        return (
            self._columns
            | {name: list(texts) for name, texts in self._texts.items()}
            | {
                "count": len(self.names),
                "roots": [run.address for run in self._runs],
                "gates": [gate.gate for gate in self._diff.gates],
                "failed": [*not_compared(self._diff)],
                "sizes": self.thumbnails.sizes,
                "cell": self.thumbnails.cell,
                "sheet": [ACROSS, DOWN],
            }
        )

    def _text(self, name: str, text: str) -> int:
        return self._texts[name].setdefault(text, len(self._texts[name]))


def _levels(compared: Compared) -> list[str]:
    """The two curves on one scale, for a small picture."""
    curves = compared.curves
    parts = [
        highest_by_part(curves.times_s, values, curves.end_s) for values in (curves.old, curves.new)
    ]
    top = max(float(np.nanmax(values)) for values in parts)
    return [
        "".join(level(None if np.isnan(value) else value / top) for value in values)
        for values in parts
    ]


def not_compared(diff: Diff) -> Iterator[tuple[str, str, str, str]]:
    """Name, cause, hint, and kind of what could not be compared."""
    for videos, kind in ((diff.missing, "lost"), (diff.added, "added")):
        where = f"only in the {_SIDES[kind == 'added']} run"
        for one in videos:
            yield one.video.path, where, one.path, kind
    for failure in diff.failures:
        yield "", failure.cause, failure.hint or "", "unreadable"


def _measured(pair: Pair, compared: Compared) -> str:
    """The measures of a pair in a line."""
    parts = [f"shift {pair.temporal.shift_s:.2f} s", compared.when()]
    parts += [f"{percent(pair.spatial.energy_moved)} of the heat moved", compared.where()]
    return ", ".join(filter(None, parts))
