"""Sampling: hand-worked plans, and what must hold for any video."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staa_cli.config.settings import SamplingSettings
from staa_cli.errors import InputError, UsageError
from staa_cli.explain.sampling import Plan, clip_at, plan
from staa_cli.schema import Float64


def at_rate(frames: int, rate: float = 30.0) -> Float64:
    return np.arange(frames) / rate


def rows(result: Plan) -> list[tuple[int, ...]]:
    return [clip.frame_indices for clip in result.clips]


def codes(result: Plan) -> list[str]:
    return [warning.code for warning in result.warnings]


def test_dense_steps_by_half_a_clip_and_ends_on_the_last_frame() -> None:
    result = plan(at_rate(11, 10), frames=4, interval_s=0.2, settings=SamplingSettings("dense"))
    # A clip spans 0.6 s and is 0.8 s long, so it begins at 0, 0.4, and, shifted back, at 0.4.
    assert rows(result) == [(0, 2, 4, 6), (4, 6, 8, 10)]
    assert result.clips[1].times_s == pytest.approx((0.4, 0.6, 0.8, 1.0))
    assert codes(result) == []


def test_hop_of_one_lays_clips_end_to_end() -> None:
    times = at_rate(16, 10)
    result = plan(times, frames=4, interval_s=0.1, settings=SamplingSettings("dense", hop=1))
    assert rows(result) == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11), (12, 13, 14, 15)]


def test_uniform_takes_the_middles_of_equal_parts() -> None:
    result = plan(at_rate(12), frames=4, interval_s=0.1, settings=SamplingSettings("uniform"))
    assert rows(result) == [(1, 4, 7, 10)]


def test_uniform_takes_every_frame_where_there_are_just_enough() -> None:
    result = plan(at_rate(8), frames=8, interval_s=1 / 30, settings=SamplingSettings("uniform"))
    assert rows(result) == [tuple(range(8))]
    assert codes(result) == []


def test_uniform_says_when_frames_are_much_further_apart_than_the_model_knows() -> None:
    result = plan(at_rate(3000), frames=8, interval_s=0.1, settings=SamplingSettings("uniform"))
    assert codes(result) == ["stride-mismatch"]


def test_segments_are_centered_in_equal_parts() -> None:
    wish = SamplingSettings("segments", clips=2)
    result = plan(at_rate(21, 10), frames=3, interval_s=0.1, settings=wish)
    # Two parts of 1 s with middles at 0.5 and 1.5 s; a clip spans 0.2 s.
    assert rows(result) == [(4, 5, 6), (14, 15, 16)]


def test_random_clips_depend_on_the_seed_alone() -> None:
    def drawn(seed: int) -> list[tuple[int, ...]]:
        wish = SamplingSettings("random", clips=5, seed=seed)
        return rows(plan(at_rate(3000), frames=8, interval_s=0.1, settings=wish))

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(1) == sorted(drawn(1))


def test_range_keeps_to_its_stretch() -> None:
    wish = SamplingSettings("range", start=1.0, end=2.0)
    result = plan(at_rate(100, 10), frames=3, interval_s=0.1, settings=wish)
    assert rows(result)[0][0] == 10
    assert rows(result)[-1][-1] == 19  # the frame that starts at 2 s is outside


@pytest.mark.parametrize("strategy", ["dense", "uniform", "segments", "random"])
def test_start_and_end_hold_for_every_strategy(strategy: str) -> None:
    wish = SamplingSettings(strategy, start=2.0, end=5.0)  # type: ignore[arg-type]
    seen = np.concatenate(rows(plan(at_rate(100, 10), frames=4, interval_s=0.1, settings=wish)))
    assert seen.min() >= 20
    assert seen.max() <= 49


def test_a_short_video_keeps_its_pace_and_repeats_the_last_frame() -> None:
    result = plan(at_rate(5, 10), frames=6, interval_s=0.2, settings=SamplingSettings())
    assert rows(result) == [(0, 2, 4, 4, 4, 4)]
    assert result.clips[0].padded == 3
    assert codes(result) == ["short-video"]


def test_one_frame_is_enough() -> None:
    for strategy in ("auto", "uniform", "dense", "segments", "random"):
        wish = SamplingSettings(strategy)
        result = plan(np.zeros(1), frames=8, interval_s=0.1, settings=wish)
        assert rows(result) == [(0,) * 8]
        assert result.clips[0].padded == 7
        assert codes(result) == ["short-video"]


def test_a_slow_source_repeats_frames_and_says_so() -> None:
    result = plan(at_rate(20, 5), frames=4, interval_s=0.1, settings=SamplingSettings())
    assert rows(result)[0] == (0, 0, 1, 1)  # 0.1 s lies as near to frame 0 as to frame 1
    assert "low-frame-rate" in codes(result)


def test_frames_of_a_variable_rate_are_chosen_by_time() -> None:
    times = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 2.0])
    result = plan(times, frames=3, interval_s=1.0, settings=SamplingSettings())
    assert rows(result) == [(0, 3, 5)]


def test_a_stride_of_ones_own_is_reported() -> None:
    result = plan(
        at_rate(300), frames=8, interval_s=0.2, model_interval_s=0.1, settings=SamplingSettings()
    )
    assert codes(result) == ["stride-mismatch"]


def test_seconds_are_told_without_an_exponent() -> None:
    wish = {"frames": 8, "interval_s": 25_000.0, "model_interval_s": 0.1}
    (short, _) = plan(at_rate(72, 24), **wish, settings=SamplingSettings()).warnings  # type: ignore[arg-type]
    assert "(200000 s)" in short.text
    mismatch = plan(at_rate(72, 24), **wish, settings=SamplingSettings()).warnings[1]  # type: ignore[arg-type]
    assert "every 25000 s but was trained on one every 0.1 s" in mismatch.text


def test_auto_is_dense() -> None:
    assert plan(at_rate(99), frames=8, interval_s=0.1, settings=SamplingSettings()).strategy == (
        "dense"
    )


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (SamplingSettings("range"), UsageError),
        (SamplingSettings("range", start=2, end=1), UsageError),
        (SamplingSettings("dense", start=3, end=3), UsageError),
        (SamplingSettings("dense", start=99), InputError),
        (SamplingSettings("dense", start=0.01, end=0.02), InputError),
    ],
)
def test_an_impossible_range_is_an_error_with_a_hint(
    wish: SamplingSettings, error: type[UsageError]
) -> None:
    with pytest.raises(error) as caught:
        plan(at_rate(100, 10), frames=4, interval_s=0.1, settings=wish)
    assert caught.value.hint


videos = st.lists(st.floats(0.001, 2.0), min_size=0, max_size=60).map(
    lambda gaps: np.concatenate([[0.0], np.cumsum(gaps)])
)
wishes = st.builds(
    SamplingSettings,
    strategy=st.sampled_from(["auto", "uniform", "dense", "segments", "random"]),
    hop=st.floats(0.05, 2.0),
    clips=st.integers(1, 12),
    seed=st.integers(0, 5),
)


@settings(max_examples=150, deadline=None)
@given(times=videos, frames=st.integers(1, 16), interval_s=st.floats(0.01, 1.5), wish=wishes)
def test_any_plan_is_sound(
    times: Float64, frames: int, interval_s: float, wish: SamplingSettings
) -> None:
    result = plan(times, frames=frames, interval_s=interval_s, settings=wish)
    assert result == plan(times, frames=frames, interval_s=interval_s, settings=wish)
    assert [clip.index for clip in result.clips] == list(range(len(result.clips)))
    for clip in result.clips:
        assert len(clip.frame_indices) == frames
        assert np.all(np.diff(clip.frame_indices) >= 0)
        assert 0 <= clip.frame_indices[0] <= clip.frame_indices[-1] < len(times)
        assert clip.times_s == tuple(times[list(clip.frame_indices)])
        tail = clip.frame_indices[frames - clip.padded :]
        assert set(tail) <= {len(times) - 1}
    starts = [clip.start_s for clip in result.clips]
    assert starts == sorted(starts)


@settings(max_examples=100, deadline=None)
@given(times=videos, frames=st.integers(1, 16), interval_s=st.floats(0.01, 1.5))
def test_dense_clips_leave_no_frame_outside_and_no_gap(
    times: Float64, frames: int, interval_s: float
) -> None:
    result = plan(times, frames=frames, interval_s=interval_s, settings=SamplingSettings("dense"))
    assert result.clips[0].frame_indices[0] == 0
    assert result.clips[-1].frame_indices[-1] == len(times) - 1
    if frames > 1:  # a clip of one frame has no length to step by
        for before, after in zip(result.clips, result.clips[1:], strict=False):
            assert after.frame_indices[0] <= before.frame_indices[-1] + 1


@pytest.mark.parametrize(
    ("start_s", "indices"),
    [
        (2.0, (8, 10, 12, 14)),
        (2.05, (8, 10, 12, 14)),
        (-3.0, (0, 2, 4, 6)),
        (9.0, (13, 15, 17, 19)),
    ],
)
def test_a_clip_begins_where_it_is_wanted_or_as_near_as_the_video_allows(
    start_s: float, indices: tuple[int, ...]
) -> None:
    times_s = np.arange(20) / 4
    found = clip_at(times_s, start_s, frames=4, interval_s=0.5)
    assert found.frame_indices == indices
    assert found.padded == 0
    short = clip_at(times_s[:3], start_s, frames=4, interval_s=0.5)
    assert (short.frame_indices, short.padded) == ((0, 2, 2, 2), 2)
