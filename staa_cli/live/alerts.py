"""Alerts: conditions on the windows of a stream that hold for some time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from staa_cli.errors import InputError, UsageError
from staa_cli.results.expressions import Expression
from staa_cli.results.stream_rows import JudgedWindow

_FOR = re.compile(r"(?P<condition>.*?)\s+for\s+(?P<number>[\d.]+)\s*(?P<unit>ms|s|min)", re.DOTALL)
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0}
_OPTION = "--alert"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When there is an alert.

    Args:
        text: as given.
        condition: over the fields of a window.
        for_s: seconds for which it has to hold without a break.
    """

    text: str
    condition: Expression
    for_s: float = 0.0

    @classmethod
    def parse(cls, text: str) -> AlertRule:
        """The rule of a text: an expression, and possibly ``for 2 s``.

        Raises:
            UsageError: not an expression over the fields of a window, or not a time.
        """
        match = _FOR.fullmatch(text.strip())
        if match is None:
            try:
                return cls(text, Expression.parse(text, JudgedWindow, _OPTION))
            except UsageError as error:
                if not re.search(r"\bfor\b", text, re.IGNORECASE):
                    raise
                raise UsageError(error.cause, "a time is written as: p > 0.8 for 2 s") from error
        try:
            seconds = float(match["number"]) * _SECONDS[match["unit"]]
        except ValueError as error:
            raise UsageError(f"{_OPTION}: expected a time, not {match['number']!r}") from error
        return cls(text, Expression.parse(match["condition"], JudgedWindow, _OPTION), seconds)


class Alert:
    """Whether a rule has just been met.

    It is met once, and again only after the condition has failed.

    Args:
        rule: when there is an alert.
        pause_s: seconds of the stream after an alert in which there is no other one.
    """

    def __init__(self, rule: AlertRule, pause_s: float = 0.0) -> None:
        self.rule, self._pause_s = rule, pause_s
        self.count = 0
        self.unevaluated = 0
        """Windows of which the condition could not be evaluated."""
        self.problem: InputError | None = None
        """Why not, for the first of these."""
        self.since_s: float | None = None
        """Since when the condition holds."""
        self._is_told = False
        self._last_s: float | None = None

    def take(self, row: JudgedWindow) -> bool:
        """Judge the next window; returns whether there is an alert.

        A condition that cannot be evaluated does not hold.
        """
        try:
            holds = self.rule.condition.holds(row)
        except InputError as error:
            self.unevaluated += 1
            self.problem = self.problem or error
            holds = False
        if not holds:
            self.since_s, self._is_told = None, False
            return False
        if self.since_s is None:
            self.since_s = row.end_s
        lasts = row.end_s - self.since_s >= self.rule.for_s - 1e-9
        rests = self._last_s is not None and row.end_s - self._last_s < self._pause_s
        if self._is_told or not lasts or rests:
            return False
        self._is_told, self._last_s = True, row.end_s
        self.count += 1
        return True
