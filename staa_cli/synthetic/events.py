"""Event clips: drifting objects of which exactly one, the actor, does something for a while.

The label is what the actor does. A single frame says little about it, because the states that an
event passes through (large, small, cut in two, inverted, turned, anywhere in the picture) also
occur as the resting state of a bystander; they are only somewhat rarer there. Motion does not give
the actor away either, because bystanders circle at least as fast as any actor moves, some all the
time, some for a stretch that has nothing to do with the event.

Lengths are in units of the standard view's side, times in seconds. Everything follows from a seed.
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
    """[T, H, W] where the actor is, in every frame; during a blink, where it would be."""
    event: Bool
    """[T] which frames belong to the event."""
    label: int
    seed: int


def clip_seed(split: Literal["train", "development", "test"], seed: int, index: int) -> int:
    """The seed of one clip; no two splits, seeds, or indices share one."""
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
    """The clip of a seed, sampled as the bundled model samples video.

    Args:
        seed: which clip.
        setting: how hard it is.
        label: index into LABELS; drawn evenly where None.
        frames: T.
        interval_s: between frames, in seconds; together they may last as long as a scene does.
        size_px: height and width of the picture.
        view: side of the view in units; below 1 the objects are as large in pixels as ever, and
            fewer of them fit.
    """
    scene = make_scene(seed, setting, label=label, width=view, height=view)
    phase = np.random.default_rng([seed, 0xC11B]).uniform(0.0, interval_s)
    times_s = phase + interval_s * np.arange(frames)
    pictures, mask = render(scene, times_s, size_px / view)
    start, end = scene.event
    event = (times_s >= start) & (times_s <= end) & (scene.label > 0)
    return EventClip(pictures, mask, event, scene.label, seed)
