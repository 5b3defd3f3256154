"""Converts decoded frames to upright 8-bit arrays: rotation, color, and odd sizes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from staa_cli.schema import Float32, UInt8, VideoInfo

Matrix = Literal["bt601", "bt709"]
# ITU-T H.273: BT.709, unspecified (which FFmpeg treats as BT.601), and the two codes of BT.601.
_PLAIN = (1, 2, 5, 6)
# RGB, the above, FCC, SMPTE 240M, and BT.2020: the matrices that FFmpeg's scaler supports.
_SUPPORTED = (0, *_PLAIN, 4, 7, 9)
_UNSPECIFIED = 2
_BT2020 = {10: 9}  # constant luminance, approximated by non-constant luminance


@dataclass(frozen=True, slots=True, eq=False)
class YuvPlanes:
    """An upright frame in 8-bit limited-range YUV 4:2:0; H and W are even."""

    y: UInt8
    """[H, W]."""
    u: UInt8
    """[H/2, W/2]."""
    v: UInt8
    """[H/2, W/2]."""
    matrix: Matrix = "bt601"
    """Coefficients of the conversion to RGB."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """Quarter turns counter-clockwise, then a mirror, that make a stored frame upright."""

    turns: int
    mirrored: bool

    @classmethod
    def of_frame(cls, frame: VideoFrame) -> Orientation:
        """Orientation from a decoded frame's display matrix, to the nearest quarter turn."""
        data = _side_data(frame).get(Type.DISPLAYMATRIX)
        return cls.of_matrix(np.frombuffer(data, np.int32).tolist()) if data else cls(0, False)

    @classmethod
    def of_matrix(cls, matrix: list[int]) -> Orientation:
        """Orientation of a nine-number ISO 14496-12 matrix; upright for a degenerate one."""
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        determinant = a * d - b * c
        if determinant == 0:
            return cls(0, False)
        if determinant < 0:
            a, c = -a, -c
        turns = round(float(np.degrees(np.arctan2(c - b, a + d))) / 90) % 4
        return cls(turns, determinant < 0)

    @classmethod
    def of_info(cls, info: VideoInfo) -> Orientation:
        """Return the orientation of a probed video."""
        return cls(info.rotation // 90, info.mirrored)

    def turn(self, picture: UInt8) -> UInt8:
        """A stored frame [h, w, ...] to an upright, contiguous copy [H, W, ...]."""
        upright = np.rot90(picture, self.turns)
        return np.array(upright[:, ::-1] if self.mirrored else upright, order="C")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Map (width, height) before the turn to after it, or the reverse."""
        return (height, width) if self.turns % 2 else (width, height)


class Converter:
    """Converts frames of one video to upright arrays; not thread-safe, as it holds the scaler."""

    def __init__(self, info: VideoInfo) -> None:
        self._orientation = Orientation.of_info(info)
        self._size = self._orientation.size(info.width, info.height)
        self._transfer = info.transfer
        self._scaler = VideoReformatter()

    def rgb(self, frame: VideoFrame) -> UInt8:
        """A decoded frame to upright sRGB uint8 [H, W, 3]."""
        use_supported_matrix(frame)
        return self._orientation.turn(self._stored_rgb(frame))

    def planes(self, frame: VideoFrame) -> YuvPlanes:
        """Return a decoded frame's planes, padded to even sizes by repeating the edge."""
        use_supported_matrix(frame)
        if self._transfer != "sdr":
            frame = VideoFrame.from_ndarray(self._stored_rgb(frame), format="rgb24")
        matrix = kept_matrix(frame)
        stored = self._yuv420p(frame, matrix).planes
        y, u, v = (self._orientation.turn(plane_array(plane)) for plane in stored)
        if y.shape[0] % 2 or y.shape[1] % 2:
            y = np.pad(y, ((0, y.shape[0] % 2), (0, y.shape[1] % 2)), mode="edge")
        return YuvPlanes(y, u, v, "bt709" if matrix in (None, Colorspace.ITU709) else "bt601")

    def _yuv420p(self, frame: VideoFrame, matrix: int | None) -> VideoFrame:
        width, height = self._size
        same_size = (frame.width, frame.height) == self._size and matrix is not None
        if same_size and frame.format.name == "yuv420p" and frame.color_range != ColorRange.JPEG:
            return frame  # FFmpeg 8.0 would damage an odd size
        return self._scaler.reformat(
            frame,
            width,
            height,
            "yuv420p",
            dst_colorspace=Colorspace.ITU709 if matrix is None else None,
            dst_color_range=ColorRange.MPEG,
        )

    def _stored_rgb(self, frame: VideoFrame) -> UInt8:
        width, height = self._size
        if self._transfer == "sdr":
            return _array(self._scaler.reformat(frame, width, height, "rgb24"))
        rgb48 = _array(self._scaler.reformat(frame, width, height, "rgb48le"))
        return _tone_mapped(rgb48, self._transfer)


def has_unknown_color(frame: VideoFrame) -> bool:
    """Whether a frame is tagged with an unsupported color matrix."""
    return frame.colorspace not in _SUPPORTED


def use_supported_matrix(frame: VideoFrame) -> None:
    """Replace the tag of an unsupported matrix by the nearest one, or by "unspecified"."""
    if has_unknown_color(frame):
        frame.colorspace = _BT2020.get(frame.colorspace, _UNSPECIFIED)


def _side_data(frame: VideoFrame) -> Any:
    """A frame's side data by type; types unknown to PyAV are named by their number."""
    try:
        return frame.side_data
    except ValueError:
        # FFmpeg has newer types (29: a view of spatial video, 31: EXIF), and PyAV fails on one of
        # them for all side data. This patches PyAV's enum once for the process.
        cast(Any, Type)._missing_ = classmethod(_unknown_type)
        return frame.side_data


def _unknown_type(enum: Any, number: int) -> Any:
    member = object.__new__(enum)
    member._name_, member._value_ = f"UNKNOWN_{number}", number
    return member


def plane_array(plane: VideoPlane) -> UInt8:
    """A view [h, w] of the memory of a plane of 8-bit samples."""
    rows: UInt8 = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _array(frame: VideoFrame) -> NDArray[Any]:
    return frame.to_ndarray()


def frame_of(planes: YuvPlanes) -> VideoFrame:
    """Return a frame with a copy of the planes."""
    height, width = planes.y.shape
    frame = VideoFrame(width, height, "yuv420p")
    for plane, values in zip(frame.planes, (planes.y, planes.u, planes.v), strict=True):
        plane_array(plane)[:] = values
    return frame


def kept_matrix(frame: VideoFrame) -> int | None:
    """The color matrix to keep for a frame's planes; None if they are converted to BT.709."""
    if frame.format.is_rgb or frame.format.name.startswith(("gray", "mono", "pal")):
        return None
    return frame.colorspace if frame.colorspace in _PLAIN else None


# HDR. FFmpeg's scaler supports tone mapping only in some versions, and takes seconds for it.
_WHITE = 203.0  # nits of diffuse white, ITU-R BT.2408
_PEAK = 1000.0  # nits of the display that HLG is graded on, ITU-R BT.2100
_BT2020_TO_709 = np.array(  # ITU-R BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_STEPS = 4096
_BRIGHTEST = 10_000 / _WHITE


def _tone_mapped(rgb48: NDArray[np.uint16], transfer: str) -> UInt8:
    """BT.2020 uint16 [h, w, 3] in PQ or HLG to sRGB uint8 [h, w, 3]."""
    light = _linear(transfer)[rgb48 >> 6] @ _BT2020_TO_709.T
    if transfer == "hlg":  # the display's gamma, on luminance: BT.2100
        luminance = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
        light *= (np.maximum(luminance, 0) ** 0.2)[..., None] * (_PEAK / _WHITE)
    codes = np.cbrt(np.clip(light / _BRIGHTEST, 0, 1)) * (_STEPS - 1)
    srgb: UInt8 = _srgb_codes()[codes.astype(np.uint16)]
    return srgb


@cache
def _linear(transfer: str) -> Float32:
    """[1024] light of a 10-bit code: relative to diffuse white for PQ, scene light for HLG."""
    e = np.arange(1024) / 1023
    if transfer == "pq":  # SMPTE ST 2084
        q = e ** (32 / 2523)
        nits = 1e4 * (np.maximum(q - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * q)) ** (
            8192 / 1305
        )
        return (nits / _WHITE).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # ARIB STD-B67
    return np.where(e <= 0.5, e * e / 3, (np.exp((e - c) / a) + b) / 12).astype(np.float32)


@cache
def _srgb_codes() -> UInt8:
    """[steps] sRGB of light on a cubic scale: linear below the knee, compressed above it."""
    light = (np.arange(_STEPS) / (_STEPS - 1)) ** 3 * _BRIGHTEST
    knee = 0.3
    over = np.maximum(light - knee, 0) / (1 - knee)
    light = np.minimum(light, knee) + (1 - knee) * over / (1 + over)
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * code).astype(np.uint8)
