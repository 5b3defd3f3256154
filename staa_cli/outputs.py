"""Everything that is written for one video, in an order that survives a kill at any moment.

`report.json` comes last and says that the rest is there. While work is under way, `.staa-writing`
lists the names that are staa's own, so that the next run may replace them and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from staa_cli.config import OutputSettings, RenderSettings, Settings
from staa_cli.errors import OutputError, StaaError
from staa_cli.files import atomic_path, output_errors
from staa_cli.report import WRITERS, load_report, write_json
from staa_cli.schema import Explanation, UInt8, Warning

if TYPE_CHECKING:
    from staa_cli.video import DecodeReport

REPORT = "report.json"
ANNOTATED = "annotated.mp4"
STORYBOARD = "storyboard.png"
GIF = "annotated.gif"
_MARK = ".staa-writing"

OnProgress = Callable[[str, int, int], None]


def wanted_files(output: OutputSettings) -> list[str]:
    """Names of the files that the settings ask for, the report last."""
    names = [ANNOTATED] if output.annotated else []
    names += [WRITERS[kind].file for kind in ("csv", "npz", "plot") if getattr(output, kind)]
    names += [STORYBOARD] if output.storyboard else []
    names += [GIF] if output.gif else []
    return [*names, REPORT]


def finished_report(
    folder: Path, fingerprint: str, output: OutputSettings
) -> dict[str, Any] | None:
    """The report of a finished run with that fingerprint, None where there is work to do."""
    report = _own_report(folder)
    complete = all((folder / name).is_file() for name in wanted_files(output))
    return report if report and complete and report.get("fingerprint") == fingerprint else None


def save(
    explanation: Explanation,
    folder: Path,
    settings: Settings,
    *,
    reproducible: bool = False,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> tuple[Path, ...]:
    """Write all that the settings ask for into `folder`; returns the paths, the report last.

    Raises:
        OutputError: a file cannot be written, or one that is not staa's is in the way.
    """
    names = wanted_files(settings.output)
    claim(folder, names)
    if settings.output.annotated:
        report = _annotate(explanation, folder / ANNOTATED, settings.render, on_progress)
        explanation = _after_decoding(explanation, report)
    for kind in ("csv", "npz", "plot"):
        if getattr(settings.output, kind):
            WRITERS[kind].write(explanation, folder / WRITERS[kind].file)
    _stills(explanation, folder, settings)
    write_json(explanation, folder / REPORT, reproducible=reproducible)
    (folder / _MARK).unlink(missing_ok=True)
    return tuple(folder / name for name in names)


def claim(folder: Path, names: Sequence[str]) -> None:
    """Make the folder and note the names that are about to be written there.

    Raises:
        OutputError: a file of such a name is there that staa did not write.
    """
    mark = folder / _MARK
    own = set(mark.read_text().splitlines()) if mark.is_file() else set()
    if _own_report(folder) is not None:
        own |= {ANNOTATED, STORYBOARD, GIF, REPORT, *(w.file for w in WRITERS.values())}
    for name in names:
        if (folder / name).exists() and name not in own:
            raise OutputError(
                f"{folder / name} is in the way, and staa did not write it",
                "move it away, or choose another folder with --output-dir",
            )
    with output_errors(mark):
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text("\n".join(sorted(own | set(names))) + "\n")


def _own_report(folder: Path) -> dict[str, Any] | None:
    path = folder / REPORT
    if not path.is_file():
        return None
    try:
        report = load_report(path)
    except (StaaError, json.JSONDecodeError):
        return None
    return report if "staa_version" in report else None


def _annotate(
    explanation: Explanation, path: Path, settings: RenderSettings, on_progress: OnProgress
) -> DecodeReport:
    from staa_cli.render import Painter
    from staa_cli.video import DecodeReport, annotate

    painter, report = Painter(explanation, settings), DecodeReport()
    total = explanation.video.frames
    with atomic_path(path) as part:
        annotate(
            explanation.video,
            part,
            painter.draw,
            size=painter.size,
            preset=settings.preset,
            crf=settings.crf,
            on_frame=lambda index: on_progress("drawing", index + 1, total),
            report=report,
        )
    return report


def _after_decoding(explanation: Explanation, report: DecodeReport) -> Explanation:
    """Drawing decodes every frame; what it met beyond what sampling met belongs in the report."""
    video = explanation.video
    bad = max(video.packets_bad, report.packets_bad)
    if bad == video.packets_bad and not (report.truncated and not video.truncated):
        return explanation
    video = replace(video, packets_bad=bad, truncated=video.truncated or report.truncated)
    others = [w for w in explanation.warnings if w.code != "decode-errors"]
    text = f"{bad} broken packets were skipped while every frame was read"
    return replace(explanation, video=video, warnings=(*others, Warning("decode-errors", text)))


def _stills(explanation: Explanation, folder: Path, settings: Settings) -> None:
    """Storyboard and GIF: both need pictures, which are read once for the two."""
    from staa_cli.render import gif, gif_indices, storyboard, storyboard_indices

    jobs = []
    if settings.output.storyboard:
        jobs.append((storyboard_indices(explanation), storyboard, STORYBOARD))
    if settings.output.gif:
        jobs.append((gif_indices(explanation), gif, GIF))
    for indices, write, name in jobs:
        write(explanation, _pictures(explanation, indices), folder / name, settings.render)


def _pictures(explanation: Explanation, indices: Sequence[int]) -> dict[int, UInt8]:
    from staa_cli.video import iter_frames

    return dict(iter_frames(explanation.video, indices))
