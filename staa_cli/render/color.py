"""Color maps, and conversion between RGB and the planes of a video frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from staa_cli.errors import UsageError
from staa_cli.registry import did_you_mean
from staa_cli.schema import Float32, UInt8

# 33 equidistant samples of matplotlib's perceptually uniform maps (CC0).
_KNOTS = {
    "inferno": (
        "000004 040312 0b0724 150b37 210c4a 2f0a5b 3d0965 4a0c6b 57106e 64156e 71196e "
        "7d1e6d 8a226a 972766 a32c61 b0315b bc3754 c63d4d d04545 da4e3c e35933 eb6429 "
        "f1711f f67e14 f98c0a fb9b06 fcaa0f fbba1f f9c932 f5d949 f2e865 f3f586 fcffa4"
    ),
    "viridis": (
        "440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d "
        "2f6b8e 2c728e 297a8e 26828e 23898e 21918c 1f978b 1f9f88 21a685 27ad81 31b57b "
        "3dbc74 4cc26c 5cc863 6ece58 81d34d 95d840 aadc32 c0df25 d5e21a eae51a fde725"
    ),
    "magma": (
        "000004 030312 0a0822 130d34 1d1147 29115a 36106b 440f76 51127c 5d177f 6a1c81 "
        "762181 832681 902a81 9c2e7f aa337d b73779 c23b75 cf4070 db476a e55064 ee5b5e "
        "f4695c f9785d fb8761 fd9668 fea571 feb47b fec287 fed194 fde0a1 fceeb0 fcfdbf"
    ),
    "cividis": (
        "00224e 00285b 002e6a 053371 1a386f 273e6e 32436d 3b496c 434e6c 4b546c 535a6d "
        "5a5f6e 61656f 686a71 6f7073 767676 7d7c78 838179 8b8778 928d78 9a9376 a29975 "
        "aaa073 b3a670 bbad6d c3b369 ccba64 d4c15f ddc858 e6d051 efd748 f8df3c fee838"
    ),
}
COLORMAPS = tuple(_KNOTS)
DIFFERENCE = "difference"
"""Dark in the middle; up through red to yellow, down through blue to cyan."""
_WARM = "050100 5a1606 9c2a08 cf4a0d ee7a1a fbab34 ffdc6e"
_COLD = "000206 06305a 0a549e 0f86d8 1fb8f2 4fdcfd a0f3ff"
"""Knots of the difference map; the two sides share no hue."""
_ZERO = np.array([16, 128, 128], np.float32)
"""Y, U, V of black."""


@lru_cache
def colormap(name: str) -> UInt8:
    """The RGB colors [256, 3] of a color map.

    Raises:
        UsageError: an unknown name.
    """
    if name == DIFFERENCE:
        cold, warm = (_table(knots, 128) for knots in (_COLD, _WARM))
        return np.concatenate([cold[::-1], warm])
    if name not in _KNOTS:
        hint = did_you_mean(name, COLORMAPS) or f"available: {', '.join(COLORMAPS)}"
        raise UsageError(f"unknown color map {name!r}", hint)
    table = _table(_KNOTS[name], 256)
    table.flags.writeable = False
    return table


def _table(codes: str, size: int) -> UInt8:
    """[size, 3], interpolated between equidistant hexadecimal RGB colors."""
    knots = np.array([list(bytes.fromhex(code)) for code in codes.split()])  # [n, 3]
    at = np.linspace(0, size - 1, len(knots))
    channels = [np.interp(np.arange(size), at, knots[:, i]) for i in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


@lru_cache
def yuv_matrix(hd: bool) -> Float32:
    """[3, 3] full-range RGB to limited-range Y, U, V around 0: BT.709 if `hd`, else BT.601."""
    red, blue = (0.2126, 0.0722) if hd else (0.299, 0.114)
    luma = np.array([red, 1 - red - blue, blue])
    u = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    v = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    return (np.stack([219 * luma, 224 * u, 224 * v]) / 255).astype(np.float32)


def rgb_to_yuv(rgb: UInt8, hd: bool) -> Float32:
    """RGB [..., 3] to limited-range Y, U, V as float [..., 3]."""
    return np.asarray(rgb.astype(np.float32) @ yuv_matrix(hd).T + _ZERO)


def yuv_to_rgb(yuv: Float32, hd: bool) -> UInt8:
    """Limited-range Y, U, V as float [..., 3] to the nearest RGB [..., 3]."""
    return _bytes((yuv - _ZERO) @ np.linalg.inv(yuv_matrix(hd)).T)


def rgb_to_planes(rgb: UInt8, hd: bool) -> tuple[UInt8, UInt8, UInt8]:
    """RGB [H, W, 3] to planes y [H, W], u and v [H/2, W/2]; odd edges are repeated."""
    height, width = rgb.shape[:2]
    even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    yuv = rgb_to_yuv(even, hd)
    u, v = halve(yuv[..., 1]), halve(yuv[..., 2])
    return _bytes(yuv[..., 0]), _bytes(u), _bytes(v)


def planes_to_rgb(y: UInt8, u: UInt8, v: UInt8, hd: bool) -> UInt8:
    """Planes y [H, W], u and v [H/2, W/2] to RGB [H, W, 3]."""
    chroma = [plane.repeat(2, axis=0).repeat(2, axis=1) for plane in (u, v)]
    return yuv_to_rgb(np.stack([y, *chroma], axis=-1).astype(np.float32), hd)


def halve(plane: Float32) -> Float32:
    """Means of 2 x 2 blocks: [H, W] to [H/2, W/2]."""
    rows = plane[0::2] + plane[1::2]
    return np.asarray((rows[:, 0::2] + rows[:, 1::2]) / 4, dtype=np.float32)


def _bytes(values: Float32) -> UInt8:
    return values.round().clip(0, 255).astype(np.uint8)
