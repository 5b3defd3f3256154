"""Clips on the video's time axis: few clips with numbers that can be followed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from staa_cli.explain.stitch import (
    Piece,
    center_of_mass,
    find_moments,
    smooth_scores,
    spatial_stats,
    stitch_maps,
    stitch_scores,
    temporal_stats,
    with_rest,
)
from staa_cli.schema import (
    Attribution,
    Clip,
    Coverage,
    Float32,
    FrameScores,
    HeatMaps,
    SpatialStats,
    TemporalStats,
)

WHOLE = (0.0, 0.0, 1.0, 1.0)


def maps(scores: Sequence[float]) -> Float32:
    """[T', 2, 3] whose sums over space are the scores; the parts differ from place to place."""
    parts = np.array([[1, 2, 3], [4, 5, 6]], np.float32) / 21
    return (np.array(scores, np.float32)[:, None, None] * parts).astype(np.float32)


def piece(
    times_s: Sequence[float],
    scores: Sequence[float],
    weight: float = 1.0,
    padded: int = 0,
    interval_s: float = 1.0,
) -> Piece:
    clip = Clip(0, tuple(round(10 * t) for t in times_s), tuple(times_s), padded, interval_s)
    values = maps(scores)
    attribution = Attribution(values, "x", None, (), "", False, 1.0)
    return Piece.of(clip, attribution, values, weight)


def score(pieces: Sequence[Piece], times_s: Sequence[float]) -> FrameScores:
    times = np.array(times_s, np.float64)
    return stitch_scores(pieces, times, range(len(times)), times[-1] + 1)


def facts(pieces: Sequence[Piece], times_s: Sequence[float] = (0, 1, 2)) -> TemporalStats:
    return temporal_stats(pieces, score(pieces, times_s), 0.05)


def test_within_a_clip_scores_are_interpolated_and_beyond_it_they_hold_for_an_interval() -> None:
    times = [-0.1, 0, 1, 1.5, 2, 3, 4, 5, 5.1]
    found = score([piece([1, 2, 4], [10, 20, 40])], times)
    nan = np.nan
    np.testing.assert_allclose(found.score, [nan, 10, 10, 15, 20, 30, 40, 40, nan], rtol=1e-6)
    assert found.covered.tolist() == [False, *[True] * 7, False]
    assert np.flatnonzero(found.seen).tolist() == [2, 4, 6]
    assert found.runs() == [(1, 8)]


def test_a_last_frame_of_no_length_lasts_for_a_moment() -> None:
    times = np.array([0.0, 1.0])
    found = stitch_scores([piece([0, 1], [1, 2])], times, range(2), 1.0)
    assert found.spans() == [(0, 1.001)]


def test_what_no_clip_reaches_has_no_score_however_near_its_ends_are() -> None:
    pieces = [piece([0, 1], [1, 2]), piece([6, 7], [6, 6])]
    found = score(pieces, [0, 1, 2, 2.5, 4, 4.9, 5, 6, 7])
    assert found.covered.tolist() == [True, True, True, False, False, False, True, True, True]
    assert np.isnan(found.weighted_score[3:6]).all()
    assert found.runs() == [(0, 3), (6, 9)]
    assert found.spans() == [(0, 2.5), (5, 8)]
    assert found.coverage == Coverage(5.5, 5.5 / 8, 4, 4 / 9)


def test_a_stretch_has_scores_of_its_own_frames_alone() -> None:
    times = np.arange(10.0)
    found = stitch_scores([piece([3, 4, 5], [10, 20, 30])], times, range(3, 6), 10)
    assert (found.first, found.times_s.tolist(), found.end_s) == (3, [3, 4, 5], 6)
    np.testing.assert_allclose(found.score, [10, 20, 30])
    whole = stitch_scores([piece([3, 4, 5], [10, 20, 30])], times, range(10), 10.5)
    np.testing.assert_array_equal(whole.score[3:6], found.score)
    assert (whole.runs(), whole.end_s) == ([(2, 7)], 10.5)
    assert with_rest(found, times, 10.5).runs() == [(3, 6)]


def test_weights_fall_towards_the_ends_of_a_clip() -> None:
    pieces = [piece([0, 1, 2, 3, 4], [1] * 5), piece([2, 3, 4, 5, 6], [2] * 5)]
    found = score(pieces, [0, 1, 2, 3, 4, 5, 6]).score
    # At 2 s the first clip is in its middle (1.05), the second at its end (0.05).
    at_2 = (1.05 * 1 + 0.05 * 2) / 1.10
    np.testing.assert_allclose(found, [1, 1, at_2, 1.5, 3 - at_2, 2, 2], rtol=1e-6)


def test_clips_that_follow_each_other_are_joined_by_a_straight_line() -> None:
    pieces = [piece([0, 1], [1, 2]), piece([2, 3], [6, 6])]  # one interval lies between them
    found = score(pieces, [0, 1, 1.25, 1.5, 1.75, 2, 3])
    np.testing.assert_allclose(found.score, [1, 2, 3, 4, 5, 6, 6], rtol=1e-5)
    assert found.seen.tolist() == [True, True, False, False, False, True, True]


def test_a_clip_does_not_reach_into_another() -> None:
    alone = score([piece([0, 1, 2, 3], [1, 2, 3, 4])], [0, 1, 2, 3])
    beside = score([piece([0, 1, 2, 3], [1, 2, 3, 4]), piece([4, 5], [90, 90])], [0, 1, 2, 3])
    np.testing.assert_array_equal(alone.score, beside.score)


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
    np.testing.assert_allclose(score([found], [0, 1, 2]).score, [5, 7, 7], rtol=1e-5)
    np.testing.assert_allclose(stitch_maps([found], WHOLE).values, maps([5, 7]), rtol=1e-6)


def test_a_video_of_one_frame() -> None:
    found = piece([0, 0, 0, 0], [3, 1, 1, 1], weight=0.5, padded=3)
    scores, heat = score([found], [0]), stitch_maps([found], WHOLE)
    assert scores.score == pytest.approx([3])
    assert scores.weighted_score == pytest.approx([1.5])
    assert scores.seen.tolist() == [True]
    np.testing.assert_allclose(heat.values, 0.5 * maps([3]), rtol=1e-6)
    assert facts([found], [0]).flat
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
    pieces = [piece([a, a + 1, a + 2, a + 3], [0.3] * 4, 0.7) for a in (0, 1.5, 2, 6.5)]
    found = score(pieces, np.arange(0, 10.5, 0.25).tolist())
    np.testing.assert_allclose(found.score, 0.3, rtol=1e-6)
    np.testing.assert_allclose(found.weighted_score, 0.21, rtol=1e-6)
    curve_facts = facts(pieces)
    assert curve_facts.flat
    assert curve_facts.peak_s is None
    assert curve_facts.coefficient_of_variation == pytest.approx(0, abs=1e-6)
    assert curve_facts.entropy == pytest.approx(1)
    assert find_moments(found, stitch_maps(pieces, WHOLE), flat_below=0.0) == ()


def test_interpolation_invents_nothing() -> None:
    random = np.random.default_rng(0)
    starts = random.uniform(0, 20, 12)
    pieces = [
        piece(np.sort(start + random.uniform(0, 4, 8)).tolist(), random.normal(size=8).tolist())
        for start in starts
    ]
    found = score(pieces, np.linspace(0, 26, 400).tolist())
    assert found.covered.any()
    assert not found.covered.all()
    found_scores = found.score[found.covered]
    values = np.concatenate([p.scores for p in pieces])
    assert values.min() - 1e-6 <= found_scores.min()
    assert found_scores.max() <= values.max() + 1e-6
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


def test_a_moving_average_is_centered() -> None:
    scores = score([piece([0, 1, 2, 3, 4, 5], [0, 0, 6, 0, 0, 0])], [0, 1, 2, 3, 4, 5])
    found = smooth_scores(scores, "average", 2.0)
    np.testing.assert_allclose(found.score, [0, 0, 6, 0, 0, 0], atol=1e-6)  # no other is near
    found = smooth_scores(scores, "average", 4.0)  # weights 1/2, 1, 1/2
    np.testing.assert_allclose(found.score, [0, 1.5, 3, 1.5, 0, 0], atol=1e-6)
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


def test_smoothing_does_not_cross_what_was_not_looked_at() -> None:
    pieces = [piece([0, 1], [4, 4]), piece([6, 7], [8, 8])]
    scores = score(pieces, [0, 1, 2, 3, 4, 5, 6, 7])
    for kind in ("average", "exponential"):
        found = smooth_scores(scores, kind, 4.0)
        np.testing.assert_allclose(found.score, scores.score)
        assert found.covered.tolist() == scores.covered.tolist()


def test_what_the_curve_amounts_to_by_hand() -> None:
    pieces = [piece([0, 1], [1, 3], 0.5), piece([1, 2], [2, 2], 0.5)]
    found, frames = facts(pieces), score(pieces, [0, 1, 2])
    np.testing.assert_allclose(frames.score, [1, 2.5, 2])
    assert (found.minimum, found.maximum, found.mean) == pytest.approx((1, 2.5, 5.5 / 3))
    assert found.coefficient_of_variation == pytest.approx(np.sqrt(0.5) / 2)
    shares = np.array([1, 3, 2, 2]) / 8
    assert found.entropy == pytest.approx(-(shares * np.log(shares)).sum() / np.log(4))
    assert not found.flat
    assert (found.peak_s, found.peaks_equal) == (1, 0)


def test_the_maximum_is_that_of_the_frames_that_are_told() -> None:
    pieces = [piece([0, 0.5, 1], [1, 9, 1])]
    found = facts(pieces, [0, 0.4, 1, 7])
    assert found.maximum == pytest.approx(score(pieces, [0.4]).score[0])
    assert found.peak_s == 0.4


def test_a_peak_is_where_the_model_saw_it_and_not_where_it_was_held() -> None:
    found = facts([piece([3, 4, 5], [9, 1, 1])], [2, 2.5, 3, 4, 5])
    assert found.peak_s == 3


def test_smoothing_leaves_a_peak_at_its_event() -> None:
    times = np.arange(0, 2, 1 / 24)
    event = np.exp(-(((times - 1) / 0.15) ** 2))
    scores = score([piece(times.tolist(), event.tolist())], times.tolist())
    found = smooth_scores(scores, "average", 2.0)
    assert times[np.argmax(found.score)] == pytest.approx(1, abs=1 / 24)


def test_nobody_knows_what_lies_seconds_from_all_that_was_seen() -> None:
    """However far apart the frames of a clip are wanted."""
    uniform = piece([10, 50, 90], [1, 5, 3], interval_s=40)
    found = score([uniform], [7.9, 8, 12, 12.1, 30, 48, 50, 52, 52.1, 92, 93])
    known = [False, True, True, False, False, True, True, True, False, True, False]
    assert found.covered.tolist() == known
    assert find_moments(found, stitch_maps([uniform], WHOLE)) == ()


def test_equal_peaks_are_counted() -> None:
    times = np.arange(12.0).tolist()
    values = [0, 10, 0, 5, 0, 9.9, 0, 9.5, 0, 10, 0, 0]
    found = facts([piece(times, values)], times)
    assert (found.peak_s, found.peaks_equal) == (1, 2)  # those of 9.9 and 10, not that of 9.5


@pytest.mark.parametrize("kind", ["average", "exponential"])
def test_a_curve_that_smoothing_has_made_flat_has_no_peak(kind: str) -> None:
    times = np.arange(12.0).tolist()
    pieces = [piece(times, [1, 1, 1, 2, 9, 4, 1, 1, 1, 1, 1, 1])]
    for width_s, peaks in ((1.0, True), (1e9, False)):
        drawn = smooth_scores(score(pieces, times), kind, width_s)
        found = temporal_stats(pieces, drawn, 0.05)
        assert not found.flat  # which is of the scores as they are
        assert (found.peak_s is not None) == peaks
        assert found.peaks_equal == 0
        moments = find_moments(drawn, stitch_maps(pieces, WHOLE), flat_below=0.05)
        assert bool(moments) == peaks


@pytest.mark.parametrize(("spread", "flat"), [(0.049, True), (0.051, False)])
def test_flat_begins_where_the_setting_says(spread: float, flat: bool) -> None:
    assert facts([piece([0, 1], [1 - spread, 1 + spread])]).flat == flat


def test_signed_scores_that_cancel_are_not_flat() -> None:
    found = facts([piece([0, 1, 2, 3], [-1, 1, -1, 1])], [0, 1, 2, 3])
    assert found.mean == pytest.approx(0, abs=1e-7)
    assert found.coefficient_of_variation == pytest.approx(1)
    assert not found.flat


def test_nothing_anywhere_is_flat() -> None:
    found = facts([piece([0, 1], [0, 0])])
    assert found.flat
    assert (found.coefficient_of_variation, found.entropy) == (0, pytest.approx(1))


def attribution(values: Sequence[Sequence[Sequence[float]]]) -> Attribution:
    return Attribution(np.array(values, np.float32), "x", None, (), "", False, 1.0)


def test_places_are_flat_where_every_map_is_whatever_its_height() -> None:
    rising = attribution([[[1, 1]], [[5, 5]], [[9, 9]]])
    assert spatial_stats([rising], 0.1) == SpatialStats(0.0, True)
    found = spatial_stats([rising, attribution([[[0, 2]], [[5, 5]], [[9, 9]]])], 0.1)
    # Of the second clip, two of six tokens are 1 off their map's mean; the mean of all is 4.
    mean = (0 + 2 + 5 + 5 + 9 + 9) / 6
    expected = np.sqrt((2 / 6) / mean**2 / 2)
    assert found.coefficient_of_variation == pytest.approx(expected)
    assert spatial_stats([attribution([[[0, 1]]])], 0.1) == SpatialStats(1.0, False)
    assert spatial_stats([attribution([[[0, 0]]])], 0.1).flat


def test_attention_in_space_decides_where_a_map_is_more_than_that() -> None:
    sharp = replace(attribution([[[0, 1]]]), space_variation=0.01)
    assert spatial_stats([sharp], 0.1) == SpatialStats(pytest.approx(0.01), True)  # type: ignore[arg-type]


def curve(values: Sequence[float], seen: Sequence[int] | None = None) -> FrameScores:
    times = np.arange(len(values)) / 10
    scores = np.array(values, np.float32)
    known = ~np.isnan(scores)
    mask = np.isin(np.arange(len(values)), range(len(values)) if seen is None else seen)
    return FrameScores(times, scores, scores, mask & known, known, len(values) / 10)


def spot(row: int, column: int) -> HeatMaps:
    values = np.zeros((1, 2, 4), np.float32)
    values[0, row, column] = 1
    return HeatMaps(np.zeros(1), values, (0.25, 0.0, 0.75, 1.0))


def test_moments_are_the_upper_half_best_first() -> None:
    found = find_moments(curve([0, 0, 6, 6, 5, 5, 4, 10, 8, 0, 1]), spot(1, 2))
    assert [(m.start_s, m.peak_s, m.end_s) for m in found] == [
        pytest.approx((0.7, 0.7, 0.9)),
        pytest.approx((0.2, 0.2, 0.6)),
    ]
    assert [m.peak_score for m in found] == [10, 6]
    assert [m.share for m in found] == pytest.approx([18 / 45, 22 / 45])
    assert sum(m.share for m in found) <= 1


def test_a_moment_is_made_of_several_frames_that_were_seen() -> None:
    values = [0, 8, 8, 8, 0, np.nan, 9, 9, 9, 0]
    for seen, starts in (
        ([0, 2, 4, 6, 9], [0.1]),  # of the higher one nobody knows when it began
        ([0, 2, 4, 6, 7, 9], [0.6, 0.1]),
        ([0, 1, 3, 6, 9], [0.1]),
        ([0, 2, 6, 9], []),
    ):
        found = find_moments(curve(values, seen), spot(0, 0))
        assert [m.start_s for m in found] == pytest.approx(starts)


def test_moments_end_where_nothing_is_known() -> None:
    found = find_moments(curve([0, 8, 8, np.nan, np.nan, 8, 8, 0]), spot(0, 0))
    assert [(m.start_s, m.end_s) for m in found] == [
        pytest.approx((0.1, 0.3)),
        pytest.approx((0.5, 0.7)),
    ]
    assert [m.share for m in found] == pytest.approx([0.5, 0.5])


def test_a_moment_has_its_place_in_the_picture() -> None:
    (moment,) = find_moments(curve([0, 1, 1]), spot(1, 2))
    # Cell 2 of 4 across the box from 0.25 to 0.75, cell 1 of 2 down the whole height.
    assert moment.box == pytest.approx((0.5, 0.5, 0.625, 1.0))
    assert moment.center == pytest.approx((0.5625, 0.75))


def test_the_map_nearest_to_the_peak_is_taken() -> None:
    values = np.zeros((3, 1, 3), np.float32)
    values[[0, 1, 2], 0, [0, 1, 2]] = 1
    heat = HeatMaps(np.array([0, 0.5, 1.0]), values, WHOLE)
    (moment,) = find_moments(curve([0] * 8 + [0.9, 1]), heat)
    assert moment.center == pytest.approx((5 / 6, 0.5))


def test_the_box_holds_the_strongest_half() -> None:
    values = np.array([[[1, 1, 1, 1], [1, 4, 4, 1]]], np.float32)  # 8 of 14 in two cells
    (moment,) = find_moments(curve([0, 1, 1]), HeatMaps(np.zeros(1), values, WHOLE))
    assert moment.box == pytest.approx((0.25, 0.5, 0.75, 1.0))


def test_every_moment_is_told_and_equal_ones_in_order_of_time() -> None:
    found = find_moments(curve([0, 2, 2, 0, 1.5, 1.5] * 8), spot(0, 0))
    assert [m.peak_score for m in found] == [2] * 8 + [1.5] * 8
    assert [m.peak_s for m in found[:3]] == pytest.approx([0.1, 0.7, 1.3])


@pytest.mark.parametrize("values", [[0, 0, 0], [-1, -2, -3], [2, 2, 2], [1.00, 1.02, 1.01]])
def test_a_curve_without_evidence_has_no_moments(values: list[float]) -> None:
    assert find_moments(curve(values), spot(0, 0), flat_below=0.05) == ()


def test_random_moments_keep_their_promises() -> None:
    random = np.random.default_rng(3)
    heat = HeatMaps(np.arange(20) / 5, random.normal(size=(20, 3, 5)).astype(np.float32), WHOLE)
    for _ in range(50):
        found = find_moments(curve(random.normal(size=40).tolist()), heat)
        assert 0 <= sum(m.share for m in found) <= 1 + 1e-9
        assert [m.peak_score for m in found] == sorted((m.peak_score for m in found), reverse=True)
        for m in found:
            left, top, right, bottom = m.box
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
            assert all(0 < part < 1 for part in m.center)
            assert m.start_s <= m.peak_s <= m.end_s


def test_a_map_without_mass_has_its_centre_in_the_middle() -> None:
    empty = -np.ones((2, 2), np.float32)
    assert center_of_mass(empty, (0.25, 0, 0.75, 1)) == pytest.approx((0.5, 0.5))
