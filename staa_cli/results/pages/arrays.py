"""Arrays of an explanation for the scripts of a page: few bytes, in one compressed block."""

from __future__ import annotations

import zlib
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from staa_cli.config.settings import RenderSettings
from staa_cli.render.color import colormap
from staa_cli.render.heat import Heat, HeatField
from staa_cli.schema import Explanation, Float32, Float64, HeatMaps

SCALES: tuple[str, ...] = get_args(get_type_hints(RenderSettings)["scale"])
UNKNOWN = 65535
"""Score of a frame that no clip covers."""


def packed(arrays: dict[str, NDArray[Any]]) -> tuple[list[tuple[str, str, int]], bytes]:
    """Arrays as (name, type, length), largest types first so that each is aligned, and bytes."""
    order = sorted(arrays.items(), key=lambda item: -item[1].itemsize)
    table = [(name, str(array.dtype), array.size) for name, array in order]
    plain = b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for _, array in order)
    return table, zlib.compress(plain, 9)


def shared_arrays(explanation: Explanation, settings: RenderSettings) -> dict[str, NDArray[Any]]:
    """What all methods have in common: times of frames, which were seen, and colors.

    `frame_us` are the steps [N] from the start of the explained part, and then from frame to frame,
    in microseconds; `colors` is [256, 3] RGB.
    """
    frames = explanation.frames
    return {
        "frame_us": steps_us(frames.times_s, explanation.start_s),
        "seen": frames.seen.astype(np.uint8),
        "colors": colormap(settings.colormap),
    }


def method_arrays(explanation: Explanation, number: int) -> dict[str, NDArray[Any]]:
    """Maps and scores of one method; the names end in its number.

    Scores are shares of 65534 between the curve's lowest and highest.
    """
    return heat_arrays(explanation, explanation.start_s, number) | {
        f"scores_{number}": _quantized(explanation.frames.weighted_score)
    }


def heat_arrays(heat: Heat, start_s: float, number: int) -> dict[str, NDArray[Any]]:
    """Maps on a page whose time starts at `start_s`; the names end in that number.

    A map [h, w] is `maps / 255 * top`; divided by the `ceiling` of a scale, it is the level of
    `render.heat.HeatField`.
    """
    field = HeatField(heat, "frame")
    values = field.levels * field.ceilings[:, None, None].astype(np.float32)
    if not heat.spatial.flat:  # otherwise the levels are even, and never cut
        values = np.maximum(heat.maps.values, 0)
    top = values.max(axis=(1, 2))  # [K]
    divisor = np.where(top > 0, top, 1)[:, None, None]
    arrays: dict[str, NDArray[Any]] = {
        "knot_us": steps_us(heat.maps.times_s, start_s),
        "maps": (values / divisor * 255).round().astype(np.uint8),
        "top": top.astype(np.float32),
    }
    for scale in SCALES:
        arrays[f"ceiling_{scale}"] = HeatField(heat, scale).ceilings.astype(np.float32)
    return {f"{name}_{number}": array for name, array in arrays.items()}


def signed_arrays(maps: HeatMaps, start_s: float, number: int) -> dict[str, NDArray[Any]]:
    """Maps whose zero is the middle level, on one scale for all times, as those of `heat_arrays`.

    The lowest and the highest level are at plus and minus the 99 % quantile of the absolute values
    of the strongest map.
    """
    ceiling = float(np.quantile(np.abs(maps.values), 0.99, axis=(1, 2)).max()) or 1.0
    levels = (maps.values / ceiling).clip(-1, 1) / 2 + 0.5
    ones = np.ones(len(maps.times_s), np.float32)
    arrays: dict[str, NDArray[Any]] = {
        "knot_us": steps_us(maps.times_s, start_s),
        "maps": (levels * 255).round().astype(np.uint8),
        "top": ones,
    }
    arrays |= {f"ceiling_{scale}": ones for scale in SCALES}
    return {f"{name}_{number}": array for name, array in arrays.items()}


def score_range(explanation: Explanation) -> tuple[float, float]:
    """The lowest and the highest known score."""
    known = explanation.frames.weighted_score[explanation.frames.covered]
    return float(known.min()), float(known.max())


def _quantized(scores: Float32) -> NDArray[np.uint16]:
    low, high = np.nanmin(scores), np.nanmax(scores)
    share = (scores - low) / (high - low) if high > low else np.zeros_like(scores)
    return np.where(np.isnan(scores), UNKNOWN, np.round(share * (UNKNOWN - 1))).astype(np.uint16)


def steps_us(times_s: Float64, start_s: float) -> NDArray[np.int32]:
    """Steps from the start, and between times, in microseconds; at most half an hour each."""
    us = np.rint((np.asarray(times_s, np.float64) - start_s) * 1e6)
    return np.diff(us, prepend=0).clip(-(2**31), 2**31 - 1).astype(np.int32)
