"""The reader against ffprobe, ffmpeg, and plain decoding, on every kind of file ffmpeg makes.

`video_cases` says what is compared, `video_reference` by what.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from stamped import BITS, Picture
from video_cases import Case, all_cases
from video_reference import (
    Refused,
    Track,
    heard,
    make,
    numbers,
    rgb_by_ffmpeg,
    rgb_by_pyav,
    rising,
    shown,
    tracks,
)

from staa_cli.schema import VideoInfo
from staa_cli.video import DecodeReport, YuvPlanes, annotate, iter_frames, probe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        which("ffmpeg") is None or which("ffprobe") is None, reason="ffmpeg is not installed"
    ),
]

CASES = all_cases()
LEAST = 0.85
"""Share of the cases that an ffmpeg of any distribution makes; fewer is no comparison."""
_RAN: Counter[str] = Counter()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path) -> None:
    try:
        path = make(case, tmp_path)
    except Refused as error:
        _RAN["refused"] += 1
        pytest.skip(f"this ffmpeg does not make it: {error}")
    _RAN["made"] += 1
    found = tracks(path, case.times)
    info = probe(path)
    _same_times(case, info, shown(found))
    _same_pictures(case, info, path, shown(found))
    _same_when_annotated(case, info, tmp_path / "annotated.mp4", shown(found), heard(found))


def test_most_cases_were_made() -> None:
    if sum(_RAN.values()) < len(CASES):
        pytest.skip("only some cases were asked for")
    assert _RAN["made"] >= LEAST * len(CASES), _RAN


def _frame_s(track: Track) -> float:
    """Seconds of a usual frame."""
    times = sorted(t for t in track.times_s if t is not None)
    gaps = np.diff(times)
    usual = gaps[gaps > 0]
    return float(np.median(usual)) if len(usual) else max(track.lengths_s[-1], 0.04)


def _same_times(case: Case, info: VideoInfo, track: Track) -> None:
    assert info.frames == len(track.times_s)
    assert info.times_s[0] == 0
    assert rising(info.times_s.tolist())
    if case.damaged is False:
        assert info.packets_bad == 0
    known = [t for t in track.times_s if t is not None]
    if len(known) == info.frames and rising(known):
        # ffprobe prints microseconds.
        expected = np.array(known) - known[0]
        assert info.times_s == pytest.approx(expected, abs=2e-6 + case.bend)
    elif known:
        span = max(known) - min(known)
        assert info.times_s[-1] == pytest.approx(span, abs=_frame_s(track) + 2e-6 + case.bend)
    assert info.duration_s == pytest.approx(info.times_s[-1], abs=1e9)
    assert info.duration_s > info.times_s[-1]


def _same_pictures(case: Case, info: VideoInfo, path: Path, track: Track) -> None:
    truth = rgb_by_ffmpeg(path, track.index, info.width, info.height)
    assert len(truth) == info.frames
    report = DecodeReport()
    pictures = [picture for _, picture in iter_frames(info, range(info.frames), report)]
    assert len(pictures) == info.frames
    if not case.damaged:
        assert (report.packets_bad, report.missing) == (0, [])
        _alike(case, pictures, truth)
    plain = rgb_by_pyav(path, track.index)
    if not (case.toned or info.rotation or info.mirrored):
        differ = [n for n, (a, b) in enumerate(zip(pictures, plain, strict=True)) if (a != b).any()]
        assert differ == []
    # Any part of them, in any order, is the same part of the whole.
    dice = random.Random(case.name)
    everything = range(info.frames)
    asked = [[n] for n in dice.sample(everything, min(8, info.frames))]
    asked += [dice.sample(everything, min(4, info.frames)) for _ in range(4)]
    for positions in asked:
        for n, picture in iter_frames(info, positions):
            assert (picture == pictures[n]).all(), f"{n}, asked for {positions}"


def _alike(case: Case, pictures: list[Picture], truth: list[Picture]) -> None:
    if _numbered(pictures[0]) and len(set(numbers(truth))) == len(truth):
        assert numbers(pictures) == numbers(truth)
    if not case.toned:
        errors = [
            float(np.abs(a.astype(int) - b).mean()) for a, b in zip(pictures, truth, strict=True)
        ]
        assert max(errors) < 3, errors


def _numbered(picture: Picture) -> bool:
    height, width = picture.shape[:2]
    return width >= 6 * (BITS + 1) and height >= 16


def _same_when_annotated(
    case: Case, info: VideoInfo, path: Path, track: Track, sound: Track | None
) -> None:
    def unchanged(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        return planes

    report = DecodeReport()
    annotate(info, path, unchanged, preset="ultrafast", report=report)
    copied = tracks(path)
    video = shown(copied)
    if not case.damaged:
        assert (report.packets_bad, report.missing) == (0, [])
        assert len(video.times_s) == info.frames
    frame_s = _frame_s(track)
    assert video.start_s == pytest.approx(0, abs=1e-6)
    assert max(t for t in video.times_s if t is not None) == pytest.approx(
        info.times_s[-1], abs=1e-5
    )
    assert video.end_s == pytest.approx(info.duration_s, abs=frame_s)
    copy = heard(copied)
    assert (copy is None) == (sound is None)
    if sound is not None and copy is not None:
        assert copy.start_s == pytest.approx(max(0, sound.start_s - track.start_s), abs=0.15)
        assert copy.end_s == pytest.approx(sound.end_s - track.start_s, abs=0.15)
