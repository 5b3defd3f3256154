"""Create the content of report.json from an explanation, and read it back."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from staa_cli import __version__
from staa_cli.config.settings import Settings
from staa_cli.errors import InputError, OutputError
from staa_cli.explain.stitch import center_of_mass
from staa_cli.files import MAPS
from staa_cli.paths import as_text, path_fields
from staa_cli.results import document
from staa_cli.results.conversion import convert, decode
from staa_cli.results.document import Document, Report
from staa_cli.schema import (
    SCHEMA_VERSION,
    Bool,
    Explanation,
    Faithfulness,
    Float32,
    Prediction,
    RunDetails,
)
from staa_cli.statistics import entropy_share

_TOP_K = 5
EXPLAIN_AGAIN = "explain its video again, with --force"
D = TypeVar("D")
P = TypeVar("P", bound=document.Part)


def from_explanation(explanation: Explanation, *, reproducible: bool = False) -> Report:
    """The report of an explanation, rounded as in report.json.

    Args:
        explanation: to report.
        reproducible: omit what differs between runs.

    Raises:
        OutputError: a number is not finite, or a value cannot be represented in JSON.
    """
    faithfulness, details = explanation.faithfulness, explanation.run
    exact = Report(
        schema_version=SCHEMA_VERSION,
        staa_version=__version__,
        fingerprint=explanation.fingerprint,
        video=_video(explanation),
        model=_model(explanation),
        settings=explanation.settings,
        sampling=document.Sampling(
            strategy=explanation.strategy,
            clips=[from_part(document.Clip, clip) for clip in explanation.clips],
        ),
        prediction=_prediction(explanation),
        method=_method(explanation),
        frames=_frames(explanation),
        coverage=from_part(document.Coverage, explanation.coverage),
        moments=[from_part(document.Moment, moment) for moment in explanation.moments],
        temporal=from_part(document.Temporal, explanation.temporal),
        spatial=_spatial(explanation),
        warnings=[from_part(document.WarningRow, warning) for warning in explanation.warnings],
        faithfulness=None if faithfulness is None else _faithfulness(faithfulness),
        run=None if reproducible or not details else _run(details),
    )
    return convert(plain_document(exact), Report)


def plain_document(value: Document) -> dict[str, Any]:
    """A document as JSON values, as written: sections in order, keys in them sorted.

    Raises:
        OutputError: a number is not finite, or a value cannot be represented in JSON.
    """
    sections = msgspec.to_builtins(value, enc_hook=_builtin)
    return {name: plain(section, name) for name, section in sections.items()}


def load_report(path: Path) -> Report:
    """Read a report.json.

    Raises:
        InputError: it cannot be read, is not a report, or has another schema version.
    """
    return load_document(path, Report)


def load_document(
    path: Path, kind: type[D], noun: str = "staa report", hint: str = EXPLAIN_AGAIN
) -> D:
    """Read a JSON file with a schema_version as type `kind`.

    Args:
        path: of the file.
        kind: `Document` checks only that it is from staa.
        noun: what it should be, for messages.
        hint: what to do if it is not.

    Raises:
        InputError: it cannot be read, is not such a document, or has another schema version.
    """
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        head = decode(content, _Version)
    except FileNotFoundError as error:
        named = "name the folder of a result, as in staa-out/*"
        raise InputError(f"cannot read {path}: no such file or directory", named) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except msgspec.ValidationError as error:
        lacks = "it has no schema_version"
        cause = error_in_words(error) if str(error).startswith("Expected `object`") else lacks
        raise InputError(f"{path} is not a {noun}: {cause}", hint) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {_json_fault(content, error)}", hint) from error
    if head.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {head.schema_version}, but this version of "
            f"staa reads {SCHEMA_VERSION}",
            f"use the version of staa that wrote it, or {hint}",
        )
    try:
        return decode(content, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{path} is not a {noun}: {error_in_words(error)}", hint) from error
    except (ValueError, RecursionError) as error:  # in a part that the version did not need
        raise InputError(f"{path} is not JSON: {_json_fault(content, error)}", hint) from error


def _json_fault(content: bytes, error: Exception) -> str:
    """What is wrong with a text that is not JSON, and in which line; msgspec tells but bytes."""
    try:
        text = content.decode()
        if not text.strip():
            return "it is empty"
        json.loads(text)
    except UnicodeDecodeError as found:
        line = content.count(b"\n", 0, found.start) + 1
        return f"it is not UTF-8 text (line {line})"
    except json.JSONDecodeError as found:
        place = f"line {found.lineno}, column {found.colno}"
        if not text[found.pos :].strip():
            return f"it ends too early ({place})"
        return f"{found.msg[:1].lower()}{found.msg[1:]} ({place})"
    except RecursionError:
        pass
    return str(error)


class _Version(msgspec.Struct):
    schema_version: int


def error_in_words(error: msgspec.ValidationError) -> str:
    """`Expected `int`, got `str` - at `$.video.width`` as `video.width: expected int, got str`."""
    cause, _, place = str(error).replace("`", "").partition(" - at ")
    cause = cause[:1].lower() + cause[1:]
    return f"{place.removeprefix('$.')}: {cause}" if place not in ("", "$") else cause


def typed_settings(settings: Mapping[str, Any]) -> Settings:
    """The settings of a report, with defaults for those that it does not contain.

    Raises:
        InputError: a value is not valid.
    """
    try:
        return convert(settings, Settings)
    except msgspec.ValidationError as error:
        raise InputError(
            f"unknown settings in the report: {error_in_words(error)}", EXPLAIN_AGAIN
        ) from error


def from_part(kind: type[P], source: Any, **fields: Any) -> P:
    """A part of the document; fields that are not given are attributes of `source`."""
    copied = {name: getattr(source, name) for name in kind.__struct_fields__ if name not in fields}
    return kind(**copied, **fields)


def _run(details: RunDetails) -> document.Run:
    paths: dict[str, Any] = {"folder_bytes": None, **path_fields(details.folder, "folder")}
    return from_part(document.Run, details, **paths)


def _video(explanation: Explanation) -> document.Video:
    paths: dict[str, Any] = {"path_bytes": None, **path_fields(explanation.video.address)}
    return from_part(document.Video, explanation.video, **paths)


def _model(explanation: Explanation) -> document.Model:
    model = explanation.model
    return from_part(
        document.Model,
        model,
        classes=len(model.labels),
        input=from_part(document.ModelInput, model.input),
        layout=from_part(document.Layout, model.layout),
    )


def _prediction(explanation: Explanation) -> document.Prediction:
    video_prediction = explanation.prediction
    key = score_key(video_prediction)
    target: dict[str, Any] = {key: video_prediction.score}
    return document.Prediction(
        target=document.Target(
            index=video_prediction.target,
            label=video_prediction.label,
            reason=video_prediction.reason,
            **target,
        ),
        top_k=top_classes(video_prediction),
        clips=[
            document.ClipPrediction(
                clip=clip.index,
                top_k=top_classes(prediction),
                **{f"target_{key}": prediction.score},
            )
            for clip, prediction in zip(
                explanation.clips, explanation.clip_predictions, strict=True
            )
        ],
    )


def score_key(prediction: Prediction) -> str:
    """Name of the scores in a report: only probabilities are called so."""
    return "probability" if prediction.is_probability else "value"


def top_classes(prediction: Prediction) -> list[document.Scored]:
    """The classes with the highest scores, highest first."""
    key = score_key(prediction)
    return [
        document.Scored(index=index, label=label, **{key: score})
        for index, label, score in prediction.top(_TOP_K)
    ]


def _method(explanation: Explanation) -> document.Method:
    first = explanation.attributions[0]
    passes = sum(a.passes for a in explanation.attributions)
    masses = [a.cls_self_mass for a in explanation.attributions if a.cls_self_mass is not None]
    return document.Method(
        name=first.method,
        layers=list(first.layers),
        class_specific=first.target is not None,
        signed=first.signed,
        units=first.units,
        passes=passes,
        passes_per_clip=passes / len(explanation.attributions),
        cls_self_mass=sum(masses) / len(masses) if masses else None,
        post=explanation.settings.get("post", {}),
    )


def _frames(explanation: Explanation) -> document.Frames:
    frames = explanation.frames
    return document.Frames(
        index=list(explanation.part),
        time_s=frames.times_s.tolist(),
        score=_where(frames.covered, frames.score),
        weighted_score=_where(frames.covered, frames.weighted_score),
        seen=frames.seen.tolist(),
    )


def _where(known: Bool, values: Float32) -> list[float | None]:
    """Values, None where they are not known."""
    pairs = zip(values.tolist(), known.tolist(), strict=True)
    return [value if is_known else None for value, is_known in pairs]


def _spatial(explanation: Explanation) -> document.Spatial:
    maps = explanation.maps
    mean = maps.values.mean(axis=0, dtype=np.float64)
    centers = np.array([center_of_mass(heat, maps.box) for heat in maps.values])  # [K, 2]
    has_maps = explanation.settings.get("output", {}).get("npz", False)
    rows, columns = mean.shape
    return document.Spatial(
        grid=(rows, columns),
        box=maps.box,
        maps=MAPS if has_maps else None,
        mean_map=mean.tolist(),
        center=center_of_mass(mean, maps.box),
        entropy=entropy_share(mean),
        coefficient_of_variation=explanation.spatial.coefficient_of_variation,
        flat=explanation.spatial.flat,
        knots=document.Knots(
            time_s=maps.times_s.tolist(),
            x=centers[:, 0].tolist(),
            y=centers[:, 1].tolist(),
            mass=maps.values.sum(axis=(1, 2), dtype=np.float64).tolist(),
            entropy=[entropy_share(heat) for heat in maps.values],
        ),
        attention_variation=explanation.spatial.attention_variation,
    )


def _faithfulness(faithfulness: Faithfulness) -> document.Faithfulness:
    return from_part(
        document.Faithfulness,
        faithfulness,
        rows=[
            document.FaithfulnessRow(
                method=row.method,
                deletion=row.deletion_area,
                insertion=row.insertion_area,
                srg=row.srg,
                deletion_curve=row.deletion.tolist(),
                insertion_curve=row.insertion.tolist(),
                srg_low=row.srg_low,
                srg_high=row.srg_high,
            )
            for row in faithfulness.rows
        ],
    )


def _builtin(value: Any) -> Any:
    """Numpy numbers and arrays as Python numbers and lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise OutputError(f"a report cannot hold a {type(value).__name__}")


def plain(value: Any, field: str) -> Any:
    """Convert arrays, tuples, paths, and floats to JSON values; `field` is for errors."""
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, Mapping):
        return {str(key): plain(value[key], f"{field}.{key}") for key in sorted(value, key=str)}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item, field) for item in value]
    if isinstance(value, float | np.floating):
        return _rounded(float(value), field)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, str | Path):
        return as_text(value)
    raise OutputError(f"{field} holds a {type(value).__name__}, which a report cannot hold")


def _rounded(value: float, field: str) -> float:
    if not math.isfinite(value):
        raise OutputError(
            f"{field} is {value}, which a report cannot hold",
            "a half-precision model may have overflowed: try --precision fp32",
        )
    if field.endswith("_s") and abs(value) >= 1000:
        return round(value, 3)
    return float(f"{value:.6g}") + 0.0
