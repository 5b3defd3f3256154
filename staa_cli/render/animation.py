"""Draw a short GIF of an explanation around its main moments."""

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
_JUMP_S = 1.5
_MOMENTS = 3
_FIT = (480, 480)


def gif_indices(explanation: Explanation) -> list[int]:
    """Positions in the video of a GIF's frames: about ten per second, at most eight seconds."""
    part = explanation.part
    sample_s = np.concatenate([np.arange(a, b, _STEP_S) for a, b in windows(explanation)])
    indices = np.searchsorted(explanation.video.times_s, sample_s + 1e-6, side="right") - 1
    return sorted({int(index) for index in indices.clip(part.start, part.stop - 1)})


def windows(explanation: Explanation) -> list[tuple[float, float]]:
    """The time spans of a GIF: all of a short video, else its highest moments."""
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
        explanation: of the video.
        settings: how frames are drawn.
    """

    def __init__(self, explanation: Explanation, settings: RenderSettings) -> None:
        view = "heat" if settings.view == "side-by-side" else settings.view
        self._explanation, self._settings = explanation, replace(settings, view=view)
        self._painter: Painter | None = None
        self._pictures: dict[int, Image.Image] = {}

    def add(self, index: int, frame: UInt8) -> None:
        """Draw on a frame of `gif_indices`, upright RGB [H, W, 3]; call in ascending order."""
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
        import imageio.v3 as iio  # deferred: only a GIF needs it

        pictures = list(self._pictures.values())
        palette = _palette(pictures, legend(self._settings))
        quantized = (
            picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures
        )
        # In memory first: on a full disk, imageio would fail again when it closes the file.
        data = iio.imwrite(
            "<bytes>",
            np.stack([np.asarray(picture) for picture in quantized]),  # [n, H, W] palette indices
            extension=".gif",
            plugin="pillow",
            is_batch=True,
            palette=bytes(palette.getpalette() or ()),
            optimize=True,  # store only the changed part of each picture
            duration=_durations_ms(self._explanation, list(self._pictures)),
            loop=0,
        )
        with atomic_path(path) as part:
            part.write_bytes(data)


def _palette(pictures: list[Image.Image], colors: UInt8) -> Image.Image:
    """One palette for all pictures, to avoid flicker, including the colors of the heat map."""
    width, height = pictures[0].size
    samples = pictures[:: -(-len(pictures) // 8)]
    sheet = Image.new("RGB", (width, height * len(samples) + height * len(samples) // 3))
    for row, picture in enumerate(samples):
        sheet.paste(picture, (0, row * height))
    heat = color_bar(width, sheet.height - height * len(samples), colors)
    sheet.paste(heat, (0, height * len(samples)))
    return sheet.quantize(256, method=Image.Quantize.MEDIANCUT)


def _resized(frame: UInt8, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)


def _durations_ms(explanation: Explanation, indices: list[int]) -> list[int]:
    """Duration of each picture in ms: its true one, but 0.3 s before a jump."""
    times = explanation.video.times_s[indices]
    gaps = np.diff(times, append=windows(explanation)[-1][1]).clip(0.02)
    ends_s = np.cumsum(np.where(gaps < _JUMP_S, gaps, 0.3))
    # A GIF counts hundredths of a second; rounding the sum avoids accumulated errors.
    return [int(10 * step) for step in np.diff(np.rint(100 * ends_s), prepend=0)]
