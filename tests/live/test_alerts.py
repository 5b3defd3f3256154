"""Alerts: when a condition on windows is met, and what follows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from live_streams import run_stream

from staa_cli.errors import OutputError, UsageError
from staa_cli.live.alerts import Alert, AlertRule
from staa_cli.live.keep import Moments
from staa_cli.live.rows import judged, window_row
from staa_cli.live.sinks.alerts import AlertSink, Command
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.results.stream_rows import AlertRow, JudgedWindow, KeptRow


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("tiny-events")


@pytest.fixture(scope="module")
def window(model: LoadedModel) -> JudgedWindow:
    """A window of a real stream."""
    video = Path(__file__).parents[2] / "sample_videos" / "hop.mp4"
    return judged(window_row(run_stream(video, model).latest[0], 0))


def rows(window: JudgedWindow, scores: list[float | None], step_s: float = 0.5) -> list[Any]:
    """Windows half a second apart, with these probabilities."""
    return [
        msgspec.structs.replace(window, number=number, end_s=number * step_s, p=score)
        for number, score in enumerate(scores)
    ]


def met(text: str, windows: list[JudgedWindow], pause_s: float = 0.0) -> list[int]:
    """Numbers of the windows that gave an alert."""
    alert = Alert(AlertRule.parse(text), pause_s)
    return [window.number for window in windows if alert.take(window)]


def test_a_condition_is_met_once_until_it_has_failed(window: JudgedWindow) -> None:
    windows = rows(window, [0.1, 0.9, 0.9, 0.9, 0.2, 0.9])
    assert met("p > 0.8", windows) == [1, 5]


@pytest.mark.parametrize("time", ["1 s", "1s", "1000 ms", "0.0166667 min", "1.0  s"])
def test_a_condition_has_to_hold_for_its_time(window: JudgedWindow, time: str) -> None:
    windows = rows(window, [0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9])
    # It holds from 1.5 s on; at 0 s, for half a second only.
    number = 5 if "min" not in time else 6
    assert met(f"p > 0.8 for {time}", windows) == [number]


def test_after_an_alert_there_is_a_pause(window: JudgedWindow) -> None:
    windows = rows(window, [0.9, 0.1] * 6)
    assert met("p > 0.8", windows) == [0, 2, 4, 6, 8, 10]
    assert met("p > 0.8", windows, pause_s=2.5) == [0, 6]


def test_what_cannot_be_evaluated_does_not_hold_and_is_told(window: JudgedWindow) -> None:
    alert = Alert(AlertRule.parse("p > 0.8"))
    given = [alert.take(row) for row in rows(window, [0.9, None, 0.9])]
    assert given == [True, False, True]
    assert alert.unevaluated == 1
    assert alert.problem is not None
    assert alert.problem.cause == "p is null"


@pytest.mark.parametrize(
    "text",
    [
        *('label == "hop" and p > 0.5', "len(moments) > 0", "spatial.flat or temporal.flat"),
        *('"low-confidence" in warnings', "delay.capture_to_maps_s > 1", "windows_dropped == 0"),
        *("top_k[1].probability < 0.4", "spatial.center[0] > 0.5 for 2 s"),
    ],
)
def test_fields_of_a_window_can_be_used(window: JudgedWindow, text: str) -> None:
    alert = Alert(AlertRule.parse(text))
    alert.take(window)
    assert alert.problem is None


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("p >", "cannot read"),
        ("__import__('os')", "not allowed"),
        ("prob > 0.5 for 2 s", "unknown field 'prob'"),
        ("p > 0.5 for .. s", "expected a time"),
        ("p > 0.5 for 2", "cannot read"),
        ("", "expected an expression"),
        (" for 2 s", "cannot read"),
        ('"low-confidense" in warnings', "no warning has the code"),
    ],
)
def test_what_is_not_a_condition_is_refused(text: str, cause: str) -> None:
    with pytest.raises(UsageError, match="--alert") as caught:
        AlertRule.parse(text)
    assert cause in caught.value.cause


def alerts_of(
    model: LoadedModel,
    keep: Callable[[Moments], Path],
    command: Command | None = None,
    text: str = "p > 0",
) -> tuple[list[Any], list[str], dict[str, Any]]:
    """Rows, warnings, and summary of a stream with one alert, at its first window."""
    told: list[Any] = []
    warned: list[str] = []
    alerts = [Alert(AlertRule.parse(text))]
    sink = AlertSink(alerts, keep, 1.0, told.append, warned.append, command)
    video = Path(__file__).parents[2] / "sample_videos" / "hop.mp4"
    run_stream(video, model, more=[sink], keep_s=3.0)
    return told, warned, sink.summary()


def test_an_alert_is_told_kept_and_given_to_a_command(model: LoadedModel, tmp_path: Path) -> None:
    place, given = tmp_path / "kept $(touch x) 'y'", tmp_path / "given.txt"
    script = "import sys; open(sys.argv[1], 'w').write(repr(sys.argv[2:]))"
    command = Command((sys.executable, "-c", script, str(given), "a b"), 20.0)
    kept: list[Moments] = []

    def keep(moments: Moments) -> Path:
        kept.append(moments)
        return place

    told, warned, summary = alerts_of(model, keep, command)
    alert, result = told
    assert isinstance(alert, AlertRow)
    assert isinstance(result, KeptRow)
    assert (alert.alert, alert.window, alert.since_s) == ("p > 0", 0, alert.time_s)
    assert (result.window, result.result, result.error, result.exit_code) == (
        0,
        str(place),
        None,
        0,
    )
    assert given.read_text() == repr(["a b", str(place)])  # no shell has read it
    assert warned == []
    assert summary["alerts"] == [{"alert": "p > 0", "count": 1, "windows_unevaluated": 0}]
    assert summary["kept"] == 1
    assert kept[0].frames[-1].time_s == pytest.approx(alert.time_s)


def test_a_full_disk_or_a_command_that_fails_does_not_end_the_stream(
    model: LoadedModel, tmp_path: Path
) -> None:
    def full(moments: Moments) -> Path:
        raise OutputError("no space left")

    told, warned, _ = alerts_of(model, full)
    assert [type(row) for row in told] == [AlertRow, KeptRow]
    assert told[1].error == "no space left"
    assert warned == ["alert 'p > 0': no space left"]

    told, warned, _ = alerts_of(model, lambda moments: tmp_path, Command(("/nowhere/x",), 1.0))
    assert told[1].result == str(tmp_path)
    assert told[1].error == "--exec cannot be run: no such file or directory"

    exits = Command((sys.executable, "-c", "raise SystemExit(7)"), 20.0)
    told, warned, _ = alerts_of(model, lambda moments: tmp_path, exits)
    assert told[1].exit_code == 7


def test_a_command_that_hangs_is_ended_with_what_it_started(
    model: LoadedModel, tmp_path: Path
) -> None:
    child = tmp_path / "child.txt"
    script = (
        "import subprocess, sys, time; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        f"open({str(child)!r}, 'w').write(str(p.pid)); time.sleep(60)"
    )
    start = time.monotonic()
    told, warned, _ = alerts_of(
        model, lambda moments: tmp_path, Command((sys.executable, "-c", script), 1.5)
    )
    assert time.monotonic() - start < 20
    assert told[1].exit_code is None
    assert told[1].error == "--exec was ended after 1.5 s"
    assert warned == ["alert 'p > 0': --exec was ended after 1.5 s"]
    if Path("/proc").is_dir():
        limit = time.monotonic() + 10
        while is_running(child.read_text()):
            assert time.monotonic() < limit
            time.sleep(0.02)


def is_running(process: str) -> bool:
    """Whether a process has not ended; one that has may still wait to be collected."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
