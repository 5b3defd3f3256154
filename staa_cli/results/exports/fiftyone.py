"""FiftyOne: a dataset of videos with predictions, moments, and frames with scores and heat maps.

The format is `FiftyOneDataset` of FiftyOne's documentation, "Importing data into FiftyOne", which
lists its files; their content is that of exports of FiftyOne 1.22. The version that `metadata.json`
states is older, because FiftyOne migrates what is older than itself and refuses what is newer.

Heat maps are arrays in `frames.json`: some hundred bytes each, instead of a file per frame.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import mimetypes
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from staa_cli.errors import InputError
from staa_cli.formatting import counted
from staa_cli.paths import as_text
from staa_cli.results.document import Box, Scored
from staa_cli.results.exports.base import Export, ExportOptions, Result
from staa_cli.results.exports.fiftyone_schema import FRAME_FIELDS, SAMPLE_FIELDS, VIDEO_COLUMNS
from staa_cli.results.exports.lists import JsonList
from staa_cli.results.exports.tables import rows_of
from staa_cli.results.report import EXPLAIN_AGAIN
from staa_cli.results.resampling import resampled

if TYPE_CHECKING:
    from staa_cli.schema import Float32, Float64, UInt8

METADATA, SAMPLES, FRAMES = "metadata.json", "samples.json", "frames.json"
VERSION = "1.0.0"


class FiftyOne(Export):
    """A dataset that FiftyOne loads."""

    summary = "a dataset for FiftyOne: predictions, moments, frames with scores and heat maps"
    options = frozenset({"maps", "root"})
    opens_folder = True

    @classmethod
    def files(cls, chosen: ExportOptions) -> Sequence[str]:
        """Names of the files of a FiftyOneDataset."""
        return [METADATA, SAMPLES, FRAMES]

    def __init__(self, paths: Mapping[str, Path], chosen: ExportOptions) -> None:
        super().__init__(paths, chosen)
        self._samples = JsonList(paths[SAMPLES], "samples")
        self._frames = JsonList(paths[FRAMES], "frames")
        self._missing = 0

    def add(self, result: Result) -> None:
        """Write the sample of a result, and its frames.

        Raises:
            InputError: it has no video file, or one whose name is not UTF-8, or its maps are
                broken.
        """
        video, levels = result.video_file(self.chosen.root), self._levels(result)
        if as_text(video) != str(video):
            raise InputError(
                f"{as_text(video)} has a name that is not UTF-8, which FiftyOne cannot hold",
                "rename the video, and explain it again",
            )
        ids = _Ids(result)
        self._samples.add(_sample(result, video, ids))
        for frame in _frames(result, levels, ids):
            self._frames.add(frame)
        self._missing += not video.is_file()

    def finish(self) -> None:
        """Complete the files."""
        self.close()
        metadata = {
            "version": VERSION,
            "media_type": "video",
            "sample_fields": SAMPLE_FIELDS,
            "frame_fields": FRAME_FIELDS,
        }
        self.paths[METADATA].write_text(json.dumps(metadata, indent=1) + "\n", encoding="utf-8")
        if self._missing:
            self.caveats.append(
                f"{counted(self._missing, 'video')} not found where the reports say: FiftyOne will "
                "not show their pictures; --root DIR names another folder to look in"
            )

    def close(self) -> None:
        """Close the files."""
        self._samples.close()
        self._frames.close()

    def _levels(self, result: Result) -> dict[int, UInt8]:
        """Heat maps of the whole picture by position in the report's frames."""
        explanation = None if self.chosen.maps == "none" else result.explanation
        if explanation is None:
            return {}
        from staa_cli.render.heat import HeatField

        times_s, seen = explanation.frames.times_s, explanation.frames.seen
        if len(times_s) != len(result.report.frames.time_s):
            raise InputError(f"{result.path} and its maps have different frames", EXPLAIN_AGAIN)
        field = HeatField(explanation, "video")
        wanted = np.flatnonzero(seen) if self.chosen.maps == "seen" else range(len(times_s))
        levels = {int(position): field.at(float(times_s[position])) for position in wanted}
        box = explanation.maps.box
        return {at: over_picture(map_, box) for at, map_ in levels.items() if map_ is not None}


class _Ids:
    """Identifiers of a sample and of its labels, equal for equal results; 24 hexadecimal digits."""

    def __init__(self, result: Result) -> None:
        text = json.dumps([result.name, result.report.fingerprint])
        self._digest = hashlib.sha256(text.encode()).hexdigest()
        self.sample = {"$oid": self._digest[:24]}
        self.random = int(self._digest[-8:], 16) / 2**32
        """The number from 0 to 1 by which FiftyOne shuffles."""
        self._labels = 0

    def label(self) -> dict[str, str]:
        """An identifier for another label."""
        self._labels += 1
        return {"$oid": f"{self._digest[:16]}{self._labels:08x}"}


def _label(kind: str, ids: _Ids, **fields: Any) -> dict[str, Any]:
    return {"_id": ids.label(), "_cls": kind, "tags": [], **fields}


def _classification(scored: Scored, ids: _Ids) -> dict[str, Any]:
    return _label("Classification", ids, label=scored.label, confidence=scored.probability)


def _sample(result: Result, video: Path, ids: _Ids) -> dict[str, Any]:
    report = result.report
    info, target = report.video, report.prediction.target
    index = report.frames.index
    moments = []
    for moment in report.moments:
        first, last = result.span(moment)
        moments.append(
            _label(
                "TemporalDetection",
                ids,
                label=target.label,
                support=[index[first] + 1, index[last] + 1],
                share=moment.share,
                peak_s=moment.peak_s,
                peak_score=moment.peak_score,
            )
        )
    (row,) = rows_of(result, "videos")
    return {
        "_id": ids.sample,
        "_media_type": "video",
        "_rand": ids.random,
        "filepath": str(video),
        "tags": [],
        "metadata": {
            "_cls": "VideoMetadata",
            "size_bytes": info.size_bytes,
            "mime_type": mimetypes.guess_type(video.name)[0] or "video/mp4",
            "frame_width": info.width,
            "frame_height": info.height,
            "frame_rate": info.rate or 1.0,  # a single frame has no rate
            "total_frame_count": info.frames,
            "duration": info.duration_s,
            "encoding_str": info.codec,
        },
        "prediction": _classification(report.prediction.top_k[0], ids),
        "explained": _classification(target, ids),
        "moments": {"_cls": "TemporalDetections", "detections": moments},
        **{name: row[name] for name in VIDEO_COLUMNS if row[name] is not None},
    }


def _frames(result: Result, levels: Mapping[int, UInt8], ids: _Ids) -> Iterator[dict[str, Any]]:
    label, boxes = result.report.prediction.target.label, _boxes(result)
    for position, row in enumerate(rows_of(result, "frames")):
        frame: dict[str, Any] = {
            "_sample_id": ids.sample,
            "frame_number": int(result.report.frames.index[position]) + 1,
            **{name: row[name] for name in ("time_s", "score", "weighted_score", "seen")},
        }
        if position in levels:
            frame["heat"] = _label(
                "Heatmap", ids, map=_binary(levels[position]), range=[0.0, 255.0]
            )
        if position in boxes:
            detections = [
                _label("Detection", ids, attributes={}, label=label, bounding_box=box)
                for box in boxes[position]
            ]
            frame["peak"] = {"_cls": "Detections", "detections": detections}
        yield frame


def _boxes(result: Result) -> dict[int, list[list[float]]]:
    """Boxes of the moments, left, top, width, and height, by position of their peak."""
    times_s = np.array(result.report.frames.time_s)
    boxes: dict[int, list[list[float]]] = {}
    for moment in result.report.moments:
        left, top, right, bottom = moment.box
        position = int(np.abs(times_s - moment.peak_s).argmin())
        boxes.setdefault(position, []).append([left, top, right - left, bottom - top])
    return boxes


def _binary(array: UInt8) -> dict[str, Any]:
    """An array as FiftyOne stores it: numpy's format, compressed."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    text = base64.b64encode(zlib.compress(file.getvalue())).decode()
    return {"$binary": {"base64": text, "subType": "00"}}


def over_picture(levels: Float32, box: Box) -> UInt8:
    """Levels [h, w], 0 to 1, of a part of the picture as 0 to 255 over all of it [H, W].

    The cells of the result are about as large as those of the map; each has the mean of what it
    covers, and 0 where the model did not look.
    """
    rows = _edges(box[1], box[3], levels.shape[0])
    columns = _edges(box[0], box[2], levels.shape[1])
    sums = resampled(levels.astype(np.float64), box, rows, columns)[1:-1, 1:-1]
    cell = (box[3] - box[1]) * (box[2] - box[0]) / levels.size
    means = (sums * cell * sums.size).clip(0.0, 1.0)  # a new cell is 1 / sums.size of the picture
    return np.asarray(np.rint(255 * means), np.uint8)


def _edges(low: float, high: float, count: int) -> Float64:
    """Edges of equal cells of the picture, between those of what the model saw outside of it."""
    cells = max(round(count / (high - low)), 1)
    return np.array([min(low, 0.0), *np.linspace(0.0, 1.0, cells + 1), max(high, 1.0)])
