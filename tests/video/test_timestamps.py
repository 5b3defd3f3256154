"""When pictures are shown, from the stamps that files carry."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from staa_cli.video.timestamps import show_times

YEAR = 366 * 86_400 * 1000


def seconds(stamps: Sequence[int | None], step: int = 10) -> list[float]:
    shown = show_times(stamps, step, YEAR)
    return [tick / shown.scale for tick in shown.ticks.tolist()]


@pytest.mark.parametrize(
    ("stamps", "times", "repaired"),
    [
        pytest.param([0, 10, 20, 55], [0, 10, 20, 55], False, id="right as they are"),
        pytest.param([7], [7], False, id="one picture"),
        pytest.param([None, None, None], [0, 10, 20], False, id="none at all"),
        pytest.param([0, None, 20, 55], [0, 10, 20, 55], False, id="one is missing"),
        pytest.param([None, 10, 20, None], [0, 10, 20, 30], False, id="the ends are missing"),
        pytest.param(
            [0, 20, 30, 10, 50, 60, 40, 70], [0, 10, 20, 30, 40, 50, 60, 70], True,
            id="times of decoding on pictures in the order shown",
        ),
        pytest.param(
            [*range(0, 400, 10), *range(0, 400, 10)], [*range(0, 800, 10)], True,
            id="the clock was set back",
        ),
        pytest.param([0, 10, 10, 20, 30], [0, 10, 15, 20, 30], True, id="two share a time"),
        pytest.param([0, 10, 20, 20, 20], [0, 10, 20, 30, 40], True, id="the last three share"),
        pytest.param([5, 5], [5, 15], True, id="all share"),
        pytest.param([-(1 << 62), 10, 20], [0, 10, 20], True, id="an absurd one"),
        pytest.param([-30, -10, -20, 0], [-30, -20, -10, 0], True, id="before zero"),
    ],
)  # fmt: skip
def test_times_rise_and_keep_their_span(
    stamps: list[int | None], times: list[int], repaired: bool
) -> None:
    assert seconds(stamps) == times
    assert show_times(stamps, 10, YEAR).repaired is repaired


def test_pictures_that_share_the_smallest_tick_are_told_apart() -> None:
    times = seconds([0, 1, 1, 1, 1, 2, 3])
    assert times == pytest.approx([0, 1, 1.25, 1.5, 1.75, 2, 3], abs=0.051)
    assert times == sorted(set(times))


def test_a_long_pause_stays_where_it_is() -> None:
    """Sorted or not: a gap is no step back."""
    assert seconds([0, 20, 10, 900, 920, 910]) == [0, 10, 20, 900, 910, 920]


def test_what_was_added_where_the_clock_was_set_back_is_told() -> None:
    stamps = [*range(1000, 1400, 10), *range(0, 400, 10), *range(500, 900, 10)]
    shown = show_times(stamps, 10, YEAR)
    assert shown.shifts == (1400,)
    assert shown.ticks[40] == 0 + 1400
    assert shown.ticks[80] == 500 + 1400


@pytest.mark.parametrize("epoch", [0, -(1 << 40), 1 << 60, (1 << 63) - 100])
def test_a_clock_may_begin_anywhere(epoch: int) -> None:
    """Nanoseconds since 1970 are some 2 ** 60; doubles there are hundreds of them apart."""
    shown = show_times([epoch + n for n in (0, 2, 1, 3, 3, 9)], 1, YEAR)
    times = (shown.ticks - shown.ticks[0]) / shown.scale
    assert times == pytest.approx([0, 1, 2, 3, 6, 9])
    if epoch * shown.scale < 1 << 62:
        assert shown.ticks[0] == epoch * shown.scale


def test_however_many_share_a_tick_times_rise() -> None:
    shown = show_times([0, *[1] * 5000, 2], 1, YEAR)
    assert (shown.ticks[1:] > shown.ticks[:-1]).all()
    assert shown.ticks[-1] / shown.scale == pytest.approx(2, abs=4.1)
