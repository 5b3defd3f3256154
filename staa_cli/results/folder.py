"""Everything that is written for one video, in an order that survives a kill at any moment.

`report.json` comes last and says that the rest is there. While work is under way, `.staa-writing`
lists the names that are staa's own, so that the next run may replace them and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from staa_cli.config.settings import OutputSettings, RenderSettings, Settings
from staa_cli.errors import InputError, OutputError
from staa_cli.files import (
    ANNOTATED,
    GIF,
    REPORT,
    atomic_path,
    output_errors,
    parts_of,
    sha256_of,
)
from staa_cli.paths import path_from
from staa_cli.results.document import Document, Report
from staa_cli.results.files import WRITERS, write_json
from staa_cli.results.report import load_document
from staa_cli.schema import Explanation, OnProgress, ReportWarning, UInt8
from staa_cli.video.folders import absolute

if TYPE_CHECKING:
    from staa_cli.video.table import DecodeReport

STORYBOARD = "storyboard.png"
D = TypeVar("D", bound=Document)
_MARK = ".staa-writing"
_EVERY = (ANNOTATED, GIF, STORYBOARD, *(writer.file for writer in WRITERS.values()))


class Saved(NamedTuple):
    """What has been written for one video."""

    paths: tuple[Path, ...]
    """The report's last."""
    report: Report


def belongs_to(folder: Path, source: Path) -> bool:
    """Whether a folder may receive the results of a video: it holds none, or those of that video.

    The same video is one at the same path, whatever is in it by now, or one of the same content,
    wherever it has been moved to.
    """
    report = _read(folder / REPORT, Report)
    if report is None:
        return True
    if absolute(
        path_from({"path": report.video.path, "path_bytes": report.video.path_bytes})
    ) == absolute(source):
        return True
    try:
        return report.video.sha256 == sha256_of(source)
    except OSError:
        return False


def wanted_files(output: OutputSettings) -> list[str]:
    """Names of the files that the settings ask for, the report last."""
    names = [ANNOTATED] if output.annotated else []
    names += [WRITERS[kind].file for kind in _written(output)]
    names += [STORYBOARD] if output.storyboard else []
    names += [GIF] if output.gif else []
    return [*names, REPORT]


def _written(output: OutputSettings) -> list[str]:
    """Kinds of files that are made of an explanation alone."""
    kinds = [kind for kind in ("csv", "npz", "plot") if getattr(output, kind)]
    return kinds if output.depth is None else [*kinds, "faithfulness"]


def finished_report(
    folder: Path, fingerprint: str, output: OutputSettings, *, reproducible: bool = False
) -> Report | None:
    """The report of a finished run with that fingerprint, None where there is work to do.

    A reproducible report stands for any, but one with volatile facts for no reproducible one.
    """
    if (folder / _MARK).exists():  # what stands beside the report may be of a later, broken run
        return None
    report = _read(folder / REPORT, Report)
    written = [folder / name for name in wanted_files(output)]
    complete = all(path.is_file() and path.stat().st_size for path in written)
    if report is None or not complete or (reproducible and report.run):
        return None
    return report if report.fingerprint == fingerprint else None


def save(
    explanation: Explanation,
    folder: Path,
    settings: Settings,
    *,
    reproducible: bool = False,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Saved:
    """Write all that the settings ask for into `folder`.

    Raises:
        OutputError: a file cannot be written, or one that is not staa's is in the way.
    """
    names, before = wanted_files(settings.output), _read(folder / REPORT, Report)
    claim(folder, names)
    if settings.output.annotated:
        report = _annotate(
            explanation, folder / ANNOTATED, settings.render, reproducible, on_progress
        )
        explanation = _after_decoding(explanation, report)
    for kind in _written(settings.output):
        WRITERS[kind].write(explanation, folder / WRITERS[kind].file)
    _stills(explanation, folder, settings)
    written = write_json(explanation, folder / REPORT, reproducible=reproducible)
    if before is not None and _content(before) != _content(written):
        drop(folder, set(_EVERY) - set(names))
    (folder / _MARK).unlink(missing_ok=True)
    return Saved(tuple(folder / name for name in names), written)


def drop(folder: Path, names: Iterable[str]) -> None:
    """Remove what staa wrote there for another result: beside this one it would pass for its own.

    Raises:
        OutputError: a file cannot be removed.
    """
    for name in names:
        with output_errors(folder / name):
            (folder / name).unlink(missing_ok=True)


def _content(report: Report) -> list[Any]:
    """What a report is of, however much of it was written, and drawn in whatever way."""
    settings = {
        name: value for name, value in report.settings.items() if name not in ("output", "render")
    }
    sources = report.video.sha256, report.model.weights_sha256
    return [report.staa_version, *sources, report.prediction.target.index, settings]


def claim(folder: Path, names: Sequence[str]) -> None:
    """Make the folder and note the names that are about to be written there.

    What a run that was killed has left half-written there goes.

    Raises:
        OutputError: a file of such a name is there that staa did not write.
    """
    check_free(folder, names)
    with output_errors(folder):
        own = _own_names(folder, names)
        folder.mkdir(parents=True, exist_ok=True)
        for part in [part for name in names for part in parts_of(folder / name)]:
            part.unlink(missing_ok=True)
        names_now = "\n".join(sorted(own | set(names))) + "\n"
        (folder / _MARK).write_text(names_now, encoding="utf-8")


def check_free(
    folder: Path, names: Sequence[str], owner: str = REPORT, option: str = "--output-dir"
) -> None:
    """See that nothing of somebody else's stands where these names would be written.

    Args:
        folder: where they would.
        names: of files.
        owner: the JSON file among them; where staa wrote it, it wrote the others.
        option: by which another folder is chosen.

    Raises:
        OutputError: a file of such a name is there that staa did not write.
    """
    with output_errors(folder):
        own = _own_names(folder, names, owner)
        foreign = [name for name in names if name not in own and (folder / name).exists()]
    if foreign:
        raise OutputError(
            f"{folder / foreign[0]} is in the way, and staa did not write it",
            f"move it away, or choose another folder with {option}",
        )


def _own_names(folder: Path, names: Sequence[str], owner: str = REPORT) -> set[str]:
    """Names in the folder that are staa's to replace."""
    mark = folder / _MARK
    told = mark.read_text(encoding="utf-8", errors="replace") if mark.is_file() else ""
    own = set(told.splitlines())
    return own | set(names) if _read(folder / owner, Document) is not None else own


def _read(path: Path, kind: type[D]) -> D | None:
    """A document, None where there is none, or somebody else's, or one of another version."""
    if not path.is_file():
        return None
    try:
        return load_document(path, kind)
    except InputError:
        return None


def _annotate(
    explanation: Explanation,
    path: Path,
    settings: RenderSettings,
    repeatable: bool,
    on_progress: OnProgress,
) -> DecodeReport:
    from staa_cli.render.painter import Painter
    from staa_cli.video.annotate import annotate
    from staa_cli.video.frame_source import source_of
    from staa_cli.video.table import DecodeReport

    painter, report = Painter(explanation, settings), DecodeReport()
    frames, done = explanation.part, count(1)
    with atomic_path(path) as file:
        annotate(
            source_of(explanation),
            file,
            painter.draw,
            size=painter.size,
            preset=settings.preset,
            crf=settings.crf,
            repeatable=repeatable,
            frames=frames,
            on_frame=lambda _: on_progress("drawing", next(done), len(frames)),
            report=report,
        )
    return report


def _after_decoding(explanation: Explanation, report: DecodeReport) -> Explanation:
    """Drawing decodes every frame; what it met beyond what sampling met belongs in the report."""
    warnings = (*explanation.warnings, *_sound_warnings(report))
    explanation = replace(explanation, warnings=warnings)
    bad, missing = report.packets_bad, len(report.missing)
    if bad <= explanation.video.packets_bad and not missing:
        return explanation
    video = replace(explanation.video, packets_bad=max(bad, explanation.video.packets_bad))
    others = [warning for warning in explanation.warnings if warning.code != "decode-errors"]
    text = (
        f"{video.packets_bad} damaged packets were skipped or painted over while every frame was "
        f"read, {missing} frames are not in the annotated video"
    )
    return replace(
        explanation, video=video, warnings=(*others, ReportWarning("decode-errors", text))
    )


def _sound_warnings(report: DecodeReport) -> Iterator[ReportWarning]:
    """What became of the sound."""
    if report.sound_left_out is not None:
        text = f"the sound ({report.sound_left_out}) cannot be decoded here and was left out"
        yield ReportWarning("sound-left-out", text)
    if report.sound_packets_bad:
        text = f"{report.sound_packets_bad} damaged packets of the sound were skipped"
        yield ReportWarning("sound-errors", text)


def _stills(explanation: Explanation, folder: Path, settings: Settings) -> None:
    """Storyboard and GIF: both need some of the source's pictures."""
    from staa_cli.render.animation import gif, gif_indices
    from staa_cli.render.storyboard import storyboard, storyboard_indices

    if settings.output.storyboard:
        pictures = _pictures(explanation, storyboard_indices(explanation))
        storyboard(explanation, pictures, folder / STORYBOARD, settings.render)
    if settings.output.gif:
        pictures = _pictures(explanation, gif_indices(explanation))
        gif(explanation, pictures, folder / GIF, settings.render)


def _pictures(explanation: Explanation, indices: Sequence[int]) -> dict[int, UInt8]:
    from staa_cli.video.frame_source import source_of

    return dict(source_of(explanation).read(indices))
