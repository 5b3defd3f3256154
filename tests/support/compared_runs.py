"""Results of artificial explanations in folders, as two runs of a model leave them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from explanations import LABELS, explanation

from staa_cli.config.settings import Settings
from staa_cli.results.files import write_json
from staa_cli.results.writers.maps_npz import MapsNpz
from staa_cli.schema import ReportWarning

SETTINGS = {
    "model": "a",
    "sampling": {"strategy": "dense", "seed": 0},
    "method": {"name": "staa", "seed": 0},
    "post": {"smooth": "none"},
}


def result(
    run: Path,
    video: str = "walk.mp4",
    *,
    peak_s: float = 0.5,
    weights: str = "old",
    label: str = LABELS[0],
    codes: tuple[str, ...] = (),
    settings: dict[str, Any] | None = None,
    content: str | None = None,
    npz: bool = True,
    **options: Any,
) -> Path:
    """Write the result of a video of two seconds into a run; returns the report.

    Args:
        run: folder of the run.
        video: name of the video; its folder is named like it, without the ending.
        peak_s: time around which the score is high.
        weights: what the hash of the weights is made from.
        label: class of the answer.
        codes: of the warnings.
        settings: of the explanation, over `SETTINGS`, one level deep.
        content: what the hash of the video is made from; by default its name.
        npz: whether maps.npz is written.
        options: of `explanation`.
    """
    labels = (label, *(other for other in LABELS if other != label))
    given = {"frames": 60, "clip_starts": [0, 12], "strength": around(peak_s), **options}
    made = explanation(labels=labels, settings=merged(SETTINGS, settings or {}), **given)
    made = replace(
        made,
        video=replace(made.video, path=video, sha256=digest(content or video)),
        model=replace(made.model, weights_sha256=digest(weights)),
        warnings=made.warnings + tuple(ReportWarning(code, "A caveat.") for code in codes),
    )
    folder = run / Path(video).stem
    folder.mkdir(parents=True)
    write_json(made, folder / "report.json")
    if npz:
        MapsNpz(made, Settings()).write(folder / "maps.npz")
    return folder / "report.json"


def around(peak_s: float) -> Callable[[float], Any]:
    """A strength that is high around a time."""
    return lambda time: 0.02 + np.exp(-(((time - peak_s) / 0.2) ** 2))


def digest(content: str) -> str:
    return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    sections = {
        name: {**base[name], **values} if isinstance(values, dict) else values
        for name, values in over.items()
    }
    return {**base, **sections}


def edited(report: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change a report by hand."""
    content = json.loads(report.read_text())
    change(content)
    report.write_text(json.dumps(content))
    return report
