"""Event clips: drifting objects, one of which, the actor, performs an event for part of the clip.

The label is the type of the event. A single frame contains little evidence for it, because the
states during an event (large, small, split, inverted, rotated, at any position) also occur as the
resting state of bystanders, only less often. Motion alone does not identify the actor either:
bystanders circle at least as fast as any actor moves, some in the entire clip, some in an interval
that is independent of the event.

Lengths are in units of the standard view's side, times in seconds. A seed determines everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from staa_cli.schema import Bool, UInt8
from staa_cli.synthetic.drawing import render
from staa_cli.synthetic.scenes import (
    EVENTS,
    FRAMES,
    HARD_VARIANTS,
    INTERVAL_S,
    LABELS,
    SETTINGS,
    SIZE_PX,
    STANDARD,
    Scene,
    Setting,
    make_scene,
)

__all__ = [
    "EVENTS",
    "FRAMES",
    "HARD_VARIANTS",
    "INTERVAL_S",
    "LABELS",
    "SETTINGS",
    "SIZE_PX",
    "STANDARD",
    "EventClip",
    "Scene",
    "Setting",
    "clip_seed",
    "event_clip",
    "make_scene",
    "render",
]


@dataclass(frozen=True, slots=True, eq=False)
class EventClip:
    """A rendered clip with its ground truth."""

    frames: UInt8
    """[T, H, W, 3]."""
    mask: Bool
    """[T, H, W] position of the actor in every frame, even while it is invisible in a blink."""
    event: Bool
    """[T] frames of the event."""
    label: int
    seed: int


def clip_seed(split: Literal["train", "development", "test"], seed: int, index: int) -> int:
    """The seed of a clip, unique among all splits, seeds, and indices."""
    code = ("train", "development", "test").index(split)
    return code << 56 | seed << 28 | index


def event_clip(
    seed: int,
    setting: Setting = STANDARD,
    *,
    label: int | None = None,
    frames: int = FRAMES,
    interval_s: float = INTERVAL_S,
    size_px: int = SIZE_PX,
    view: float = 1.0,
) -> EventClip:
    """Make a clip with the sampling of the bundled model.

    Args:
        seed: of the clip.
        setting: difficulty.
        label: index into LABELS; uniformly random if None.
        frames: T.
        interval_s: between frames, in seconds; together they may last as long as a scene does.
        size_px: height and width of the picture.
        view: side of the view in units; the scale in pixels per unit is `size_px / view`.
    """
    scene = make_scene(seed, setting, label=label, width=view, height=view)
    phase = np.random.default_rng([seed, 0xC11B]).uniform(0.0, interval_s)
    times_s = phase + interval_s * np.arange(frames)
    pictures, mask = render(scene, times_s, size_px / view)
    start, end = scene.event
    event = (times_s >= start) & (times_s <= end) & (scene.label > 0)
    return EventClip(pictures, mask, event, scene.label, seed)
