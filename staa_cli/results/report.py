"""Explanation -> the document behind report.json, and that document read back."""

from __future__ import annotations

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
from staa_cli.results.document import Document, Report
from staa_cli.schema import (
    SCHEMA_VERSION,
    Bool,
    Explanation,
    Faithfulness,
    Float32,
    Float64,
    Prediction,
    RunDetails,
)

_TOP_K = 5
ANEW = "explain its video again, with --force"
D = TypeVar("D")
P = TypeVar("P", bound=document.Part)


def from_explanation(explanation: Explanation, *, reproducible: bool = False) -> Report:
    """What report.json says of an explanation, with the digits that it has there.

    Args:
        explanation: what is reported.
        reproducible: leave out what differs from one run to the next.

    Raises:
        OutputError: a number is not finite, or a value cannot be told in JSON.
    """
    checked, details = explanation.faithfulness, explanation.run
    exact = Report(
        schema_version=SCHEMA_VERSION,
        staa_version=__version__,
        fingerprint=explanation.fingerprint,
        video=_video(explanation),
        model=_model(explanation),
        settings=explanation.settings,
        sampling=document.Sampling(
            strategy=explanation.strategy,
            clips=[_same(document.Clip, clip) for clip in explanation.clips],
        ),
        prediction=_prediction(explanation),
        method=_method(explanation),
        frames=_frames(explanation),
        coverage=_same(document.Coverage, explanation.coverage),
        moments=[_same(document.Moment, moment) for moment in explanation.moments],
        temporal=_same(document.Temporal, explanation.temporal),
        spatial=_spatial(explanation),
        warnings=[_same(document.WarningRow, warning) for warning in explanation.warnings],
        faithfulness=None if checked is None else _faithfulness(checked),
        run=None if reproducible or not details else _run(details),
    )
    return msgspec.convert(plain_document(exact), Report)


def plain_document(value: Document) -> dict[str, Any]:
    """A document in, JSON values out, as it is written: sections in order, keys in them sorted.

    Raises:
        OutputError: a number is not finite, or a value cannot be told in JSON.
    """
    sections = msgspec.to_builtins(value, enc_hook=_builtin)
    return {name: plain(section, name) for name, section in sections.items()}


def load_report(path: Path) -> Report:
    """A report.json, read back.

    Raises:
        InputError: it cannot be read, is not a report, or has another schema version.
    """
    return load_document(path, Report)


def load_document(path: Path, kind: type[D], noun: str = "staa report", hint: str = ANEW) -> D:
    """A JSON file with a schema_version, as the type that is given.

    Args:
        path: of the file.
        kind: `Document` to know it for staa's own.
        noun: what it should be, for messages.
        hint: what to do where it is not.

    Raises:
        InputError: it cannot be read, is no such document, or has a schema of another version.
    """
    try:
        content = path.read_bytes()
        head = msgspec.json.decode(content, type=_Version)
    except FileNotFoundError as error:
        named = "name the folder of a result, as in staa-out/*"
        raise InputError(f"cannot read {path}: no such file or directory", named) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except msgspec.ValidationError as error:
        raise InputError(f"{path} is not a {noun}: it has no schema_version", hint) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}", hint) from error
    if head.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {head.schema_version}, but this version of "
            f"staa reads {SCHEMA_VERSION}",
            f"use the version of staa that wrote it, or {hint}",
        )
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{path} is not a {noun}: {error_in_words(error)}", hint) from error


class _Version(msgspec.Struct):
    schema_version: int


def error_in_words(error: msgspec.ValidationError) -> str:
    """`Expected `int`, got `str` - at `$.video.width`` as `video.width: expected int, got str`."""
    cause, _, place = str(error).replace("`", "").partition(" - at ")
    cause = cause[:1].lower() + cause[1:]
    return f"{place.removeprefix('$.')}: {cause}" if place not in ("", "$") else cause


def typed_settings(settings: Mapping[str, Any]) -> Settings:
    """The settings that a report has, with the defaults for what shapes no result.

    Raises:
        InputError: a value is none that the setting may have.
    """
    try:
        return msgspec.convert(settings, Settings)
    except msgspec.ValidationError as error:
        raise InputError(
            f"unknown settings in the report: {error_in_words(error)}", ANEW
        ) from error


def _same(kind: type[P], noun: Any, **others: Any) -> P:
    """A part of the document whose fields a noun of the schema has as well, beside others."""
    shared = {name: getattr(noun, name) for name in kind.__struct_fields__ if name not in others}
    return kind(**shared, **others)


def _run(details: RunDetails) -> document.Run:
    paths: dict[str, Any] = {"folder_bytes": None, **path_fields(details.folder, "folder")}
    return _same(document.Run, details, **paths)


def _video(explanation: Explanation) -> document.Video:
    paths: dict[str, Any] = {"path_bytes": None, **path_fields(explanation.video.path)}
    return _same(document.Video, explanation.video, **paths)


def _model(explanation: Explanation) -> document.Model:
    model = explanation.model
    return _same(
        document.Model,
        model,
        classes=len(model.labels),
        input=_same(document.ModelInput, model.input),
        layout=_same(document.Layout, model.layout),
    )


def _prediction(explanation: Explanation) -> document.Prediction:
    whole = explanation.prediction
    key = score_key(whole)
    target: dict[str, Any] = {key: whole.score}
    return document.Prediction(
        target=document.Target(
            index=whole.target, label=whole.label, reason=whole.reason, **target
        ),
        top_k=_top(whole),
        clips=[
            document.ClipPrediction(
                clip=clip.index,
                top_k=_top(prediction),
                **{f"target_{key}": prediction.score},
            )
            for clip, prediction in zip(
                explanation.clips, explanation.clip_predictions, strict=True
            )
        ],
    )


def score_key(prediction: Prediction) -> str:
    """Under which name a report has the scores: what is no probability is not called one."""
    return "probability" if prediction.is_probability else "value"


def _top(prediction: Prediction) -> list[document.Scored]:
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
    """Numbers, and None for those that nothing is known of."""
    pairs = zip(values.tolist(), known.tolist(), strict=True)
    return [value if there else None for value, there in pairs]


def _spatial(explanation: Explanation) -> document.Spatial:
    maps = explanation.maps
    mean = maps.values.mean(axis=0, dtype=np.float64)
    centers = np.array([center_of_mass(each, maps.box) for each in maps.values])  # [K, 2]
    kept = explanation.settings.get("output", {}).get("npz", False)
    rows, columns = mean.shape
    return document.Spatial(
        grid=(rows, columns),
        box=maps.box,
        maps=MAPS if kept else None,
        mean_map=mean.tolist(),
        center=center_of_mass(mean, maps.box),
        entropy=map_entropy(mean),
        coefficient_of_variation=explanation.spatial.coefficient_of_variation,
        flat=explanation.spatial.flat,
        knots=document.Knots(
            time_s=maps.times_s.tolist(),
            x=centers[:, 0].tolist(),
            y=centers[:, 1].tolist(),
            mass=maps.values.sum(axis=(1, 2), dtype=np.float64).tolist(),
            entropy=[map_entropy(each) for each in maps.values],
        ),
    )


def _faithfulness(checked: Faithfulness) -> document.Faithfulness:
    return _same(
        document.Faithfulness,
        checked,
        rows=[
            document.FaithfulnessRow(
                method=row.method,
                deletion=row.deletion_area,
                insertion=row.insertion_area,
                faithfulness=row.faithfulness,
                deletion_curve=row.deletion.tolist(),
                insertion_curve=row.insertion.tolist(),
            )
            for row in checked.rows
        ],
    )


def map_entropy(values: Float32 | Float64) -> float:
    """A map in, its entropy as a share of the uniform map's out; 1 for a map without mass."""
    mass = values.astype(np.float64).clip(0).ravel()
    if mass.sum() <= 0 or mass.size == 1:
        return 1.0
    share = mass[mass > 0] / mass.sum()
    return float(-(share * np.log(share)).sum() / np.log(mass.size))


def _builtin(value: Any) -> Any:
    """Of numpy's numbers and lists, Python's own."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise OutputError(f"a report cannot hold a {type(value).__name__}")


def plain(value: Any, place: str) -> Any:
    """Arrays, tuples, paths, and floats in, what JSON has for them out; `place` is for errors."""
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, Mapping):
        return {str(key): plain(value[key], f"{place}.{key}") for key in sorted(value, key=str)}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item, place) for item in value]
    if isinstance(value, float | np.floating):
        return _rounded(float(value), place)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, str | Path):
        return as_text(value)
    raise OutputError(f"{place} holds a {type(value).__name__}, which a report cannot hold")


def _rounded(value: float, place: str) -> float:
    if not math.isfinite(value):
        raise OutputError(
            f"{place} is {value}, which a report cannot hold",
            "a half-precision model may have overflowed: try --precision fp32",
        )
    if place.endswith("_s") and abs(value) >= 1000:
        return round(value, 3)
    return float(f"{value:.6g}") + 0.0
