"""Sources of frames with their times: a video file, memory, or a custom source.

A finite source that can be read again is a `SeekableSource`, which is all that explaining and
drawing need. Streams without an end, of which the moment of arrival matters, are read by
`live_source`.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from staa_cli.errors import InputError, UsageError
from staa_cli.schema import Explanation, Float64, UInt8, VideoInfo
from staa_cli.video.decode import iter_frames
from staa_cli.video.probe import probe
from staa_cli.video.table import DecodeReport

IN_MEMORY = "<frames>"
"""Path in the report of frames in memory."""
_MEMORY = "memory"
"""Container in the report of frames in memory."""
_LEAST_STEP_S = 1e-6
"""Annotated videos of frames in memory keep times to a microsecond."""
_ONE_FRAME_S = 0.04
"""Duration of a single frame without a rate: that of 25 frames per second."""


class FrameSource(ABC):
    """A sequence of frames with their times."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Width and height of upright frames, in pixels."""

    @property
    def seekable(self) -> bool:
        """Whether frames can be read repeatedly in any order, as in a `SeekableSource`."""
        return False

    @property
    def duration_s(self) -> float | None:
        """Seconds from the first frame's start to the last one's end; None if unknown."""
        return None

    @abstractmethod
    def frames(self) -> Iterator[tuple[float, UInt8]]:
        """Yield (seconds since the first frame, upright sRGB uint8 [H, W, 3]), times increasing.

        Closing the iterator releases the underlying resource.
        """


class SeekableSource(FrameSource):
    """A finite video of which any frame can be read at any time."""

    @property
    @abstractmethod
    def info(self) -> VideoInfo:
        """Metadata of the video; the same object every time."""

    @abstractmethod
    def read(
        self, indices: Sequence[int], report: DecodeReport | None = None
    ) -> Iterator[tuple[int, UInt8]]:
        """Frames by position: (position, upright sRGB uint8 [H, W, 3]), ascending, each once.

        Args:
            indices: positions in the video, in any order.
            report: filled in while reading.

        Raises:
            IndexError: a position is outside the video.
            VideoError: no frame can be read.
        """

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of upright frames, in pixels."""
        return self.info.width, self.info.height

    @property
    def seekable(self) -> bool:
        """Whether frames can be read repeatedly in any order."""
        return True

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame's start to the last one's end."""
        return self.info.duration_s

    def frames(self) -> Iterator[tuple[float, UInt8]]:
        """Every frame from the first one on: (seconds, upright sRGB uint8 [H, W, 3])."""
        for index, picture in self.read(range(self.info.frames)):
            yield float(self.info.times_s[index]), picture


class VideoFile(SeekableSource):
    """A video file.

    Args:
        video: its path, or the result of `probe`.

    Raises:
        VideoError: not a readable file, not a video, or no frame decodes.
    """

    def __init__(self, video: str | Path | VideoInfo) -> None:
        self._info = video if isinstance(video, VideoInfo) else probe(video)

    @property
    def info(self) -> VideoInfo:
        """Metadata of the file."""
        return self._info

    def read(
        self, indices: Sequence[int], report: DecodeReport | None = None
    ) -> Iterator[tuple[int, UInt8]]:
        """Decode some frames with as little decoding as possible; see `iter_frames`."""
        return iter_frames(self._info, indices, report)


class FrameArray(SeekableSource):
    """Frames in memory; they are not copied.

    Args:
        frames: uint8 [N, H, W, 3] RGB, or N arrays uint8 [H, W, 3] of one size.
        rate: frames per second.
        times_s: start of each frame, increasing, from any origin; instead of `rate`.

    Raises:
        InputError: frames have a wrong type or shape, different sizes, or there are none.
        UsageError: not exactly one of `rate` and `times_s`, or an invalid value.
    """

    def __init__(
        self,
        frames: UInt8 | Iterable[UInt8],
        *,
        rate: float | None = None,
        times_s: Sequence[float] | Float64 | None = None,
    ) -> None:
        self._frames = _checked(frames)
        if (rate is None) == (times_s is None):
            raise UsageError(
                "frames in memory need either rate= or times_s=",
                "rate=25 gives the frames per second, times_s=[...] the start time of each frame",
            )
        count = len(self._frames)
        if times_s is not None:
            times = _checked_times(times_s, count)
        elif rate is not None and math.isfinite(rate) and rate > 0:
            times = np.arange(count) / float(rate)
        else:
            raise UsageError(f"rate= must be above 0, not {rate}")
        self._info = _info(self._frames, times, 1 / float(rate) if rate is not None else None)

    @property
    def info(self) -> VideoInfo:
        """Metadata of the frames: raw RGB in memory, without sound."""
        return self._info

    def read(
        self, indices: Sequence[int], report: DecodeReport | None = None
    ) -> Iterator[tuple[int, UInt8]]:
        """The frames at some positions, without a copy."""
        positions = sorted(set(indices))
        if positions and not 0 <= positions[0] <= positions[-1] < len(self._frames):
            raise IndexError(f"frames {positions[0]} to {positions[-1]} of {len(self._frames)}")
        for index in positions:
            if report is not None:
                report.frames_decoded += 1
            yield index, self._frames[index]


def open_source(video: str | Path | SeekableSource) -> SeekableSource:
    """Open the file at a path; a source is returned as is.

    Raises:
        VideoError: not a readable file, not a video, or no frame decodes.
    """
    return video if isinstance(video, SeekableSource) else VideoFile(video)


def source_of(explanation: Explanation) -> SeekableSource:
    """The source of an explained video, to read its frames again.

    Raises:
        InputError: the frames were in memory and are no longer available.
    """
    source: SeekableSource | None = explanation.source
    if source is not None:
        return source
    if explanation.video.container == _MEMORY:
        raise InputError(
            "the explained frames were held in memory and are no longer available",
            "render the explanation that explain_video returned, or explain a file",
        )
    return VideoFile(explanation.video)


def _checked(frames: UInt8 | Iterable[UInt8]) -> Sequence[UInt8]:
    """Check that frames are [H, W, 3] of one size; none is copied."""
    if not isinstance(frames, np.ndarray):
        if not isinstance(frames, Iterable) or isinstance(frames, str | bytes):
            raise InputError(f"frames must be uint8 [N, H, W, 3], not {type(frames).__name__}")
        pictures: Sequence[UInt8] = [np.asarray(frame) for frame in frames]
    elif frames.ndim == 4:
        pictures = frames  # type: ignore[assignment]  # an array is the sequence of its frames
    else:
        raise InputError(f"frames must be uint8 [N, H, W, 3], not {frames.dtype} {[*frames.shape]}")
    if len(pictures) == 0:
        raise InputError("there are no frames to explain")
    first = pictures[0].shape
    for number, picture in enumerate(pictures):
        kind = f"{picture.dtype} {[*picture.shape]}"
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise InputError(f"each frame must be uint8 [H, W, 3], but frame {number} is {kind}")
        if 0 in picture.shape:
            raise InputError(f"frame {number} has no pixels: it is {kind}")
        if picture.shape != first:
            raise InputError(
                f"all frames must have the same size: the first is {[*first]}, frame {number} "
                f"is {[*picture.shape]}"
            )
    return pictures


def _checked_times(times_s: Sequence[float] | Float64, frames: int) -> Float64:
    try:
        times = np.asarray(times_s, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError("times_s= must be in seconds, one number per frame") from error
    if times.shape != (frames,):
        raise UsageError(f"times_s= must be {frames} times, one per frame, not {[*times.shape]}")
    if not np.isfinite(times).all() or (np.diff(times) < _LEAST_STEP_S).any():
        raise UsageError("times_s= must increase by at least a microsecond from frame to frame")
    return times


def _info(frames: Sequence[UInt8], times: Float64, frame_s: float | None) -> VideoInfo:
    """Metadata of frames in memory; `frame_s` is the duration of each if constant."""
    gaps = np.diff(times)
    last_s = frame_s or (float(np.median(gaps)) if len(gaps) else _ONE_FRAME_S)
    times_s = times - times[0]
    duration_s = float(times_s[-1]) + last_s
    height, width = frames[0].shape[:2]
    varies = frame_s is None and len(gaps) > 1 and np.ptp(gaps) > min(0.0011, 0.1 * gaps.mean())
    return VideoInfo(
        path=IN_MEMORY,
        sha256=_sha256(frames, times_s),
        size_bytes=sum(frame.nbytes for frame in frames),
        container=_MEMORY,
        codec="rawvideo",
        pixel_format="rgb24",
        width=width,
        height=height,
        rotation=0,
        mirrored=False,
        sample_aspect_ratio=(1, 1),
        transfer="sdr",
        interlaced=False,
        start_s=float(times[0]),
        duration_s=duration_s,
        rate=len(times_s) / duration_s,
        variable_rate=bool(varies),
        times_s=times_s,
        audio=None,
        frames_declared=len(times_s),
    )


def _sha256(frames: Sequence[UInt8], times_s: Float64) -> str:
    """SHA-256 of the frames' shape, times, and pixels."""
    digest = hashlib.sha256(repr((len(frames), frames[0].shape)).encode())
    digest.update(times_s.tobytes())
    for frame in frames:
        digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()
