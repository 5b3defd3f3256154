"""A color means the same over any footage, the bar shows it as drawn, and lines hold shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from explanations import blobs, explanation
from PIL import Image

from staa_cli.config.settings import RenderSettings
from staa_cli.render.color import planes_to_rgb, rgb_to_planes, rgb_to_yuv
from staa_cli.render.heat import HeatField, Tint, legend, line_colors, tint_tables
from staa_cli.render.layer import Canvas
from staa_cli.render.painter import Painter
from staa_cli.schema import Explanation
from staa_cli.video.pixels import YuvPlanes

LEVELS = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
FOOTAGE = {
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "white": (255, 255, 255),
    "warm": (220, 180, 90),
    "orange": (200, 120, 40),
    "green": (70, 120, 50),
    "blue": (90, 140, 200),
    "skin": (200, 150, 120),
}
HUED = ("inferno", "viridis", "magma")
"""Cividis has next to no hue: its levels are told by lightness, as its users ask."""


def oklab(rgb: Any) -> np.ndarray:
    """L, a, b of sRGB 0 to 255. Ottosson 2020."""
    codes = np.asarray(rgb, float) / 255
    light = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    cones = light @ np.array([
        [0.4122214708, 0.2119034982, 0.0883024619],
        [0.5363325363, 0.6806995451, 0.2817188376],
        [0.0514459929, 0.1073969566, 0.6299787005],
    ])  # fmt: skip
    return np.cbrt(cones) @ np.array([
        [0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660],
    ])  # fmt: skip


def tinted(rgb: Any, level: float, name: str = "inferno") -> np.ndarray:
    """The color of flat footage where all of it is at one level."""
    canvas = Canvas(*rgb_to_planes(np.full((64, 64, 3), rgb, np.uint8), hd=True))
    table = tint_tables(name, RenderSettings().opacity, hd=True)
    Tint((64, 64), (4, 4), table).draw(canvas, np.full((4, 4), level, np.float32))
    return planes_to_rgb(*canvas, hd=True)[32, 32].astype(int)


def drawn(footage: str, name: str = "inferno", levels: np.ndarray = LEVELS) -> np.ndarray:
    """OKLab [levels, 3] over flat footage."""
    return oklab([tinted(FOOTAGE[footage], level, name) for level in levels])


def bar(name: Any = "inferno") -> np.ndarray:
    """OKLab [5, 3] of the levels on the middle of the legend's bar."""
    colors = legend(RenderSettings(colormap=name))
    row = colors[len(colors) // 2]
    return oklab(row[(LEVELS * 255).astype(int)])


@pytest.mark.parametrize("name", HUED)
@pytest.mark.parametrize("footage", FOOTAGE)
def test_hue_and_chroma_of_a_level_are_the_bars_over_any_footage(footage: str, name: str) -> None:
    """At most 0.05 off the bar's own level, and nearer to it than to any other."""
    apart = np.linalg.norm(drawn(footage, name)[:, None, 1:] - bar(name)[None, :, 1:], axis=-1)
    own = np.diag(apart)
    assert own.max() < 0.05
    assert (apart + np.eye(5)).min(axis=1).min() > 0.055
    assert (apart.argmin(axis=1) == np.arange(5)).all()


@pytest.mark.parametrize("name", HUED)
@pytest.mark.parametrize("footage", ["black", "gray", "white", "warm"])
def test_the_hottest_colors_are_the_bars_in_lightness_too(footage: str, name: str) -> None:
    """Yellow over black is yellow: olive, its dark neighbor, is 0.3 away."""
    apart = np.linalg.norm(drawn(footage, name)[3:, None] - bar(name)[None], axis=-1)
    assert apart.argmin(axis=1).tolist() == [3, 4]
    assert apart[1, 4] < 0.12


@pytest.mark.parametrize("name", HUED)
@pytest.mark.parametrize("footage", FOOTAGE)
def test_neighboring_levels_can_be_told_apart_over_any_footage(footage: str, name: str) -> None:
    """Two hundredths in OKLab are just noticeable; at least three times that."""
    assert np.linalg.norm(np.diff(drawn(footage, name), axis=0), axis=1).min() > 0.06


@pytest.mark.parametrize("name", HUED)
@pytest.mark.parametrize("footage", FOOTAGE)
def test_heat_is_rimmed_whatever_it_lies_on(footage: str, name: str) -> None:
    """Inferno's own yellow is a yellow wall's, so what tells them apart is the foot of the heat.

    It needs no line around it, nor another map: over the wall it stands out by 0.38 in OKLab
    (viridis: 0.31, magma: 0.40), and it is darker.
    """
    bare = oklab(FOOTAGE[footage])
    rim = drawn(footage, name, np.linspace(0.05, 0.5, 10))
    contrast = np.linalg.norm(rim - bare, axis=1).max()
    assert contrast > 0.15
    if footage == "warm":
        assert contrast > 0.25
        assert rim[:, 0].min() < bare[0] - 0.2


@pytest.mark.parametrize("light", [30, 128, 220])
@pytest.mark.parametrize("opacity", [0.3, 0.75, 1.0])
def test_the_strongest_heat_leaves_the_picture_its_share_of_contrast(
    light: int, opacity: float
) -> None:
    rng = np.random.default_rng(0)
    y = (light + rng.integers(-12, 13, (64, 64))).astype(np.uint8)
    gray = np.full((32, 32), 128, np.uint8)
    canvas = Canvas(y.copy(), gray.copy(), gray.copy())
    table = tint_tables("inferno", opacity, True)
    Tint((64, 64), (4, 4), table).draw(canvas, np.ones((4, 4), np.float32))
    kept = canvas.y.astype(float).std() / y.astype(float).std()
    assert kept == pytest.approx(1 - opacity, abs=0.03)


@pytest.mark.parametrize("opacity", [0.0, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("hd", [False, True])
def test_light_stays_lighter_than_dark_within_video_range(opacity: float, hd: bool) -> None:
    """What is tinted at any level is no darker than video black, no lighter than its white."""
    table = tint_tables("inferno", opacity, hd)
    black, white = ((table.keep_y.astype(int) * luma + table.add_y) // 256 for luma in (16, 235))
    assert (black >= 15).all()
    assert (white <= 235).all()
    assert (white - black >= (1 - opacity) * 219 - 2).all()


def test_the_bar_is_drawn_over_light_and_over_dark() -> None:
    colors = legend(RenderSettings())
    for row, luma in ((0, 255), (-1, 0)):
        shown = [tinted((luma,) * 3, level) for level in LEVELS]
        found = colors[row, (LEVELS * 255).astype(int)].astype(int)
        assert np.abs(found - shown).max() < 12
    pure = legend(RenderSettings(view="map"))
    assert (pure == pure[:1]).all()


def contour(
    maps: np.ndarray, scale: Any = "video", size: tuple[int, int] = (320, 180)
) -> tuple[Explanation, Painter]:
    source = explanation(
        size=size, frames=48, clip_starts=[0], clip_frames=len(maps), stride=6,
        grid=maps.shape[1:], maps=maps, box=(0.0, 0.0, 1.0, 1.0),
    )  # fmt: skip
    settings = RenderSettings(view="contour", strip="none", scale=scale)
    return source, Painter(source, settings)


def gray(width: int = 320, height: int = 180) -> YuvPlanes:
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    return YuvPlanes(np.full((height, width), 110, np.uint8), chroma, chroma, "bt709")


def inside(field: HeatField, time_s: float) -> str:
    """What is said in words of the map at a time that a clip reaches."""
    level = field.at(time_s)
    assert level is not None
    return field.inside(level, time_s)


def test_lines_hold_the_shares_of_the_evidence_that_the_legend_names() -> None:
    times = np.arange(8) / 5
    maps = blobs(times, times[-1], (14, 14), lambda t: 0.3 + t)
    source, _ = contour(maps)
    field = HeatField(source, "video")
    assert field.ends("contour") == ("evidence inside 75 %", "25 %")
    pictures = np.array([
        Image.fromarray(level).resize((320, 180), Image.Resampling.BICUBIC)
        for level in field.levels
    ])  # fmt: skip
    for line, share in zip(field.lines(0.5), (0.75, 0.5, 0.25), strict=True):
        held = pictures[pictures >= line].sum() / pictures.sum()
        assert held == pytest.approx(share, abs=0.02)


def test_a_picture_above_all_lines_is_framed_in_the_color_of_the_innermost() -> None:
    maps = np.ones((8, 8, 8), np.float32)
    maps[:4] = 0.01
    source, painter = contour(maps)
    before = gray()
    cold, hot = (painter.draw(0, source.clips[0].times_s[i], before) for i in (0, 7))
    np.testing.assert_array_equal(cold.y, before.y)
    assert (hot.y[20:-20, 20:-20] == 110).all()
    luma = rgb_to_yuv(line_colors("inferno"), True)[-1, 0]
    for side in (hot.y[0], hot.y[-1], hot.y[:, 0], hot.y[:, -1]):
        assert np.abs(side.astype(float) - luma).max() < 2


def test_a_map_above_all_lines_is_told_in_words() -> None:
    maps = np.ones((8, 8, 8), np.float32)
    maps[:4] = 0.01
    source, _ = contour(maps, size=(480, 270))
    field = HeatField(source, "video")
    times = source.clips[0].times_s
    assert inside(field, times[0]) == ""
    assert inside(field, times[7]) == "all inside 25 %"
    painter = Painter(source, RenderSettings(view="contour"))
    box = painter.layout.strip.note
    empty, told = (painter.draw(0, times[i], gray(480, 270)).y for i in (0, 7))
    assert np.ptp(empty[box.top : box.bottom, box.left : box.right]) == 0
    assert np.ptp(told[box.top : box.bottom, box.left : box.right]) > 100


def test_lines_of_a_frames_scale_are_found_in_every_frame() -> None:
    """On the video's scale a weak frame lies outside of all lines."""
    spot = np.exp(-((np.arange(8)[:, None] - 4) ** 2 + (np.arange(8) - 4) ** 2) / 3)
    maps = np.stack([spot * strength for strength in [1, 1, 1, 1, 1e-3, 1e-3, 1e-3, 1e-3]])
    before, drawn_at = gray(), {}
    for scale in ("video", "frame"):
        source, painter = contour(maps.astype(np.float32), scale)
        after = painter.draw(0, source.clips[0].times_s[7], before)
        drawn_at[scale] = (after.y != before.y).any()
    assert drawn_at == {"video": False, "frame": True}


def test_a_map_without_evidence_has_no_lines() -> None:
    source, painter = contour(np.zeros((8, 8, 8), np.float32))
    before = gray()
    np.testing.assert_array_equal(painter.draw(0, 0.5, before).y, before.y)
    field = HeatField(source, "video")
    assert inside(field, 0.5) == ""
