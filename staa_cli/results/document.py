"""Explanation -> the plain data of report.json, section by section, in the order of the schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from staa_cli import __version__
from staa_cli.errors import OutputError
from staa_cli.explain.stitch import center_of_mass
from staa_cli.paths import path_fields
from staa_cli.schema import (
    SCHEMA_VERSION,
    Bool,
    Explanation,
    Faithfulness,
    Float32,
    Float64,
    Prediction,
)

_TOP_K = 5


def report_dict(
    explanation: Explanation,
    *,
    reproducible: bool = False,
) -> dict[str, Any]:
    """An explanation in, the content of report.json out: JSON values only, nested keys sorted.

    Numbers have 6 significant digits; times have at least milliseconds.

    Args:
        explanation: what is reported.
        reproducible: leave out what differs from one run to the next.

    Raises:
        OutputError: a number is not finite, or a value cannot be told in JSON.
    """
    sections: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "staa_version": __version__,
        "fingerprint": explanation.fingerprint,
        "video": _video(explanation),
        "model": _model(explanation),
        "settings": explanation.settings,
        "sampling": _sampling(explanation),
        "prediction": _prediction(explanation),
        "method": _method(explanation),
        "frames": _frames(explanation),
        "coverage": asdict(explanation.coverage),
        "moments": [asdict(moment) for moment in explanation.moments],
        "temporal": asdict(explanation.temporal),
        "spatial": _spatial(explanation),
        "warnings": [asdict(warning) for warning in explanation.warnings],
    }
    if explanation.faithfulness is not None:
        sections["faithfulness"] = _faithfulness(explanation.faithfulness)
    if not reproducible:
        sections["run"] = explanation.run
    return {name: plain(section, name) for name, section in sections.items()}


def _video(explanation: Explanation) -> dict[str, Any]:
    video = asdict(explanation.video)
    del video["times_s"]
    return video | path_fields(explanation.video.path) | {"frames": explanation.video.frames}


def _model(explanation: Explanation) -> dict[str, Any]:
    model = asdict(explanation.model)
    return model | {"classes": len(model.pop("labels"))}


def _sampling(explanation: Explanation) -> dict[str, Any]:
    clips = [
        asdict(clip) | {"start_s": clip.start_s, "end_s": clip.end_s} for clip in explanation.clips
    ]
    return {"strategy": explanation.strategy, "clips": clips}


def _prediction(explanation: Explanation) -> dict[str, Any]:
    whole = explanation.prediction
    target = {
        "index": whole.target,
        "label": whole.label,
        score_key(whole): whole.score,
        "reason": whole.reason,
    }
    clips = [
        {"clip": clip.index, f"target_{score_key(each)}": each.score, "top_k": _top(each)}
        for clip, each in zip(explanation.clips, explanation.clip_predictions, strict=True)
    ]
    return {"target": target, "top_k": _top(whole), "clips": clips}


def score_key(prediction: Prediction) -> str:
    """Under which name a report has the scores: what is no probability is not called one."""
    return "probability" if prediction.is_probability else "value"


def _top(prediction: Prediction) -> list[dict[str, Any]]:
    names = ("index", "label", score_key(prediction))
    return [dict(zip(names, row, strict=True)) for row in prediction.top(_TOP_K)]


def _method(explanation: Explanation) -> dict[str, Any]:
    first = explanation.attributions[0]
    passes = sum(a.passes for a in explanation.attributions)
    masses = [a.cls_self_mass for a in explanation.attributions if a.cls_self_mass is not None]
    return {
        "name": first.method,
        "layers": first.layers,
        "class_specific": first.target is not None,
        "signed": first.signed,
        "units": first.units,
        "passes": passes,
        "passes_per_clip": passes / len(explanation.attributions),
        "cls_self_mass": sum(masses) / len(masses) if masses else None,
        "post": explanation.settings.get("post", {}),
    }


def _frames(explanation: Explanation) -> dict[str, Any]:
    frames = explanation.frames
    return {
        "index": list(explanation.part),
        "time_s": frames.times_s,
        "score": _where(frames.covered, frames.score),
        "weighted_score": _where(frames.covered, frames.weighted_score),
        "seen": frames.seen,
    }


def _where(known: Bool, values: Float32) -> list[float | None]:
    """Numbers, and None for those that nothing is known of."""
    pairs = zip(values.tolist(), known.tolist(), strict=True)
    return [value if there else None for value, there in pairs]


def _spatial(explanation: Explanation) -> dict[str, Any]:
    maps = explanation.maps
    mean = maps.values.mean(axis=0, dtype=np.float64)
    centers = np.array([center_of_mass(each, maps.box) for each in maps.values])  # [K, 2]
    kept = explanation.settings.get("output", {}).get("npz", False)
    return {
        "grid": maps.values.shape[1:],
        "box": maps.box,
        "maps": "maps.npz" if kept else None,
        "mean_map": mean,
        "center": center_of_mass(mean, maps.box),
        "entropy": map_entropy(mean),
        "coefficient_of_variation": explanation.spatial.coefficient_of_variation,
        "flat": explanation.spatial.flat,
        "knots": {
            "time_s": maps.times_s,
            "x": centers[:, 0],
            "y": centers[:, 1],
            "mass": maps.values.sum(axis=(1, 2), dtype=np.float64),
            "entropy": np.array([map_entropy(each) for each in maps.values]),
        },
    }


def _faithfulness(found: Faithfulness) -> dict[str, Any]:
    rows = [
        {
            "method": row.method,
            "deletion": row.deletion_area,
            "insertion": row.insertion_area,
            "faithfulness": row.faithfulness,
            "deletion_curve": row.deletion,
            "insertion_curve": row.insertion,
        }
        for row in found.rows
    ]
    return {
        "replacement": found.replacement,
        "quick": found.quick,
        "steps": found.steps,
        "passes": found.passes,
        "clips": found.clips,
        "rows": rows,
        "beaten_by": found.beaten_by,
    }


def map_entropy(values: Float32 | Float64) -> float:
    """A map in, its entropy as a share of the uniform map's out; 1 for a map without mass."""
    mass = values.astype(np.float64).clip(0).ravel()
    if mass.sum() <= 0 or mass.size == 1:
        return 1.0
    share = mass[mass > 0] / mass.sum()
    return float(-(share * np.log(share)).sum() / np.log(mass.size))


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
        return str(value)
    raise OutputError(f"{place} holds a {type(value).__name__}, which a report cannot hold")


def _rounded(value: float, place: str) -> float:
    if not math.isfinite(value):
        raise OutputError(
            f"{place} is {value}, which is no number for a report",
            "a half-precision model may have overflowed: try --precision fp32",
        )
    if place.endswith("_s") and abs(value) >= 1000:
        return round(value, 3)
    return float(f"{value:.6g}") + 0.0
