"""What has moved: worked by hand, and in agreement with the measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared_runs import around, edited, result
from scipy import stats

from staa_cli.results.diff.measures import durations
from staa_cli.results.diff.moved import Curves, map_gain, places
from staa_cli.results.diff.pairs import Result, measure
from staa_cli.schema import Float64


def pair_of(folder: Path, **new: Any) -> tuple[Result, Result]:
    paths = result(folder / "old"), result(folder / "new", **new)
    old, other = map(Result.load, paths)
    return old, other


@pytest.mark.parametrize("npz", [True, False])
def test_both_curves_have_the_mean_one_and_their_distance_is_the_shift(
    npz: bool, tmp_path: Path
) -> None:
    old, new = pair_of(tmp_path, peak_s=1.5, npz=npz)
    curves = Curves.of(old, new)
    steps = durations(curves.times_s)
    assert np.average(curves.old, weights=steps) == pytest.approx(1)
    assert np.average(curves.new, weights=steps) == pytest.approx(1)
    shift = stats.wasserstein_distance(
        curves.times_s, curves.times_s, curves.old * steps, curves.new * steps
    )
    assert shift == pytest.approx(measure(old, new).temporal.shift_s, rel=1e-4)
    assert curves.end_s == pytest.approx(2.0, abs=1e-4)


def test_time_moved_from_one_peak_to_the_other(tmp_path: Path) -> None:
    spans = Curves.of(*pair_of(tmp_path, peak_s=1.5)).spans()
    assert spans is not None
    (lost, lost_end), (gained, gained_end) = spans
    assert lost < 0.5 < lost_end <= 1.05
    assert 0.95 <= gained < 1.5 < gained_end


def test_nothing_moved_between_equal_results(tmp_path: Path) -> None:
    old, new = pair_of(tmp_path)
    assert Curves.of(old, new).spans() is None
    assert places(old, new) is None
    assert not map_gain(old, new).values.any()


def test_what_no_clip_covers_has_no_importance(tmp_path: Path) -> None:
    old, new = pair_of(tmp_path, clip_starts=[0])  # of eight frames, six apart: 1.4 s of 2 s
    curves = Curves.of(old, new)
    late = curves.times_s > 1.7
    assert np.isnan(curves.new[late]).all()
    assert np.array_equal(curves.gain[late], -curves.old[late])


def test_parts_of_a_video_are_on_one_axis(tmp_path: Path) -> None:
    old, new = pair_of(tmp_path, part=(15, 60))
    curves = Curves.of(old, new)
    assert curves.index == list(range(60))
    assert np.isnan(curves.new[:15]).all()
    assert not np.isnan(curves.new[15:]).any()


def blob(row: int, column: int, strength: Float64) -> Float64:
    """[K, 4, 4] one cell is hot, as strong as [K] says."""
    maps = np.zeros((len(strength), 4, 4))
    maps[:, row, column] = strength
    return maps


def test_the_gain_of_maps_is_that_of_their_shares_of_all_evidence(tmp_path: Path) -> None:
    starts = [0, 12]
    knots = np.unique([start + 6 * i for start in starts for i in range(8)])
    knots = np.unique(np.minimum(knots, 59)) / 30
    early, late = (np.array([around(peak)(t) for t in knots]) for peak in (0.5, 1.5))
    options: dict[str, Any] = {"grid": (4, 4), "clip_starts": starts}
    old = Result.load(result(tmp_path / "old", maps=blob(0, 0, early), **options))
    new = Result.load(result(tmp_path / "new", maps=blob(3, 2, 5 * late), **options))
    gain, steps = map_gain(old, new), durations(knots)
    np.testing.assert_allclose(gain.times_s, knots)
    expected = blob(3, 2, late / (late @ steps)) - blob(0, 0, early / (early @ steps))
    np.testing.assert_allclose(gain.values, expected, atol=1e-5)  # maps are float32
    # The picture is 16:9 and the model saw its middle: the ninths are of the whole picture.
    lost, gained = places(old, new) or ((0, 0), (0, 0))
    assert lost == pytest.approx((1 / 6, 1 / 6))
    assert gained == pytest.approx((1 / 2, 5 / 6))


def test_maps_of_other_grids_and_crops_are_compared_in_the_picture(tmp_path: Path) -> None:
    old, new = pair_of(tmp_path, grid=(7, 7), box=(0.0, 0.0, 1.0, 1.0))
    gain = map_gain(old, new)
    assert gain.box == pytest.approx((0.0, 0.0, 1.0, 1.0))
    assert gain.values.shape[1:] == (7, 7)
    total = durations(gain.times_s) @ np.abs(gain.values).sum(axis=(1, 2)) / 2
    assert 0 < total <= 1
    assert gain.values.sum(axis=(1, 2)) @ durations(gain.times_s) == pytest.approx(0, abs=1e-4)


def test_without_maps_it_is_the_difference_of_the_mean_maps(tmp_path: Path) -> None:
    old, new = pair_of(tmp_path, grid=(7, 7), npz=False)
    gain = map_gain(old, new)
    assert gain.values.shape[0] == 1
    moved = np.abs(gain.values).sum() / 2
    assert moved == pytest.approx(measure(old, new).spatial.energy_moved, rel=1e-4)


def test_scores_that_are_nowhere_positive_count_as_uniform(tmp_path: Path) -> None:
    paths = [result(tmp_path / "old", npz=False), result(tmp_path / "new", npz=False)]

    def negative(report: dict[str, dict[str, list[float]]]) -> None:
        report["frames"]["score"] = [-1.0 for _ in report["frames"]["score"]]

    edited(paths[1], negative)
    old, new = map(Result.load, paths)
    assert Curves.of(old, new).new == pytest.approx(1)
