"""The picture of deletion and insertion: what it shows, and that it refuses to show nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from render_explanations import explanation, measured

from staa_cli.errors import OutputError
from staa_cli.render import faithfulness
from staa_cli.render.faithfulness import faithfulness_image, faithfulness_plot


def pixels(beaten: bool) -> np.ndarray:
    return np.asarray(faithfulness_image(explanation(), measured(beaten)))


def test_own_curves_are_drawn_where_they_are() -> None:
    found = pixels(beaten=False)
    left, right = faithfulness._PANELS
    for box, values in ((left, (1.0, 0.5, 0.0)), (right, (0.75, 0.875, 1.0))):
        for part, value in zip((0.02, 0.5, 0.98), values, strict=True):
            x = round(box.left + part * box.width)
            column = np.abs(found[box.top : box.bottom, x].astype(int) - faithfulness._OWN).sum(1)
            rows = np.flatnonzero(column < 60)
            assert abs(1 - rows.mean() / box.height - value) < 0.05


def test_it_says_what_it_is_not_above() -> None:
    assert (pixels(beaten=True)[20:70] != pixels(beaten=False)[20:70]).any()


def test_a_long_name_stays_inside() -> None:
    rows = tuple(replace(row, method="method-" * 20) for row in measured().rows)
    found = np.asarray(faithfulness_image(explanation(), replace(measured(), rows=rows)))
    assert (found[:, -20:] == 255).all()


def test_a_file_is_written_and_nothing_measured_is_refused(tmp_path: Path) -> None:
    with_it = replace(explanation(), faithfulness=measured())
    faithfulness_plot(with_it, tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as image:
        assert image.size == (1600, 800)
    with pytest.raises(OutputError, match="not measured"):
        faithfulness_plot(explanation(), tmp_path / "g.png")


@pytest.mark.parametrize("above", [-20.0, 0.25, 700.0])
def test_curves_of_raw_values_fill_their_panel(above: float) -> None:
    """Wherever they lie: both panels share one axis, from the lowest to the highest of all."""
    raw = measured(times=4.0, above=above)  # from above to above + 4
    source = explanation(output="identity", confidence=above + 4, labels=("quality",))
    found = np.asarray(faithfulness_image(source, raw))
    room = 0.05 / 1.1
    for box, shares in zip(
        faithfulness._PANELS, ((1.0, 0.5, 0.0), (0.75, 0.875, 1.0)), strict=True
    ):
        for part, share in zip((0.02, 0.5, 0.98), shares, strict=True):
            x = round(box.left + part * box.width)
            column = np.abs(found[box.top : box.bottom, x].astype(int) - faithfulness._OWN).sum(1)
            rows = np.flatnonzero(column < 60)
            wanted = room + share * (1 - 2 * room)
            assert abs(1 - rows.mean() / box.height - wanted) < 0.05


def test_a_value_that_never_changes_is_a_line_in_the_middle() -> None:
    source = explanation(output="identity", confidence=3.0, labels=("quality",))
    found = np.asarray(faithfulness_image(source, measured(times=0.0, above=3.0)))
    box = faithfulness._PANELS[0]
    middle = found[box.top : box.bottom, box.left + box.width // 2].astype(int)
    rows = np.flatnonzero(np.abs(middle - faithfulness._OWN).sum(1) < 60)
    assert rows.mean() / box.height == pytest.approx(0.5, abs=0.02)


def words_of(picture: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that is written while a picture is made, from its left edge on."""
    written: list[str] = []

    def write(image: Any, box: Any, words: str, *more: Any) -> None:
        assert box.left >= 0, words
        written.append(words)

    monkeypatch.setattr("staa_cli.render.text.write", write)
    picture()
    return written


def test_figures_of_raw_values_keep_what_tells_them_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    source = explanation(output="identity", confidence=-3.6, labels=("quality",))
    raw = measured(beaten=False, times=0.02, above=-3.66)
    words = words_of(lambda: faithfulness_image(source, raw), monkeypatch)
    assert words.count("-3.65") == 2  # on both axes
    assert "faithfulness 0.01, above all baselines" in words
    assert "-3.645 - (-3.655) = 0.010" in words
    assert any(line.startswith("score of quality · ") for line in words)
    probable = words_of(lambda: faithfulness_image(explanation(), measured()), monkeypatch)
    assert any(line.startswith("p(windsurfing) · ") for line in probable)
    assert "0.75 - 0.25 = 0.50" in probable


def test_of_a_difference_that_needs_much_room_the_areas_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = explanation(output="identity", confidence=12345.0, labels=("quality",))
    raw = measured(beaten=False, times=0.0002, above=12345.0)
    words = words_of(lambda: faithfulness_image(source, raw), monkeypatch)
    assert "0.0001" in words
    assert not any("=" in line for line in words)


def test_numbers_beside_the_axis_stay_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    source = explanation(output="identity", confidence=-3.6, labels=("quality",))
    for times, above in ((0.001, -123456.0), (1e7, -5e6), (1e-6, 0.0)):
        raw = measured(times=times, above=above)
        assert words_of(lambda raw=raw: faithfulness_image(source, raw), monkeypatch)  # type: ignore[misc]
