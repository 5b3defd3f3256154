"""Label Studio: tasks and an interface as its documentation describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from compared_runs import edited, result

from staa_cli.results.exports.base import ExportOptions
from staa_cli.results.exports.labelstudio import INTERFACE, TASKS
from staa_cli.results.exports.run import Exported, export

KEYPOINT = {
    "type": "object",
    "properties": {
        **{name: {"type": "number", "minimum": 0, "maximum": 100} for name in ("x", "y")},
        **{
            name: {"type": "number", "exclusiveMinimum": 0, "maximum": 100}
            for name in ("width", "height")
        },
        "rotation": {"const": 0},
        "enabled": {"type": "boolean"},
        "frame": {"type": "integer", "minimum": 1},
        "time": {"type": "number"},
    },
    "required": ["x", "y", "width", "height", "rotation", "enabled", "frame", "time"],
    "additionalProperties": False,
}
VALUES: dict[str, Any] = {
    "choices": {"choices": {"type": "array", "items": {"type": "string"}}},
    "timelinelabels": {
        "ranges": {
            "type": "array",
            "maxItems": 1,  # "One range per region"
            "items": {
                "type": "object",
                "properties": {
                    name: {"type": "integer", "minimum": 1} for name in ("start", "end")
                },
                "required": ["start", "end"],
                "additionalProperties": False,
            },
        },
        "timelinelabels": {"type": "array", "items": {"type": "string"}},
    },
    "videorectangle": {
        "framesCount": {"type": "integer"},
        "duration": {"type": "number"},
        "sequence": {"type": "array", "items": KEYPOINT, "minItems": 1},
        "labels": {"type": "array", "items": {"type": "string"}},
    },
}
"""Values of results, from "Sample Results JSON" on the pages of the tags."""
RESULT = {
    "type": "object",
    "required": ["id", "from_name", "to_name", "type", "value"],
    "oneOf": [
        {
            "properties": {
                "type": {"const": kind},
                "value": {
                    "type": "object",
                    "properties": value,
                    "required": list(value),
                    "additionalProperties": False,
                },
            }
        }
        for kind, value in VALUES.items()
    ],
}
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "data": {"type": "object", "required": ["video", "fps"]},
            "predictions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "model_version": {"type": "string"},
                        "score": {"type": "number", "minimum": 0, "maximum": 1},
                        "result": {"type": "array", "items": RESULT},
                    },
                    "required": ["result"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["data", "predictions"],
        "additionalProperties": False,
    },
}
"""The basic JSON format, from "Import pre-annotated data into Label Studio"."""


def tasks_of(
    run: Path, **options: Any
) -> tuple[list[dict[str, Any]], ElementTree.Element, Exported]:
    out = run.parent / "out"
    exported = export(run, "labelstudio", out, ExportOptions(**options))
    assert exported.paths == (out / TASKS, out / INTERFACE)
    tasks = json.loads((out / TASKS).read_text(encoding="utf-8"))
    jsonschema.validate(tasks, SCHEMA)
    view = ElementTree.fromstring((out / INTERFACE).read_text(encoding="utf-8"))
    _check_against(view, tasks)
    return tasks, view, exported


def _check_against(view: ElementTree.Element, tasks: list[dict[str, Any]]) -> None:
    """Every result belongs to a tag of the interface, and has a label of it."""
    tags = {tag.get("name"): tag for tag in view}
    for task in tasks:
        for prediction in task["predictions"]:
            ids = [row["id"] for row in prediction["result"]]
            assert len(set(ids)) == len(ids)
            for row in prediction["result"]:
                assert tags[row["from_name"]].tag.lower() == row["type"]
                assert tags[row["from_name"]].get("toName") == row["to_name"] == "video"
                key = "labels" if row["type"] == "videorectangle" else row["type"]
                control = tags["labels"] if key == "labels" else tags[row["from_name"]]
                assert {child.get("value") for child in control} >= set(row["value"][key])


def moment(start_s: float, peak_s: float, end_s: float) -> dict[str, Any]:
    times = {"start_s": start_s, "peak_s": peak_s, "end_s": end_s}
    return {
        **times,
        "peak_score": 0.5,
        "share": 0.25,
        "center": [0.5, 0.5],
        "box": [0.1, 0.25, 0.4, 0.75],
    }


def test_moments_are_spans_of_the_timeline_and_boxes_for_as_long(tmp_path: Path) -> None:
    path = result(tmp_path / "run")  # two seconds at 30 frames per second
    spans = [moment(0.5, 0.6, 1.0), moment(0.0, 0.0, 1 / 30), moment(1.9, 1.9, 2.0)]
    edited(path, lambda report: report.update(moments=spans))
    ((task,), view, _) = tasks_of(tmp_path / "run")
    rows = task["predictions"][0]["result"]
    ranges = [row["value"]["ranges"][0] for row in rows if row["type"] == "timelinelabels"]
    # Frames count from 1. A moment ends with its last frame: that at 29 / 30 s, and so on.
    assert ranges == [{"start": 16, "end": 30}, {"start": 1, "end": 1}, {"start": 58, "end": 60}]
    boxes = [row["value"] for row in rows if row["type"] == "videorectangle"]
    shape = {"x": 10.0, "y": 25.0, "width": 30.0, "height": 50.0, "rotation": 0}
    assert boxes[0]["sequence"] == [
        {**shape, "frame": 16, "enabled": True, "time": 0.533333},
        {**shape, "frame": 30, "enabled": False, "time": 1.0},
    ]
    assert boxes[1]["sequence"] == [{**shape, "frame": 1, "enabled": False, "time": 0.033333}]
    assert [(box["framesCount"], box["duration"]) for box in boxes] == [(60, 2.0)] * 3
    (video,) = view.findall("Video")
    assert video.get("value") == "$video"
    assert (video.get("frameRate"), task["data"]["fps"]) == ("$fps", 30.0)


def test_frames_follow_the_time_at_a_variable_rate(tmp_path: Path) -> None:
    path = result(tmp_path / "run")

    def slower(report: dict[str, Any]) -> None:
        """The second half at half of the rate: 60 frames in 3 seconds, 20 per second."""
        times = [i / 30 if i < 30 else 1 + (i - 30) / 15 for i in range(60)]
        report["frames"]["time_s"] = times
        report["video"].update(rate=20.0, duration_s=3.0, variable_rate=True)
        report["moments"] = [moment(times[45], times[45], times[51])]

    edited(path, slower)
    ((task,), _, _) = tasks_of(tmp_path / "run")
    (span,) = task["predictions"][0]["result"][1]["value"]["ranges"]
    assert span == {"start": 41, "end": 48}  # 2 s and 2.33 s at 20 frames per second


def test_the_answer_is_a_choice_with_its_probability(tmp_path: Path) -> None:
    result(tmp_path / "run", label="surfing", confidence=0.75, codes=("low-confidence",))
    ((task,), view, _) = tasks_of(tmp_path / "run")
    (prediction,) = task["predictions"]
    assert prediction["result"][0]["value"] == {"choices": ["surfing"]}
    assert prediction["score"] == 0.75
    assert prediction["model_version"] == "timesformer-base-k400, staa"
    assert task["data"]["warnings"] == "low-confidence"
    report = json.loads((tmp_path / "run" / "walk" / "report.json").read_text())
    known = {row["label"] for row in report["prediction"]["top_k"]}
    for tag in ("Choices", "TimelineLabels", "Labels"):
        labels = [child.get("value") for child in view.find(tag) or ()]
        assert labels == sorted(known)


def test_a_raw_value_is_no_score(tmp_path: Path) -> None:
    result(tmp_path / "run", output="identity", confidence=3.5)
    ((task,), _, _) = tasks_of(tmp_path / "run")
    assert "score" not in task["predictions"][0]
    assert task["data"]["confidence"] == 3.5


HOSTILE = ['"/><Evil/>', "a & b", "<b>", "$video", "tab\there", "esc\x1b[0m", "emoji 🐕", "' onx='"]


@pytest.mark.parametrize("label", HOSTILE)
def test_no_label_breaks_the_interface_or_names_a_variable(tmp_path: Path, label: str) -> None:
    result(tmp_path / "run", label=label)
    ((task,), view, _) = tasks_of(tmp_path / "run")
    assert [tag.tag for tag in view] == [
        *("Header", "Choices", "TimelineLabels", "Labels", "Video", "VideoRectangle")
    ]
    chosen = task["predictions"][0]["result"][0]["value"]["choices"][0]
    assert "$" not in chosen
    assert chosen.isprintable()
    assert task["data"]["label"] == label


NAMES = ["a b.mp4", "ä#1?x=%20&y.mp4", "☃.mp4", '"q".mp4']


@pytest.mark.parametrize("name", NAMES)
def test_the_address_of_a_local_file_leads_back_to_it(tmp_path: Path, name: str) -> None:
    from urllib.parse import parse_qs, urlsplit

    path = result(tmp_path / "run")
    edited(path, lambda report: report["video"].update(path=f"clips/{name}"))
    ((task,), _, _) = tasks_of(tmp_path / "run")
    parts = urlsplit(task["data"]["video"])
    assert parts.path == "/data/local-files/"
    assert parse_qs(parts.query, strict_parsing=True) == {"d": [f"videos/clips/{name}"]}
    served = ExportOptions(root=Path("/videos"))
    ((task,), _, _) = tasks_of(tmp_path / "run", root=served.root)
    assert parse_qs(urlsplit(task["data"]["video"]).query) == {"d": [f"clips/{name}"]}


def test_addresses_start_with_the_prefix_and_continue_below_the_root(tmp_path: Path) -> None:
    path = result(tmp_path / "run")
    edited(path, lambda report: report["video"].update(path="clips/a b.mp4"))
    root = Path("/videos")
    for url, expected in (
        ("https://example.org/v/", "https://example.org/v/clips/a%20b.mp4"),
        ("s3://bucket/v/", "s3://bucket/v/clips/a b.mp4"),  # a key, which is not encoded
    ):
        ((task,), _, _) = tasks_of(tmp_path / "run", root=root, url=url)
        assert task["data"]["video"] == expected


def test_a_video_at_a_url_is_there(tmp_path: Path) -> None:
    path = result(tmp_path / "run")
    edited(path, lambda report: report["video"].update(path="s3://bucket/a b.mp4"))
    ((task,), _, _) = tasks_of(tmp_path / "run", root=Path("/videos"), url="https://x.org/")
    assert task["data"]["video"] == "s3://bucket/a b.mp4"


def test_a_video_outside_of_the_root_has_no_address(tmp_path: Path) -> None:
    result(tmp_path / "run", "walk.mp4")
    other = result(tmp_path / "run", "jump.mp4")
    edited(other, lambda report: report["video"].update(path="/elsewhere/../videos2/jump.mp4"))
    tasks, _, exported = tasks_of(tmp_path / "run", root=Path("/videos"))
    assert len(tasks) == exported.count == 1
    (failure,) = exported.failures
    assert "is not below /videos" in failure.cause
    assert "--root" in str(failure.hint)


def test_a_video_that_has_moved_is_found_below_the_root(tmp_path: Path) -> None:
    result(tmp_path / "run", "walk.mp4")
    moved = tmp_path / "moved" / "walk.mp4"
    moved.parent.mkdir()
    moved.touch()
    ((task,), _, _) = tasks_of(tmp_path / "run", root=moved.parent)
    assert task["data"]["video"] == "/data/local-files/?d=walk.mp4"


def test_a_single_frame_has_a_place_on_the_timeline(tmp_path: Path) -> None:
    path = result(tmp_path / "run", frames=1, clip_starts=[0])
    edited(path, lambda report: report["video"].update(rate=0.0))
    edited(path, lambda report: report.update(moments=[moment(0.0, 0.0, 0.04)]))
    ((task,), _, _) = tasks_of(tmp_path / "run")
    assert task["data"]["fps"] > 0
    assert task["predictions"][0]["result"][1]["value"]["ranges"] == [{"start": 1, "end": 1}]
