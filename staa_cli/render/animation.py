"""Explanation + some frames -> a short GIF around its main moments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from staa_cli.files import atomic_path
from staa_cli.render.curve import axis_s
from staa_cli.render.heat import legend
from staa_cli.render.painter import Painter
from staa_cli.render.storyboard import fitted, painted, shown_size
from staa_cli.render.strip import color_bar
from staa_cli.schema import Explanation, UInt8

if TYPE_CHECKING:
    from staa_cli.config.settings import RenderSettings

_LONGEST_S = 8.0
_STEP_S = 0.1
_LEAP_S = 1.5
_MOMENTS = 3
_FIT = (480, 480)


def gif_indices(explanation: Explanation) -> list[int]:
    """Positions in the video of a GIF's frames: about ten a second, eight seconds at most."""
    part = explanation.part
    wanted = np.concatenate([np.arange(a, b, _STEP_S) for a, b in windows(explanation)])
    after = np.searchsorted(explanation.video.times_s, wanted + 1e-6, side="right") - 1
    return sorted({int(index) for index in after.clip(part.start, part.stop - 1)})


def windows(explanation: Explanation) -> list[tuple[float, float]]:
    """The stretches of time that a GIF shows: all of a short video, else what is highest in it."""
    start_s, end_s = axis_s(explanation)
    if end_s - start_s <= _LONGEST_S:
        return [(start_s, end_s)]
    peaks = sorted(moment.peak_s for moment in explanation.moments[:_MOMENTS])
    if not peaks:
        first, last = explanation.frames.spans()[0]
        peak_s = explanation.temporal.peak_s
        peaks = [(first + last) / 2 if peak_s is None else peak_s]
    half = _LONGEST_S / len(peaks) / 2
    starts = [min(max(peak - half, start_s), end_s - 2 * half) for peak in peaks]
    return [(start, start + 2 * half) for start in starts]


class Animation:
    """A GIF of the annotated frames around the main moments, of at most 480 pixels a side.

    Args:
        explanation: what is shown.
        settings: how the frames are drawn.
    """

    def __init__(self, explanation: Explanation, settings: RenderSettings) -> None:
        view = "heat" if settings.view == "side-by-side" else settings.view
        self._explanation, self._settings = explanation, replace(settings, view=view)
        self._painter: Painter | None = None
        self._pictures: dict[int, Image.Image] = {}

    def add(self, index: int, frame: UInt8) -> None:
        """Draw on one of the frames of `gif_indices`, upright RGB [H, W, 3]; they come rising."""
        width, height = shown_size(self._explanation, frame)
        size = fitted((width, height), (min(width, _FIT[0]), min(height, _FIT[1])))
        if self._painter is None:
            self._painter = Painter(self._explanation, self._settings, size)
        time_s = float(self._explanation.video.times_s[index])
        self._pictures[index] = painted(self._painter, _resized(frame, size), time_s)

    def save(self, path: Path) -> None:
        """Write the GIF.

        Raises:
            OutputError: the file cannot be written.
        """
        import imageio.v3 as iio  # late: only a GIF needs it

        pictures = list(self._pictures.values())
        palette = _palette(pictures, legend(self._settings))
        numbers = (each.quantize(palette=palette, dither=Image.Dither.NONE) for each in pictures)
        # In memory first: closing a file on a full disk, imageio would fail a second time.
        data = iio.imwrite(
            "<bytes>",
            np.stack([np.asarray(each) for each in numbers]),  # [n, H, W], of colors
            extension=".gif",
            plugin="pillow",
            is_batch=True,
            palette=bytes(palette.getpalette() or ()),
            optimize=True,  # of a picture only what has changed
            duration=_shown_ms(self._explanation, list(self._pictures)),
            loop=0,
        )
        with atomic_path(path) as part:
            part.write_bytes(data)


def _palette(pictures: list[Image.Image], colors: UInt8) -> Image.Image:
    """One palette for all pictures, so that nothing flickers, with room for the colors of heat."""
    width, height = pictures[0].size
    chosen = pictures[:: -(-len(pictures) // 8)]
    sheet = Image.new("RGB", (width, height * len(chosen) + height * len(chosen) // 3))
    for place, picture in enumerate(chosen):
        sheet.paste(picture, (0, place * height))
    heat = color_bar(width, sheet.height - height * len(chosen), colors)
    sheet.paste(heat, (0, height * len(chosen)))
    return sheet.quantize(256, method=Image.Quantize.MEDIANCUT)


def _resized(frame: UInt8, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)


def _shown_ms(explanation: Explanation, indices: list[int]) -> list[int]:
    """How long each picture stands: its true time, but 0.3 s before a leap."""
    times = explanation.video.times_s[indices]
    gaps = np.diff(times, append=windows(explanation)[-1][1]).clip(0.02)
    shown = np.cumsum(np.where(gaps < _LEAP_S, gaps, 0.3))
    # A GIF counts hundredths: rounded one by one, they would add up to another length.
    return [int(10 * step) for step in np.diff(np.rint(100 * shown), prepend=0)]
