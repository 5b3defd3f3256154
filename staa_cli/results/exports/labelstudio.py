"""Label Studio: tasks with predictions to look at and to correct, and the labeling interface.

The formats are those of Label Studio's documentation: "Import pre-annotated data into Label
Studio" for tasks, the tags "TimelineLabels", "VideoRectangle", "Video", and "Choices" for results
and the interface, and "Local storage" for addresses of local files.

Label Studio counts frames from 1, at the constant rate that the task states: version 1.23 shows
frame f at (f - 1) / rate seconds. So frames are computed from times, and right at a variable rate,
too. The `time` of a keyframe is f / rate, as in its documentation; it is not used for showing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from staa_cli.errors import InputError
from staa_cli.formatting import percent
from staa_cli.paths import as_text, shown
from staa_cli.remote.addresses import is_url
from staa_cli.results.document import Moment
from staa_cli.results.exports.base import Export, ExportOptions, Result
from staa_cli.results.exports.lists import JsonList

TASKS, INTERFACE = "tasks.json", "labeling_interface.xml"
LOCAL_FILES = "/data/local-files/?d="
_ENCODED = ("", "http", "https")
"""Schemes of addresses that are percent-encoded; keys in a bucket, such as s3://, are not."""


class LabelStudio(Export):
    """Tasks with predictions, and the labeling interface for them."""

    summary = "tasks with moments and boxes as predictions for Label Studio, and its interface"
    options = frozenset({"url", "root"})

    @classmethod
    def files(cls, chosen: ExportOptions) -> Sequence[str]:
        """Names of the tasks and of the interface."""
        return [TASKS, INTERFACE]

    def __init__(self, paths: Mapping[str, Path], chosen: ExportOptions) -> None:
        super().__init__(paths, chosen)
        self._tasks = JsonList(paths[TASKS])
        self._labels: set[str] = set()

    def add(self, result: Result) -> None:
        """Write the task of a result.

        Raises:
            InputError: it has no video file, or one that is not below the root of addresses.
        """
        prediction = result.report.prediction
        self._tasks.add(self._task(result))
        scored = [prediction.target, *prediction.top_k]
        scored += [row for clip in prediction.clips for row in clip.top_k]
        self._labels |= {_label(row.label) for row in scored}

    def finish(self) -> None:
        """Complete the tasks, and write the interface with all labels that occur."""
        self.close()
        view = _interface(sorted(self._labels))
        ElementTree.indent(view)
        text = ElementTree.tostring(view, encoding="unicode")
        self.paths[INTERFACE].write_text(text + "\n", encoding="utf-8")

    def close(self) -> None:
        """Close the file of tasks."""
        self._tasks.close()

    def _task(self, result: Result) -> dict[str, Any]:
        report = result.report
        answer, labels = report.prediction.top_k[0], [_label(report.prediction.target.label)]
        results = [_result("choices", "class", "class", choices=[_label(answer.label)])]
        for rank, moment in enumerate(report.moments, 1):
            note = f"peak at {moment.peak_s:.2f} s, {percent(moment.share)} of the score"
            first, last = _span(result, moment)
            results += [
                _result(
                    "timelinelabels",
                    "moments",
                    f"moment-{rank}",
                    note,
                    ranges=[{"start": first, "end": last}],
                    timelinelabels=labels,
                ),
                _result(
                    "videorectangle",
                    "box",
                    f"box-{rank}",
                    note,
                    framesCount=report.video.frames,
                    duration=report.video.duration_s,
                    sequence=_sequence(moment, first, last, _rate(result)),
                    labels=labels,
                ),
            ]
        predicted: dict[str, Any] = {
            "model_version": shown(as_text(f"{report.model.name}, {report.method.name}")),
            "result": results,
        }
        if answer.probability is not None:
            predicted["score"] = answer.probability
        return {"data": self._data(result), "predictions": [predicted]}

    def _data(self, result: Result) -> dict[str, Any]:
        """The video, and columns for the list of tasks."""
        report = result.report
        url = report.video.path if is_url(report.video.path) else None
        return {
            "video": url or address(result.video_file(self.chosen.root), self.chosen),
            "fps": _rate(result),
            "result": as_text(result.name),
            "label": report.prediction.top_k[0].label,
            "confidence": report.prediction.top_k[0].score,
            "explained": report.prediction.target.label,
            "peak_s": report.temporal.peak_s,
            "warnings": " ".join(row.code for row in report.warnings),
            "sha256": report.video.sha256,
        }


def address(video: Path, chosen: ExportOptions) -> str:
    """The address of a video: what addresses start with, and its path below the root.

    Without either, it is that of a local file below the folder that Label Studio serves if it is
    not told another one, which is the root of the file system.

    Raises:
        InputError: the video is not below the root.
    """
    url = LOCAL_FILES if chosen.url is None else chosen.url
    path = Path(os.path.normpath(video))
    base = chosen.root or Path(path.anchor if chosen.url is None else "")
    root = Path(os.path.normpath(base.absolute()))
    if not path.is_relative_to(root):
        raise InputError(
            f"{video} is not below {root}, where addresses start",
            "give a folder that contains all videos with --root",
        )
    name = path.relative_to(root).as_posix()
    return url + (quote(os.fsencode(name)) if urlsplit(url).scheme in _ENCODED else as_text(name))


def _interface(labels: Sequence[str]) -> ElementTree.Element:
    view = ElementTree.Element("View")

    def tag(name: str, attributes: dict[str, str], choice: str = "") -> None:
        element = ElementTree.SubElement(view, name, attributes)
        for label in labels if choice else ():
            ElementTree.SubElement(element, choice, {"value": label})

    tag("Header", {"value": "Class, moments, boxes", "size": "5"})
    tag("Choices", {"name": "class", "toName": "video", "showInline": "true"}, "Choice")
    tag("TimelineLabels", {"name": "moments", "toName": "video"}, "Label")
    tag("Labels", {"name": "labels", "toName": "video"}, "Label")
    tag("Video", {"name": "video", "value": "$video", "frameRate": "$fps"})
    tag("VideoRectangle", {"name": "box", "toName": "video"})
    return view


def _label(label: str) -> str:
    """A label that XML can hold, and in which Label Studio sees no variable, `$name`."""
    return shown(as_text(label)).replace("$", "＄")  # noqa: RUF001


def _result(kind: str, control: str, identity: str, note: str = "", **value: Any) -> dict[str, Any]:
    about = {"meta": {"text": [note]}} if note else {}
    names = {"id": identity, "from_name": control, "to_name": "video", "type": kind}
    return names | {"value": value} | about


def _rate(result: Result) -> float:
    video = result.report.video
    return video.rate or 1.0  # a single frame has no rate


def _frame(result: Result, time_s: float) -> int:
    return min(round(time_s * _rate(result)) + 1, result.report.video.frames)


def _span(result: Result, moment: Moment) -> tuple[int, int]:
    """The first and the last frame of a moment."""
    times_s = result.report.frames.time_s
    first, last = result.span(moment)
    return _frame(result, times_s[first]), _frame(result, times_s[last])


def _sequence(moment: Moment, first: int, last: int, rate: float) -> list[dict[str, Any]]:
    """The box of a moment: it appears in the first frame and is gone after the last one."""
    left, top, right, bottom = moment.box
    shares = {"x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0}
    box = {name: round(100 * share, 4) for name, share in shares.items()}
    return [
        box | {"frame": frame, "enabled": frame < last, "time": round(frame / rate, 6)}
        for frame in sorted({first, last})
    ]
