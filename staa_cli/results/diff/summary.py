"""A comparison in words: rows of a table, a line for each gate, and a summary in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from staa_cli.formatting import counted, percent, raw
from staa_cli.paths import path_from
from staa_cli.results.diff.document import Diff, Finding, GateResult, Pair, Side
from staa_cli.results.document import Place
from staa_cli.results.markdown import literal, table

HEADERS = ("SHIFT", "RANK", "MOVED", "CENTER", "VIDEO")
COLUMNS_ABOUT = (
    "shift: of the score in time; rank: correlation of the scores of frames",
    "moved: share of the mean map; center: distance as a share of the diagonal",
)
_SHOWN = 3
"""Maximum number of videos, or of reasons, in a line."""
STATUS = {
    None: "no gate",
    "passed": "passed",
    "failed": "failed",
    "unevaluated": "could not be evaluated",
}
"""Outcomes in words."""


def name_of(place: Place) -> str:
    """A path for people."""
    if place.path_bytes is None:
        return place.path  # possibly a URL
    return str(path_from({"path": place.path, "path_bytes": place.path_bytes}))


def row_of(pair: Pair) -> tuple[str, ...]:
    """A pair in the columns of `HEADERS`."""
    rank = pair.temporal.rank_correlation
    return (
        f"{pair.temporal.shift_s:.2f} s",
        "-" if rank is None else f"{rank:z.2f}",
        percent(pair.spatial.energy_moved),
        percent(pair.spatial.center_shift),
        f"{name_of(pair.video)}: {_answers(pair)}",
    )


def _answers(pair: Pair) -> str:
    """`hop 98 % -> shake 45 %`, and changes of warnings."""
    before, after = answers_of(pair)
    changes = [f"+ {code}" for code in pair.warnings_added]
    changes += [f"- {code}" for code in pair.warnings_removed]
    return ", ".join([f"{before} -> {after}", *changes])


def answers_of(pair: Pair) -> tuple[str, str]:
    """The old and the new answer, the new one without a label if that is the same."""
    old, new = pair.old, pair.new
    same = (old.label, old.target.label) == (new.label, new.target.label)
    return answer_of(old), score_of(new) if same else answer_of(new)


def answer_of(side: Side) -> str:
    """`hop 98 %`."""
    answered = "" if side.label == side.target.label else f"{side.label}, explained: "
    return f"{answered}{side.target.label} {score_of(side)}"


def score_of(side: Side) -> str:
    """`98 %`, or a raw value."""
    target = side.target
    return raw(target.score) if target.probability is None else percent(target.probability)


def caveats(diff: Diff) -> Iterator[tuple[str, str]]:
    """Code and text of the caveats about pairs, each text once with the number of its videos."""
    count = Counter((row.code, row.text) for pair in diff.pairs for row in pair.warnings)
    for (code, text), number in count.items():
        yield code, f"{text} ({counted(number, 'video')})"


def gaps(diff: Diff) -> Iterator[str]:
    """A line for every kind of videos without a counterpart."""
    for videos, where in (
        (diff.missing, "only in the old run"),
        (diff.added, "only in the new run"),
    ):
        if videos:
            names = _listed([name_of(unpaired.video) for unpaired in videos])
            yield f"{counted(len(videos), 'video')} {where}: {names}"


def outcome(gate: GateResult, names: Sequence[str]) -> str:
    """The outcome of a gate in a line; `names` are those of all videos, by index."""
    if gate.status == "unevaluated":
        return f"{gate.gate} {STATUS[gate.status]}: {_listed(gate.reasons, '; ')}"
    accepted = f", {gate.allowed} accepted" if gate.allowed else ""
    videos = counted(len(names), "video")
    found = f" for all {videos}" if len(names) > 1 else " for the video"
    if gate.findings:
        count, listed = len(gate.findings), _listed(_values(gate.findings, names))
        found = f" for {count} of {videos}{accepted}: {listed}"
        if gate.status == "passed":
            found = f": {count} of {videos} beyond it{accepted}: {listed}"
    if gate.within_noise:
        found += f"; not beyond noise: {_listed(_values(gate.within_noise, names))}"
    return f"{gate.gate} {STATUS[gate.status]}{found}"


def outcomes(diff: Diff) -> list[str]:
    """The outcome of every gate of a comparison in a line."""
    names = [name_of(pair.video) for pair in diff.pairs]
    return [outcome(gate, names) for gate in diff.gates]


def _values(findings: Sequence[Finding], names: Sequence[str]) -> list[str]:
    """`hop.mp4 0.42` for each finding."""
    return [
        names[finding.pair] + ("" if finding.value is None else f" {finding.value:.6g}")
        for finding in findings
    ]


def _listed(words: Sequence[str], separator: str = ", ") -> str:
    more = len(words) - _SHOWN
    return separator.join([*words[:_SHOWN], *([f"and {more:,} more"] if more > 0 else [])])


def markdown(diff: Diff) -> list[str]:
    """Lines of a summary in Markdown: the outcome first, as the end may be cut."""
    lines = [f"## staa diff: {STATUS[diff.status]}", ""]
    lines += [f"- {literal(line)}" for line in outcomes(diff)]
    lines += [f"- {literal(failure.cause)}" for failure in diff.failures[:_SHOWN]]
    lines += [f"- {literal(line)}" for line in gaps(diff)]
    lines += [f"- {code}: {literal(text)}" for code, text in caveats(diff)]
    if diff.pairs:
        rows = table([header.lower() for header in HEADERS], map(row_of, diff.pairs))
        lines += ["", *rows, "", literal("; ".join(COLUMNS_ABOUT))]
    return lines
