"""Clips on the video's time axis: few clips with numbers that can be followed by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from staa_cli.schema import Attribution, Clip, Float32, FrameScores, HeatMaps
from staa_cli.timeline import (
    Piece,
    centre_of_mass,
    find_moments,
    measure,
    smooth_scores,
    stitch_maps,
    stitch_scores,
)

WHOLE = (0.0, 0.0, 1.0, 1.0)


def maps(scores: Sequence[float]) -> Float32:
    """[T', 2, 3] whose sums over space are the scores; the parts differ from place to place."""
    parts = np.array([[1, 2, 3], [4, 5, 6]], np.float32) / 21
    return np.array(scores, np.float32)[:, None, None] * parts


def piece(
    times_s: Sequence[float], scores: Sequence[float], weight: float = 1.0, padded: int = 0
) -> Piece:
    clip = Clip(0, tuple(round(10 * t) for t in times_s), tuple(times_s), padded)
    values = maps(scores)
    attribution = Attribution(values, "x", None, (), "", False, 1.0)
    return Piece.of(clip, attribution, values, weight)


def score(pieces: Sequence[Piece], times_s: Sequence[float]) -> FrameScores:
    return stitch_scores(pieces, np.array(times_s, np.float64))


def test_within_a_clip_scores_are_interpolated_and_beyond_it_they_hold() -> None:
    found = score([piece([1, 2, 4], [10, 20, 40])], [0, 1, 1.5, 2, 3, 4, 5])
    np.testing.assert_allclose(found.score, [10, 10, 15, 20, 30, 40, 40], rtol=1e-6)
    assert found.seen.tolist() == [False, True, False, True, False, True, False]


def test_weights_fall_towards_the_ends_of_a_clip() -> None:
    pieces = [piece([0, 1, 2, 3, 4], [1] * 5), piece([2, 3, 4, 5, 6], [2] * 5)]
    found = score(pieces, [0, 1, 2, 3, 4, 5, 6]).score
    # At 2 s the first clip is in its middle (1.05), the second at its end (0.05).
    at_2 = (1.05 * 1 + 0.05 * 2) / 1.10
    np.testing.assert_allclose(found, [1, 1, at_2, 1.5, 3 - at_2, 2, 2], rtol=1e-6)


def test_a_gap_is_bridged_by_a_straight_line() -> None:
    pieces = [piece([0, 1], [1, 2]), piece([3, 4], [6, 6])]
    found = score(pieces, [0, 1, 1.5, 2, 2.5, 3, 4])
    np.testing.assert_allclose(found.score, [1, 2, 3, 4, 5, 6, 6], rtol=1e-6)
    assert found.seen.tolist() == [True, True, False, False, False, True, True]


def test_the_weighted_score_has_each_clips_probability_in_it() -> None:
    alone = score([piece([0, 1, 2], [4, 6, 8], weight=0.25)], [0, 1, 2])
    np.testing.assert_allclose(alone.weighted_score, 0.25 * alone.score, rtol=1e-6)
    pieces = [piece([0, 2], [1, 1], weight=0.9), piece([0, 2], [3, 3], weight=0.1)]
    both = score(pieces, [0, 1, 2])
    np.testing.assert_allclose(both.score, 2.0, rtol=1e-6)
    np.testing.assert_allclose(both.weighted_score, (0.9 * 1 + 0.1 * 3) / 2, rtol=1e-6)


def test_repeats_that_fill_a_clip_up_are_no_moments() -> None:
    found = piece([0, 1, 1, 1], [5, 7, 100, 100], padded=2)
    assert found.times_s.tolist() == [0, 1]
    np.testing.assert_allclose(score([found], [0, 1, 2]).score, [5, 7, 7], rtol=1e-6)
    np.testing.assert_allclose(stitch_maps([found], WHOLE).values, maps([5, 7]), rtol=1e-6)


def test_a_video_of_one_frame() -> None:
    found = piece([0, 0, 0, 0], [3, 1, 1, 1], weight=0.5, padded=3)
    scores, heat = score([found], [0]), stitch_maps([found], WHOLE)
    assert scores.score == pytest.approx([3])
    assert scores.weighted_score == pytest.approx([1.5])
    assert scores.seen.tolist() == [True]
    np.testing.assert_allclose(heat.values, 0.5 * maps([3]), rtol=1e-6)
    assert measure([found], 0.05).flat
    assert find_moments(scores, heat) == ()


def test_a_tubelet_stands_between_its_frames() -> None:
    found = piece([0, 1, 2, 3], [10, 20])  # T = 4, T' = 2
    assert found.times_s.tolist() == [0.5, 2.5]
    scores = score([found], [0, 0.5, 1, 1.5, 2, 2.5, 3])
    np.testing.assert_allclose(scores.score, [10, 10, 12.5, 15, 17.5, 20, 20], rtol=1e-6)
    assert scores.seen.tolist() == [True, False, True, False, True, False, True]
    assert stitch_maps([found], WHOLE).times_s.tolist() == [0.5, 2.5]


def test_times_decide_where_the_rate_varies() -> None:
    times = [0, 0.1, 0.7, 0.75, 2]
    found = score([piece([0, 0.1, 2], [0, 1, 20])], times)
    expected = [0, 1, 1 + 19 * 0.6 / 1.9, 1 + 19 * 0.65 / 1.9, 20]
    np.testing.assert_allclose(found.score, expected, rtol=1e-6)


def test_a_constant_stays_one_whatever_the_clips() -> None:
    pieces = [piece([a, a + 1, a + 2, a + 3], [0.3] * 4, 0.7) for a in (0, 1.5, 2, 9)]
    found = score(pieces, np.arange(0, 13, 0.25).tolist())
    np.testing.assert_allclose(found.score, 0.3, rtol=1e-6)
    np.testing.assert_allclose(found.weighted_score, 0.21, rtol=1e-6)
    facts = measure(pieces, 0.05)
    assert facts.flat
    assert (facts.coefficient_of_variation, facts.entropy) == pytest.approx((0, 1), abs=1e-6)
    assert find_moments(found, stitch_maps(pieces, WHOLE), flat_below=0.0) == ()


def test_interpolation_invents_nothing() -> None:
    random = np.random.default_rng(0)
    starts = random.uniform(0, 20, 12)
    pieces = [
        piece(np.sort(start + random.uniform(0, 4, 8)).tolist(), random.normal(size=8).tolist())
        for start in starts
    ]
    found = score(pieces, np.linspace(0, 26, 400).tolist()).score
    values = np.concatenate([p.scores for p in pieces])
    assert values.min() - 1e-6 <= found.min() < found.max() <= values.max() + 1e-6
    heat = stitch_maps(pieces, WHOLE)
    every = np.concatenate([p.maps for p in pieces])
    assert every.min() - 1e-6 <= heat.values.min() < heat.values.max() <= every.max() + 1e-6
    assert (np.diff(heat.times_s) > 0).all()


def test_maps_and_scores_tell_the_same_story() -> None:
    pieces = [piece([0, 1, 2, 3], [1, 5, 2, 1], 0.9), piece([1.5, 2.5, 3.5], [1, 4, 1], 0.3)]
    heat = stitch_maps(pieces, WHOLE)
    assert heat.times_s.tolist() == [0, 1, 1.5, 2, 2.5, 3, 3.5]
    at_knots = score(pieces, heat.times_s.tolist())
    np.testing.assert_allclose(heat.values.sum(axis=(1, 2)), at_knots.weighted_score, rtol=1e-5)


def test_a_moving_average_is_centred() -> None:
    scores = score([piece([0, 1, 2, 3, 4, 5], [0, 0, 6, 0, 0, 0])], [0, 1, 2, 3, 4, 5])
    found = smooth_scores(scores, "average", 2.0)
    np.testing.assert_allclose(found.score, [0, 2, 2, 2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.weighted_score, found.score, atol=1e-6)
    assert found.seen.tolist() == scores.seen.tolist()
    assert smooth_scores(scores, "none", 2.0) is scores


def test_exponential_smoothing_looks_back_only() -> None:
    scores = score([piece([0, 1, 2, 4], [0, 8, 0, 0])], [0, 1, 2, 4])
    found = smooth_scores(scores, "exponential", 1 / np.log(2)).score  # halves in a second
    np.testing.assert_allclose(found, [0, 4, 2, 0.5], rtol=1e-6)


@pytest.mark.parametrize("kind", ["average", "exponential"])
def test_smoothing_stays_within_the_range(kind: str) -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.3, 60))
    values = np.random.default_rng(2).random(60)
    scores = score([piece(times.tolist(), values.tolist())], times.tolist())
    found = smooth_scores(scores, kind, 0.5).score
    assert values.min() <= found.min() < found.max() <= values.max()
    assert found.std() < values.std()


def test_what_the_curve_amounts_to_by_hand() -> None:
    facts = measure([piece([0, 1], [1, 3]), piece([1, 2], [2, 2])], 0.05)
    assert (facts.minimum, facts.maximum, facts.mean) == pytest.approx((1, 3, 2))
    assert facts.coefficient_of_variation == pytest.approx(np.sqrt(0.5) / 2)
    shares = np.array([1, 3, 2, 2]) / 8
    assert facts.entropy == pytest.approx(-(shares * np.log(shares)).sum() / np.log(4))
    assert not facts.flat


@pytest.mark.parametrize(("spread", "flat"), [(0.049, True), (0.051, False)])
def test_flat_begins_where_the_setting_says(spread: float, flat: bool) -> None:
    assert measure([piece([0, 1], [1 - spread, 1 + spread])], 0.05).flat == flat


def test_signed_scores_that_cancel_are_not_flat() -> None:
    facts = measure([piece([0, 1, 2, 3], [-1, 1, -1, 1])], 0.05)
    assert facts.mean == pytest.approx(0, abs=1e-7)
    assert facts.coefficient_of_variation == pytest.approx(1)
    assert not facts.flat


def test_nothing_anywhere_is_flat() -> None:
    facts = measure([piece([0, 1], [0, 0])], 0.05)
    assert facts.flat
    assert (facts.coefficient_of_variation, facts.entropy) == (0, pytest.approx(1))


def curve(values: Sequence[float]) -> FrameScores:
    times = np.arange(len(values)) / 10
    scores = np.array(values, np.float32)
    return FrameScores(times, scores, scores, np.ones(len(values), np.bool_))


def spot(row: int, column: int) -> HeatMaps:
    values = np.zeros((1, 2, 4), np.float32)
    values[0, row, column] = 1
    return HeatMaps(np.zeros(1), values, (0.25, 0.0, 0.75, 1.0))


def test_moments_are_the_upper_half_best_first() -> None:
    found = find_moments(curve([0, 0, 4, 6, 0, 0, 10, 8, 7, 0, 1]), spot(1, 2))
    assert [(m.start_s, m.peak_s, m.end_s) for m in found] == [
        pytest.approx((0.6, 0.6, 0.8)),
        pytest.approx((0.3, 0.3, 0.3)),
    ]
    assert [m.share for m in found] == pytest.approx([25 / 36, 6 / 36])
    assert sum(m.share for m in found) <= 1


def test_a_moment_has_its_place_in_the_picture() -> None:
    (moment,) = find_moments(curve([0, 1, 0]), spot(1, 2))
    # Cell 2 of 4 across the box from 0.25 to 0.75, cell 1 of 2 down the whole height.
    assert moment.box == pytest.approx((0.5, 0.5, 0.625, 1.0))
    assert moment.centre == pytest.approx((0.5625, 0.75))


def test_the_map_nearest_to_the_peak_is_taken() -> None:
    values = np.zeros((3, 1, 3), np.float32)
    values[[0, 1, 2], 0, [0, 1, 2]] = 1
    (moment,) = find_moments(curve([0] * 9 + [1]), HeatMaps(np.array([0, 0.5, 1.0]), values, WHOLE))
    assert moment.centre == pytest.approx((5 / 6, 0.5))


def test_the_box_holds_the_strongest_half() -> None:
    values = np.array([[[1, 1, 1, 1], [1, 4, 4, 1]]], np.float32)  # 8 of 14 in two cells
    (moment,) = find_moments(curve([0, 1, 0]), HeatMaps(np.zeros(1), values, WHOLE))
    assert moment.box == pytest.approx((0.25, 0.5, 0.75, 1.0))


def test_many_moments_are_cut_to_the_best() -> None:
    found = find_moments(curve([0, 1, 0, 2, 0, 1.5] * 3), spot(0, 0), limit=4)
    assert [m.share for m in found] == pytest.approx([2 / 13.5] * 3 + [1.5 / 13.5])


@pytest.mark.parametrize("values", [[0, 0, 0], [-1, -2, -3], [2, 2, 2], [1.00, 1.02, 1.01]])
def test_a_curve_without_evidence_has_no_moments(values: list[float]) -> None:
    assert find_moments(curve(values), spot(0, 0), flat_below=0.05) == ()


def test_random_moments_keep_their_promises() -> None:
    random = np.random.default_rng(3)
    heat = HeatMaps(np.arange(20) / 5, random.normal(size=(20, 3, 5)).astype(np.float32), WHOLE)
    for _ in range(50):
        found = find_moments(curve(random.normal(size=40).tolist()), heat)
        assert 0 < sum(m.share for m in found) <= 1 + 1e-9
        assert [m.share for m in found] == sorted((m.share for m in found), reverse=True)
        for m in found:
            left, top, right, bottom = m.box
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
            assert all(0 < part < 1 for part in m.centre)
            assert m.start_s <= m.peak_s <= m.end_s


def test_a_map_without_mass_has_its_centre_in_the_middle() -> None:
    empty = -np.ones((2, 2), np.float32)
    assert centre_of_mass(empty, (0.25, 0, 0.75, 1)) == pytest.approx((0.5, 0.5))
