"""Measures of a shift, against scipy and against examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from staa_cli.results.diff.measures import (
    center_shift,
    common_grid,
    distribution,
    durations,
    energy_moved,
    energy_moved_by_time,
    rank_agreement,
    time_shift_s,
)
from staa_cli.results.resampling import resampled

PICTURE = (0.0, 0.0, 1.0, 1.0)


def curve(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.2, n))
    return times, distribution(rng.normal(size=n), durations(times))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 9), (30, 30), (30, 7), (250, 301)])
def test_the_shift_in_time_is_scipys_wasserstein_distance(n: int, m: int) -> None:
    times, mass = curve(n, n)
    others, other = curve(m + 1, m)
    wanted = stats.wasserstein_distance(times, others, mass, other)
    assert time_shift_s(times, mass, others, other) == pytest.approx(wanted, abs=1e-12)
    assert time_shift_s(others, other, times, mass) == pytest.approx(wanted, abs=1e-12)
    assert time_shift_s(times, mass, times, mass) == 0


def test_a_single_peak_moves_by_its_distance() -> None:
    times = np.arange(10) / 4
    early, late = np.eye(10)[2], np.eye(10)[8]
    assert time_shift_s(times, early, times, late) == pytest.approx(1.5)
    half = (early + late) / 2
    assert time_shift_s(times, early, times, half) == pytest.approx(0.75)


def test_a_flat_curve_is_a_quarter_of_the_time_from_its_middle() -> None:
    times = np.arange(1001) / 1000
    flat = distribution(np.full(1001, 0.7), durations(times))
    middle = np.eye(1001)[500]
    assert time_shift_s(times, flat, times, middle) == pytest.approx(0.25, abs=1e-3)


def test_a_flat_curve_stays_uniform_in_time_where_frames_are_dense() -> None:
    """Of two seconds with 90 and with 10 frames, either has half of the importance."""
    times = np.concatenate([np.arange(90) / 90, 1 + np.arange(10) / 10])
    mass = distribution(np.ones(100), durations(times))
    assert mass[:90].sum() == pytest.approx(0.5)
    sparse = np.arange(20) / 10
    even = distribution(np.ones(20), durations(sparse))
    assert time_shift_s(times, mass, sparse, even) < 0.03  # half of it: the coarser frames


def test_negative_scores_count_as_nothing_and_no_evidence_as_uniform() -> None:
    values = np.array([-1.0, 3.0, 1.0])
    assert distribution(values).tolist() == [0.0, 0.75, 0.25]
    for nothing in (np.zeros(4), np.array([-1.0, -2.0, 0.0, -1e-9])):
        assert distribution(nothing).tolist() == [0.25] * 4
        assert distribution(nothing, np.array([1.0, 1, 1, 2])).tolist() == [0.2, 0.2, 0.2, 0.4]
    maps = np.stack([np.zeros((2, 2)), np.eye(2)])  # one without, one with
    assert distribution(maps, axes=(1, 2)).tolist() == [[[0.25] * 2] * 2, [[0.5, 0], [0, 0.5]]]


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_rank_agreement_is_spearmans(levels: int) -> None:
    rng = np.random.default_rng(levels)
    one, other = rng.integers(0, levels, (2, 60)).astype(float)
    wanted = stats.spearmanr(one, other).statistic
    found = rank_agreement(dict(enumerate(one)), dict(enumerate(other)))
    assert found == pytest.approx(wanted, abs=1e-12)


def test_ranks_are_of_common_frames_and_need_enough_of_them() -> None:
    up = {frame: float(frame) for frame in range(10)}
    down = {frame: -float(frame) for frame in range(5, 15)}
    assert rank_agreement(up, down) == pytest.approx(-1)
    assert rank_agreement(up, {frame: down[frame] for frame in range(5, 9)}) is None
    assert rank_agreement(up, dict.fromkeys(range(10), 1.0)) is None
    assert rank_agreement(up, dict.fromkeys(range(20, 30), 1.0)) is None


def test_energy_moves_as_much_as_is_elsewhere() -> None:
    left, right = np.array([[1.0, 0.0]]), np.array([[0.0, 5.0]])
    assert energy_moved(left, PICTURE, left * 7, PICTURE) == 0  # units do not matter
    assert energy_moved(left, PICTURE, right, PICTURE) == 1
    assert energy_moved(left, PICTURE, left + right / 5, PICTURE) == pytest.approx(0.5)
    assert energy_moved(left, PICTURE, np.zeros((1, 2)), PICTURE) == pytest.approx(0.5)
    assert energy_moved(left, PICTURE, -left, PICTURE) == pytest.approx(0.5)


def test_a_finer_map_of_the_same_has_moved_nothing() -> None:
    rng = np.random.default_rng(0)
    fine = rng.random((14, 14))
    coarse = fine.reshape(7, 2, 7, 2).sum(axis=(1, 3))
    assert energy_moved(fine, PICTURE, coarse, PICTURE) == pytest.approx(0, abs=1e-12)
    assert energy_moved(coarse, PICTURE, fine, PICTURE) == pytest.approx(0, abs=1e-12)
    assert energy_moved(fine[::-1], PICTURE, coarse, PICTURE) > 0.05


def test_maps_of_different_crops_are_compared_in_the_picture() -> None:
    """The middle half of a picture, and the whole of it: the same spot is in another cell."""
    crop = (0.25, 0.0, 0.75, 1.0)
    spot_in_crop = np.zeros((4, 4))
    spot_in_crop[1, 0] = 1.0  # x from 0.25 to 0.375
    whole = np.zeros((4, 4))
    whole[1, 1] = 3.0  # x from 0.25 to 0.5
    assert energy_moved(spot_in_crop, crop, whole, PICTURE) == pytest.approx(0)
    whole[1, 1], whole[1, 0] = 0.0, 1.0
    assert energy_moved(spot_in_crop, crop, whole, PICTURE) == pytest.approx(1)
    rows, columns = common_grid((4, 4), crop, (4, 4), PICTURE)
    assert rows.tolist() == columns.tolist() == [0, 0.25, 0.5, 0.75, 1]


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 16)] * 4),
    st.tuples(*[st.floats(-0.3, 0.4)] * 4),
    st.tuples(*[st.floats(0.1, 1.0)] * 4),
    st.integers(0, 1000),
)
def test_resampling_keeps_the_mass_and_moved_energy_is_a_share(
    shape: tuple[int, ...], corner: tuple[float, ...], size: tuple[float, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.random((shape[0], shape[1])), rng.random((shape[2], shape[3]))
    box = (corner[0], corner[1], corner[0] + size[0], corner[1] + size[1])
    other_box = (corner[2], corner[3], corner[2] + size[2], corner[3] + size[3])
    rows, columns = common_grid(one.shape, box, other.shape, other_box)
    for maps, edges in ((one, box), (other, other_box)):
        assert resampled(maps, edges, rows, columns).sum() == pytest.approx(maps.sum())
    assert 0 <= energy_moved(one, box, other, other_box) <= 1


def test_a_cell_is_divided_by_area() -> None:
    """Three columns as two: the middle one goes in halves."""
    row = np.array([[1.0, 4.0, 3.0]])
    halves = np.array([0.0, 0.5, 1.0])
    assert resampled(row, PICTURE, np.array([0.0, 1.0]), halves)[0] == pytest.approx([3, 5])


def test_what_moves_in_another_order_has_moved_though_the_mean_has_not() -> None:
    left, right = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    times = np.array([0.0, 1.0])
    there, back = np.stack([left, right]), np.stack([right, left])
    assert energy_moved(there.mean(axis=0), PICTURE, back.mean(axis=0), PICTURE) == 0
    assert energy_moved_by_time(times, there, PICTURE, times, back, PICTURE) == 1
    assert energy_moved_by_time(times, there, PICTURE, times, there, PICTURE) == 0


def test_maps_without_energy_hardly_count() -> None:
    left, right = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    times = np.array([0.0, 1.0])
    one, other = np.stack([left * 99, left]), np.stack([left * 99, right])
    assert energy_moved_by_time(times, one, PICTURE, times, other, PICTURE) == pytest.approx(0.01)


def test_maps_at_other_times_are_interpolated() -> None:
    left, right = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    fading = np.stack([left, right])  # from 0 to 1 s
    both = np.stack([left, (left + right) / 2, right])
    ends, three = np.array([0.0, 1.0]), np.array([0.0, 0.5, 1.0])
    moved = energy_moved_by_time(ends, fading, PICTURE, three, both, PICTURE)
    assert moved == pytest.approx(0)


def test_maps_need_half_of_their_time_in_common() -> None:
    maps, times = np.ones((3, 1, 2)), np.array([0.0, 1.0, 2.0])
    assert energy_moved_by_time(times, maps, PICTURE, times + 1, maps, PICTURE) == 0
    assert energy_moved_by_time(times, maps, PICTURE, times + 1.1, maps, PICTURE) is None
    assert energy_moved_by_time(times, maps, PICTURE, times + 9, maps, PICTURE) is None
    one = (np.array([0.5]), maps[:1], PICTURE)
    assert energy_moved_by_time(*one, *one) == 0


def test_centers_are_apart_by_a_share_of_the_diagonal() -> None:
    assert center_shift((0.0, 0.0), (1.0, 1.0), (640, 360)) == pytest.approx(1)
    assert center_shift((0.2, 0.5), (0.2, 0.5), (640, 360)) == 0
    assert center_shift((0.0, 0.0), (1.0, 0.0), (400, 300)) == pytest.approx(0.8)
    assert center_shift((0.0, 0.0), (0.0, 1.0), (400, 300)) == pytest.approx(0.6)
