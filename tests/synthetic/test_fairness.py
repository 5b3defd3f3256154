"""What can be told without watching: a probe that sees one frame, or no object, must fail.

The probe is a small convolutional network, trained for some seconds on pictures that it has not
seen before. Its accuracy counts only beside controls: the same probe, with the same number of
pictures, must succeed where the label is given away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from staa_cli.synthetic.events import (
    FRAMES,
    INTERVAL_S,
    LABELS,
    SIZE_PX,
    Scene,
    clip_seed,
    make_scene,
    render,
)

TRAINING, HELD_OUT = 3000, 900
EPOCHS = 8
LIMIT = 0.2
"""Chance is 1/9 = 0.111; held-out pictures leave a standard deviation of 0.0105."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


def middle(scene: Scene) -> Tensor:
    """uint8 [3, H, W]: the middle frame of the event, or some frame where there is none."""
    start, end = scene.event
    rng = np.random.default_rng([scene.seed, 0xF41])
    time_s = (start + end) / 2 if scene.label else rng.uniform(0.2, 0.8) * FRAMES * INTERVAL_S
    frames, _ = render(scene, np.array([time_s]), SIZE_PX)
    return torch.from_numpy(frames[0]).permute(2, 0, 1)


def background(scene: Scene) -> Tensor:
    """uint8 [3, H, W]: the same without any object."""
    return middle(replace(scene, things=(), actor=-1))


def dyed(scene: Scene) -> Tensor:
    """uint8 [3, H, W]: the actor's colour depends on the label, and there are no bystanders."""
    if scene.label == 0:
        return background(scene)
    actor = scene.things[scene.actor]
    code = [scene.label >> bit & 1 for bit in range(3)]
    colours = np.array([code, code], np.float32)
    thing = replace(actor, shape=replace(actor.shape, colours=colours))
    return middle(replace(scene, things=(thing,), actor=0, label=LABELS.index("hop")))
