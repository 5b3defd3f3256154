"""Damaged files of every kind: always an answer or one clear error, in bounded time and memory.

`STAA_FUZZ_SECONDS` makes it longer, `STAA_FUZZ_FIRST` begins at another number. A failure names
the number of the mutant, and `fuzz_worker.py` reads one by itself.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from statistics import median
from typing import Any

import pytest
from video_cases import VP8, VP9, X264, X265, Case
from video_reference import Refused, make

SECONDS = float(os.environ.get("STAA_FUZZ_SECONDS", "150"))
FIRST = int(os.environ.get("STAA_FUZZ_FIRST", "0"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS + 240),
    pytest.mark.skipif(which("ffmpeg") is None, reason="ffmpeg is not installed"),
]

_LOUD = "-c:a aac"
KINDS = [
    Case("h264.mp4", f"{X264} -g 10 -bf 2 {_LOUD}", sound=True),
    Case("fast.mp4", f"{X264} -g 10 -bf 2 -movflags faststart {_LOUD}", sound=True),
    Case("pieces.mp4", f"{X264} -g 10 -bf 2 -movflags frag_keyframe+empty_moov"),
    Case("edited.mp4", f"{X264} -g 10 -bf 2 {_LOUD}", ("-ss 0.35 | -c copy",), sound=True),
    Case("hevc.mp4", f"{X265}:keyint=10:bframes=3"),
    Case("vp9.mp4", f"{VP9} -g 10"),
    Case("av1.mp4", "-c:v libsvtav1 -preset 12 -g 10"),
    Case("animated.avif", "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 10"),
    Case("prores.mov", "-c:v prores_ks -c:a pcm_s16le", sound=True),
    Case("png.mov", "-c:v png"),
    Case("h264.mkv", f"{X264} -g 10 -bf 2 -c:a libopus", sound=True),
    Case("ffv1.mkv", "-c:v ffv1 -c:a flac", sound=True),
    Case("h263.mkv", "-c:v h263p -g 10 -c:a ac3", sound=True),
    Case("vp8.webm", f"{VP8} -g 10 -c:a libvorbis", sound=True),
    Case("alpha.webm", f"{VP8} -g 10 -auto-alt-ref 0 -pix_fmt yuva420p"),
    Case("h264.avi", f"{X264} -g 10 -bf 2 -c:a libmp3lame", sound=True),
    Case("mpeg4.avi", "-c:v mpeg4 -g 10 -bf 2 -c:a pcm_s16le", sound=True),
    Case("huffyuv.avi", "-c:v huffyuv"),
    Case("mjpeg.avi", "-c:v mjpeg -c:a adpcm_ms", sound=True),
    Case("h264.ts", f"{X264} -g 10 -bf 2 {_LOUD}", sound=True),
    Case("mpeg2.ts", "-c:v mpeg2video -g 9 -bf 2 -c:a mp2", sound=True),
    Case("mpeg2.mpg", "-c:v mpeg2video -g 9 -bf 2 -c:a mp2", sound=True),
    Case("h264.flv", f"{X264} -g 10 -bf 2 {_LOUD}", sound=True),
    Case("flv1.flv", "-c:v flv -c:a libmp3lame -ar 22050", sound=True),
    Case("wmv2.wmv", "-c:v wmv2 -g 10 -c:a wmav2", sound=True),
    Case("theora.ogv", "-c:v libtheora -g 10 -c:a libvorbis", sound=True),
    Case("h264.nut", f"{X264} -g 10 -bf 2 {_LOUD}", sound=True),
    Case("mpeg2.mxf", "-c:v mpeg2video -g 9 -bf 2 -c:a pcm_s16le -ar 48000", sound=True),
    Case("raw.h264", f"{X264} -g 10 -bf 2"),
    Case("raw.hevc", f"{X265}:keyint=10:bframes=3"),
    Case("raw.m2v", "-c:v mpeg2video -g 9 -bf 2"),
    Case("raw.m4v", "-c:v mpeg4 -g 10 -bf 2"),
    Case("raw.mjpeg", "-c:v mjpeg"),
    Case("raw.ivf", f"{VP9} -g 10"),
    Case("raw.y4m", "-pix_fmt yuv420p"),
    Case("plain.gif", ""),
    Case("plain.apng", ""),
    Case("real.rm", "-c:v rv20 -s 176x144"),
]
HANG_S = 20
MOST_MIB = 2048
GROWTH_MIB = 64
"""From the first half of a worker's life to the second, past the files that come first."""
_ENOUGH = 20
"""Failures after which a run has said what it has to say."""


class Worker:
    """A child that reads mutants, with a watchdog over it."""

    def __init__(self, folder: Path, outcomes: Counter[str]) -> None:
        script = Path(__file__).parents[1] / "support" / "fuzz_worker.py"
        self._errors = (folder / "stderr.txt").open("w+b")
        self._child = subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,  # or a line that was read ahead would not wake the watchdog
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._child.stdout is not None
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._child.stdout, selectors.EVENT_READ)
        self.held: list[int] = []
        self.outcomes = outcomes

    def read(self, number: int, kind: str) -> tuple[str, str | None]:
        """What was done to mutant `number`, and what went wrong with it, if anything."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{number} {kind}\n".encode())
        self._child.stdin.flush()
        making = self._answer()
        if making is None or not making["made"]:
            return "not made", None  # a muxer that refuses, hangs, or dies is not staa
        answer = self._answer()
        if answer is None:
            code = self._child.wait()
            what = f"no answer in {HANG_S} s" if code == -9 else f"the process ended with {code}"
            return making["done"], f"{what}\n{self._last_words()}"
        self.held.append(answer["held"])
        self.outcomes[answer["outcome"]] += 1
        if answer["error"] is None and answer["most"] > MOST_MIB:
            self.close()
            return making["done"], f"{answer['most']} MiB"
        return making["done"], answer["error"]

    @property
    def lives(self) -> bool:
        return self._child.poll() is None

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()
        self._errors.close()

    def _answer(self) -> dict[str, Any] | None:
        """The next line; None where the child died, or was killed for taking too long."""
        assert self._child.stdout is not None
        if not self._ready.select(HANG_S):
            self._child.kill()
        line = self._child.stdout.readline()
        answer: dict[str, Any] | None = json.loads(line) if line else None
        if answer is None:
            self._child.wait()
        return answer

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-2000:].decode(errors="replace")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An undamaged file of every kind that this ffmpeg makes."""
    folder = tmp_path_factory.mktemp("fuzz")
    yield folder
    for kind in KINDS:
        (folder / kind.name).unlink(missing_ok=True)


def test_damaged_files_end_in_frames_or_a_clear_error(folder: Path) -> None:
    kinds = [kind.name for kind in KINDS if _made(kind, folder)]
    assert len(kinds) >= 0.8 * len(KINDS)
    failures, lives, number = dict[str, str](), list[list[int]](), FIRST
    outcomes, slowest = Counter[str](), (0.0, "")
    ends = time.monotonic() + SECONDS
    worker = Worker(folder, outcomes)
    while time.monotonic() < ends and len(failures) < _ENOUGH:
        kind = kinds[number % len(kinds)]
        begun = time.monotonic()
        done, error = worker.read(number, kind)
        slowest = max(slowest, (time.monotonic() - begun, f"{number} {kind}"))
        if error is not None:
            kept = folder / f"failed_{number}_{kind}"
            shutil.copy(folder / f"mutant{kept.suffix}", kept)
            failures.setdefault(
                _where(error), f"{number} {kind} ({done}), kept as {kept}:\n{error}"
            )
        if not worker.lives:
            lives.append(worker.held)
            worker.close()
            worker = Worker(folder, outcomes)
        number += 1
    lives.append(worker.held)
    worker.close()
    print(f"{number - FIRST} mutants of {len(kinds)} kinds, from {FIRST} on")
    print(f"the slowest took {slowest[0]:.1f} s: {slowest[1]}")
    print(*(f"{count:6} {outcome}" for outcome, count in outcomes.most_common(12)), sep="\n")
    assert not failures, "\n\n".join(failures.values())
    assert number - FIRST >= SECONDS  # a second for each would be far too slow
    assert outcomes["read"] > outcomes.total() / 4  # or the damage is too plain to test much
    for held in lives:
        if len(held) >= 400:
            assert median(held[len(held) // 2 :]) - median(held[200 : len(held) // 2]) < GROWTH_MIB


def _made(kind: Case, folder: Path) -> bool:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    small = Case(kind.name, kind.words, kind.then, size=(96, 72), frames=24, sound=kind.sound)
    try:
        make(small, work).rename(folder / kind.name)
    except Refused as error:
        print(f"{kind.name}: {error}")
        return False
    finally:
        shutil.rmtree(work)
    return True


def _where(error: str) -> str:
    """Equal for failures of one cause: the last line of staa's that a traceback names."""
    lines = [line for line in error.splitlines() if "staa_cli" in line or "fuzz_" in line]
    return (lines[-1] if lines else "") + error.splitlines()[-1][:40]
