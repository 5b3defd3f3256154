"""The reader against ffprobe, ffmpeg, and plain decoding, on every kind of file ffmpeg makes.

`video_cases` says what is compared, `video_reference` by what.
"""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
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
from staa_cli.video.annotate import annotate
from staa_cli.video.decode import iter_frames
from staa_cli.video.encoders import Quality
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.probe import probe
from staa_cli.video.table import DecodeReport

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        which("ffmpeg") is None or which("ffprobe") is None, reason="ffmpeg is not installed"
    ),
]

MICROSECOND = 1.1e-6
"""ffprobe prints no less."""
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
    found = tracks(path)
    info = probe(path)
    pictures, missing = _same_pictures(case, info, path, shown(found))
    _same_times(case, info, shown(found), missing)
    annotated = tmp_path / "annotated.mp4"
    _same_when_annotated(case, info, annotated, shown(found), heard(found))
    if _numbered(pictures[0]) and not missing:
        assert numbers(rgb_by_pyav(annotated, 0)) == numbers(pictures)


def test_most_cases_were_made() -> None:
    if sum(_RAN.values()) < len(CASES):
        pytest.skip("only some cases were asked for")
    assert _RAN["made"] >= LEAST * len(CASES), _RAN


def _frame_s(case: Case, track: Track) -> float:
    """Seconds of a usual frame."""
    if case.steady:
        return float(1 / Fraction(case.rate))
    gaps = np.diff(sorted(t for t in track.times_s if t is not None))
    usual = gaps[gaps > 0]
    return float(np.median(usual)) if len(usual) else max(track.lengths_s[-1], 0.04)


def _same_times(case: Case, info: VideoInfo, track: Track, missing: list[int]) -> None:
    """The table lists the frames that decode, at their times; those of a cut end may follow."""
    assert case.damaged or (info.packets_bad, missing) == (0, [])
    times_s = np.delete(info.times_s, missing)
    assert len(times_s) == len(track.times_s)
    assert times_s[0] == info.times_s[0] == 0
    assert rising(info.times_s.tolist())
    # MP4 says how long until the next packet, which in a variable rate is not the next frame.
    longest_s = max(_frame_s(case, track), *track.lengths_s, *np.diff(info.times_s))
    assert 0 < info.duration_s - info.times_s[-1] <= longest_s + MICROSECOND
    if case.steady:
        expected = np.arange(len(times_s)) / float(Fraction(case.rate))
        assert times_s == pytest.approx(expected, abs=MICROSECOND)
        return
    # Some frames have no time at all; a single one may be all there is.
    known = {n: t for n, t in enumerate(track.times_s) if t is not None} or {0: 0.0}
    at, told_s = list(known), np.array(list(known.values()))
    if len(set(told_s)) == len(told_s) and track.stamped:
        # Times that step back for a few frames are sorted.
        expected = np.sort(told_s) - told_s.min()
        assert times_s[at] - times_s[at[0]] == pytest.approx(expected, abs=2 * MICROSECOND)
    else:
        assert times_s[-1] == pytest.approx(np.ptp(told_s), abs=_frame_s(case, track) + MICROSECOND)


def _same_pictures(
    case: Case, info: VideoInfo, path: Path, track: Track
) -> tuple[list[Picture], list[int]]:
    """Compares what is shown; gives that, and the positions that do not decode."""
    report = DecodeReport()
    everything = range(info.frames)
    pictures = [picture for _, picture in iter_frames(info, everything, report)]
    assert len(pictures) == info.frames
    assert case.damaged or report.packets_bad == 0
    decoded = [p for n, p in enumerate(pictures) if n not in set(report.missing)]
    if case.plain and not (case.toned or info.rotation or info.mirrored):
        plain = rgb_by_pyav(path, track.index if case.index is None else case.index)
        assert len(decoded) == len(plain)
        pairs = enumerate(zip(decoded, plain, strict=True))
        assert [n for n, (a, b) in pairs if (a != b).any()] == []
    if not case.damaged:
        _alike(case, decoded, rgb_by_ffmpeg(path, track.index, info.width, info.height))
    # Any part of them, in any order, is the same part of the whole.
    dice = random.Random(case.name)
    asked = [[n] for n in dice.sample(everything, min(8, info.frames))]
    asked += [dice.sample(everything, min(4, info.frames)) for _ in range(4)]
    for positions in asked:
        for n, picture in iter_frames(info, positions):
            assert (picture == pictures[n]).all(), f"{n}, asked for {positions}"
    return pictures, report.missing


def _alike(case: Case, pictures: list[Picture], truth: list[Picture]) -> None:
    assert len(pictures) == len(truth)
    if _numbered(pictures[0]) and len(set(numbers(truth))) == len(truth):
        assert numbers(pictures) == numbers(truth)
    if not case.toned:
        errors = [
            float(np.abs(a.astype(int) - b).mean()) for a, b in zip(pictures, truth, strict=True)
        ]
        assert max(errors) < case.error, errors


def _numbered(picture: Picture) -> bool:
    height, width = picture.shape[:2]
    return width >= 6 * (BITS + 1) and height >= 16


def _same_when_annotated(
    case: Case, info: VideoInfo, path: Path, track: Track, sound: Track | None
) -> None:
    def unchanged(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        return planes

    report = DecodeReport()
    annotate(info, path, unchanged, quality=Quality("ultrafast"), report=report)
    copied = tracks(path)
    video = shown(copied)
    assert case.damaged or (report.packets_bad, report.missing) == (0, [])
    assert len(video.times_s) == info.frames - len(report.missing)
    frame_s = _frame_s(case, track)
    assert video.start_s == pytest.approx(0, abs=1e-6)
    last = np.delete(info.times_s, report.missing)[-1]
    assert max(t for t in video.times_s if t is not None) == pytest.approx(last, abs=1e-5)
    assert video.end_s == pytest.approx(info.duration_s, abs=frame_s + MICROSECOND)
    copy = heard(copied)
    assert (copy is None) == (sound is None)
    if sound is not None and copy is not None:
        assert copy.start_s == pytest.approx(max(0, sound.start_s - track.start_s), abs=0.15)
        assert copy.end_s == pytest.approx(sound.end_s - track.start_s, abs=0.15)
