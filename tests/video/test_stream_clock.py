"""Times of a stream: those of a file of the same frames, and always increasing."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stamped import write_stamped
from stream_sources import captured

from staa_cli.video.stream_clock import StreamClock
from staa_cli.video.table import frame_table

TICK_S = 1 / 90_000
FRAME = 3_600
"""Ticks of a frame at 25 a second."""


def clock() -> StreamClock:
    made = StreamClock()
    made.restart(TICK_S, 0.04)
    return made


def positions(stamps: Sequence[int | None], made: StreamClock | None = None) -> list[float]:
    """Times in frames."""
    made = made or clock()
    return [round(made.of(stamp).time_s / 0.04, 6) for stamp in stamps]


def continues(stamps: Sequence[int | None]) -> list[bool]:
    made = clock()
    return [made.of(stamp).continues for stamp in stamps]


def frames(*numbers: float | None) -> list[int | None]:
    """Timestamps of a source whose clock began long ago."""
    return [None if number is None else 10**9 + round(FRAME * number) for number in numbers]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "nut"])
def test_times_of_a_file_with_a_variable_rate(tmp_path: Path, ending: str, seed: int) -> None:
    ticks = np.cumsum(np.random.default_rng(seed).integers(3, 400, 40)).tolist()
    ticks[20:] = [each + 25_000 for each in ticks[20:]]  # a long pause, as of a screen recording
    path = write_stamped(tmp_path / f"v.{ending}", 40, ticks=ticks, time_base=Fraction(1, 1000))
    stream = captured(path)
    np.testing.assert_array_equal(stream.times_s, frame_table(str(path)).times_s)
    assert all(stream.continues)
    assert stream.capture.times_repaired == 0


@pytest.mark.parametrize(
    "name", ["shake", "hop", "flash_rotated", "grow_sound", "spin_sound", "split_vfr"]
)
def test_times_of_the_sample_videos(sample_videos: Path, name: str) -> None:
    path = sample_videos / f"{name}.mp4"
    np.testing.assert_array_equal(captured(path).times_s, frame_table(str(path)).times_s)


@pytest.mark.parametrize("rate", [24, 30])
@pytest.mark.parametrize(
    ("container", "codec"), [("h264", "libx264"), ("yuv4mpegpipe", "wrapped_avframe")]
)
def test_times_of_a_file_without_timestamps(
    tmp_path: Path, container: str, codec: str, rate: int
) -> None:
    path = write_stamped(tmp_path / "v", 20, rate=rate, codec=codec, container=container)
    stream = captured(path)
    np.testing.assert_array_equal(stream.times_s, frame_table(str(path)).times_s)
    assert all(stream.continues)


def test_a_missing_timestamp_is_a_frame_further() -> None:
    stamps = frames(0, 1, None, 3, None, None, 6)
    assert positions(stamps) == [0, 1, 2, 3, 4, 5, 6]
    assert all(continues(stamps))


def test_frames_without_timestamps_at_the_start() -> None:
    assert positions(frames(None, None, 7, 8, 10)) == [0, 1, 2, 3, 5]


def test_two_frames_that_share_a_timestamp_share_its_time() -> None:
    made = clock()
    assert positions(frames(0, 1, 1, 2, 3), made) == [0, 1, 1.5, 2, 3]
    assert made.repaired == 1
    assert all(continues(frames(0, 1, 1, 2, 3)))


def test_a_clock_that_stands_still_does_not_stop_the_stream() -> None:
    stamps = frames(*[0] * 40, *range(1, 10))
    times = positions(stamps)
    assert all(0.5 <= after - before <= 1 for before, after in pairwise(times[:40]))
    assert [after - before for before, after in pairwise(times[-6:])] == pytest.approx([1] * 5)
    assert all(continues(stamps))


def test_a_coarse_clock_keeps_its_rate() -> None:
    """Two frames for each of its ticks."""
    times = positions(frames(*(2 * (n // 2) for n in range(100))))
    assert times[-1] == pytest.approx(99, abs=1.1)


def test_times_that_were_written_in_decoding_order_keep_their_rate() -> None:
    in_groups = [number for start in range(0, 60, 3) for number in (start + 2, start, start + 1)]
    stamps = frames(*in_groups)
    assert positions(stamps)[-1] == pytest.approx(59, abs=3)
    assert all(continues(stamps))


@pytest.mark.parametrize("jump_s", [11, 3600, 30 * 365 * 86_400, -1, -3600, -(2**33) / 90_000])
def test_a_jump_is_one_frame_of_which_nothing_is_known(jump_s: float) -> None:
    after = 5 + jump_s / 0.04
    made = clock()
    stamps = frames(0, 1, 2, 3, 4, after, after + 1, after + 2.5)
    assert positions(stamps, made) == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7.5])
    assert continues(stamps) == [True] * 5 + [False] + [True] * 2
    assert made.repaired == 1


def test_a_pause_of_some_seconds_is_kept() -> None:
    assert positions(frames(0, 1, 200, 201)) == [0, 1, 200, 201]
    assert all(continues(frames(0, 1, 200, 201)))


def test_a_new_connection_goes_on_with_its_own_clock() -> None:
    made = clock()
    assert positions(frames(0, 1, 2), made) == [0, 1, 2]
    made.restart(1 / 1000, 0.04)
    moments = [made.of(stamp) for stamp in (5_000, 5_020, 5_100)]
    assert [moment.time_s for moment in moments] == pytest.approx([0.12, 0.14, 0.22])
    assert [moment.continues for moment in moments] == [False, True, True]
    assert made.repaired == 0


def test_a_connection_without_a_frame_changes_nothing() -> None:
    made = clock()
    made.restart(1 / 1000, 0.04)
    first = made.of(7)
    assert (first.time_s, first.continues) == (0, True)
    made.restart(1 / 1000, 0.04)
    made.restart(1 / 1000, 0.04)
    assert made.of(0).time_s == pytest.approx(0.04)


@given(
    st.lists(st.none() | st.integers(-(2**40), 2**40) | st.integers(0, 50_000), min_size=2),
    st.integers(0, 50),
)
def test_times_always_increase(stamps: list[int | None], at: int) -> None:
    made, times = clock(), []
    for number, stamp in enumerate(stamps):
        if number == at:
            made.restart(1 / 1000, 0.02)
        times.append(made.of(stamp).time_s)
    assert times[0] == 0
    assert all(after > before for before, after in pairwise(times))


def test_the_wrap_of_a_transport_stream(tmp_path: Path) -> None:
    """After 26.5 h, its timestamps, of 33 bits, begin again."""
    start = 2**33 - 30 * 3000
    path = write_stamped(
        tmp_path / "v.ts",
        60,
        ticks=[3000 * n for n in range(60)],
        time_base=Fraction(1, 90_000),
        start=start,
    )
    with av.open(str(path)) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert max(stamps) - min(stamps) < 2**32, "FFmpeg unwraps the first one"
    stream = captured(path)
    assert stream.numbers == list(range(60))
    np.testing.assert_allclose(stream.times_s, np.arange(60) / 30, atol=1e-9)


def test_the_second_wrap_of_a_transport_stream(tmp_path: Path) -> None:
    """FFmpeg unwraps once; then timestamps fall by 2**33 ticks."""
    parts = []
    for name, start in (("a", 100 * 3000), ("b", 2**33 - 10 * 3000)):
        ticks = [3000 * n for n in range(30)]
        path = tmp_path / f"{name}.ts"
        write_stamped(path, 30, ticks=ticks, time_base=Fraction(1, 90_000), start=start)
        parts.append(path.read_bytes())
    (tmp_path / "ab.ts").write_bytes(b"".join(parts))
    stream = captured(tmp_path / "ab.ts", follow=True, nothing_s=0.3)
    assert stream.numbers == [*range(30), *range(30)]
    assert all(after > before for before, after in pairwise(stream.times_s))
    assert stream.times_s[-1] == pytest.approx(59 / 30, abs=0.05)
