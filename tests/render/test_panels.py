"""Panels side by side: what shares a scale, what that means, and what the difference shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from explanations import explanation

from staa_cli.config.settings import RenderSettings
from staa_cli.render.color import COLORMAPS, DIFFERENCE, colormap, planes_to_rgb, rgb_to_planes
from staa_cli.render.layer import Canvas
from staa_cli.render.panels import Panels, grid
from staa_cli.schema import Explanation

SIZE = (480, 360)
GREY = 120
LEFT, RIGHT = (0.3, 0.45), (0.7, 0.45)
"""Centers of the two hot cells, as shares of the picture: off the title and the strip."""


def spot(
    place: tuple[float, float], strength: float = 1.0, method: str = "staa-class", spread: int = 1
) -> Explanation:
    """All evidence in a cell of ten by ten and those around it; the same all the time."""
    source = explanation(size=SIZE, frames=60, box=(0.0, 0.0, 1.0, 1.0))
    column, row = int(10 * place[0]), int(10 * place[1])
    maps = np.zeros((len(source.maps.times_s), 10, 10), np.float32)
    cells = maps[:, row - spread : row + spread + 1, column - spread : column + spread + 1]
    cells[...] = strength / cells[0].size
    frames = source.frames
    return replace(
        source,
        maps=replace(source.maps, values=maps),
        attributions=tuple(replace(each, method=method) for each in source.attributions),
        frames=replace(frames, score=frames.score, weighted_score=strength * frames.score),
    )


def drawn(pair: list[Explanation], shared: bool = True, **settings: Any) -> list[np.ndarray]:
    """Every panel as an RGB picture [H, W, 3] of whole numbers."""
    panels = Panels(pair, RenderSettings(**settings), shared)
    plain = np.full((SIZE[1], SIZE[0], 3), GREY, np.uint8)
    picture = planes_to_rgb(
        *panels.paint(1.0, Canvas(*rgb_to_planes(plain, hd=False)), hd=False), hd=False
    )
    count = 1 + len(pair) + (shared and len(pair) == 2)
    columns, rows = grid(count, SIZE[0] / SIZE[1])
    width, height = panels.size[0] // columns, panels.size[1] // rows
    return [
        picture[row * height : (row + 1) * height, column * width : (column + 1) * width].astype(
            int
        )
        for row, column in (divmod(number, columns) for number in range(count))
    ]


def at(panel: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    """The color in the middle of a cell."""
    x, y = (int(10 * part) / 10 + 0.05 for part in place)
    return panel[round(y * SIZE[1]), round(x * SIZE[0])]


def heat(panel: np.ndarray, place: tuple[float, float]) -> float:
    """How far a place is from the gray that it was."""
    return float(np.abs(at(panel, place) - GREY).max())


def test_one_scale_keeps_a_class_cold_that_has_next_to_nothing() -> None:
    pair = [spot(LEFT), spot(LEFT, 0.002)]
    _, strong, weak, _ = drawn(pair)
    assert heat(strong, LEFT) > 60
    assert heat(weak, LEFT) < 5
    _, strong, weak = drawn(pair, shared=False)
    np.testing.assert_allclose(at(strong, LEFT), at(weak, LEFT), atol=2)


def test_curves_share_an_axis_where_maps_share_a_scale() -> None:
    pair = [spot(LEFT), spot(LEFT, 0.1)]

    def filled(panel: np.ndarray) -> int:
        lower = panel[-40:]
        return int(((lower[..., 0] > 120) & (lower[..., 2] < 80)).sum())

    _, strong, weak, _ = drawn(pair)
    assert filled(weak) < 0.4 * filled(strong)
    _, strong, weak = drawn(pair, shared=False)
    assert filled(weak) == pytest.approx(filled(strong), rel=0.02)


def test_methods_are_compared_by_where_their_evidence_lies_not_by_their_units() -> None:
    alike = drawn([spot(LEFT), spot(LEFT, 1000.0, "gradcam")])
    np.testing.assert_allclose(at(alike[1], LEFT), at(alike[2], LEFT), atol=2)
    assert heat(alike[3], LEFT) < 5
    _, sharp, wide, _ = drawn([spot(LEFT), spot(LEFT, 1000.0, "gradcam", spread=3)])
    assert heat(sharp, LEFT) > 60
    assert heat(wide, LEFT) < 0.5 * heat(sharp, LEFT)


@pytest.mark.parametrize("view", ["heat", "contour", "side-by-side"])
def test_the_difference_is_warm_for_the_first_and_cold_for_the_second(view: str) -> None:
    for pair, warm, cold in (
        ([spot(LEFT), spot(RIGHT)], LEFT, RIGHT),
        ([spot(RIGHT), spot(LEFT)], RIGHT, LEFT),
    ):
        difference = drawn(pair, view=view)[3]
        assert at(difference, warm)[0] > at(difference, warm)[2] + 40
        assert at(difference, cold)[2] > at(difference, cold)[0] + 40
        assert heat(difference, (0.5, 0.45)) < 12


def test_only_two_on_one_scale_have_a_difference() -> None:
    three = [spot(LEFT), spot(RIGHT), spot(LEFT, 0.5)]
    for some, shared, count in ((three, True, 4), (three[:2], False, 3), (three[:1], True, 2)):
        columns, rows = grid(count, SIZE[0] / SIZE[1])
        found = Panels(some, RenderSettings(), shared).size
        assert found[0] % columns == found[1] % rows == 0
        assert found[0] // columns == SIZE[0]


def test_words_of_any_length_fit_into_one_grid() -> None:
    short, long = (explanation(size=SIZE, labels=(name, "b")) for name in ("hop", "hopping " * 30))
    for pair in ([short, long], [long, short], [short, long, short]):
        panels = drawn(pair)
        assert len({panel.shape for panel in panels}) == 1


def test_the_original_is_named_and_else_as_it_was() -> None:
    original = drawn([spot(LEFT), spot(RIGHT)])[0]
    middle = original[60 : SIZE[1] - 20]
    assert np.abs(middle - GREY).max() <= 2
    assert (original.max(axis=2) > 230).sum() > 30  # white letters


@pytest.mark.parametrize("values", [0.0, -1.0])
def test_nothing_that_speaks_for_a_class_is_drawn_cold(values: float) -> None:
    one = spot(LEFT, values)
    for other in (spot(LEFT, values), spot(LEFT, 2 * values, "gradcam")):
        panels = drawn([one, other])
        assert all(heat(panel, LEFT) < 5 for panel in panels[:3])


def test_the_colors_of_a_difference_are_two_sides_of_one_and_no_choice() -> None:
    table = colormap(DIFFERENCE).astype(int)
    assert table.shape == (256, 3)
    light = table @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(light, light[::-1], atol=5)  # neither side is the stronger one
    assert table[126:130].max() < 12
    assert DIFFERENCE not in COLORMAPS


@pytest.mark.parametrize(
    ("count", "aspect", "wanted"),
    [
        (2, 16 / 9, (1, 2)),
        (4, 16 / 9, (2, 2)),
        (3, 9 / 16, (3, 1)),
        (6, 1.0, (3, 2)),
        (1, 1, (1, 1)),
    ],
)
def test_grids_come_near_a_wide_screen(count: int, aspect: float, wanted: tuple[int, int]) -> None:
    columns, rows = grid(count, aspect)
    assert columns * rows >= count
    if count != 2:  # two wide pictures fit as badly above as beside each other
        assert (columns, rows) == wanted
