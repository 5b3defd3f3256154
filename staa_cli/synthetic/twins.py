"""Twin clips: two actors with different events in one clip, so that two labels are correct.

A class-specific explanation must point to the actor of the explained label. A class-blind one is
the same for both labels and cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from staa_cli.schema import Bool, UInt8
from staa_cli.synthetic.drawing import render_together
from staa_cli.synthetic.scenes import FRAMES, INTERVAL_S, SIZE_PX, STANDARD, make_scene

Arrangement = Literal["together", "in turn"]

SPARSE = replace(STANDARD, resting=(0, 0), circling=(0, 0), circling_a_while=(0, 1))
"""Fewer bystanders, because two actors take most of the view."""
REGIONS = ((0.08, 0.08, 0.4, 0.92), (0.6, 0.08, 0.92, 0.92))
"""Regions of the initial centers of the left and the right actor, in sides of the view."""


@dataclass(frozen=True, slots=True, eq=False)
class TwinClip:
    """A rendered clip with the ground truth of both events."""

    frames: UInt8
    """[T, H, W, 3]."""
    masks: Bool
    """[2, T, H, W] position of each actor in every frame."""
    events: Bool
    """[2, T] frames of each event."""
    labels: tuple[int, int]


def twin_clip(
    seed: int,
    labels: tuple[int, int],
    arrangement: Arrangement,
    *,
    frames: int = FRAMES,
    interval_s: float = INTERVAL_S,
    size_px: int = SIZE_PX,
    view: float = 1.0,
) -> TwinClip:
    """Make a twin clip.

    Args:
        seed: determines the clip, together with the other arguments.
        labels: of the left and the right actor, indices of events in LABELS.
        arrangement: ``together`` for events at independent times, ``in turn`` for one event in each
            half of the clip.
        frames: T.
        interval_s: between frames, in seconds; together they last as long as a scene does.
        size_px: height and width of the picture.
        view: side of the view in units.
    """
    rng = np.random.default_rng([seed, 0x2217])
    duration_s = frames * interval_s
    scenes = []
    for number, label in enumerate(labels):
        length = rng.uniform(*STANDARD.event_share) * duration_s
        period_s = duration_s / 2 if arrangement == "in turn" else duration_s
        start = rng.uniform(0, period_s - length)
        if arrangement == "in turn":
            start += number * period_s
        scenes.append(
            make_scene(
                seed | (number + 1) << 60,  # bits that `clip_seed` does not use
                SPARSE,
                label=label,
                event=(start, start + length),
                width=view,
                height=view,
                region=tuple(edge * view for edge in REGIONS[number]),  # type: ignore[arg-type]
            )
        )
    phase = rng.uniform(0.0, interval_s)
    times_s = phase + interval_s * np.arange(frames)
    pictures, masks = render_together(scenes, times_s, size_px / view)
    events = [(times_s >= s.event[0]) & (times_s <= s.event[1]) for s in scenes]
    return TwinClip(pictures, masks, np.stack(events), labels)
