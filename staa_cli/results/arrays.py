"""Convert an explanation to the content of maps.npz, in full precision, and back.

report.json has rounded numbers, for people and for comparisons; redrawing and saving again need
exact ones. So maps.npz contains all arrays by name, and everything else of an explanation as one
JSON text. Reading it back needs neither the video nor the model.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from staa_cli.errors import InputError
from staa_cli.files import MAPS, REPORT
from staa_cli.paths import path_from
from staa_cli.results.conversion import convert
from staa_cli.results.document import Report
from staa_cli.results.report import EXPLAIN_AGAIN, error_in_words, load_report
from staa_cli.schema import Explanation, ReportWarning, RunDetails

Arrays = dict[str, NDArray[Any]]

AXES: dict[str, tuple[str, ...]] = {
    "attributions": ("float32", "clip", "step", "row", "column"),
    "clip_frame_indices": ("int64", "clip", "clip_frame"),
    "clip_times_s": ("float64", "clip", "clip_frame"),
    "clip_scores": ("float32", "clip", "class"),
    "scores": ("float32", "class"),
    "frame_times_s": ("float64", "frame"),
    "score": ("float32", "frame"),
    "weighted_score": ("float32", "frame"),
    "seen": ("bool", "frame"),
    "covered": ("bool", "frame"),
    "map_times_s": ("float64", "map"),
    "maps": ("float32", "map", "map_row", "map_column"),
    "box": ("float64", "edge"),
    "video_times_s": ("float64", "video_frame"),
    "explanation_json": ("uint8", "byte"),
}
"""Name -> dtype and axes of every array that is always present. `scores` are those of the whole
video; `score` and `weighted_score` those of the explained frames, NaN where no clip reaches. The
first of these frames is `frames.first` in `explanation_json`."""
BY_CLASS: dict[str, tuple[str, ...]] = {
    "classes": ("int64", "top"),
    "class_attributions": ("float32", "top", "clip", "step", "row", "column"),
}
"""Present if the passes serve every class: the top five classes, the most probable first, together
with `class_labels`. Their scores in a clip are `clip_scores[:, classes]`."""
FAITHFULNESS: dict[str, tuple[str, ...]] = {
    "deletion": ("float32", "method", "point"),
    "insertion": ("float32", "method", "point"),
}
"""Present if faithfulness was measured: the curves of the explanation's method and of baselines."""
_BROKEN = (
    *(ValueError, TypeError, KeyError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
"""Errors of numpy and zipfile for an invalid or incomplete archive."""


def arrays_of(explanation: Explanation) -> Arrays:
    """Collect the content of maps.npz: `AXES`, and the optional arrays that the explanation has."""
    clips, frames, maps = explanation.clips, explanation.frames, explanation.maps
    arrays: Arrays = {
        "attributions": np.stack([attribution.values for attribution in explanation.attributions]),
        "clip_frame_indices": np.array([clip.frame_indices for clip in clips], np.int64),
        "clip_times_s": np.array([clip.times_s for clip in clips], np.float64),
        "clip_scores": np.stack([prediction.scores for prediction in explanation.clip_predictions]),
        "scores": explanation.prediction.scores,
        "frame_times_s": frames.times_s,
        "score": frames.score,
        "weighted_score": frames.weighted_score,
        "seen": frames.seen,
        "covered": frames.covered,
        "map_times_s": maps.times_s,
        "maps": maps.values,
        "box": np.array(maps.box, np.float64),
        "video_times_s": explanation.video.times_s,
    }
    if explanation.by_class is not None:
        classes = explanation.by_class.classes
        arrays["classes"] = np.array(classes, np.int64)
        arrays["class_labels"] = np.array([explanation.model.labels[index] for index in classes])
        arrays["class_attributions"] = explanation.by_class.values
    if explanation.faithfulness is not None:
        arrays["deletion"] = np.stack([row.deletion for row in explanation.faithfulness.rows])
        arrays["insertion"] = np.stack([row.insertion for row in explanation.faithfulness.rows])
    text = json.dumps(_without_arrays(explanation))  # ASCII, as a path may be invalid Unicode
    return arrays | {"explanation_json": np.frombuffer(text.encode(), np.uint8)}


def explanation_of(arrays: Mapping[str, NDArray[Any]], report: Report) -> Explanation:
    """Restore an explanation from the arrays of `arrays_of` and the report of the same result.

    Warnings from drawing and the run details come from the report, which is written last.

    Raises:
        ValueError: an array is missing or has another shape, or the content is not valid.
    """
    _check(arrays)
    plain: dict[str, Any] = json.loads(arrays["explanation_json"].tobytes())
    plain["settings"] = _tuples(plain["settings"])
    plain["video"] |= {
        "times_s": arrays["video_times_s"],
        "packets_bad": report.video.packets_bad,
    }
    for row, clip in enumerate(plain["clips"]):
        clip["frame_indices"] = arrays["clip_frame_indices"][row].tolist()
        clip["times_s"] = arrays["clip_times_s"][row].tolist()
    for row, attribution in enumerate(plain["attributions"]):
        attribution["values"] = arrays["attributions"][row]
    prediction = plain["prediction"]
    prediction["scores"] = arrays["scores"]
    plain["clip_predictions"] = [prediction | {"scores": row} for row in arrays["clip_scores"]]
    for name in ("score", "weighted_score", "seen", "covered"):
        plain["frames"][name] = arrays[name]
    plain["frames"]["times_s"] = arrays["frame_times_s"]
    plain["maps"] = {
        "times_s": arrays["map_times_s"],
        "values": arrays["maps"],
        "box": arrays["box"].tolist(),
    }
    if plain["faithfulness"] is not None:
        for index, row in enumerate(plain["faithfulness"]["rows"]):
            row |= {name: arrays[name][index] for name in FAITHFULNESS}
    if "classes" in arrays:
        classes, values = arrays["classes"].tolist(), arrays["class_attributions"]
        plain["by_class"] = {"classes": classes, "values": values}
    plain["warnings"] = [ReportWarning(row.code, row.text) for row in report.warnings]
    if report.run is not None:
        run = convert(report.run, RunDetails, from_attributes=True)
        paths = {"folder": report.run.folder, "folder_bytes": report.run.folder_bytes}
        plain["run"] = replace(run, folder=str(path_from(paths, "folder")))
    return convert(plain, Explanation, dec_hook=_array)


def load_explanation(folder: Path) -> Explanation:
    """Load the explanation from the report and maps in a folder, without its video.

    Raises:
        InputError: a file is missing, broken, or not from staa, or they belong to two results.
    """
    report, path = load_report(folder / REPORT), folder / MAPS
    if not path.is_file():
        raise InputError(
            f"{folder} has no {MAPS}, which is needed for more than the report",
            "explain the video again, without --no-npz",
        )
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                raise ValueError("it is not an archive of arrays")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = dict(archive)
        explanation = explanation_of(arrays, report)
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except msgspec.ValidationError as error:
        raise InputError(
            f"{path} is not an explanation: {error_in_words(error)}", EXPLAIN_AGAIN
        ) from error
    except _BROKEN as error:
        raise InputError(
            f"{path} is not an explanation, or it is damaged: {error}", EXPLAIN_AGAIN
        ) from error
    if explanation.fingerprint != report.fingerprint:
        raise InputError(f"{path} and {REPORT} belong to different results", EXPLAIN_AGAIN)
    return explanation


def fingerprint_in(path: Path) -> str | None:
    """The fingerprint of the result that a maps.npz belongs to, None if it cannot be read.

    It is quick, as it is asked for every finished video: numpy would take twice as long.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.read("explanation_json.npy")
        header = 10 + int.from_bytes(member[8:10], "little")  # of version 1.0 of numpy's format
        return str(json.loads(member[header:])["fingerprint"])
    except (OSError, *_BROKEN):
        return None


def _without_arrays(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON values, without what the arrays or the report contain."""
    excluded = {"clip_predictions", "maps", "by_class", "warnings", "run", "source"}
    plain: dict[str, Any] = {
        field.name: msgspec.to_builtins(getattr(explanation, field.name), enc_hook=_number)
        for field in fields(Explanation)
        if field.name not in excluded
    }
    for clip in plain["clips"]:
        del clip["frame_indices"], clip["times_s"]
    return plain


def _number(value: Any) -> Any:
    """A numpy number as a Python number; an array as None."""
    return value.item() if isinstance(value, np.generic) else None


def _array(kind: type, value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise ValueError("expected an array")
    return value


def _tuples(value: Any) -> Any:
    """Settings with tuples instead of JSON's lists, as in their dataclasses."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _check(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Check that all arrays are present and agree in the length of every axis.

    Raises:
        ValueError: they do not.
    """
    lengths: dict[str, int] = {}
    groups = [group for group in (BY_CLASS, FAITHFULNESS) if group.keys() & arrays.keys()]
    for name, (dtype, *axes) in {
        k: v for group in (AXES, *groups) for k, v in group.items()
    }.items():
        if name not in arrays:
            raise ValueError(f"it has no {name!r}")
        array = arrays[name]
        agree = array.ndim == len(axes) and all(
            lengths.setdefault(axis, length) == length
            for axis, length in zip(axes, array.shape, strict=True)
        )
        if array.dtype != dtype or not agree:
            raise ValueError(f"{name!r} is {array.dtype} {list(array.shape)}")
