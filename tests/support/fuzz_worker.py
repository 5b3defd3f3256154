"""Reads damaged videos, one after another, and says how that went; a process of its own.

A line "number kind" comes in for each; a line of JSON goes out when the copy is made, and one when
it was read. With the words `FOLDER 17 x.mp4` it reads that one mutant and ends.
"""

from __future__ import annotations

import ctypes
import json
import random
import resource
import sys
import traceback
from contextlib import suppress
from pathlib import Path

import av
from fuzz_mutants import mutant

from staa_cli.errors import OutputError, VideoError
from staa_cli.memory import peak_memory_bytes
from staa_cli.video.annotate import annotate
from staa_cli.video.decode import iter_frames
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.probe import probe

_ADDRESSES = 6 << 30


def main(folder: Path, asked: list[str]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(None)
    lines = [" ".join(asked)] if asked else sys.stdin
    for line in lines:
        number, kind = line.split()
        path = folder / f"mutant{Path(kind).suffix}"
        try:
            done = mutant(int(number), folder / kind, path)
        except (av.FFmpegError, ValueError) as error:  # nor does every muxer take every codec
            _say(made=False, done=str(error))
            continue
        _say(made=True, done=done)
        outcome, wrong = _outcome(int(number), path)
        _say(outcome=outcome, error=wrong, **_memory())


def _outcome(number: int, path: Path) -> tuple[str, str | None]:
    """How it went, and a traceback where anything but an error that staa raises on purpose came."""
    output = path.with_name("annotated.mp4")
    try:
        _read(random.Random(number), path, output)
    except (VideoError, OutputError) as error:
        left = "a failure left its output" if output.exists() else None
        return f"{type(error).__name__}: {str(error)[:40]}", left
    except BaseException:
        return "traceback", traceback.format_exc()
    finally:
        output.unlink(missing_ok=True)
    return "read", None


def _read(dice: random.Random, path: Path, output: Path) -> None:
    def unchanged(index: int, time_s: float, planes: YuvPlanes) -> YuvPlanes:
        return planes

    info = probe(path)
    shape = (info.height, info.width, 3)
    for count in (1, 3, 3):
        wanted = dice.sample(range(info.frames), min(count, info.frames))
        pictures = list(iter_frames(info, wanted))
        assert [n for n, _ in pictures] == sorted(wanted)
        assert {p.shape for _, p in pictures} == {shape}
    assert (info.times_s[1:] > info.times_s[:-1]).all()
    assert info.duration_s >= info.times_s[-1]  # equal where a float has no room for one frame
    annotate(info, output, unchanged, preset="ultrafast")
    assert probe(output).frames <= info.frames


def _memory() -> dict[str, int]:
    """MiB held now, after what is free went back, and the most so far."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return {"held": held >> 20, "most": peak_memory_bytes() >> 20}


def _say(**words: object) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
