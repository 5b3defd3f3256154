"""A color means the same over any footage."""

from __future__ import annotations

import numpy as np
import pytest

from staa_cli.config import RenderSettings
from staa_cli.render.colour import planes_to_rgb, rgb_to_planes
from staa_cli.render.heat import Tint, tint_tables
from staa_cli.render.layer import Canvas

LEVELS = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
FOOTAGE = {
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "warm": (220, 180, 90),
    "orange": (200, 120, 40),
    "green": (70, 120, 50),
    "blue": (90, 140, 200),
    "skin": (200, 150, 120),
}
HUED = ("inferno", "viridis", "magma")
"""Cividis has next to no hue: its levels are told by lightness, as its users ask."""


def oklab(rgb):
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


def tinted(rgb, level, name="inferno"):
    """The color of flat footage where all of it is at one level."""
    canvas = Canvas(*rgb_to_planes(np.full((64, 64, 3), rgb, np.uint8), hd=True))
    table = tint_tables(name, RenderSettings().opacity, hd=True)
    Tint((64, 64), (4, 4), table).draw(canvas, np.full((4, 4), level, np.float32))
    return planes_to_rgb(*canvas, hd=True)[32, 32].astype(int)


def drawn(footage, name="inferno", levels=LEVELS):
    """OKLab [levels, 3] over flat footage."""
    return oklab([tinted(FOOTAGE[footage], level, name) for level in levels])


def bar(name="inferno"):
    """OKLab [5, 3] of the levels as the legend shows them: over a middle grey."""
    return drawn("grey", name)


@pytest.mark.parametrize("name", HUED)
@pytest.mark.parametrize("footage", FOOTAGE)
def test_hue_and_chroma_of_a_level_are_the_bars_over_any_footage(footage, name):
    """At most 0.05 off the bar's own level, and nearer to it than to any other."""
    apart = np.linalg.norm(drawn(footage, name)[:, None, 1:] - bar(name)[None, :, 1:], axis=-1)
    own = np.diag(apart)
    assert own.max() < 0.05
    assert (apart + np.eye(5)).min(axis=1).min() > 0.055
    assert (apart.argmin(axis=1) == np.arange(5)).all()


@pytest.mark.parametrize("name", HUED)
@pytest.mark.parametrize("footage", ["black", "grey", "white", "warm"])
def test_the_hottest_colors_are_the_bars_in_lightness_too(footage, name):
    """Yellow over black is yellow: olive, its dark neighbor, is 0.3 away."""
    apart = np.linalg.norm(drawn(footage, name)[3:, None] - bar(name)[None], axis=-1)
    assert apart.argmin(axis=1).tolist() == [3, 4]
    assert apart[1, 4] < 0.12


@pytest.mark.parametrize("name", HUED)
@pytest.mark.parametrize("footage", FOOTAGE)
def test_neighboring_levels_can_be_told_apart_over_any_footage(footage, name):
    """Two hundredths in OKLab are just noticeable; at least three times that."""
    assert np.linalg.norm(np.diff(drawn(footage, name), axis=0), axis=1).min() > 0.06


@pytest.mark.parametrize("name", HUED)
@pytest.mark.parametrize("footage", FOOTAGE)
def test_heat_is_rimmed_whatever_it_lies_on(footage, name):
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
def test_the_strongest_heat_leaves_the_picture_its_share_of_contrast(light, opacity):
    rng = np.random.default_rng(0)
    y = (light + rng.integers(-12, 13, (64, 64))).astype(np.uint8)
    grey = np.full((32, 32), 128, np.uint8)
    canvas = Canvas(y.copy(), grey.copy(), grey.copy())
    table = tint_tables("inferno", opacity, True)
    Tint((64, 64), (4, 4), table).draw(canvas, np.ones((4, 4), np.float32))
    kept = canvas.y.astype(float).std() / y.astype(float).std()
    assert kept == pytest.approx(1 - opacity, abs=0.03)


@pytest.mark.parametrize("opacity", [0.0, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("hd", [False, True])
def test_light_stays_lighter_than_dark_within_video_range(opacity, hd):
    """What is tinted at any level is no darker than video black, no lighter than its white."""
    table = tint_tables("inferno", opacity, hd)
    black, white = ((table.keep_y.astype(int) * luma + table.add_y) // 256 for luma in (16, 235))
    assert (black >= 15).all()
    assert (white <= 235).all()
    assert (white - black >= (1 - opacity) * 219 - 2).all()
