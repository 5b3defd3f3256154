"""What a person sees on an annotated frame: heat where the mass is, nothing where it is not."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, cast

import numpy as np
import pytest
from explanations import LABELS, explanation

from staa_cli.config.settings import RenderSettings
from staa_cli.errors import UsageError
from staa_cli.render.color import COLORMAPS, DIFFERENCE, colormap, planes_to_rgb, rgb_to_planes
from staa_cli.render.painter import Painter
from staa_cli.schema import Explanation
from staa_cli.video.pixels import YuvPlanes

BARE = RenderSettings(strip="none")
VIEWS = ("heat", "side-by-side", "map", "contour")


def planes(
    width: int, height: int, y: int = 110, u: int = 120, v: int = 135, matrix: Any = "bt601"
) -> YuvPlanes:
    """An even picture of one color, as the decoder hands it over: read-only."""
    chroma = (height + 1) // 2, (width + 1) // 2
    shapes = ((2 * chroma[0], 2 * chroma[1]), chroma, chroma)
    filled = [
        np.full(shape, value, np.uint8) for shape, value in zip(shapes, (y, u, v), strict=True)
    ]
    for plane in filled:
        plane.flags.writeable = False
    return YuvPlanes(filled[0], filled[1], filled[2], matrix)


def hot_cell(
    row: int,
    column: int,
    times: int = 8,
    grid: tuple[int, int] = (8, 8),
    strengths: Any = None,
) -> np.ndarray:
    maps = np.zeros((times, *grid), np.float32)
    maps[:, row, column] = 1 if strengths is None else strengths
    return maps


def one_clip(maps: np.ndarray, size: tuple[int, int] = (320, 180), **more: Any) -> Explanation:
    return explanation(
        size=size, frames=48, clip_starts=[0], clip_frames=len(maps), stride=6,
        grid=maps.shape[1:], maps=maps, **more,
    )  # fmt: skip


def changed(before: YuvPlanes, after: YuvPlanes) -> np.ndarray:
    """[H, W] whether luma or chroma of a pixel differ by more than rounding."""
    y = np.abs(after.y.astype(int) - before.y) > 3
    c = (np.abs(after.u.astype(int) - before.u) > 3) | (np.abs(after.v.astype(int) - before.v) > 3)
    return y | c.repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.parametrize("view", ["heat", "contour"])
def test_heat_stands_where_the_mass_is_and_nowhere_else(view: Any) -> None:
    maps = hot_cell(2, 5)
    source = one_clip(maps, box=(0.0, 0.0, 1.0, 1.0))
    before = planes(320, 180)
    painter = Painter(source, dataclasses.replace(BARE, view=view))
    seen = changed(before, painter.draw(0, 0.5, before))
    rows, columns = np.nonzero(seen)
    assert abs(rows.mean() - 2.5 / 8 * 180) < 4
    assert abs(columns.mean() - 5.5 / 8 * 320) < 4
    assert rows.min() > 180 * 0.5 / 8
    assert rows.max() < 180 * 4.5 / 8
    assert columns.min() > 320 * 3.5 / 8
    assert columns.max() < 320 * 7.5 / 8


def test_outside_the_crop_there_is_no_color_and_the_picture_is_dimmed() -> None:
    source = one_clip(np.ones((8, 8, 8), np.float32), box=(0.25, 0.0, 0.75, 1.0))
    before = planes(320, 180)
    after = Painter(source, BARE).draw(0, 0.5, before)
    outside = np.r_[0:78, 242:320]
    assert (after.y[:, outside] < before.y[:, outside]).all()
    assert (after.y[:, outside] > 70).all()
    chroma = np.r_[0:39, 121:160]
    assert (np.abs(after.u[:, chroma].astype(int) - 128) <= 8).all()
    assert changed(before, after)[:, 80:240].all()


@pytest.mark.parametrize("view", VIEWS)
def test_heat_over_padding_is_cut_off_at_the_pictures_edge(view: Any) -> None:
    """As if the padding were a part of a larger picture, of which only the middle is kept."""
    maps = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    larger = one_clip(maps, size=(400, 180), box=(0.0, 0.0, 1.0, 1.0))
    padded = one_clip(maps, size=(320, 180), box=(-40 / 320, 0.0, 360 / 320, 1.0))
    settings = dataclasses.replace(BARE, view=view)
    whole = Painter(larger, settings).draw(0, 0.5, planes(400, 180))
    seen = Painter(padded, settings).draw(0, 0.5, planes(320, 180))
    np.testing.assert_array_equal(seen.y[:, -320:], whole.y[:, -360:-40])
    np.testing.assert_array_equal(seen.u[:, -160:], whole.u[:, -180:-20])


def test_padding_above_leaves_the_crop_at_the_sides_as_it_is() -> None:
    source = one_clip(np.zeros((8, 8, 8), np.float32), box=(0.25, -0.5, 0.75, 1.5))
    before = planes(320, 180)
    after = Painter(source, BARE).draw(0, 0.5, before)
    assert (after.y[:, :79] < before.y[:, :79]).all()
    np.testing.assert_array_equal(after.y[:, 80:240], before.y[:, 80:240])


def test_the_crops_edge_is_a_hairline_just_outside_of_it() -> None:
    source = one_clip(np.zeros((8, 8, 8), np.float32), box=(0.25, 0.0, 0.75, 1.0))
    after = Painter(source, BARE).draw(0, 0.5, planes(320, 180))
    bright = np.nonzero((after.y > 130).all(axis=0))[0]
    assert bright.tolist() == [79, 240]


def test_a_model_that_sees_the_whole_picture_leaves_cold_pixels_as_they_were() -> None:
    source = one_clip(np.zeros((8, 8, 8), np.float32), box=(0.0, 0.0, 1.0, 1.0))
    before = planes(320, 180)
    after = Painter(source, BARE).draw(0, 0.5, before)
    for name in ("y", "u", "v"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_opacity_is_what_the_settings_say_where_the_heat_is_full() -> None:
    source = one_clip(np.ones((8, 8, 8), np.float32), box=(0.0, 0.0, 1.0, 1.0))
    painter = Painter(source, dataclasses.replace(BARE, opacity=0.7))
    dark, light = (painter.draw(0, 0.5, planes(320, 180, y=y)).y[90, 160] for y in (60, 160))
    assert int(light) - int(dark) == pytest.approx(0.3 * 100, abs=1)


@pytest.mark.parametrize(("scale", "hot_at_the_cold_end"), [("video", False), ("frame", True)])
def test_a_frame_with_a_thousandth_of_the_evidence_looks_cold(
    scale: Any, hot_at_the_cold_end: bool
) -> None:
    strengths = [1.0, 1.0, 1.0, 1.0, 0.001, 0.001, 0.001, 0.001]
    source = one_clip(hot_cell(4, 4, strengths=strengths), box=(0.0, 0.0, 1.0, 1.0))
    painter = Painter(source, dataclasses.replace(BARE, scale=scale))
    before = planes(320, 180)
    times = source.clips[0].times_s
    assert changed(before, painter.draw(0, times[0], before)).any()
    assert changed(before, painter.draw(0, times[-1], before)).any() == hot_at_the_cold_end


def test_the_scale_of_a_clip_is_its_own() -> None:
    strengths = np.repeat([1.0, 0.001], 8)
    maps = hot_cell(4, 4, times=16, strengths=strengths)
    source = explanation(
        size=(320, 180), frames=96, clip_starts=[0, 48], grid=(8, 8), maps=maps, box=(0, 0, 1, 1)
    )
    before = planes(320, 180)
    first, second = (clip.times_s[3] for clip in source.clips)
    scales: dict[Any, list[bool]] = {"clip": [True, True], "video": [True, False]}
    for scale, shown in scales.items():
        painter = Painter(source, dataclasses.replace(BARE, scale=scale))
        found = [changed(before, painter.draw(0, t, before)).any() for t in (first, second)]
        assert found == shown, scale


def test_heat_moves_smoothly_between_the_knots() -> None:
    strengths = [0, 1, 0, 1, 0, 1, 0, 1]
    source = one_clip(hot_cell(4, 4, strengths=strengths), box=(0.0, 0.0, 1.0, 1.0))
    painter = Painter(source, BARE)
    before = planes(320, 180)
    frames = [painter.draw(i, i / 120, before).y.astype(int) for i in range(160)]
    steps = [np.abs(b - a).max() for a, b in itertools.pairwise(frames)]
    assert max(steps) < 0.15 * np.abs(frames[24] - before.y).max()


def test_negative_evidence_is_cold() -> None:
    source = one_clip(-hot_cell(4, 4), box=(0.0, 0.0, 1.0, 1.0), signed=True)
    before = planes(320, 180)
    assert not changed(before, Painter(source, BARE).draw(0, 0.5, before)).any()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", [(161, 121), (426, 240), (720, 1280), (64, 36), (2, 2)])
@pytest.mark.parametrize("strip", ["below", "over", "none"])
def test_the_picture_keeps_its_size_and_a_strip_below_adds_an_even_number_of_rows(
    view: Any, size: tuple[int, int], strip: Any
) -> None:
    source = explanation(size=size, frames=30)
    painter = Painter(source, RenderSettings(view=view, strip=strip))
    after = painter.draw(0, 0.5, planes(*size))
    even = size[0] + size[0] % 2, size[1] + size[1] % 2
    added = painter.size[1] - even[1]
    assert painter.size[0] == even[0] * (2 if view == "side-by-side" else 1)
    assert added % 2 == 0
    assert (added > 0) == (strip == "below" and size != (2, 2))
    assert after.y.shape == painter.size[::-1]
    assert after.u.shape == after.v.shape == (painter.size[1] // 2, painter.size[0] // 2)
    assert {plane.dtype for plane in (after.y, after.u, after.v)} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("view", VIEWS)
def test_a_strip_below_leaves_every_pixel_of_the_picture_as_it_is_without_one(view: Any) -> None:
    source = explanation(size=(426, 240))
    before = planes(426, 240)
    with_strip, bare = (
        Painter(source, RenderSettings(view=view, strip=strip)).draw(0, 5.0, before)
        for strip in ("below", "none")
    )
    np.testing.assert_array_equal(with_strip.y[:240], bare.y)
    np.testing.assert_array_equal(with_strip.u[:120], bare.u)
    assert with_strip.y[240:, [0, -1]].max() < 40  # the strip reaches from side to side


def test_side_by_side_keeps_the_original_on_the_left() -> None:
    source = one_clip(np.ones((8, 8, 8), np.float32), box=(0.0, 0.0, 1.0, 1.0))
    before = planes(320, 180)
    after = Painter(source, dataclasses.replace(BARE, view="side-by-side")).draw(0, 0.5, before)
    np.testing.assert_array_equal(after.y[:, :320], before.y)
    assert (after.y[:, 320:] != 110).all()


def test_the_map_alone_shows_nothing_of_the_picture() -> None:
    source = one_clip(hot_cell(4, 4), box=(0.25, 0.0, 0.75, 1.0))
    painter = Painter(source, dataclasses.replace(BARE, view="map"))
    dark, light = (painter.draw(0, 0.5, planes(320, 180, y=y)) for y in (20, 230))
    np.testing.assert_array_equal(dark.y, light.y)
    assert dark.y[:, :78].max() <= 16


def test_contours_run_around_the_hot_cell_and_not_through_it() -> None:
    source = one_clip(hot_cell(4, 4), box=(0.0, 0.0, 1.0, 1.0))
    before = planes(320, 180)
    after = Painter(source, dataclasses.replace(BARE, view="contour")).draw(0, 0.5, before)
    seen = changed(before, after)
    assert not seen[101, 180]
    assert seen[101, 140:180].any()
    assert seen[101, 180:220].any()


def test_planes_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="planes of"):
        Painter(explanation(), BARE).draw(0, 0.0, planes(320, 180))


def test_an_unknown_color_map_names_its_neighbor() -> None:
    with pytest.raises(UsageError) as caught:
        Painter(explanation(), RenderSettings(colormap=cast(Any, "infern"))).draw(
            0, 0.0, planes(1280, 720)
        )
    assert "inferno" in str(caught.value.hint)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_colors_are_those_of_the_frames_matrix(matrix: Any) -> None:
    source = one_clip(np.ones((8, 8, 8), np.float32), box=(0.0, 0.0, 1.0, 1.0))
    painter = Painter(source, dataclasses.replace(BARE, view="map"))
    after = painter.draw(0, 0.5, planes(320, 180, matrix=matrix))
    assert after.matrix == matrix
    shown = planes_to_rgb(after.y, after.u, after.v, hd=matrix == "bt709")[90, 160]
    assert np.abs(shown.astype(int) - colormap("inferno")[255]).max() <= 4


@pytest.mark.parametrize("hd", [False, True])
def test_rgb_survives_the_way_through_the_planes(hd: bool) -> None:
    blocks = np.random.default_rng(1).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    picture = blocks.repeat(2, axis=0).repeat(2, axis=1)
    back = planes_to_rgb(*rgb_to_planes(picture, hd), hd)
    assert np.abs(back.astype(int) - picture).max() <= 3


@pytest.mark.parametrize("name", COLORMAPS)
def test_color_maps_grow_lighter_all_the_way(name: str) -> None:
    luma = colormap(name) @ np.array([0.2126, 0.7152, 0.0722])
    assert colormap(name).shape == (256, 3)
    assert (np.diff(luma) > -0.6).all()
    assert luma[-1] - luma[0] > 140


def test_drawing_twice_gives_the_same_picture() -> None:
    before = planes(426, 240)
    once, again = (
        Painter(explanation(size=(426, 240), labels=LABELS), RenderSettings()).draw(9, 0.3, before)
        for _ in range(2)
    )
    np.testing.assert_array_equal(once.y, again.y)


@pytest.mark.parametrize("view", ["heat", "contour"])
def test_a_frame_that_no_clip_reaches_is_as_it_was(view: Any) -> None:
    source = explanation(size=(320, 180), frames=600, clip_starts=[120], stride=6)
    painter, before = Painter(source, dataclasses.replace(BARE, view=view)), planes(320, 180)
    for frame, reached in ((0, False), (113, False), (114, True), (168, True), (169, False)):
        after = painter.draw(frame, frame / 30, before)
        assert changed(before, after).any() == reached


def test_between_clips_heat_stays_with_the_one_it_comes_from() -> None:
    maps = np.concatenate([hot_cell(1, 1), hot_cell(6, 6)])
    source = explanation(
        size=(320, 180), frames=600, clip_starts=[0, 400], stride=6, grid=(8, 8), maps=maps
    )
    painter = Painter(source, BARE)
    before = planes(320, 180)
    last, after = (painter.draw(n, n / 30, before) for n in (42, 48))  # 42 is the last frame seen
    np.testing.assert_array_equal(last.y, after.y)


def test_maps_that_are_flat_are_drawn_flat() -> None:
    ripples = 1 + 0.01 * np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    box = (0.0, 0.0, 1.0, 1.0)
    before = planes(320, 180)
    flat = Painter(one_clip(ripples, box=box, flat_space=True), BARE).draw(0, 0.5, before)
    assert np.ptp(flat.y.astype(int)) <= 1
    assert np.ptp(flat.v.astype(int)) <= 1
    hottest = Painter(one_clip(hot_cell(2, 5), box=box), BARE).draw(0, 0.5, before)
    assert abs(int(flat.v.max()) - 135) < abs(int(hottest.v.max()) - 135)


def test_a_map_that_nobody_has_made_is_not_black() -> None:
    source = explanation(size=(320, 180), frames=600, clip_starts=[120], stride=6)
    painter = Painter(source, dataclasses.replace(BARE, view="map"))
    unseen, seen = (painter.draw(n, n / 30, planes(320, 180)).y for n in (0, 140))
    crop = slice(72, 248)
    assert len(np.unique(unseen[:, crop])) == 1
    assert seen[:, crop].min() < unseen[90, 160] - 30


def test_no_hue_is_on_both_sides_of_a_difference() -> None:
    table = colormap(DIFFERENCE).astype(int)
    cold, warm = table[:112], table[144:]
    assert (cold[:, 2] > cold[:, 0] + 20).all()
    assert (warm[:, 0] > warm[:, 2] + 20).all()
    light = table @ [0.299, 0.587, 0.114]
    assert (np.diff(light[:128]) <= 0.5).all()
    assert (np.diff(light[128:]) >= -0.5).all()
