"""The H.264 encoders of FFmpeg that annotated videos use, and their options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from staa_cli.cores import cores

_MOST_THREADS = 4
"""Drawing keeps one core busy; more threads would wait for it, and take more CPU time."""
_HIGHEST_CRF = 51


@dataclass(frozen=True, slots=True)
class Quality:
    """What a video is encoded for, in terms of x264; other encoders take the nearest."""

    preset: str = "superfast"
    """Speed, as x264 names it."""
    crf: float = 23
    """Constant quality from 0 (best) to 51."""
    max_rate: float | None = None
    """Limit in bits per second, which lowers the quality if necessary."""
    repeatable: bool = False
    """Encode equal frames to equal bytes on the same machine."""
    threads: int | None = None
    """CPU threads to use, at most; None for one per core."""
    huge: bool = False
    """Frames are so large that few may be held at a time."""


STANDARD = Quality()


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder and its options."""

    name: str
    """As in the setting."""
    codec: str
    """FFmpeg's name."""
    options: Callable[[Quality], dict[str, str]]
    """FFmpeg's options for a quality, without those of a maximum rate."""
    pixels: str = "yuv420p"
    """Pixel format of the frames that it takes."""
    device: str | None = None
    """FFmpeg's type of the device that frames are copied to before; None if it does so itself."""


def _x264(quality: Quality) -> dict[str, str]:
    params = []
    if quality.preset == "superfast":
        # Without it, x264's superfast makes files several times larger than veryfast.
        params += ["mbtree=1", "rc-lookahead=10"]
    if quality.repeatable:
        params += [_REPEATABLE_WITH_AVX2 if _has_avx2() else _REPEATABLE]
    threads = min(quality.threads or cores(), _MOST_THREADS)
    if quality.huge:
        params += ["rc-lookahead=0", "bframes=0", "ref=1", "subme=0"]
        threads = 1
    return {
        "preset": quality.preset,
        "crf": str(quality.crf),
        "threads": str(threads),
        # PyAV's default, slices, makes files larger and does not encode while frames are drawn.
        "thread_type": "frame",
        "x264-params": ":".join(params),
    }


_REPEATABLE, _REPEATABLE_WITH_AVX2 = "mbtree=0", "asm=AVX2"
"""Without them, the macroblock tree is not deterministic at some widths: by its code for AVX-512.

A file without the tree is several times larger.
"""


@functools.cache
def _has_avx2() -> bool:
    """Whether the processor is known to have AVX2; only Linux tells."""
    try:
        return " avx2 " in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


_NVENC_PRESETS = {
    "ultrafast": "p1",
    "superfast": "p2",
    "veryfast": "p3",
    "slow": "p5",
    "slower": "p6",
    "veryslow": "p7",
}


def _nvenc(quality: Quality) -> dict[str, str]:
    return {
        "preset": _NVENC_PRESETS.get(quality.preset, "p4"),
        "rc": "vbr",
        "cq": str(max(1, quality.crf)),  # 0 would mean automatic
    }


def _videotoolbox(quality: Quality) -> dict[str, str]:
    percent = max(1, round(100 * (1 - quality.crf / _HIGHEST_CRF)))
    # As `-q:v` of ffmpeg: quality in units of FF_QP2LAMBDA.
    return {"flags": "+qscale", "global_quality": str(118 * percent)}


def _vaapi(quality: Quality) -> dict[str, str]:
    return {"rc_mode": "CQP", "qp": str(max(1, round(quality.crf)))}


X264 = Encoder("x264", "libx264", _x264)
HARDWARE = (
    Encoder("nvenc", "h264_nvenc", _nvenc),
    Encoder("videotoolbox", "h264_videotoolbox", _videotoolbox),
    Encoder("vaapi", "h264_vaapi", _vaapi, pixels="nv12", device="vaapi"),
)
"""Encoders of graphics hardware, in the order in which they are tried."""
