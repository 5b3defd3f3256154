"""Where frames come from: a video file, memory, or whatever else yields pictures with their times.

A camera, a URL, or a pipe is one more file beside this one, with a subclass of `FrameSource` that
has a size and yields frames. What ends and can be read again is a `SeekableSource`: that is all
that explaining and drawing a whole video ask of it.
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
"""The path of a video that is no file."""
_MEMORY = "memory"
"""Its container."""
_LEAST_STEP_S = 1e-6
"""What is drawn on such frames keeps their times to a microsecond."""
_ONE_FRAME_S = 0.04
"""A single frame, of which nothing tells how long it stays, stays as long as one of 25 a second."""


class FrameSource(ABC):
    """Pictures and when each is shown, as they come."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, in pixels."""

    @property
    def seekable(self) -> bool:
        """Whether its frames can be read in any order, and again: it is a `SeekableSource` then."""
        return False

    @property
    def duration_s(self) -> float | None:
        """Seconds from the first frame's start to the last one's end; None where none is known."""
        return None

    @abstractmethod
    def frames(self) -> Iterator[tuple[float, UInt8]]:
        """Seconds since the first frame, rising, and the upright sRGB picture uint8 [H, W, 3].

        Closing the iterator lets go of what the frames are read from.
        """


class SeekableSource(FrameSource):
    """A video that ends, of which any frame can be read at any time."""

    @property
    @abstractmethod
    def info(self) -> VideoInfo:
        """What the video is; the same object every time."""

    @abstractmethod
    def read(
        self, indices: Sequence[int], report: DecodeReport | None = None
    ) -> Iterator[tuple[int, UInt8]]:
        """Frames by position: (position, upright sRGB uint8 [H, W, 3]), rising, each once.

        Args:
            indices: positions in the video, in any order.
            report: filled in with what reading met.

        Raises:
            IndexError: a position that the video does not have.
            VideoError: nothing can be read any more.
        """

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, in pixels."""
        return self.info.width, self.info.height

    @property
    def seekable(self) -> bool:
        """Whether its frames can be read in any order, and again."""
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
        video: its path, or what `probe` has said of it.

    Raises:
        VideoError: not a readable file, not a video, or nothing in it decodes.
    """

    def __init__(self, video: str | Path | VideoInfo) -> None:
        self._info = video if isinstance(video, VideoInfo) else probe(video)

    @property
    def info(self) -> VideoInfo:
        """What the file is, as it was probed once."""
        return self._info

    def read(
        self, indices: Sequence[int], report: DecodeReport | None = None
    ) -> Iterator[tuple[int, UInt8]]:
        """Decode some frames, with as little decoding as that takes; see `iter_frames`."""
        return iter_frames(self._info, indices, report)


class FrameArray(SeekableSource):
    """Frames in memory; they are not copied.

    Args:
        frames: uint8 [N, H, W, 3] RGB, or N arrays uint8 [H, W, 3] of one size.
        rate: frames a second.
        times_s: start of each frame in place of that, rising; what they are counted from is free.

    Raises:
        InputError: the frames are something else, of several sizes, or none.
        UsageError: not exactly one of `rate` and `times_s`, or one that cannot be.
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
        """What the frames are as a video: raw RGB in memory, without sound."""
        return self._info

    def read(
        self, indices: Sequence[int], report: DecodeReport | None = None
    ) -> Iterator[tuple[int, UInt8]]:
        """The frames at some positions, as views of what was given."""
        wanted = sorted(set(indices))
        if wanted and not 0 <= wanted[0] <= wanted[-1] < len(self._frames):
            raise IndexError(f"frames {wanted[0]} to {wanted[-1]} of {len(self._frames)}")
        for index in wanted:
            if report is not None:
                report.frames_decoded += 1
            yield index, self._frames[index]


def open_source(video: str | Path | SeekableSource) -> SeekableSource:
    """The source that a path names; one that is open already stays as it is.

    Raises:
        VideoError: not a readable file, not a video, or nothing in it decodes.
    """
    return video if isinstance(video, SeekableSource) else VideoFile(video)


def source_of(explanation: Explanation) -> SeekableSource:
    """What the frames of an explained video can be read from again, to draw on them.

    Raises:
        InputError: they were in memory, and the explanation has them no more.
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
    """Frames [H, W, 3] of one size, none of them copied."""
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
    """What frames in memory are as a video; `frame_s` is how long each stays, where all do so."""
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
    """Of all that a file of them would say: their shape, when they are shown, and their pixels."""
    total = hashlib.sha256(repr((len(frames), frames[0].shape)).encode())
    total.update(times_s.tobytes())
    for frame in frames:
        total.update(np.ascontiguousarray(frame).data)
    return total.hexdigest()
