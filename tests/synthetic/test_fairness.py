"""How much of the label can be told without watching: from one frame, or from the background.

Chance is one of nine, 0.111. Two probes look at the middle frame of the event. One is a small
convolutional network on the pixels, which would find a careless leak. The other is told the state
of every object without error, which no picture can beat: a gap is a little more often an event's
than a bystander's, and a missing object may be blinking. A probe's failure counts only beside the
control, in which the same network with as many pictures must succeed, because there the actor's
color gives the label away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from staa_cli.synthetic.drawing import poses
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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


def scenes(count: int) -> Iterator[Scene]:
    for index in range(count):
        yield make_scene(clip_seed("development", 21, index))


def middle_s(scene: Scene) -> float:
    """The middle of the event, or some time where there is none."""
    rng = np.random.default_rng([scene.seed, 0xF41])
    some = float(rng.uniform(0.2, 0.8)) * FRAMES * INTERVAL_S
    return sum(scene.event) / 2 if scene.label else some


def middle_frame(scene: Scene) -> Tensor:
    """uint8 [3, H, W]."""
    frames, _ = render(scene, np.array([middle_s(scene)]), SIZE_PX)
    return torch.from_numpy(frames[0]).permute(2, 0, 1)


def background(scene: Scene) -> Tensor:
    """uint8 [3, H, W]: the same frame without any object."""
    return middle_frame(replace(scene, things=(), actor=-1))


def dyed(scene: Scene) -> Tensor:
    """uint8 [3, H, W]: the actor hops whatever the label, but wears the label's own color."""
    if scene.label == 0:
        return middle_frame(scene)
    code = [(scene.label - 1) >> bit & 1 for bit in range(3)]
    things = list(scene.things)
    shape = replace(things[scene.actor].shape, colors=np.array([code, code], np.float32))
    things[scene.actor] = replace(things[scene.actor], shape=shape)
    return middle_frame(replace(scene, things=tuple(things), label=LABELS.index("hop")))


def states(scene: Scene) -> Tensor:
    """float [8]: how many objects are in the middle frame, and their extreme sizes and gaps."""
    times, found = np.array([middle_s(scene)], np.float32), []
    for pose in poses(scene, times):
        inside = -0.1 < pose.x[0] < 1.1 and -0.1 < pose.y[0] < 1.1
        if inside and pose.opacity[0] > 0:
            found.append((float(pose.scale[0]), float(pose.gap[0])))
    # Two more, so that there are always two of each.
    sizes, gaps = (sorted(column) for column in zip(*found, (0.1, 0.0), (0.1, 0.0), strict=True))
    split = sum(gap > 0 for gap in gaps)
    row = [len(found), split, *sizes[:2], *sizes[-2:], *gaps[-2:]]
    return torch.tensor(row, dtype=torch.float32)


def network() -> nn.Module:
    layers: list[nn.Module] = []
    for wide, wider in ((3, 24), (24, 48), (48, 72), (72, 96)):
        layers += [nn.Conv2d(wide, wider, 3, stride=2, padding=1), nn.BatchNorm2d(wider), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(96, len(LABELS)))


def perceptron() -> nn.Module:
    hidden = (nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    return nn.Sequential(nn.BatchNorm1d(8), *hidden, nn.Linear(64, len(LABELS)))


def accuracy(
    model: nn.Module, view: Callable[[Scene], Tensor], training: int, held_out: int, epochs: int
) -> float:
    """Of a model trained on views of some scenes, on views of others."""
    drawn = list(scenes(training + held_out))
    inputs = torch.stack([view(scene) for scene in drawn])
    labels = torch.tensor([scene.label for scene in drawn])
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    steps = epochs * -(-training // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(training).split(64):
            loss = F.cross_entropy(model(_scaled(inputs[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.inference_mode():
        parts = [model(_scaled(part)).argmax(dim=1) for part in inputs[training:].split(100)]
    return float((torch.cat(parts) == labels[training:]).float().mean())


def _scaled(inputs: Tensor) -> Tensor:
    return inputs if inputs.is_floating_point() else inputs.float() / 255 - 0.5


def probe(view: Callable[[Scene], Tensor]) -> float:
    return accuracy(network(), view, training=2400, held_out=900, epochs=5)


def test_the_probe_finds_a_leak() -> None:
    assert probe(dyed) > 0.6


def test_the_background_says_nothing() -> None:
    assert probe(background) < 0.111 + 4 * 0.0105  # four standard deviations of 900 guesses


def test_pixels_of_one_frame_say_little() -> None:
    assert probe(middle_frame) < 0.25


def test_one_frame_read_without_error_leaves_most_labels_open() -> None:
    told = accuracy(perceptron(), states, training=6000, held_out=2000, epochs=12)
    assert told > 0.2  # it does read
    assert told < 0.4
