"""Gates over the pairs of a comparison, or over single reports: limits on measures, and conditions.

A gate fails closed. It passes only if every video has been compared and everything that it names is
there; otherwise it is unevaluated, whatever the other videos say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Struct

from staa_cli.errors import InputError, UsageError
from staa_cli.results.diff.document import Finding, GateResult, Measures, Scope, Status
from staa_cli.results.expressions import Expression


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says of one pair."""

    value: float | None
    beyond: bool
    within_noise: bool = False
    """Beyond the limit, but not beyond the noise."""


class Gate(Protocol):
    """A gate."""

    @property
    def text(self) -> str:
        """The option that it was given by."""

    @property
    def allowed(self) -> int:
        """Number of pairs that may be beyond it."""

    def judge(self, pair: Any) -> Verdict:
        """Judge a pair, or a report.

        Raises:
            InputError: it does not have what is needed.
        """


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that no pair may exceed, unless the old run differs as much from its noise runs."""

    text: str
    measure: Expression
    limit: float
    is_maximum: bool
    """Whether lower values are accepted, otherwise higher ones."""
    allowed: int = 0

    @classmethod
    def parse(cls, option: str, assignment: str) -> Limit:
        """From an option, --max or --min, and its value, MEASURE=LIMIT.

        Raises:
            UsageError: there is no such measure, or the limit is not a finite number.
        """
        name, equals, text = assignment.rpartition("=")
        if not equals:
            raise UsageError(f"{option}: expected MEASURE=LIMIT, not {assignment!r}")
        measure = Expression.parse(name, Measures, option)
        return cls(f"{option} {assignment}", measure, finite(option, text), option == "--max")

    def judge(self, pair: Scope) -> Verdict:
        """Judge a pair."""
        value = self.measure.number(pair)
        if not self._is_beyond(value, self.limit):
            return Verdict(value, beyond=False)
        noise = [self.measure.number(run) for run in pair.noise]
        beyond = all(self._is_beyond(value, other) for other in noise)
        return Verdict(value, beyond, within_noise=not beyond)

    def _is_beyond(self, value: float, limit: float) -> bool:
        return value > limit if self.is_maximum else value < limit


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that at most `allowed` pairs, or reports, may fulfill."""

    text: str
    expression: Expression
    allowed: int = 0

    @classmethod
    def parse(cls, option: str, text: str, kind: type[Struct] = Scope) -> Condition:
        """From an option and its expression over the fields of a `Scope`, or of another type.

        Raises:
            UsageError: it is not an expression.
        """
        return cls(f"{option} {text}", Expression.parse(text, kind, option))

    def judge(self, pair: Struct) -> Verdict:
        """Judge a pair, or a report."""
        return Verdict(None, self.expression.holds(pair))


def finite(option: str, text: str) -> float:
    """A finite number; a comparison with another one would never fail.

    Raises:
        UsageError: it is not a number, or not finite.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{option}: expected a number, not {text.strip()!r}")
    return value


def shift_limit(option: str, text: str) -> Limit:
    """A limit of the temporal shift in seconds.

    Raises:
        UsageError: it is not a number of at least 0.
    """
    limit = finite(option, text)
    if limit < 0:
        raise UsageError(f"{option}: at least 0, not {text}")
    measure = Expression.parse("temporal.shift_s", Measures, option)
    return Limit(f"{option} {text}", measure, limit, is_maximum=True)


def label_changes(option: str, allowed: int) -> Condition:
    """A limit of the number of changed labels; those that also change in a noise run are accepted.

    Raises:
        UsageError: it is negative.
    """
    if allowed < 0:
        raise UsageError(f"{option}: at least 0, not {allowed}")
    changed = "label_changed and not (true in noise.label_changed)"
    return Condition(f"{option} {allowed}", Expression.parse(changed, Scope, option), allowed)


class Tally:
    """Collects what one gate says of every pair."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._findings: list[Finding] = []
        self._within_noise: list[Finding] = []
        self._reasons: list[str] = []

    def add(self, number: int, name: str, pair: Struct) -> None:
        """Judge the pair, or the report, with that index; `name` is of its video."""
        try:
            verdict = self._gate.judge(pair)
        except InputError as error:
            self._reasons.append(f"{name}: {error.cause}")
            return
        finding = Finding(number, verdict.value)
        if verdict.beyond:
            self._findings.append(finding)
        elif verdict.within_noise:
            self._within_noise.append(finding)

    def result(self, gaps: Sequence[str]) -> GateResult:
        """The outcome; `gaps` are reasons why no gate could be evaluated."""
        reasons = [*gaps, *self._reasons]
        failed = len(self._findings) > self._gate.allowed
        return GateResult(
            gate=self._gate.text,
            status="unevaluated" if reasons else "failed" if failed else "passed",
            allowed=self._gate.allowed,
            findings=self._findings,
            within_noise=self._within_noise,
            reasons=reasons,
        )


def overall(results: Sequence[GateResult]) -> Status | None:
    """The outcome of all gates together; None without gates."""
    found = {result.status for result in results}
    ranked: tuple[Status, ...] = ("unevaluated", "failed", "passed")
    return next((status for status in ranked if status in found), None)
