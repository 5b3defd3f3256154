"""Reads damaged videos one after another and reports the outcomes; runs in a separate process.

Each input line is "number kind"; one line of JSON is printed after making the copy, and one after
reading it. With the arguments `FOLDER 17 x.mp4` it reads only that mutant.
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
from staa_cli.video.encoders import Quality
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.probe import probe

_ADDRESS_SPACE = 6 << 30


def main(folder: Path, arguments: list[str]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(None)
    lines = [" ".join(arguments)] if arguments else sys.stdin
    for line in lines:
        number, kind = line.split()
        path = folder / f"mutant{Path(kind).suffix}"
        try:
            changes = mutant(int(number), folder / kind, path)
        except (av.FFmpegError, ValueError) as error:  # muxers do not support all codecs
            _say(made=False, done=str(error))
            continue
        _say(made=True, done=changes)
        outcome, error_text = _outcome(int(number), path)
        _say(outcome=outcome, error=error_text, **_memory())


def _outcome(number: int, path: Path) -> tuple[str, str | None]:
    """The outcome, and a traceback for any exception that is not a VideoError or OutputError."""
    output = path.with_name("annotated.mp4")
    try:
        _read(random.Random(number), path, output)
    except (VideoError, OutputError) as error:
        leftover = "a failure left its output" if output.exists() else None
        return f"{type(error).__name__}: {str(error)[:40]}", leftover
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
        indices = dice.sample(range(info.frames), min(count, info.frames))
        pictures = list(iter_frames(info, indices))
        assert [n for n, _ in pictures] == sorted(indices)
        assert {p.shape for _, p in pictures} == {shape}
    assert (info.times_s[1:] > info.times_s[:-1]).all()
    assert (
        info.duration_s >= info.times_s[-1]
    )  # equal if a frame is shorter than the float precision
    annotate(info, output, unchanged, quality=Quality("ultrafast"))
    assert probe(output).frames <= info.frames


def _memory() -> dict[str, int]:
    """Current memory in MiB, after returning free memory to the system, and the peak."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return {"held": held >> 20, "most": peak_memory_bytes() >> 20}


def _say(**words: object) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
