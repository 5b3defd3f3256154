"""Formats numbers for people: in the terminal, in pictures, in reports, and in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from staa_cli.schema import Output

LOSES = "!"
"""Marks a score that does not beat every baseline."""


def percent(share: float, digits: int = 0) -> str:
    """A share such as `87 %`; only exactly 1 and 0 are written as 100 % and 0 %.

    Args:
        share: 0 to 1.
        digits: number of decimals.
    """
    least = 0.01 / 10**digits
    if 0 < share < least:
        return f"<{100 * least:.{digits}f} %"
    if 1 - least < share < 1:
        return f">{100 * (1 - least):.{digits}f} %"
    return f"{100 * share:.{digits}f} %"


def answer(score: float, output: Output) -> str:
    """A class score: `87 %` for a probability, `score 1.55` for a raw value."""
    return f"score {raw(score)}" if output == "identity" else percent(score)


def figure(value: float, output: Output) -> str:
    """A mean or difference of scores: two decimals for probabilities, else as a raw value."""
    return raw(value) if output == "identity" else f"{value:z.2f}"


def with_interval(value: float, low: float | None, high: float | None, output: Output) -> str:
    """A mean of scores with its interval, `0.91 (0.87 to 0.94)`; alone where it has none."""
    mean = figure(value, output)
    if low is None or high is None:
        return mean
    return f"{mean} ({figure(low, output)} to {figure(high, output)})"


def raw(value: float) -> str:
    """A value with three significant digits, without an exponent below a million."""
    return f"{value:z.0f}" if 999.5 <= abs(value) < 1e6 else f"{value:z.3g}"


def number(value: float) -> str:
    """A value with two significant digits."""
    return f"{value:.2g}"


def megabytes(size: float) -> str:
    """A number of bytes: `12 MB`, below one megabyte `340 kB`."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def counted(number: int, noun: str) -> str:
    """A count with its noun: `1 frame`, `1,200 frames`."""
    return f"{number:,} {noun}{'s'[: number != 1]}"


def clock(time_s: float, total_s: float, decimals: int = 1) -> str:
    """A time as `3.2 s`, or `2:03.2` and `1:02:03.2` if the total duration needs it."""
    ticks = int(time_s * 10**decimals + 0.5 + 1e-9)  # rounds half up: 0.25 s becomes 0.3 s
    minutes, second_ticks = divmod(ticks, 60 * 10**decimals)
    seconds = second_ticks / 10**decimals
    digits = 2 + (decimals + 1 if decimals else 0)
    if total_s < 60:
        return f"{ticks / 10**decimals:.{decimals}f} s"
    if total_s < 3600:
        return f"{minutes}:{seconds:0{digits}.{decimals}f}"
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:0{digits}.{decimals}f}"


def place(center: tuple[float, float]) -> str:
    """A place in a picture, x and y as shares of its size, in words: `upper left`."""
    x, y = (min(2, int(3 * share)) if share >= 0 else 0 for share in center)
    row, column = ("upper", "", "lower")[y], ("left", "", "right")[x]
    return " ".join(part for part in (row, column) if part) or "center"


def about(seconds: float) -> str:
    """A rounded estimate: `about 40 s`, `about 2 h 10 min`, `about 520 h`."""
    if seconds < 57.5:
        return f"about {max(1, round(seconds) if seconds < 10 else 5 * round(seconds / 5))} s"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"about {minutes} min"
    if minutes >= 24 * 60:
        return f"about {float(f'{minutes / 60:.2g}'):,.0f} h"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    return f"about {hours} h" + (f" {minutes} min" if minutes else "")
