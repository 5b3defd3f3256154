"""What asking about perturbed copies costs: ``python tests/perf/removal_cost.py [--model NAME]``.

Beside plain forward passes, one after the other, and beside Captum called with the same samples.
Ratios of medians of interleaved rounds in one process. Prints a Markdown table; ``--json`` prints
every number.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

from measure import Row, interleaved, show

STEPS, LIMIT, CAPTUM_LIMIT = 50, 1.2, 1.0
CURVES_LIMIT = 1.1


def jobs_of(name: str) -> dict[str, Callable[[], object]]:
    """Everything that is timed, by name."""
    import captum.attr
    import torch

    from staa_cli.benchmark.cost import noise
    from staa_cli.evaluation.base import perturbation_curves
    from staa_cli.methods import Options, get_method
    from staa_cli.methods.perturbation.base import (
        PerturbedClip,
        feature_mask,
        over_pixels,
        perturbations_per_pass,
        replacement_for,
    )
    from staa_cli.methods.perturbation.occlusion import CELLS as PLACES
    from staa_cli.methods.perturbation.surrogates import CELLS, SAMPLES
    from staa_cli.methods.run import explain_batch
    from staa_cli.models.load import load_model

    model = load_model(name, device="cpu")
    clip, grid = noise(model), model.layout.grid
    filling = replacement_for(clip, "blur", model.input)
    values = torch.rand(grid, generator=torch.Generator().manual_seed(1)).numpy()

    def copies() -> PerturbedClip:
        return PerturbedClip(model.module, clip[0], filling[0], grid, target=1)

    # As many as are fastest if a pass has all threads; ours have fewer copies, and one thread each.
    at_once = 2 * perturbations_per_pass(grid, clip.device)

    @torch.inference_mode()
    def plain(count: int) -> None:
        many = clip.expand(at_once, *clip.shape[1:]).contiguous()
        for start in range(0, count, at_once):
            model.module(many[: min(at_once, count - start)])

    @torch.inference_mode()
    def ask(clips: Any) -> Any:
        return model.module(clips).softmax(dim=1)[:, 1]

    def run(method: str) -> object:
        chosen = get_method(method)
        return explain_batch(
            model.module, model.layout, clip, chosen, Options(), target=1, given=model.input
        )

    def captum_shap() -> object:
        mask = over_pixels(feature_mask(grid, CELLS)[None].float(), clip[0]).long()
        return captum.attr.KernelShap(ask).attribute(
            clip,
            baselines=filling,
            feature_mask=mask,
            n_samples=SAMPLES,
            perturbations_per_eval=at_once,
            return_input_shape=False,
        )

    def captum_occlusion() -> object:
        sides = [length // cells for length, cells in zip(clip.shape[3:], grid[1:], strict=True)]
        feature = [side * -(-cells // PLACES) for side, cells in zip(sides, grid[1:], strict=True)]
        window = (clip.shape[1] // grid[0], 3, *feature)
        return captum.attr.Occlusion(ask).attribute(
            clip,
            sliding_window_shapes=window,
            strides=window,
            baselines=filling,
            perturbations_per_eval=at_once,
        )

    return {
        "100 passes": lambda: plain(100),
        "256 passes": lambda: plain(256),
        "deletion and insertion": lambda: perturbation_curves(copies(), values, STEPS),
        "frame-shapley": lambda: run("frame-shapley"),
        "kernel-shap": lambda: run("kernel-shap"),
        "Captum's KernelShap": captum_shap,
        "occlusion": lambda: run("occlusion"),
        "Captum's Occlusion": captum_occlusion,
    }


PAIRS = (
    ("deletion and insertion", "100 passes", CURVES_LIMIT),
    ("frame-shapley", "256 passes", LIMIT),
    ("kernel-shap", "Captum's KernelShap", CAPTUM_LIMIT),
    ("occlusion", "Captum's Occlusion", CAPTUM_LIMIT),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny-events")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    times = interleaved(jobs_of(given.model), given.rounds)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    rows: list[Row] = [
        {
            "what": f"{ours} / {theirs}, wall, {given.model}",
            "ratio": medians[ours] / medians[theirs],
            "limit": limit,
            "n": given.rounds,
            "seconds": {name: times[name] for name in (ours, theirs)},
        }
        for ours, theirs, limit in PAIRS
    ]
    show(rows, given.json)


if __name__ == "__main__":
    main()
