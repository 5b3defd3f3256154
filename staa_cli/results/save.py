"""Write all files of one video, in an order that is safe if the process is killed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from staa_cli.config.settings import Settings
from staa_cli.files import MAPS, REPORT, is_own
from staa_cli.results.arrays import fingerprint_in
from staa_cli.results.folder import ResultFolder, Source
from staa_cli.results.writers.annotated_mp4 import AnnotatedMp4
from staa_cli.results.writers.base import WRITERS, Writer, wanted_files, wanted_writers
from staa_cli.results.writers.report_json import ReportJson
from staa_cli.schema import Explanation, OnProgress, ReportWarning, UInt8

if TYPE_CHECKING:
    from staa_cli.results.document import Report
    from staa_cli.video.table import DecodeReport


class Saved(NamedTuple):
    """Files written for one video."""

    paths: tuple[Path, ...]
    """The report is last."""
    report: Report


def save(
    explanation: Explanation,
    folder: Path,
    settings: Settings,
    *,
    reproducible: bool = False,
    force: bool = False,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Saved:
    """Write all requested files to `folder`.

    Args:
        explanation: to write.
        folder: created if missing.
        settings: of output and rendering.
        reproducible: omit what differs between runs.
        force: replace the result of another source.
        on_progress: called with (stage, done, total) while a video is drawn.

    Raises:
        OutputError: a file cannot be written, a foreign file is in the way, or the folder holds the
            result of another source.
    """
    writers, names = wanted_writers(settings.output), wanted_files(settings.output)
    with_frames = [writer for writer in writers if writer.frames(explanation)]
    result = ResultFolder(folder)
    before, is_own_folder = result.report(), is_own(folder / REPORT)
    source = Source.of_video(explanation.video)
    with result.writing(names, source, force=force):
        active = [
            writer(explanation, settings, reproducible=reproducible) for writer in with_frames
        ]
        explanation = _feed(active, explanation, folder, on_progress)
        for kind in writers:
            if kind not in with_frames and kind is not ReportJson:
                kind(explanation, settings, reproducible=reproducible).write(folder / kind.file)
        last = ReportJson(explanation, settings, reproducible=reproducible)
        last.write(folder / last.file)
        if is_own_folder:
            stale = {writer for _, writer in WRITERS.items() if writer.file not in names}
            if before is not None and _content(before) == _content(last.report):
                restyled = before.settings.get("render") != last.report.settings.get("render")
                stale = {writer for writer in stale if restyled and writer.frames(explanation)}
            obsolete = {writer.file for writer in stale}
            if fingerprint_in(folder / MAPS) != explanation.fingerprint:
                obsolete |= {MAPS} - set(names)  # they would contradict the report
            result.drop(obsolete, keep=source)
    return Saved(tuple(folder / name for name in names), last.report)


def _content(report: Report) -> list[Any]:
    """What a report is about, independent of its files and their rendering."""
    settings = {
        name: value for name, value in report.settings.items() if name not in ("output", "render")
    }
    sources = report.video.sha256, report.model.weights_sha256
    return [report.staa_version, *sources, report.prediction.target.index, settings]


def _feed(
    writers: Sequence[Writer], explanation: Explanation, folder: Path, on_progress: OnProgress
) -> Explanation:
    """Decode once, pass frames to the writers that need them, and let these write.

    Returns:
        The explanation with problems found in decoding.
    """
    from staa_cli.video.frame_source import source_of

    videos = [writer for writer in writers if isinstance(writer, AnnotatedMp4)]
    stills = [writer for writer in writers if not isinstance(writer, AnnotatedMp4)]
    positions = {writer.name: set(writer.frames(explanation)) for writer in stills}
    watched = set[int]().union(*positions.values())

    def feed(index: int, picture: UInt8) -> None:
        for writer in stills:
            if index in positions[writer.name]:
                writer.add(index, picture)

    steps, frames = count(1), len(explanation.part)
    for video in videos:
        report = video.decode(
            folder / video.file,
            watched,
            feed,
            lambda _: on_progress("drawing", next(steps), frames),
        )
        explanation = _after_decoding(explanation, report)
    if watched and not videos:
        for index, picture in source_of(explanation).read(sorted(watched)):
            feed(index, picture)
    for writer in stills:
        writer.explanation = explanation  # with the warnings from decoding
        writer.write(folder / writer.file)
    return explanation


def _after_decoding(explanation: Explanation, report: DecodeReport) -> Explanation:
    """Add problems that decoding of every frame found and sampling did not."""
    others = [warning for warning in explanation.warnings if warning.code not in SOUND]
    explanation = replace(explanation, warnings=(*others, *_sound_warnings(report)))
    bad, missing = report.packets_bad, len(report.missing)
    if bad <= explanation.video.packets_bad and not missing:
        return explanation
    video = replace(explanation.video, packets_bad=max(bad, explanation.video.packets_bad))
    others = [warning for warning in explanation.warnings if warning.code != "decode-errors"]
    text = (
        f"{video.packets_bad} damaged packets were skipped or concealed while reading "
        f"every frame; {missing} frames are missing from the annotated video"
    )
    return replace(
        explanation, video=video, warnings=(*others, ReportWarning("decode-errors", text))
    )


SOUND = ("sound-left-out", "sound-errors")
"""Codes of warnings about the sound; in a result that is drawn again, they are from before."""


def _sound_warnings(report: DecodeReport) -> Iterator[ReportWarning]:
    """Warnings about missing sound."""
    if report.sound_left_out is not None:
        text = f"the sound track ({report.sound_left_out}) cannot be decoded here and was left out"
        yield ReportWarning("sound-left-out", text)
    if report.sound_packets_bad:
        text = f"{report.sound_packets_bad} damaged packets of the sound track were skipped"
        yield ReportWarning("sound-errors", text)
