"""Thresholding and focusing, on a copy: the raw attribution is unchanged.

The paper claims that "dynamic thresholding" and "attention focusing" raise the signal-to-noise
ratio, and gives no formula for the latter. These are ours: deterministic, over all values of a clip
at once, with every parameter in the settings.
"""

from __future__ import annotations

import numpy as np

from staa_cli.errors import UsageError
from staa_cli.schema import Float32

BINS = 256


def postprocess(
    values: Float32,
    *,
    threshold: str = "none",
    threshold_value: float | None = None,
    focus_sigma: float = 0.0,
    focus_gamma: float = 1.0,
) -> Float32:
    """Return a focused and thresholded copy of an attribution [T', h, w].

    Args:
        values: raw.
        threshold: ``none``, ``otsu``, ``percentile``, or ``mean_std``; values of lower magnitude
            are set to zero.
        threshold_value: the percentile (80 by default), or the number of standard deviations above
            the mean (1 by default).
        focus_sigma: standard deviation of the space-time Gaussian that smooths first, in tokens.
        focus_gamma: exponent of the sharpening that follows; it keeps the sum of magnitudes.

    Returns:
        float32, always a copy. Smoothing and sharpening come first, so that the threshold applies
        to the values that are drawn.

    Raises:
        UsageError: an invalid parameter.
    """
    out = smooth(values, focus_sigma) if focus_sigma > 0 else values.copy()
    if focus_gamma != 1.0:
        out = sharpen(out, focus_gamma)
    if threshold != "none":
        magnitude = np.abs(out)
        level = find_level(magnitude, threshold, threshold_value)
        out = np.where(magnitude >= level, out, np.float32(0))
    return out


def smooth(values: Float32, sigma: float) -> Float32:
    """Gaussian smoothing over time, height, and width, sigma in tokens; edges are mirrored."""
    radius = max(1, round(3 * sigma))
    with np.errstate(over="ignore"):  # so narrow that only the center is nonzero
        kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    out = values
    for axis in range(3):
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(out, padding, mode="symmetric"), len(kernel), axis=axis
        )
        out = (windows @ kernel).astype(np.float32)
    return out


def sharpen(values: Float32, gamma: float) -> Float32:
    """Magnitudes to the power of gamma, rescaled to their original sum; signs are kept."""
    magnitude = np.abs(values, dtype=np.float64)
    total = magnitude.sum()
    if total <= 0:
        return values.copy()
    powered = (magnitude / magnitude.max()) ** gamma
    return np.asarray(np.sign(values) * powered * (total / powered.sum()), np.float32)


def find_level(values: Float32, rule: str, parameter: float | None = None) -> float:
    """The level below which a clip's values [T', h, w] count as noise.

    Raises:
        UsageError: an unknown rule, or a percentile outside 0 to 100.
    """
    if rule == "otsu":
        return otsu_level(values)
    if rule == "percentile":
        q = 80.0 if parameter is None else parameter
        if not 0 <= q <= 100:
            raise UsageError(f"invalid percentile {q:g}", "give a percentile between 0 and 100")
        return float(np.percentile(values, q))
    if rule == "mean_std":
        k = 1.0 if parameter is None else parameter
        return float(values.mean(dtype=np.float64) + k * values.std(dtype=np.float64))
    raise UsageError(f"unknown threshold {rule!r}", "available: none, otsu, percentile, mean_std")


def otsu_level(values: Float32) -> float:
    """The level that splits the values into the two groups of least variance within (Otsu 1979)."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return low
    counts, edges = np.histogram(values, bins=BINS, range=(low, high))
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * centers)
    mean_below = sums[:-1] / np.maximum(below, 1)
    mean_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = below * above * (mean_below - mean_above) ** 2.0
    return float(edges[1 + int(np.argmax(between))])
