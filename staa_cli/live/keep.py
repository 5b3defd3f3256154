"""Keep the last seconds of a stream as a normal result: its frames, and what explained them.

The frames are written without loss, so that `staa explain` of the kept video gives the same
numbers. Nothing is computed again but windows in which another class was explained.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from staa_cli.config.settings import Settings
from staa_cli.errors import InputError, OutputError
from staa_cli.files import atomic_path
from staa_cli.live.explainer import ExplainedWindow, WindowExplainer
from staa_cli.live.frames import LiveFrame
from staa_cli.paths import as_text
from staa_cli.results.save import save
from staa_cli.schema import VideoInfo
from staa_cli.video.frame_source import VideoFile
from staa_cli.video.lossless import write_lossless

KEPT_VIDEO = "source.mp4"
_UNSAFE = re.compile(r"[^\w.-]+")
_NAME_CHARACTERS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """The last seconds of a stream, at one time."""

    frames: Sequence[LiveFrame]
    windows: Sequence[ExplainedWindow]
    """Windows of these frames, in order; the class of the last one is explained."""
    info: VideoInfo
    at: datetime
    """When this was."""


def keep(moments: Moments, explainer: WindowExplainer, settings: Settings, folder: Path) -> Path:
    """Write the last seconds of a stream as a normal result.

    Args:
        moments: the last seconds.
        explainer: of the stream.
        settings: of drawing and output.
        folder: that gets a folder for this result.

    Returns:
        The folder of the result, whose name is the time.

    Raises:
        InputError: nothing was explained in these seconds.
        OutputError: a file cannot be written.
    """
    if not moments.windows:
        raise InputError("nothing was explained in these seconds", "keep more seconds")
    place = folder / f"{moments.at.astimezone(UTC):%Y-%m-%dT%H-%M-%S.%f}"[:-3]
    first = moments.frames[0]
    video = place / KEPT_VIDEO
    hidden = video.name
    try:
        with atomic_path(video) as part:
            hidden = part.name
            write_lossless(
                part,
                [frame.picture for frame in moments.frames],
                [frame.time_s for frame in moments.frames],
                moments.info,
            )
    except OutputError as error:
        with suppress(OSError):
            place.rmdir()
        raise OutputError(error.cause.replace(hidden, video.name), error.hint) from error
    target = moments.windows[-1].prediction.target
    frames = {frame.number: frame for frame in moments.frames}
    windows = [
        explainer.of_class(window, target, frames, moments.info) for window in moments.windows
    ]
    explanation = explainer.together(windows, VideoFile(video), first.number)
    save(explanation, place, settings)
    return place


def folder_of(source: str) -> str:
    """The name of a folder for a source, from its address for people."""
    name = _UNSAFE.sub("-", as_text(source)).strip("-.")
    if len(name) > _NAME_CHARACTERS:  # what tells it from others may be at either end
        half = _NAME_CHARACTERS // 2
        name = f"{name[:half]}-{name[-half:]}"
    return name or "stream"
