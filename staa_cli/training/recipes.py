"""How the bundled models are trained: views, steps, rates.

Training begins on small views with few objects, where an event is easy to find, and goes on with
the whole view; objects keep their size in pixels, so what the stem has learned stays true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from staa_cli.synthetic.events import FRAMES, LABELS, SIZE_PX, STANDARD, Setting


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one view size."""

    steps: int
    size_px: int
    setting: Setting


@dataclass(frozen=True)
class Recipe:
    """All that the result depends on."""

    stages: tuple[Stage, ...]
    seed: int = 0
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 200
    decay: float = 0.73
    """Part of the steps in which the rate comes down."""
    ema: float = 0.998
    token_loss: float = 1.0
    """Weight of the patch tokens' loss; that of what the head reads has 1."""
    lead: tuple[float, float] = (0.0, 0.0)
    """Parts of the steps until which heads are led, and from which on they are not at all."""
    arch: str = "timesformer_tiny_events"
    model: tuple[tuple[str, Any], ...] = ()
    """Arguments of the architecture, over its defaults."""
    frames: int = FRAMES
    """Of a clip; they are spread over as long as a scene lasts."""
    labels: tuple[str, ...] = LABELS
    """Of the head; settings may have others only if they are among these."""
    uniform: bool = False
    """Whether attention is held uniform: every query weights all keys alike."""

    @property
    def steps(self) -> int:
        """Of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def rate_at(self, step: int) -> float:
        """Learning rate: linear warm-up, constant, and linearly down to zero at the end.

        Constant for so long, so that a run can be made longer without beginning again.
        """
        decay = max(round(self.steps * self.decay), 1)
        return self.learning_rate * min((step + 1) / self.warmup, (self.steps - step) / decay, 1.0)

    def lead_at(self, step: int) -> float:
        """Part of the lead that is there, 1 to 0."""
        whole, gone = (part * self.steps for part in self.lead)
        return min(max((gone - step) / max(gone - whole, 1.0), 0.0), 1.0)


STEPS = {"timesformer_tiny_events": 6000, "videomae_tiny_events": 10000}
SHARES = {
    "timesformer_tiny_events": (0.125, 0.475, 0.25),
    "videomae_tiny_events": (0.075, 0.59, 0.09),
}
"""Of the steps, for the stages before the last; joint attention costs eight times as much at 112
pixels as at 64."""
LEADS = {"timesformer_tiny_events": (0.0, 0.0), "videomae_tiny_events": (0.1, 0.3)}
EASY = replace(STANDARD, name="easy", circling=(0, 1), circling_a_while=(0, 1))
LONG = replace(EASY, name="long", event_share=(0.35, 0.6))


def default_recipe(steps: int | None = None, arch: str = "timesformer_tiny_events") -> Recipe:
    """The recipe from nothing: most of it on small views, which cost less, and long events first.

    Args:
        steps: of all stages together; None for as many as the bundled model had.
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
