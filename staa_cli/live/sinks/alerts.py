"""Alerts: a line for each, the seconds that led to it as a result, and a command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from staa_cli.errors import StaaError
from staa_cli.failures import understood
from staa_cli.live.alerts import Alert
from staa_cli.live.handover import Handover
from staa_cli.live.keep import Moments
from staa_cli.live.overlay import LatestMaps
from staa_cli.live.rows import judged, window_row
from staa_cli.live.run import Drawn, Live
from staa_cli.results.stream_rows import AlertRow, KeptRow, Row
from staa_cli.schema import SCHEMA_VERSION

_WAITING = 4
"""Alerts that may wait while one is kept."""
_KEEPING_S, _STOPPED_S = 60.0, 5.0
"""Longest wait at the end for what is being kept, and after the stream was stopped."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program that is run for each kept alert, with the folder of the result as last argument.

    Args:
        arguments: the program and its first arguments; no shell reads them.
        limit_s: seconds after which it is ended.
    """

    arguments: tuple[str, ...]
    limit_s: float

    def run(self, result: Path) -> int | None:
        """Run it; returns its exit code, None if it was ended.

        Its output goes to standard error, as standard output may be a stream.

        Raises:
            OSError: it cannot be started.
        """
        process = subprocess.Popen(
            [*self.arguments, str(result)],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=sys.stderr,
            start_new_session=True,
        )
        try:
            return process.wait(self.limit_s)
        except subprocess.TimeoutExpired:
            _end(process)
            return None


@dataclass(frozen=True, slots=True, eq=False)
class _Met:
    alert: Alert
    window: int
    moments: Moments


class AlertSink:
    """Judges every window; keeps and tells what is met in a thread of its own.

    Args:
        alerts: to watch for.
        keep: writes the last seconds, and returns the folder.
        seconds: how many are kept.
        tell: receives rows of alerts.
        warn: receives a line about what went wrong.
        command: run for each.
    """

    def __init__(
        self,
        alerts: Sequence[Alert],
        keep: Callable[[Moments], Path],
        seconds: float,
        tell: Callable[[Row], None],
        warn: Callable[[str], None],
        command: Command | None = None,
    ) -> None:
        self._alerts, self._keep, self._seconds = alerts, keep, seconds
        self._tell, self._warn, self._command = tell, warn, command
        self._kept = 0
        self.failed = False
        """Whether something could not be kept."""

    def start(self, live: Live) -> None:
        """Start the thread."""
        self._live = live
        self._met = Handover[_Met](_WAITING, live.crew.stopped)
        self._thread = live.crew.start("keep alerts", self._work)

    def show(self, drawn: Drawn, *, wait: bool) -> None:
        """Only windows are judged."""

    def explained(self, latest: LatestMaps) -> None:
        """Judge a window."""
        row = judged(window_row(latest, 0))
        for alert in self._alerts:
            known = alert.unevaluated
            if alert.take(row):
                self._tell(
                    AlertRow(
                        SCHEMA_VERSION,
                        alert=alert.rule.text,
                        since_s=alert.since_s or 0.0,
                        time_s=row.end_s,
                        window=row.number,
                        label=row.label,
                        probability=row.probability,
                        value=row.value,
                    )
                )
                self._met.put(_Met(alert, row.number, self._live.moments(self._seconds)))
            if alert.problem is not None and not known:
                self._warn(f"--alert {alert.rule.text!r}: {alert.problem.cause}")

    def finish(self) -> None:
        """No window follows; alerts that wait are still kept, unless the stream was stopped."""
        self._met.close()
        limit_s = _KEEPING_S + (self._command.limit_s if self._command else 0.0)
        self._thread.join(_STOPPED_S if self._live.crew.stopped.is_set() else limit_s)

    def summary(self) -> dict[str, Any]:
        """How often each condition was met."""
        return {
            "output": "alerts",
            "alerts": [
                {
                    "alert": alert.rule.text,
                    "count": alert.count,
                    "windows_unevaluated": alert.unevaluated,
                }
                for alert in self._alerts
            ],
            "kept": self._kept,
            "dropped": self._met.dropped,
        }

    def _work(self) -> None:
        while (met := self._met.get()) is not None:
            self._tell(self._row(met))

    def _row(self, met: _Met) -> KeptRow:
        row = KeptRow(SCHEMA_VERSION, met.alert.rule.text, met.window)
        try:
            result = self._keep(met.moments)
        except Exception as error:
            self.failed = True
            return replace(row, error=self._told(understood(error), row.alert))
        self._kept += 1
        row = replace(row, result=str(result))
        if self._command is None:
            return row
        try:
            code = self._command.run(result)
        except OSError as error:
            cause = f"--exec cannot be run: {(error.strerror or str(error)).lower()}"
            return replace(row, error=self._told(StaaError(cause), row.alert))
        if code is None:
            cause = f"--exec was ended after {self._command.limit_s:g} s"
            return replace(row, error=self._told(StaaError(cause), row.alert))
        if code:
            self._warn(f"alert {row.alert!r}: --exec ended with {code}")
        return replace(row, exit_code=code)

    def _told(self, error: StaaError, text: str) -> str:
        self._warn(f"alert {text!r}: {error.cause}")
        return error.cause


def _end(process: subprocess.Popen[Any]) -> None:
    """End a program, and what it has started where that is possible."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
