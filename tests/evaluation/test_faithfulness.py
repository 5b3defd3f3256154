"""Faithfulness metrics on a model whose answer is a known function of what it sees."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from staa_cli.evaluation.base import METRICS, STEPS, Trial, perturbation_curves
from staa_cli.evaluation.measure import chosen
from staa_cli.methods.perturbation.base import PerturbedClip, over_tokens, replacement_for
from staa_cli.schema import Prediction, RandomMasks
from staa_cli.statistics import kendall_tau

GRID = (2, 3, 5)
TOKENS = 30


class Known(nn.Module):
    """Probability of class 1 as a function of which tokens of a white clip are there."""

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Tensor:
        there = over_tokens(x[:, :, 0], GRID) / (1 * 2 * 2)  # [M, T', h, w]
        p = self.answer(there).clamp(1e-9, 1 - 1e-9)
        return torch.stack([torch.log1p(-p), torch.log(p)], dim=1)


def trial(values: np.ndarray, answer: Callable[[Tensor], Tensor]) -> Trial:
    clip = torch.ones(2, 3, 6, 10)
    perturbed = PerturbedClip(Known(answer), clip, torch.zeros_like(clip), GRID, target=1)
    return Trial(values.astype(np.float32), perturbed)


def score(name: str, values: np.ndarray, answer: Callable[[Tensor], Tensor]) -> float:
    return METRICS.get(name).score(trial(values, answer))


def total(weights: np.ndarray) -> Callable[[Tensor], Tensor]:
    """A model to whose probability every token adds its weight."""
    tensor = torch.from_numpy(weights).float()
    return lambda there: (there * tensor).sum(dim=(1, 2, 3))


def falling() -> np.ndarray:
    """Weights 30, 29, ..., 1 over their sum, in a mixed-up order."""
    order = np.random.default_rng(0).permutation(TOKENS)
    return ((1 + order) / (1 + order).sum()).reshape(GRID)


def test_curves_of_an_additive_model_are_sums_of_its_sorted_weights() -> None:
    weights = falling()
    found = trial(weights, total(weights)).curves
    gone = np.concatenate([[0], np.cumsum(np.sort(weights.ravel())[::-1])])
    np.testing.assert_allclose(found.deletion, 1 - gone, atol=1e-5)
    np.testing.assert_allclose(found.insertion, gone, atol=1e-5)
    np.testing.assert_allclose(found.mean_value, np.sort(weights.ravel())[::-1], atol=1e-7)
    assert len(found.deletion) == TOKENS + 1  # there are fewer tokens than steps


def test_all_curves_of_a_clip_begin_and_end_with_the_same_two_copies() -> None:
    weights = falling()
    perturbed = trial(weights, total(weights)).perturbed
    for values in (weights, -weights):
        found = perturbation_curves(perturbed, values, 5)
        assert found.deletion[0] == found.insertion[-1] == pytest.approx(1)
        assert found.deletion[-1] == found.insertion[0] == pytest.approx(0, abs=1e-6)
    assert perturbed.asked == 2 + 2 * 2 * 4
    one_step = perturbation_curves(perturbed, weights, 1)
    assert perturbed.asked == 2 + 2 * 2 * 4
    assert one_step.deletion == pytest.approx([1, 0], abs=1e-6)


def test_areas_by_hand() -> None:
    """One token is everything: gone at the first step, there at the first step."""
    spot = np.zeros(GRID)
    spot[1, 2, 3] = 1.0
    one_step = 0.5 / TOKENS
    assert score("deletion", spot, total(spot)) == pytest.approx(one_step, abs=1e-6)
    assert score("insertion", spot, total(spot)) == pytest.approx(1 - one_step, abs=1e-6)
    assert score("srg", spot, total(spot)) == pytest.approx(1 - 2 * one_step, abs=1e-6)
    assert score("srg", -spot, total(spot)) < -0.9
    assert score("polarity_violations", spot, total(spot)) == 0
    assert score("polarity_violations", spot, lambda t: 1 - total(spot)(t)) == 1


class OneToken(nn.Module):
    """Probability of class 1: a half, and a tenth of what the one token shows."""

    def forward(self, x: Tensor) -> Tensor:
        p = 0.5 + 0.1 * over_tokens(x[:, :, 0], GRID)[:, 1, 2, 3] / (1 * 2 * 2)
        return torch.stack([torch.log1p(-p), torch.log(p)], dim=1)


def test_gains_under_replacements_are_what_the_token_loses_by_each_of_them() -> None:
    """It goes, or comes, as a whole at the first of 30 steps."""
    spot = np.zeros(GRID, np.float32)
    spot[1, 2, 3] = 1.0
    clip = torch.rand(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    clip[1, :, 4:6, 6:8] += 3.0
    black = torch.zeros_like(clip)
    found = Trial(spot, PerturbedClip(OneToken(), clip, black, GRID, target=1, seed=3))
    gains = {}
    for name in ("blur", "mean", "noise"):
        there = replacement_for(clip[None], name, seeds=[3])
        whole, gone = OneToken()(torch.cat([clip[None], there])).softmax(dim=1)[:, 1].tolist()
        gains[name] = METRICS.get(f"srg_{name}").score(found)
        assert gains[name] == pytest.approx((whole - gone) * (1 - 1 / TOKENS), abs=1e-5)
    assert len({round(gain, 4) for gain in gains.values()}) == 3
    lost = 0.1 * float(clip[1, 0, 4:6, 6:8].mean())
    assert METRICS.get("srg").score(found) == pytest.approx(lost * (1 - 1 / TOKENS), abs=1e-5)


def test_what_several_metrics_read_is_asked_once() -> None:
    asked: list[int] = []
    clip = torch.rand(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    blurred = replacement_for(clip[None], "blur")[0]
    perturbed = PerturbedClip(OneToken(), clip, blurred, GRID, 1, on_perturbed=asked.append)
    found = Trial(np.random.default_rng(0).random(GRID, np.float32), perturbed)
    for name in ("deletion", "insertion", "srg", "srg_blur", "monotonicity"):
        METRICS.get(name).score(found)
    assert sum(asked) == 2 * TOKENS  # the curves share both ends
    METRICS.get("srg_mean").score(found)
    assert sum(asked) == 4 * TOKENS


class Value(nn.Module):
    """One raw output: a constant, and a weight for each token of a white clip that is there."""

    def __init__(self, weights: np.ndarray, constant: float) -> None:
        super().__init__()
        self.weights, self.constant = torch.from_numpy(weights).float(), constant

    def forward(self, x: Tensor) -> Tensor:
        there = over_tokens(x[:, :, 0], GRID) / (1 * 2 * 2)  # [M, T', h, w]
        return self.constant + (there * self.weights).sum(dim=(1, 2, 3))[:, None]


def value_trial(weights: np.ndarray, constant: float) -> Trial:
    clip = torch.ones(2, 3, 6, 10)
    model = Value(weights, constant)
    perturbed = PerturbedClip(
        model, clip, torch.zeros_like(clip), GRID, target=0, output="identity"
    )
    return Trial(weights.astype(np.float32), perturbed)


def test_areas_of_a_raw_value_are_in_its_units() -> None:
    """From -4 without anything to 2 with all: one token adds 9, the next one takes 3 away."""
    weights = np.zeros(GRID)
    weights[0, 1, 2], weights[1, 0, 0] = 9.0, -3.0
    found = value_trial(weights, -4.0)
    half = 0.5 / TOKENS
    assert found.curves.deletion[[0, 1, -2, -1]].tolist() == pytest.approx([2, -7, -7, -4])
    assert found.curves.insertion[[0, 1, -2, -1]].tolist() == pytest.approx([-4, 5, 5, 2])
    # A trapezoid a step: the first and the last lie half-way between two levels.
    wanted = {
        "deletion": -7 + (2 + 7) * half + (-4 + 7) * half,
        "insertion": 5 + (-4 - 5) * half + (2 - 5) * half,
    }
    for name, area in wanted.items():
        assert METRICS.get(name).score(found) == pytest.approx(area, abs=1e-5)
    gap = wanted["insertion"] - wanted["deletion"]
    assert METRICS.get("srg").score(found) == pytest.approx(gap, abs=1e-5)
    moved = value_trial(weights, 96.0)  # another zero
    assert METRICS.get("deletion").score(moved) == pytest.approx(wanted["deletion"] + 100, abs=1e-4)
    assert METRICS.get("srg").score(moved) == pytest.approx(gap, abs=1e-4)
    assert METRICS.get("correlation").score(found) == pytest.approx(1, abs=1e-4)


def test_what_a_raw_value_or_a_single_output_does_not_have_is_not_scored() -> None:
    found = replace(value_trial(falling(), 0.0), again=lambda **_: falling().astype(np.float32))
    assert np.isnan(METRICS.get("published_faithfulness").score(found))
    assert np.isnan(METRICS.get("class_sensitivity").score(found))


@pytest.mark.parametrize(
    ("output", "scores", "wanted"),
    [
        ("softmax", [0.1, 0.9, 0.5, 0.4, 0.8, 0.7], [1, 2, 4, 5]),
        ("sigmoid", [0.1, 0.3, 0.2, 0.1], [1, 2]),
        ("identity", [-9.0, -2.0, -3.0, -5.0, -4.0, -8.0], [1, 2, 3, 4]),
        ("identity", [1.0, 30.0], [0, 1]),
    ],
)
def test_checked_are_the_clips_of_the_highest_scores(
    output: Any, scores: list[float], wanted: list[int]
) -> None:
    told = [Prediction(np.array([s], np.float32), 0, "top-1", ("a",), output) for s in scores]
    assert chosen(told) == wanted


def test_an_order_that_says_nothing_has_no_relevance_gain() -> None:
    found = [
        score("srg", np.random.default_rng(n).random(GRID), total(falling())) for n in range(200)
    ]
    assert abs(np.mean(found)) < 0.02


def test_frames_come_and_go_as_wholes() -> None:
    weights = np.zeros(GRID)
    weights[1] = 1 / 15
    early = np.zeros(GRID)
    early[0, 0, 0] = 1.0  # the first frame has the highest score
    assert score("frame_insertion", weights, total(weights)) == pytest.approx(0.75, abs=1e-6)
    assert score("frame_deletion", weights, total(weights)) == pytest.approx(0.25, abs=1e-6)
    assert score("frame_insertion", early, total(weights)) == pytest.approx(0.25, abs=1e-6)


def test_steps_move_equal_parts_in_order() -> None:
    values = np.random.default_rng(0).random((4, 10, 10)).astype(np.float32)
    kept: list[Tensor] = []

    class Keeping:
        seed = 0

        def ends(self) -> tuple[Tensor, Tensor]:
            return torch.ones(1), torch.zeros(1)

        def keep(self, masks: Tensor) -> Tensor:
            kept.append(masks)
            return torch.zeros(len(masks))

    perturbation_curves(Keeping(), values, STEPS)  # type: ignore[arg-type]
    deletion, insertion = kept[0].chunk(2)
    assert torch.equal(deletion, 1 - insertion)
    assert torch.equal(deletion.sum(dim=(1, 2, 3)), 400 - 8.0 * torch.arange(1, 50))
    ends = torch.ones(1, *values.shape)
    deletion = torch.cat([ends, deletion, 0 * ends])
    for before, after in itertools.pairwise(deletion):
        moved = values[(before - after).numpy() == 1]
        assert len(moved) == 8
        assert moved.min() >= values[after.numpy() == 1].max(initial=0)


def test_ties_favor_no_corner() -> None:
    """Uniform maps, many seeds: each token moves in the first half of the steps as often."""
    moved = np.zeros(GRID)
    for seed in range(300):
        kept: list[Tensor] = []

        class Keeping:
            def __init__(self, seed: int) -> None:
                self.seed = seed

            def ends(self) -> tuple[Tensor, Tensor]:
                return torch.ones(1), torch.zeros(1)

            def keep(self, masks: Tensor, kept: list[Tensor] = kept) -> Tensor:
                kept.append(masks)
                return torch.zeros(len(masks))

        perturbation_curves(Keeping(seed), np.ones(GRID, np.float32), STEPS)  # type: ignore[arg-type]
        moved += 1 - kept[0][14].numpy()
    assert (np.abs(moved / 300 - 0.5) < 0.13).all()


def test_correlation_of_an_additive_model_with_its_own_weights_is_one() -> None:
    weights = falling()
    assert score("correlation", weights, total(weights)) == pytest.approx(1, abs=1e-4)
    assert score("correlation", -weights, total(weights)) == pytest.approx(-1, abs=1e-4)
    assert np.isnan(score("correlation", np.ones(GRID), total(weights)))


def test_f_fidelity_of_an_additive_model_is_what_is_removed_on_average() -> None:
    """Beyond a share of 0.15 tokens go less often; all that is left is the draw of the masks."""
    weights = falling()
    ordered = np.sort(weights.ravel())[::-1]
    sure = 0.0
    for size in (3, 9, 15, 21, 27):
        for part, sign in ((ordered[:size], 1), (ordered[size:], -1)):
            sure += sign * part.sum() * min(0.5, 0.15 * TOKENS / len(part)) / 5
    assert sure > 0.02
    found = [masked_score(weights, total(weights), 0.15, seed=n) for n in range(40)]
    assert np.mean(found) == pytest.approx(sure, abs=3 * np.std(found) / 40**0.5)
    assert np.std(found) < sure / 3
    turned = [masked_score(-weights, total(weights), 0.15, seed=n) for n in range(40)]
    assert np.mean(turned) == pytest.approx(-sure, abs=3 * np.std(turned) / 40**0.5)


def masked_score(
    values: np.ndarray, answer: Callable[[Tensor], Tensor], share: float, seed: int
) -> float:
    """Of a model that was trained with black, which is what the mean of its clip is."""
    clip = torch.ones(2, 3, 6, 10) - 1e-6
    known = Known(answer)
    perturbed = PerturbedClip(known, clip, torch.ones_like(clip), GRID, target=1, seed=seed)
    perturbed.known["under mean"] = replace(perturbed, replacement=torch.zeros_like(clip))
    masks = RandomMasks(share, "mean")
    return METRICS.get("f_fidelity").score(
        Trial(values.astype(np.float32), perturbed, random_masks=masks)
    )


def test_f_fidelity_asks_about_no_clip_that_has_lost_much_more_than_in_training() -> None:
    lost: list[np.ndarray] = []

    def answer(there: Tensor) -> Tensor:
        lost.append(1 - there.mean(dim=(1, 2, 3)).numpy())
        return there.mean(dim=(1, 2, 3))

    for seed in range(10):
        masked_score(falling(), answer, 0.1, seed)
    shares = np.concatenate(lost)
    assert len(shares) == 10 * 200
    assert 0.05 < shares.mean() <= 0.1
    assert np.quantile(shares, 0.99) < 0.3


def test_a_model_that_was_trained_without_masks_has_no_f_fidelity() -> None:
    assert np.isnan(score("f_fidelity", falling(), total(falling())))


def test_saco_weighs_pairs_of_groups_by_their_gap() -> None:
    """Thirty tokens of ten groups; what each of them costs is told, not found."""
    order = np.random.default_rng(5).permutation(TOKENS).reshape(GRID)  # the token's place from top
    group = order // 3
    salience = np.array([20.0, 18, 15, 11, 8, 6, 5, 3, 2, 1])
    values = salience[group] / 3 + 1e-3 * (1 - order % 3)  # so that no two tokens are equal
    worth = np.array([0.2, 0.3, 0.1, 0.055, 0.05, 0.06, 0.04, 0.03, 0.01, 0.02])
    found = score("saco", values, total((worth[group] / 3).astype(np.float64)))
    # Out of order are 20 and 18, 11 and 6, 8 and 6, and 2 and 1.
    gaps = [a - b for n, a in enumerate(salience) for b in salience[n + 1 :]]
    wrong = 2 + 5 + 2 + 1
    assert found == pytest.approx((sum(gaps) - 2 * wrong) / sum(gaps), abs=1e-4)


def test_saco_is_one_of_a_map_in_order_and_minus_one_of_its_opposite() -> None:
    weights = falling()
    assert score("saco", weights, total(weights)) == pytest.approx(1)
    assert score("saco", 1e3 * weights, total(weights)) == pytest.approx(1)
    assert score("saco", -weights, total(weights)) == pytest.approx(-1)
    assert np.isnan(score("saco", np.ones(GRID), total(weights)))


def test_saco_of_fewer_tokens_than_groups_compares_tokens() -> None:
    class First(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            p = 0.5 + 0.4 * x[:, 0, 0, 0, 0]
            return torch.stack([torch.log1p(-p), torch.log(p)], dim=1)

    clip = torch.ones(1, 3, 2, 2)
    perturbed = PerturbedClip(First(), clip, torch.zeros_like(clip), (1, 2, 2), target=1)
    values = np.array([[[4.0, 1.0], [6.0, 3.0]]], np.float32)
    # Of 6, 4, 3, 1 the second alone costs: 6 and 4 are out of order, of six pairs.
    gaps = 2 + 3 + 5 + 1 + 3 + 2
    assert METRICS.get("saco").score(Trial(values, perturbed)) == pytest.approx(
        (gaps - 2 * 2) / gaps
    )


def test_monotonicity_is_kendalls_tau_of_steps() -> None:
    weights = falling()
    assert score("monotonicity", weights, total(weights)) == pytest.approx(1.0)
    noise = np.random.default_rng(3).random(GRID)
    order = np.argsort(-noise.ravel())
    wanted = stats.kendalltau(noise.ravel()[order], weights.ravel()[order]).statistic
    assert score("monotonicity", noise, total(weights)) == pytest.approx(wanted, abs=1e-3)


def test_monotonic_is_whether_nothing_added_ever_harms() -> None:
    weights = falling()
    assert score("monotonic", weights, total(weights)) == 1
    harmful = weights.copy()
    harmful[0, 0, 0] = -0.01
    assert score("monotonic", weights, total(harmful)) == 0


def test_the_published_pair_by_hand() -> None:
    weights = falling()
    kept = np.sort(weights.ravel())[9:].sum()  # 21 of 30 tokens
    assert score("published_faithfulness", weights, total(weights)) == pytest.approx(kept, abs=1e-5)
    lost = np.sort(weights.ravel())[:21].sum()
    assert score("published_faithfulness", -weights, total(weights)) == pytest.approx(
        lost, abs=1e-5
    )
    by_frame = weights.sum(axis=(1, 2))
    agree = 1.0 if by_frame[0] != by_frame[1] else float("nan")
    assert score("published_tau", weights, total(weights)) == agree
    assert score("published_tau", -weights, total(weights)) == -agree


@pytest.mark.parametrize("levels", [2, 4, 1000])
def test_tau_is_scipys(levels: int) -> None:
    rng = np.random.default_rng(levels)
    one, other = rng.integers(0, levels, (2, 40)).astype(float)
    wanted = stats.kendalltau(one, other).statistic
    assert kendall_tau(one, other) == pytest.approx(wanted, abs=1e-12)
    assert np.isnan(kendall_tau(np.ones(5), np.arange(5.0)))


def test_every_metric_says_where_it_is_from_and_which_way_is_better() -> None:
    for name, metric in METRICS.items():
        assert metric.source
        assert metric.better == ("lower" if name in LOWER else "higher")


LOWER = {
    "frozen", "max_sensitivity", "entropy",
    "deletion", "frame_deletion", "polarity_violations", "randomization", "class_sensitivity"
}  # fmt: skip
