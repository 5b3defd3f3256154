"""Localization metrics on toys small enough to work out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from staa_cli.evaluation.base import METRICS, Trial
from staa_cli.evaluation.localization import coverage

GRID = (2, 2, 2)


def located(name: str) -> Callable[..., float]:
    """A metric as a function of an attribution, the mask, and the event."""
    metric = METRICS.get(name)
    return lambda values, mask, event: metric(Trial(values, None, mask, event))  # type: ignore[arg-type]


pointing, energy, temporal_auc, iou = map(located, ("pointing", "energy", "temporal_auc", "iou"))


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Two frames of 4 x 4; the actor fills the first token, and a quarter of the last one."""
    mask = np.zeros((2, 4, 4), dtype=bool)
    mask[0, :2, :2] = True
    mask[1, 3, 3] = True
    return mask, np.array([True, False])


def only(*place: int) -> np.ndarray:
    values = np.zeros(GRID, dtype=np.float32)
    values[place] = 1.0
    return values


def test_coverage_is_the_part_of_a_token_that_the_mask_fills() -> None:
    covered = coverage(scene()[0], GRID)
    assert covered[0, 0, 0] == 1.0
    assert covered[1, 1, 1] == 0.25
    assert covered.sum() == 1.25


def test_coverage_pools_the_frames_of_a_tubelet() -> None:
    assert coverage(scene()[0], (1, 2, 2))[0].tolist() == [[0.5, 0.0], [0.0, 0.125]]


def test_coverage_refuses_a_grid_that_does_not_divide_the_picture() -> None:
    with pytest.raises(ValueError, match="does not divide"):
        coverage(scene()[0], (2, 3, 3))


@pytest.mark.parametrize(
    ("place", "hit"), [((0, 0, 0), 1.0), ((1, 1, 1), 1.0), ((0, 1, 1), 0.0), ((1, 0, 0), 0.0)]
)
def test_pointing_hits_where_the_strongest_token_touches_the_actor(
    place: tuple[int, int, int], hit: float
) -> None:
    assert pointing(only(*place), *scene()) == hit


def test_energy_is_the_share_inside_and_ignores_what_is_negative() -> None:
    values = only(0, 0, 0)
    values[0, 1, 1] = 3.0
    values[1, 0, 0] = -100.0
    assert energy(values, *scene()) == pytest.approx(0.25)


def test_energy_of_a_uniform_map_is_the_share_of_the_mask() -> None:
    mask, event = scene()
    assert energy(np.ones(GRID, np.float32), mask, event) == pytest.approx(mask.mean())


def test_energy_of_nothing_says_nothing() -> None:
    assert np.isnan(energy(-np.ones(GRID, np.float32), *scene()))


def test_temporal_auc_ranks_event_frames_against_the_others() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    event = np.array([False, True, True, False])

    def auc(*scores: float) -> float:
        values = np.zeros((4, 2, 2), np.float32)
        values[:, 0, 0] = scores
        return temporal_auc(values, mask, event)

    assert auc(0, 2, 3, 1) == 1.0
    assert auc(3, 1, 0, 2) == 0.0
    assert auc(1, 1, 1, 1) == 0.5
    assert auc(0, 2, 1, 1) == pytest.approx((2 + 1 + 0.5) / 4)
    assert np.isnan(temporal_auc(np.zeros((4, 2, 2), np.float32), mask, np.ones(4, bool)))


def test_iou_is_that_of_the_best_threshold_on_the_events_frames() -> None:
    mask, event = scene()
    perfect = only(0, 0, 0)
    assert iou(perfect, mask, event) == 1.0
    second = only(0, 1, 1)
    second[0, 0, 0] = 0.5  # the actor comes second: two tokens taken, one of them right
    assert iou(second, mask, event) == pytest.approx(0.5)


def test_equal_values_favor_no_place() -> None:
    mask, event = scene()
    flat = np.ones(GRID, np.float32)
    assert pointing(flat, mask, event) == 2 / 8  # tokens that the actor touches
    assert pointing(flat[:, ::-1, ::-1], mask[:, ::-1, ::-1], event) == 2 / 8
    for turned in (mask, mask[:, ::-1], mask[:, :, ::-1]):
        assert iou(flat, turned, event) == 1 / 4  # all four tokens or none
    second = only(0, 1, 1)
    assert iou(second, mask, event) == pytest.approx(1 / 4)


def test_the_share_of_twins_is_that_of_the_one_who_is_asked_for() -> None:
    mask, event = scene()
    distractor = np.zeros_like(mask)
    distractor[0, 3, 3] = True  # a quarter of its token
    values = only(0, 0, 0)
    shared = values.copy()
    shared[0, 1, 1] = 12.0
    score = METRICS.get("twin_share").score

    def share(values: np.ndarray, distractor: np.ndarray | None) -> float:
        return score(Trial(values, None, mask, event, distractor=distractor))  # type: ignore[arg-type]

    assert share(values, distractor) == 1.0
    assert share(shared, distractor) == pytest.approx(0.25)
    assert np.isnan(share(-values, distractor))
    assert np.isnan(share(values, None))


def test_every_metric_is_registered_under_its_name() -> None:
    names = [name for name, each in METRICS.items() if each.truth][:5]
    assert names == ["pointing", "energy", "temporal_auc", "iou", "twin_share"]
