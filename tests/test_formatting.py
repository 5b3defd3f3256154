"""How numbers are written for people."""

from __future__ import annotations

import subprocess
import sys

import pytest

from staa_cli.formatting import about, counted, percent


@pytest.mark.parametrize(
    ("share", "digits", "written"),
    [
        (0.039, 1, "3.9 %"),
        (0.0004, 1, "<0.1 %"),
        (0.9996, 1, ">99.9 %"),
        (0.994, 1, "99.4 %"),
        (1.0, 1, "100.0 %"),
        (0.0, 1, "0.0 %"),
        (0.0100, 2, "1.00 %"),
        (0.994, 0, ">99 %"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(
    share: float, digits: int, written: str
) -> None:
    assert percent(share, digits) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.2, "about 1 s"),
        (7.4, "about 7 s"),
        (12, "about 10 s"),
        (43, "about 45 s"),
        (57, "about 55 s"),
        (58, "about 1 min"),
        (200, "about 3 min"),
        (3540, "about 59 min"),
        (3600, "about 1 h"),
        (7700, "about 2 h 10 min"),
        (86_000, "about 23 h 55 min"),
        (86_400, "about 24 h"),
        (1_868_000, "about 520 h"),
        (16_932_266_400, "about 4,700,000 h"),
    ],
)
def test_an_estimate_is_no_finer_than_one_is_worth(seconds: float, written: str) -> None:
    assert about(seconds) == written


def test_one_is_not_many() -> None:
    assert [counted(n, "frame") for n in (0, 1, 1200)] == ["0 frames", "1 frame", "1,200 frames"]


def test_numbers_cost_no_import() -> None:
    code = "import sys, staa_cli.formatting; print('numpy' in sys.modules, 'PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
