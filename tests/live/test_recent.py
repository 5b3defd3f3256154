"""Which explained windows make the curve of the last seconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from staa_cli.live.explainer import Recent

SPAN_S = 1.0


def window(start_s: float) -> Any:
    clip, completed = SimpleNamespace(start_s=start_s), SimpleNamespace(time_s=start_s + SPAN_S)
    return SimpleNamespace(window=SimpleNamespace(clip=clip, completed=completed))


def starts(windows: list[Any]) -> list[float]:
    return [one.window.clip.start_s for one in windows]


def test_all_windows_of_the_last_seconds() -> None:
    recent = Recent(shown_s=3.0, kept_s=5.0)
    for tick in range(20):
        recent.add(window(tick / 2))
    assert starts(recent.shown()) == [7.5, 8.0, 8.5, 9.0, 9.5]
    assert starts(recent.windows()) == [5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 8.5, 9.0, 9.5]


def test_of_many_windows_some_are_drawn_and_always_the_newest() -> None:
    recent = Recent(shown_s=2.5, kept_s=2.5, apart_s=0.5)
    for tick in range(42):
        recent.add(window(tick / 8))
        assert starts(recent.shown())[-1] == tick / 8
    assert starts(recent.shown()) == [4.0, 4.5, 5.0, 5.125]
    assert len(recent.windows()) == 13
    # What is drawn stays drawn: the curve of the past does not move from window to window.
    recent.add(window(5.25))
    assert starts(recent.shown()) == [4.0, 4.5, 5.0, 5.25]


def test_the_newest_window_is_drawn_even_if_it_is_longer_than_the_curve() -> None:
    recent = Recent(shown_s=0.5, kept_s=0.5, apart_s=0.25)
    for start_s in (0.0, 0.125, 3.0):
        recent.add(window(start_s))
        assert starts(recent.shown()) == [start_s]
