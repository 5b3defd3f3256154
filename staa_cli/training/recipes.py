"""Training recipes of the bundled models: views, steps, learning rates.

Training begins on small views with few objects, where an event is easy to find, and continues with
the whole view; objects keep their size in pixels, so what the stem has learned remains valid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from staa_cli.schema import RandomMasks
from staa_cli.synthetic.events import FRAMES, LABELS, SIZE_PX, STANDARD, Setting


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one view size."""

    steps: int
    size_px: int
    setting: Setting | None
    """Of the generated clips; None if the clips are those of a folder."""

    @property
    def name(self) -> str:
        """Where its clips are from."""
        return self.setting.name if self.setting else "folder"


@dataclass(frozen=True)
class Recipe:
    """All settings that determine the result."""

    stages: tuple[Stage, ...]
    seed: int = 0
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    muon: float = 0.0
    """Learning rate of Muon for the matrices of the blocks, relative to `learning_rate`; 0 trains
    them with AdamW, like everything else."""
    weight_decay: float = 0.05
    warmup: int = 200
    decay: float = 0.73
    """Share of the steps in which the learning rate decreases."""
    restarts: tuple[int, ...] = ()
    """Steps at which the schedule of the learning rate starts anew (SGDR, arXiv 1608.03983). A run
    that ended too early can be extended by one."""
    ema: float = 0.998
    token_loss: float = 1.0
    """Weight of the patch tokens' loss, relative to the clip's loss."""
    lead: tuple[float, float] = (0.0, 0.0)
    """Shares of the steps after which the attention prior starts to decrease, and is zero."""
    arch: str = "timesformer_tiny_events"
    model: tuple[tuple[str, Any], ...] = ()
    """Arguments of the architecture that replace its defaults."""
    frames: int = FRAMES
    """Of a clip; they are spread over the duration of a scene."""
    labels: tuple[str, ...] = LABELS
    """Of the head; the labels of all settings must be among these."""
    start: str = ""
    """A model of the zoo that training starts from, as far as its weights fit."""
    random_masks: RandomMasks | None = None
    """Tokens that are removed at random from half of the clips."""
    uniform: bool = False
    """Whether attention is kept uniform: every query weights all keys equally."""

    @property
    def steps(self) -> int:
        """Of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage of a step."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def rate_at(self, step: int) -> float:
        """Learning rate: linear warm-up, constant, and linear decay to zero at the end.

        Between two restarts, it does so once.
        """
        edges = (0, *self.restarts, self.steps)
        start, end = next(
            pair for pair in pairwise(edges) if step < pair[1] or pair[1] == edges[-1]
        )
        decay = max(round((end - start) * self.decay), 1)
        return self.learning_rate * min((step - start + 1) / self.warmup, (end - step) / decay, 1.0)

    def lead_at(self, step: int) -> float:
        """Strength of the attention prior, from 1 to 0."""
        start, end = (share * self.steps for share in self.lead)
        return min(max((end - step) / max(end - start, 1.0), 0.0), 1.0)


STEPS = {"timesformer_tiny_events": 6000, "videomae_tiny_events": 10000}
SHARES = {
    "timesformer_tiny_events": (0.125, 0.475, 0.25),
    "videomae_tiny_events": (0.075, 0.59, 0.09),
}
"""Shares of the steps for the stages before the last; joint attention costs eight times as much at
112 pixels as at 64."""
LEADS = {"timesformer_tiny_events": (0.0, 0.0), "videomae_tiny_events": (0.1, 0.3)}
EASY = replace(STANDARD, name="easy", circling=(0, 1), circling_a_while=(0, 1))
LONG = replace(EASY, name="long", event_share=(0.35, 0.6))


def default_recipe(steps: int | None = None, arch: str = "timesformer_tiny_events") -> Recipe:
    """The recipe from scratch: mostly on small views, which cost less, and long events first.

    Args:
        steps: of all stages together; None for those of the bundled model.
        arch: a bundled model's architecture.
    """
    steps = STEPS[arch] if steps is None else steps
    long, easy, crowded = (round(steps * share) for share in SHARES[arch])
    last = steps - long - easy - crowded
    return Recipe(
        (
            Stage(long, 64, LONG),
            Stage(easy, 64, EASY),
            Stage(crowded, 80, STANDARD),
            Stage(last, SIZE_PX, STANDARD),
        ),
        lead=LEADS[arch],
        arch=arch,
    )
