"""Blending into the planes of a video frame in fixed point, without conversion to RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from staa_cli.render.color import halve, rgb_to_yuv
from staa_cli.schema import Float32, UInt8

UInt16 = NDArray[np.uint16]

BLACK, WHITE, GREY = 16, 235, 128


class Canvas(NamedTuple):
    """Writable planes of one frame: y [H, W], u and v [H/2, W/2]."""

    y: UInt8
    u: UInt8
    v: UInt8

    @classmethod
    def black(cls, width: int, height: int) -> Canvas:
        """A black canvas of an even size."""
        chroma = np.full((2, height // 2, width // 2), GREY, np.uint8)
        return cls(np.full((height, width), BLACK, np.uint8), chroma[0], chroma[1])

    def part(self, left: int, top: int, right: int, bottom: int) -> Canvas:
        """A view of a rectangle with even edges."""
        rows, columns = slice(top // 2, bottom // 2), slice(left // 2, right // 2)
        return Canvas(self.y[top:bottom, left:right], self.u[rows, columns], self.v[rows, columns])


def blend(plane: UInt8, keep: UInt16 | np.uint16, add: UInt16 | np.uint16) -> None:
    """Set `plane` to (plane * keep + add) / 256; `keep` and `add` are [H, W] or numbers."""
    mixed = np.multiply(plane, keep, dtype=np.uint16)
    mixed += add
    mixed >>= 8
    plane[...] = mixed


def fixed(values: Float32) -> UInt16:
    """Convert numbers from 0 to 255 to 8.8 fixed point."""
    return np.asarray(values * 256, dtype=np.float32).round().astype(np.uint16)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A translucent picture, ready to be blended at an even position."""

    left: int
    top: int
    keep_y: UInt16
    add_y: UInt16
    keep_c: UInt16
    add_u: UInt16
    add_v: UInt16

    @classmethod
    def of(cls, image: Image.Image, left: int, top: int, hd: bool) -> Layer:
        """Make a layer from an RGBA image; odd sizes and positions are padded transparently."""
        dx, dy = left % 2, top % 2
        width, height = image.width + dx, image.height + dy
        padded = Image.new("RGBA", (width + width % 2, height + height % 2))
        padded.paste(image, (dx, dy))
        rgba = np.asarray(padded)
        alpha = np.asarray(rgba[..., 3] / np.float32(255), dtype=np.float32)
        yuv = rgb_to_yuv(rgba[..., :3], hd) * alpha[..., None]
        chroma_alpha = halve(alpha)
        return cls(
            left - dx,
            top - dy,
            fixed(1 - alpha),
            fixed(yuv[..., 0]),
            fixed(1 - chroma_alpha),
            fixed(halve(yuv[..., 1])),
            fixed(halve(yuv[..., 2])),
        )

    def over(self, canvas: Canvas) -> None:
        """Blend this layer into a frame."""
        height, width = self.keep_y.shape
        part = canvas.part(self.left, self.top, self.left + width, self.top + height)
        blend(part.y, self.keep_y, self.add_y)
        blend(part.u, self.keep_c, self.add_u)
        blend(part.v, self.keep_c, self.add_v)
