"""Windows of a stream: at a hop, or those of dense sampling of a file of the same frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_sources import captured

from staa_cli.config.settings import SamplingSettings
from staa_cli.explain.sampling import plan
from staa_cli.live.frames import LiveFrame, Ring, Spacing, Window
from staa_cli.schema import Float64

T, INTERVAL_S = 4, 0.1
SIDE = 16
BYTES = sum(plane.buffer_size for plane in av.VideoFrame(SIDE, SIDE, "yuv420p").planes)


def frame(number: int, time_s: float) -> LiveFrame:
    return LiveFrame(number, time_s, av.VideoFrame(SIDE, SIDE, "yuv420p"), time_s, time_s)


def fed(ring: Ring, times_s: Iterable[float], breaks: Sequence[int] = ()) -> list[Window]:
    """The windows of frames at these times; before some of them, time is not known."""
    return [
        window
        for number, time_s in enumerate(times_s)
        for window in ring.add(frame(number, float(time_s)), continues=number not in breaks)
    ]


def every(hop: int) -> Spacing:
    return Spacing(T, INTERVAL_S, hop=hop)


def dense(frames: int = T, interval_s: float = INTERVAL_S, hop: float = 1.0) -> Spacing:
    return Spacing(frames, interval_s, hop_s=hop * frames * interval_s)


def check_dense(times_s: Float64, spacing: Spacing, hop: float) -> None:
    """The windows are the clips of the whole file, but the last, which ends with the file."""
    clips = plan(
        times_s,
        frames=spacing.frames,
        interval_s=spacing.interval_s,
        settings=SamplingSettings(strategy="dense", hop=hop),
    ).clips
    windows = fed(Ring(spacing), times_s)
    assert len(windows) in (len(clips), len(clips) - 1)
    for window, clip in zip(windows, clips, strict=False):
        assert window.clip.frame_indices == clip.frame_indices
        assert window.clip.times_s == clip.times_s
        assert window.clip.padded == clip.padded == 0


# At a hop.


@pytest.mark.parametrize("hop", [1, 2, 7])
def test_a_window_every_so_many_frames(hop: int) -> None:
    times_s = np.arange(60) / 30
    windows = fed(Ring(every(hop)), times_s)
    # The first one ends with the first frame that is three intervals after the first one.
    assert [window.completed.number for window in windows] == list(range(9, 60, hop))
    assert [window.number for window in windows] == list(range(len(windows)))
    for window in windows:
        last = window.completed.number
        assert window.clip.frame_indices == (last - 9, last - 6, last - 3, last)
        assert [each.number for each in window.frames] == list(window.clip.frame_indices)
        assert window.clip.times_s == tuple(times_s[[*window.clip.frame_indices]])
        assert window.clip.padded == 0


def test_the_frames_nearest_to_the_times_are_taken() -> None:
    times_s = [0.0, 0.03, 0.11, 0.16, 0.19, 0.27, 0.33, 0.4]
    windows = fed(Ring(every(1)), times_s)
    # Times from 0.03 on, and from 0.1 on; of two that are equally near, the earlier one.
    assert [window.clip.frame_indices for window in windows] == [(1, 2, 4, 6), (2, 4, 5, 7)]


def test_a_low_rate_repeats_frames() -> None:
    windows = fed(Ring(every(1)), np.arange(5) * 0.25)
    # Times 0.2, 0.3, 0.4, 0.5 for the first one.
    expected = [(1, 1, 2, 2), (2, 2, 3, 3), (3, 3, 4, 4)]
    assert [window.clip.frame_indices for window in windows] == expected


def test_no_window_spans_a_gap() -> None:
    times_s = np.arange(60) / 30
    windows = fed(Ring(every(1)), times_s, breaks=[30])
    assert {window.completed.number for window in windows} == {*range(9, 30), *range(39, 60)}
    for window in windows:
        assert len({number < 30 for number in window.clip.frame_indices}) == 1
    assert [window.number for window in windows] == list(range(len(windows)))


def test_a_pause_that_is_known_is_spanned() -> None:
    times_s = [*np.arange(20) / 30, *(3 + np.arange(20) / 30)]
    windows = fed(Ring(every(1)), times_s)
    after = next(window for window in windows if window.completed.number == 20)
    assert after.clip.frame_indices == (20, 20, 20, 20)


# As a file.


@pytest.mark.parametrize("hop", [0.25, 0.5, 1.0])
@pytest.mark.parametrize(
    "name", ["shake", "hop", "flash_rotated", "grow_sound", "spin_sound", "split_vfr"]
)
def test_the_clips_of_the_sample_videos(sample_videos: Path, name: str, hop: float) -> None:
    times_s = np.array(captured(sample_videos / f"{name}.mp4").times_s)
    for frames, interval_s in ((4, 0.25), (8, 2 / 30), (16, 1 / 12)):
        check_dense(times_s, dense(frames, interval_s, hop), hop)


@pytest.mark.parametrize("rate", [9.9, 24, 25, 30000 / 1001, 60, 240])
def test_the_clips_of_other_rates(rate: float) -> None:
    check_dense(np.arange(round(7 * rate)) / rate, dense(), 1.0)
    check_dense(np.arange(round(7 * rate)) / rate, dense(hop=0.5), 0.5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.005, 0.19), min_size=5, max_size=120), st.sampled_from([0.5, 1.0]))
def test_the_clips_of_a_variable_rate(gaps: list[float], hop: float) -> None:
    """Gaps that are shorter than the time from window to window."""
    check_dense(np.cumsum([0.0, *gaps]), dense(hop=hop), hop)


def test_windows_begin_anew_after_a_gap() -> None:
    times_s = np.arange(100) / 30
    windows = fed(Ring(dense()), times_s, breaks=[40])
    firsts = [window.clip.frame_indices[0] for window in windows]
    assert firsts == [0, 12, 24, 40, 52, 64, 76, 88]


def test_the_clips_of_pauses_that_are_longer_than_from_window_to_window() -> None:
    gaps = np.random.default_rng(0).choice([0.03, 0.03, 0.03, 0.9], 80)
    times_s = np.cumsum(gaps)
    clips = plan(
        times_s,
        frames=T,
        interval_s=INTERVAL_S,
        settings=SamplingSettings(strategy="dense", hop=1.0),
    ).clips
    windows = [window.clip.frame_indices for window in fed(Ring(dense()), times_s)]
    assert windows == [clip.frame_indices for clip in clips][: len(windows)]
    assert len(windows) >= len(clips) - 1


# What is kept.


@pytest.mark.parametrize("spacing", [every(1), dense(), Spacing(1, INTERVAL_S, hop=1)])
def test_the_latest_frames(spacing: Spacing) -> None:
    ring = Ring(spacing, keep_s=1.0)
    assert ring.latest(5.0) == []
    fed(ring, np.arange(300) / 30)
    numbers = [each.number for each in ring.latest(0.5)]
    assert numbers == list(range(284, 300))
    kept = [each.number for each in ring.latest(1e9)]
    assert kept == list(range(kept[0], 300))
    assert 30 <= len(kept) <= 33


def test_what_is_kept_has_no_gap() -> None:
    ring = Ring(every(1), keep_s=10.0)
    fed(ring, np.arange(300) / 30, breaks=[100, 290])
    assert [each.number for each in ring.latest(10.0)] == list(range(290, 300))


def test_memory_is_bounded_also_where_more_seconds_are_asked_for() -> None:
    ring = Ring(every(1), keep_s=3600.0, keep_bytes=40 * BYTES)
    fed(ring, np.arange(3000) / 30)
    kept = ring.latest(3600.0)
    assert len(kept) == 40
    assert kept[-1].number == 2999


def test_one_frame_that_is_larger_than_the_bound_of_memory() -> None:
    windows = fed(Ring(every(1), keep_s=3600.0, keep_bytes=1), np.arange(20) / 30)
    assert [window.completed.number for window in windows] == list(range(9, 20))


def test_a_window_is_complete_whatever_the_bound_of_memory() -> None:
    ring = Ring(every(1), keep_s=3600.0, keep_bytes=3 * BYTES)
    windows = fed(ring, np.arange(200) / 30)
    assert [window.clip.frame_indices for window in windows] == [
        (last - 9, last - 6, last - 3, last) for last in range(9, 200)
    ]
    assert len(ring.latest(3600.0)) < 15
