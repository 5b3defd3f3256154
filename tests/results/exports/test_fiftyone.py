"""FiftyOne: files as its own exporter writes them, so that its loader finds everything declared."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared_runs import edited, result
from explanations import blobs

from staa_cli.results.exports.base import ExportOptions, Maps
from staa_cli.results.exports.fiftyone import over_picture
from staa_cli.results.exports.run import Exported, export

FIELDS = "fiftyone.core.fields."
LABELS = "fiftyone.core.labels."
REFERENCE = {
    "id": ("ObjectIdField", None, None, "_id"),
    "filepath": ("StringField", None, None, "filepath"),
    "tags": ("ListField", "StringField", None, "tags"),
    "metadata": ("EmbeddedDocumentField", None, "fiftyone.core.metadata.VideoMetadata", "metadata"),
    "metadata.frame_rate": ("FloatField", None, None, "frame_rate"),
    "metadata.total_frame_count": ("IntField", None, None, "total_frame_count"),
    "_media_type": ("StringField", None, None, "_media_type"),
    "prediction": ("EmbeddedDocumentField", None, LABELS + "Classification", "prediction"),
    "prediction.id": ("ObjectIdField", None, None, "_id"),
    "prediction.confidence": ("FloatField", None, None, "confidence"),
    "moments": ("EmbeddedDocumentField", None, LABELS + "TemporalDetections", "moments"),
    "moments.detections": (
        *("ListField", "EmbeddedDocumentField", LABELS + "TemporalDetection", "detections"),
    ),
    "moments.detections.support": ("FrameSupportField", "IntField", None, "support"),
    "warnings": ("ListField", "StringField", None, "warnings"),
    "temporal_flat": ("BooleanField", None, None, "temporal_flat"),
    "frames.id": ("ObjectIdField", None, None, "_id"),
    "frames.frame_number": ("FrameNumberField", None, None, "frame_number"),
    "frames._sample_id": ("ObjectIdField", None, None, "_sample_id"),
    "frames.score": ("FloatField", None, None, "score"),
    "frames.seen": ("BooleanField", None, None, "seen"),
    "frames.heat": ("EmbeddedDocumentField", None, LABELS + "Heatmap", "heat"),
    "frames.heat.map": ("ArrayField", None, None, "map"),
    "frames.heat.range": ("HeatmapRangeField", "FloatField", None, "range"),
    "frames.peak": ("EmbeddedDocumentField", None, LABELS + "Detections", "peak"),
    "frames.peak.detections": (
        *("ListField", "EmbeddedDocumentField", LABELS + "Detection", "detections"),
    ),
    "frames.peak.detections.bounding_box": ("ListField", "FloatField", None, "bounding_box"),
}
"""Declarations that FiftyOne 1.22 wrote for fields of these kinds in an export of its own."""


def dataset(run: Path, **options: Any) -> tuple[dict[str, Any], list[Any], list[Any], Exported]:
    out = run.parent / "out"
    exported = export(run, "fiftyone", out, ExportOptions(**options))
    assert exported.paths == (out,)
    metadata, samples, frames = (
        json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("metadata", "samples", "frames")
    )
    return metadata, samples["samples"], frames["frames"], exported


def declared(fields: list[dict[str, Any]], prefix: str = "") -> dict[str, tuple[Any, ...]]:
    found = {}
    for field in fields:
        name = f"{prefix}{field['name']}"
        subfield = (field["subfield"] or "").removeprefix(FIELDS) or None
        found[name] = (
            *(field["ftype"].removeprefix(FIELDS), subfield),
            *(field["embedded_doc_type"], field["db_field"]),
        )
        found |= declared(field["fields"], f"{name}.")
    return found


def array(stored: dict[str, Any]) -> np.ndarray:
    data = zlib.decompress(base64.b64decode(stored["$binary"]["base64"]))
    loaded: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    return loaded


def test_fields_are_declared_as_by_the_tool(tmp_path: Path) -> None:
    result(tmp_path / "run")
    metadata, _, _, _ = dataset(tmp_path / "run")
    assert (metadata["media_type"], metadata["version"]) == ("video", "1.0.0")
    found = declared(metadata["sample_fields"]) | declared(metadata["frame_fields"], "frames.")
    assert {name: found.get(name) for name in REFERENCE} == REFERENCE


def test_everything_that_is_stored_is_declared(tmp_path: Path) -> None:
    result(tmp_path / "run", codes=("low-confidence",))
    metadata, samples, frames, _ = dataset(tmp_path / "run")

    def check(value: dict[str, Any], fields: list[dict[str, Any]]) -> None:
        known = {field["db_field"]: field for field in fields}
        assert value.keys() - {"_cls"} <= known.keys()
        for name, item in value.items():
            inner = known[name]["fields"] if name != "_cls" else None
            for part in item if isinstance(item, list) else [item]:
                if inner:
                    assert known[name]["embedded_doc_type"].endswith(f".{part['_cls']}")
                    check(part, inner)

    for sample in samples:
        check(sample, metadata["sample_fields"])
    for frame in frames:
        check(frame, metadata["frame_fields"])


def test_a_sample_has_its_answer_and_its_moments_in_frames(tmp_path: Path) -> None:
    path = result(tmp_path / "run", label="surfing", confidence=0.75, codes=("decode-errors",))
    box = [0.1, 0.25, 0.4, 0.75]
    span = {"start_s": 0.5, "peak_s": 0.6, "end_s": 1.0, "peak_score": 0.5, "share": 0.25}
    change = {"moments": [{**span, "center": [0.5, 0.5], "box": box}]}
    edited(path, lambda report: report.update(change))
    _, (sample,), frames, exported = dataset(tmp_path / "run")
    assert sample["filepath"] == "/videos/walk.mp4"
    assert "1 video not found" in exported.caveats[0]
    assert (sample["prediction"]["label"], sample["prediction"]["confidence"]) == ("surfing", 0.75)
    (moment,) = sample["moments"]["detections"]
    assert moment["label"] == "surfing"
    assert moment["support"] == [16, 30]  # frames count from 1, and the last one is included
    assert (moment["share"], moment["peak_s"]) == (0.25, 0.6)
    assert sample["warnings"] == ["decode-errors"]
    assert sample["metadata"]["total_frame_count"] == 60
    peaks = {frame["frame_number"]: frame["peak"] for frame in frames if "peak" in frame}
    (detection,) = peaks.pop(19)["detections"]
    assert peaks == {}
    assert detection["bounding_box"] == pytest.approx([0.1, 0.25, 0.3, 0.5])


def test_a_frame_has_its_scores_and_belongs_to_its_sample(tmp_path: Path) -> None:
    paths = [result(tmp_path / "run", "jump.mp4"), result(tmp_path / "run", "walk.mp4")]
    _, samples, frames, _ = dataset(tmp_path / "run")
    ids = [sample["_id"]["$oid"] for sample in samples]
    assert len(set(ids)) == 2
    assert all(len(bytes.fromhex(identity)) == 12 for identity in ids)
    for identity, path in zip(ids, paths, strict=True):
        columns = json.loads(path.read_text())["frames"]
        own = [frame for frame in frames if frame["_sample_id"]["$oid"] == identity]
        assert [frame["frame_number"] - 1 for frame in own] == columns["index"]
        for name in ("time_s", "score", "weighted_score", "seen"):
            assert [frame[name] for frame in own] == columns[name]
    stored = [*(sample["prediction"] for sample in samples), *(frame["heat"] for frame in frames)]
    labels = [label["_id"]["$oid"] for label in stored]
    assert len(set(labels)) == len(labels)


def test_heat_lies_where_it_was_in_the_whole_picture(tmp_path: Path) -> None:
    """A spot at the left edge of the model's crop, the middle square of a wide picture."""
    spot = np.zeros((14, 14), np.float32)
    spot[3, 0] = 1.0
    strengths = np.linspace(0.1, 1.0, 10, dtype=np.float32)  # at the ten frames that were seen
    result(tmp_path / "run", size=(1280, 720), maps=strengths[:, None, None] * spot)
    _, _, frames, _ = dataset(tmp_path / "run")
    assert all(frame["heat"]["range"] == [0.0, 255.0] for frame in frames)
    heats = np.stack([array(frame["heat"]["map"]) for frame in frames])
    assert (heats.shape, heats.dtype) == ((60, 14, 25), np.dtype("uint8"))
    row, column = np.unravel_index(heats[-1].argmax(), (14, 25))
    crop = 9 / 16
    center = (1 - crop) / 2 + crop * 0.5 / 14
    assert row == 3
    assert column / 25 <= center <= (column + 1) / 25
    # The scale is that of the whole video: what is weak looks cold.
    assert heats[-1].sum() == pytest.approx(255 * 25 * crop / 14, abs=2)
    assert heats[0].sum() == pytest.approx(0.1 * heats[-1].sum(), abs=2)


@pytest.mark.parametrize(("maps", "share"), [("all", 1.0), ("seen", None), ("none", 0.0)])
def test_maps_can_be_left_out(tmp_path: Path, maps: Maps, share: float | None) -> None:
    result(tmp_path / "run")
    _, _, frames, _ = dataset(tmp_path / "run", maps=maps)
    with_heat = ["heat" in frame for frame in frames]
    if share is None:
        assert with_heat == [frame["seen"] for frame in frames]
    else:
        assert np.mean(with_heat) == share
    assert [frame["score"] is not None for frame in frames] == [True] * 60


def test_a_result_without_maps_has_no_heat_and_frames_without_clip_none_either(
    tmp_path: Path,
) -> None:
    result(tmp_path / "run", npz=False)
    _, _, frames, _ = dataset(tmp_path / "run")
    assert not any("heat" in frame for frame in frames)
    result(tmp_path / "gap", frames=300, clip_starts=[0])
    _, _, frames, _ = dataset(tmp_path / "gap")
    assert ["heat" in frame for frame in frames] == [frame["score"] is not None for frame in frames]
    assert not all("heat" in frame for frame in frames)


def test_a_name_that_is_not_text_cannot_be_held(tmp_path: Path) -> None:
    path = result(tmp_path / "run")
    name = base64.b64encode(b"a\xff.mp4").decode()
    edited(path, lambda report: report["video"].update(path="a\\xff.mp4", path_bytes=name))
    exported = export(tmp_path / "run", "fiftyone", tmp_path / "out")
    (failure,) = exported.failures
    assert (
        failure.cause
        == "/videos/a\\xff.mp4 has a name that is not UTF-8, which FiftyOne cannot hold"
    )


def test_a_map_of_the_whole_picture_is_what_it_was() -> None:
    levels = blobs(np.array([0.0, 1.0]), 1.0, (7, 9), lambda time: 40.0)[0].clip(0, 1)
    assert (over_picture(levels, (0.0, 0.0, 1.0, 1.0)) == np.rint(255 * levels)).all()


def test_a_map_beyond_the_picture_is_cut() -> None:
    """A wide picture was padded to a square: the upper and the lower quarter are not in it."""
    levels = np.repeat(np.array([[0.2], [0.4], [0.6], [0.8]], np.float32), 2, axis=1)
    found = over_picture(levels, (0.0, -0.5, 1.0, 1.5))
    assert found.tolist() == [[102, 102], [153, 153]]


def test_a_map_of_a_part_is_surrounded_by_nothing() -> None:
    """2 cells over the middle half: 4 cells over the picture."""
    found = over_picture(np.array([[1.0, 0.5]], np.float32), (0.25, 0.0, 0.75, 1.0))
    assert found.tolist() == [[0, 255, 128, 0]]
