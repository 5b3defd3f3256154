"""The video of a page about results, without decoding it: from one of their pages, or its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from staa_cli.errors import InputError
from staa_cli.files import PAGE, REPORT, sha256_of
from staa_cli.results.diff.pairs import Result
from staa_cli.results.folder import ResultFolder
from staa_cli.results.pages.media import Media, link, linked, media_of
from staa_cli.results.pages.stills import stored_media
from staa_cli.schema import Explanation
from staa_cli.video.playback import browser_type

ABSENT = Media("", 0.0, "the video is not here, neither its file nor a page with it: heat alone")


def stored_video(results: Sequence[Result], folder: Path) -> Media:
    """The video for a page in `folder`.

    Args:
        results: of one video, the first one that has it counts.
        folder: of the page.
    """
    for result in results:
        if (media := _of_page(result, folder)) is not None:
            return media
    for result in results:
        if (media := _of_file(result, folder)) is not None:
            return media
    return ABSENT


def _of_page(result: Result, folder: Path) -> Media | None:
    """What the page of a result shows; None if there is no page, or it has no video."""
    page, times_s = result.path.parent / PAGE, np.array(result.report.frames.time_s)
    try:
        is_its_own = result.path.name == REPORT and page.is_file()
        media = stored_media(page, times_s).media if is_its_own else ABSENT
    except InputError:  # not a page of staa
        return None
    file = linked(media.address, page.parent)
    if file is None:
        return media if media.address else None
    return replace(media, address=link(file, folder)) if file.is_file() else None


def _of_file(result: Result, folder: Path) -> Media | None:
    """The explained file, if it is still there, and browsers play it."""
    explanation = result.explanation
    if explanation is None:  # the report does not say enough about the file
        return None
    for path in ResultFolder(result.path.parent).places_of(explanation.video):
        found = replace(explanation, video=replace(explanation.video, path=str(path)))
        try:
            if path.is_file() and sha256_of(path) == explanation.video.sha256:
                return _played(found, folder)
        except (OSError, InputError):  # it cannot be read
            continue
    return None


def _played(explanation: Explanation, folder: Path) -> Media | None:
    plays = browser_type(explanation.video) is not None
    return media_of(explanation, folder) if plays else None
