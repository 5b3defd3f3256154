"""report.json and maps.npz -> the explanation that they were made from."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from staa_cli.errors import InputError
from staa_cli.files import MAPS, REPORT
from staa_cli.paths import path_from
from staa_cli.results.files import load_report
from staa_cli.schema import (
    AttentionLayout,
    Attribution,
    ClassAttributions,
    Clip,
    Explanation,
    Faithfulness,
    FaithfulnessRow,
    FrameScores,
    HeatMaps,
    ModelInfo,
    ModelInput,
    Moment,
    Prediction,
    SpatialStats,
    TemporalStats,
    VideoInfo,
    Warning,
)

_BROKEN = (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile)


def load_explanation(folder: Path) -> Explanation:
    """A result folder in, its explanation out, as far as its files tell it; no video is opened.

    Numbers that only the report has are rounded as they are there, and of classes beyond the
    report's there is no name and no score.

    Raises:
        InputError: a file is missing, broken, or of another version.
    """
    if not (folder / REPORT).is_file():
        raise InputError(f"it holds no {REPORT}", "name the folder of a result, as in staa-out/*")
    report, path = load_report(folder / REPORT), folder / MAPS
    if not path.is_file():
        raise InputError(f"it holds no {path.name}", "explain its video again, without --no-npz")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return _explanation(report, dict(archive))
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except _BROKEN as error:
        raise InputError(
            f"{path.name} and {REPORT} do not tell a result: {error}", "make it anew with --force"
        ) from error


def _explanation(report: Mapping[str, Any], arrays: Mapping[str, Any]) -> Explanation:
    method, spatial = report["method"], report["spatial"]
    clips = tuple(
        replace(_clip(row), times_s=tuple(times_s.tolist()))
        for row, times_s in zip(report["sampling"]["clips"], arrays["clip_times_s"], strict=True)
    )
    prediction = _prediction(report, report["prediction"]["target"], report["prediction"]["top_k"])
    return Explanation(
        video=_video(report, arrays),
        model=_model(report, prediction),
        settings=report["settings"],
        strategy=report["sampling"]["strategy"],
        clips=clips,
        prediction=prediction,
        clip_predictions=tuple(_clip_predictions(report, arrays)),
        attributions=tuple(
            Attribution(
                values,
                method["name"],
                prediction.target if method["class_specific"] else None,
                tuple(method["layers"]),
                method["units"],
                method["signed"],
                method["passes"] / len(clips),
                method["cls_self_mass"],
            )
            for values in arrays["attributions"]
        ),
        frames=_frames(report, arrays),
        maps=HeatMaps(arrays["map_times_s"], arrays["maps"], tuple(arrays["box"].tolist())),
        moments=tuple(
            Moment(**row | {name: tuple(row[name]) for name in ("center", "box")})
            for row in report["moments"]
        ),
        temporal=TemporalStats(**report["temporal"]),
        spatial=SpatialStats(spatial["coefficient_of_variation"], spatial["flat"]),
        warnings=tuple(Warning(**row) for row in report["warnings"]),
        fingerprint=report["fingerprint"],
        run=report.get("run", {}),
        faithfulness=_faithfulness(report.get("faithfulness")),
        by_class=ClassAttributions(tuple(arrays["classes"].tolist()), arrays["class_attributions"])
        if "classes" in arrays
        else None,
    )


def _video(report: Mapping[str, Any], arrays: Mapping[str, Any]) -> VideoInfo:
    video = {name: value for name, value in report["video"].items() if name != "path_bytes"}
    count, index = video.pop("frames"), report["frames"]["index"]
    # Beyond the part that was explained, as evenly as can be.
    known = [(0, 0.0), *zip(index, arrays["frame_times_s"].tolist(), strict=True)]
    if index[-1] < count - 1:
        known.append((count, video["duration_s"]))
    at, times = np.array(known).T
    times_s = np.interp(np.arange(count), at, times)
    ratio = tuple(video.pop("sample_aspect_ratio"))
    return VideoInfo(
        **video | {"path": str(path_from(report["video"]))},
        times_s=times_s,
        sample_aspect_ratio=ratio,
    )


def _model(report: Mapping[str, Any], prediction: Prediction) -> ModelInfo:
    model = {name: value for name, value in report["model"].items() if name != "classes"}
    tuples = {name: _tuple(value) for name, value in model["input"].items()}
    layout = {name: _tuple(value) for name, value in model["layout"].items()}
    return ModelInfo(
        **model | {"input": ModelInput(**tuples), "layout": AttentionLayout(**layout)},
        labels=prediction.labels,
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _clip(row: Mapping[str, Any]) -> Clip:
    own = {name: _tuple(value) for name, value in row.items() if name not in ("start_s", "end_s")}
    return Clip(**own)


def _score_of(clip: Mapping[str, Any]) -> dict[str, float]:
    """What a clip gives the target, under its name in the target's row."""
    kinds = ("probability", "value")
    return {kind: clip[f"target_{kind}"] for kind in kinds if f"target_{kind}" in clip}


def _clip_predictions(report: Mapping[str, Any], arrays: Mapping[str, Any]) -> Iterator[Prediction]:
    for number, row in enumerate(report["prediction"]["clips"]):
        target = report["prediction"]["target"] | _score_of(row)
        prediction = _prediction(report, target, row["top_k"])
        if "classes" in arrays:
            prediction.scores[arrays["classes"]] = arrays["class_scores"][:, number]
        yield prediction


def _prediction(
    report: Mapping[str, Any], target: Mapping[str, Any], top: list[Mapping[str, Any]]
) -> Prediction:
    count = report["model"]["classes"]
    scores, labels = np.full(count, -np.inf, np.float32), [""] * count
    known = [*report["prediction"]["top_k"], *top]
    for row in (*known, target):
        labels[row["index"]] = row["label"]
    for row in (*top, target):
        scores[row["index"]] = row["probability"] if "probability" in row else row["value"]
    output = report["model"]["output"]
    return Prediction(scores, target["index"], target["reason"], tuple(labels), output)


def _frames(report: Mapping[str, Any], arrays: Mapping[str, Any]) -> FrameScores:
    rows, video = report["frames"], report["video"]
    coverage, times_s = report["coverage"], arrays["frame_times_s"]
    whole_s = coverage["covered_s"] / coverage["covered_share"]
    ends = rows["index"][-1] == video["frames"] - 1
    return FrameScores(
        times_s,
        arrays["score"],
        arrays["weighted_score"],
        np.array(rows["seen"], bool),
        np.array([value is not None for value in rows["score"]], bool),
        video["duration_s"] if ends else float(times_s[0]) + whole_s,
        rows["index"][0],
    )


def _faithfulness(section: Mapping[str, Any] | None) -> Faithfulness | None:
    if section is None:
        return None
    rows = tuple(
        FaithfulnessRow(
            row["method"],
            np.array(row["deletion_curve"], np.float32),
            np.array(row["insertion_curve"], np.float32),
            row["deletion"],
            row["insertion"],
        )
        for row in section["rows"]
    )
    clips, quick = tuple(section["clips"]), section["quick"]
    return Faithfulness(section["replacement"], clips, rows, quick, section["passes"])
