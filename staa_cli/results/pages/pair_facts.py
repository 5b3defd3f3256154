"""What a page says about two results of one video: answers, measures, gates, and caveats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from staa_cli.formatting import clock, percent
from staa_cli.results.diff.document import GateResult, Measures, Pair
from staa_cli.results.diff.pairs import Result
from staa_cli.results.diff.summary import STATUS, answer_of
from staa_cli.results.pages.page import escaped, words
from staa_cli.results.pages.pair import Compared

_LITTLE_SHARE, _LITTLE_ENERGY = 0.02, 0.1
"""Shift, as a share of the time, and moved energy below which the page says that nothing moved."""


def verdict(compared: Compared, pair: Pair) -> str:
    """What has moved, in sentences: in time, and in the picture."""
    items = "".join(f"<li>{text}</li>" for text in (_when(compared, pair), _where(compared, pair)))
    return f'<ul class="verdict">{items}</ul>'


def _when(compared: Compared, pair: Pair) -> str:
    temporal = pair.temporal
    shift = f"<b>{temporal.shift_s:.2f} s</b>"
    if compared.spans is None or temporal.shift_share < _LITTLE_SHARE:
        return f"<b>When:</b> at the same times, {shift} apart on average."
    moved = f"<b>{escaped(compared.when())}</b>"
    return f"<b>When:</b> importance moved by {shift} on average, mostly {moved}."


def _where(compared: Compared, pair: Pair) -> str:
    moved = pair.spatial.energy_moved
    energy = f"<b>{percent(moved)}</b>"
    if compared.places is None or moved < _LITTLE_ENERGY:
        return f"<b>Where:</b> at the same places, except for {energy} of the heat."
    where = f"<b>{escaped(compared.where())}</b>"
    return f"<b>Where:</b> {energy} of the heat is elsewhere in the picture, mostly {where}."


def facts(compared: Compared, pair: Pair, number: int, gates: Sequence[GateResult]) -> str:
    """All facts below a viewer.

    Args:
        compared: the two results.
        pair: their measures.
        number: index of the pair, which gates refer to.
        gates: of the comparison.
    """
    return (
        f'<div class="facts"><section><h2>Old and new</h2>{_sides(compared)}</section>'
        f"<section><h2>Measures</h2>{_measures(pair)}</section>"
        f"{_gates(number, gates)}{_caveats(pair)}</div>"
    )


def _sides(compared: Compared) -> str:
    """Facts of both sides; those that differ are marked."""
    old, new = compared.old, compared.new
    end_s = compared.curves.end_s

    def peak(result: Result) -> str:
        time_s = result.report.temporal.peak_s
        return "none" if time_s is None else clock(time_s, end_s, 2)

    def warned(result: Result) -> str:
        return ", ".join(row.code for row in result.report.warnings) or "none"

    def weights(result: Result) -> str:
        return result.report.model.weights_sha256[:12]

    named: list[tuple[str, Callable[[Result], str]]] = [
        ("answer", lambda result: answer_of(result.side())),
        ("model", lambda result: result.report.model.name),
        ("weights", weights),
        ("method", lambda result: result.report.method.name),
        ("highest at", peak),
        ("warnings", warned),
    ]
    rows = []
    for name, of in named:
        one, other = of(old), of(new)
        kind = "" if one == other else ' class="differs"'
        rows.append(
            f'<tr{kind}><th scope="row">{name}</th><td>{words(one)}</td>'
            f"<td>{words(other)}</td></tr>"
        )
    return (
        '<table><thead><tr><th></th><th scope="col">old</th><th scope="col">new</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A measure: its name, its value in words, and what it is."""

    name: str
    value: Callable[[Measures], float | None]
    words: Callable[[float], str]
    about: str


def _of_time(measures: Measures) -> float | None:
    return measures.spatial.energy_moved_by_time


_ROWS = (
    _Row("shift", lambda m: m.temporal.shift_s, "{:.2f} s".format, "of importance in time, mean"),
    _Row("", lambda m: m.temporal.shift_share, percent, "the same, of the explained time"),
    _Row("rank correlation", lambda m: m.temporal.rank_correlation, "{:z.2f}".format,
         "of the scores of frames; 1 is the same order"),
    _Row("energy moved", lambda m: m.spatial.energy_moved, percent, "of the mean map"),
    _Row("", _of_time, percent, "of the maps at equal times"),
    _Row("center moved", lambda m: m.spatial.center_shift, percent, "of the picture's diagonal"),
    _Row("confidence", lambda m: m.confidence_change, "{:+z.3g}".format,
         "score of the explained class, new minus old"),
)  # fmt: skip


def _measures(pair: Pair) -> str:
    noisy = bool(pair.noise)
    rows = []
    for row in _ROWS:
        cells = [_value(row, pair)]
        if noisy:
            cells.append(", ".join(_value(row, noise) for noise in pair.noise))
        values = "".join(f'<td class="value">{cell}</td>' for cell in cells)
        rows.append(
            f'<tr><th scope="row">{row.name}</th>{values}<td class="soft">{row.about}</td></tr>'
        )
    head = ""
    if noisy:
        head = '<thead><tr><th></th><th scope="col">new</th><th scope="col">noise</th></tr></thead>'
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _value(row: _Row, measures: Measures) -> str:
    value = row.value(measures)
    return "-" if value is None else row.words(value)


def _gates(number: int, gates: Sequence[GateResult]) -> str:
    """What every gate says of this video."""
    if not gates:
        return ""
    rows = "".join(f"<li>{_gate(number, gate)}</li>" for gate in gates)
    return f'<section class="gates"><h2>Gates</h2><ul>{rows}</ul></section>'


def _gate(number: int, gate: GateResult) -> str:
    kind, says, value = "passed", "within", None
    for finding in gate.within_noise:
        if finding.pair == number:
            says, value = "within noise", finding.value
    for finding in gate.findings:
        if finding.pair == number:
            accepted = gate.status == "passed"
            kind = "passed" if accepted else "failed"
            says, value = "beyond, but accepted" if accepted else "beyond", finding.value
    measured = "" if value is None else f": {value:.6g}"
    if gate.status == "unevaluated":
        kind = "unevaluated" if kind == "passed" else kind
        measured += f"; the gate {STATUS[gate.status]}"
    return f'<span class="state {kind}">{says}</span> <code>{words(gate.gate)}</code>{measured}'


def _caveats(pair: Pair) -> str:
    """What makes the comparison less meaningful."""
    if not pair.warnings:
        return ""
    return f'<section class="warnings"><h2>Caveats</h2><ul>{"".join(_rows(pair))}</ul></section>'


def _rows(pair: Pair) -> Iterator[str]:
    for row in pair.warnings:
        yield f"<li><b>{escaped(row.code)}</b> {words(row.text)}</li>"
