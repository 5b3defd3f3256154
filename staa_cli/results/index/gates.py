"""Gates over the reports of a call: each a condition that no report may fulfill."""

from __future__ import annotations

from collections.abc import Sequence

from staa_cli.results.diff.document import GateResult
from staa_cli.results.diff.gate import Condition, Tally
from staa_cli.results.diff.summary import outcome
from staa_cli.results.document import Report


class ReportGates:
    """Judges reports one by one, and keeps none.

    As in a comparison, a gate fails closed: without the report of every video, it is unevaluated.

    Args:
        option: that the conditions were given by.
        conditions: expressions over the fields of a `Report`.

    Raises:
        UsageError: one is not such an expression.
    """

    def __init__(self, option: str, conditions: Sequence[str]) -> None:
        self._tallies = [Tally(Condition.parse(option, text, Report)) for text in conditions]
        self._names: list[str] = []
        self._gaps: list[str] = []

    def take(self, name: str, report: Report | None) -> None:
        """Judge the report of a video; None if it has none."""
        if report is None:
            self._gaps.append(f"{name} has no report")
            return
        for tally in self._tallies:
            tally.add(len(self._names), name, report)
        self._names.append(name)

    def outcomes(self) -> list[tuple[GateResult, str]]:
        """The outcome of every gate, also in a line."""
        gaps = self._gaps or ([] if self._names else ["no video has a report"])
        results = [tally.result(gaps) for tally in self._tallies]
        return [(result, outcome(result, self._names)) for result in results]
