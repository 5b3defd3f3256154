"""Twin clips: two actors in one room, each with an event of its own, so two labels are true.

Asked for the one label, an explanation that speaks of a class must point to the one actor, and
asked for the other, to the other. One that does not speak of a class cannot do both.
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
"""Two actors in a room of the usual size leave little place for bystanders."""
ROOMS = ((0.08, 0.08, 0.4, 0.92), (0.6, 0.08, 0.92, 0.92))
"""Where the actors begin: left and right, in units."""


@dataclass(frozen=True, slots=True, eq=False)
class TwinClip:
    """A rendered clip with the ground truth of both events."""

    frames: UInt8
    """[T, H, W, 3]."""
    masks: Bool
    """[2, T, H, W] where each actor is, in every frame."""
    events: Bool
    """[2, T] which frames belong to each event."""
    labels: tuple[int, int]


def twin_clip(seed: int, labels: tuple[int, int], arrangement: Arrangement) -> TwinClip:
    """The twin clip of a seed.

    Args:
        seed: everything follows from it and from the other arguments.
        labels: of the left actor and of the right one, indices of events in LABELS.
        arrangement: ``together`` for events that each lie anywhere in the clip, ``in turn`` for one
            in its first and one in its second half.
    """
    rng = np.random.default_rng([seed, 0x2217])
    duration_s = FRAMES * INTERVAL_S
    scenes = []
    for number, label in enumerate(labels):
        length = rng.uniform(*STANDARD.event_share) * duration_s
        room_s = duration_s / 2 if arrangement == "in turn" else duration_s
        start = rng.uniform(0, room_s - length)
        if arrangement == "in turn":
            start += number * room_s
        scenes.append(
            make_scene(
                seed | (number + 1) << 60,  # above the bits of `clip_seed`: of no other clip
                SPARSE,
                label=label,
                event=(start, start + length),
                region=ROOMS[number],
            )
        )
    phase = rng.uniform(0.0, INTERVAL_S)
    times_s = phase + INTERVAL_S * np.arange(FRAMES)
    frames, masks = render_together(scenes, times_s, SIZE_PX)
    events = [(times_s >= s.event[0]) & (times_s <= s.event[1]) for s in scenes]
    return TwinClip(frames, masks, np.stack(events), labels)
