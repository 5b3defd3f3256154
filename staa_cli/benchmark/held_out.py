"""Accuracy of a model on held-out videos with classes, compared with trivial predictors.

A set leaks if trivial features, such as the file size, predict the class: a model may have learned
them instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staa_cli.errors import InputError, VideoError
from staa_cli.footage.class_folder import ClassClips, ClassFolder, ClassVideo
from staa_cli.formatting import percent
from staa_cli.schema import Float64, ModelInput
from staa_cli.statistics import wilson

FEATURES = ("file size", "frame rate", "variability of motion")
TRIVIAL = {
    "file size and frame rate": ("file size", "frame rate"),
    "variability of motion": ("variability of motion",),
    "all of these": FEATURES,
}
"""Trivial predictor -> its features."""

ENOUGH = 20
"""Minimum number of held-out clips to report leaks: on fewer, chance accuracy may be high."""

_STEPS, _RATE, _PENALTY = 2000, 0.5, 1e-3
_TINY = 1e-3

Labels = NDArray[np.intp]


def measure_held_out(
    folder: ClassFolder,
    tested: ClassClips,
    predict: Callable[[int], int],
    given: ModelInput,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Accuracy on the test split of a model, and of predictors fitted to the train split.

    Videos that do not decode are left out.

    Args:
        folder: with the classes.
        tested: clips of its test split, in the model's view.
        predict: returns the predicted class of a test video by its number; raises VideoError.
        given: input format of the model.
        on_progress: called with (videos done, total).

    Returns:
        The number of test `clips`; the model's `accuracy` with its interval; the accuracy of the
        most frequent class, `majority`; rows of `trivial` predictors; and as `leaks` those whose
        interval lies above the majority, or None with fewer than `ENOUGH` clips.

    Raises:
        InputError: no video of a split decodes.
    """
    trained = folder.clips("train", given, kept_bytes=0)
    train, test = trained.videos, tested.videos
    rows: dict[ClassVideo, list[float]] = {}
    for clips, before in ((trained, 0), (tested, len(train))):
        for number, video in enumerate(clips.videos):
            with suppress(VideoError):
                rows[video] = _features(clips, number)
            on_progress(before + number + 1, len(train) + len(test))
    numbers = [number for number, video in enumerate(test) if video in rows]
    right = sum(predict(number) == test[number].label for number in numbers)
    fitted = [video for video in train if video in rows]
    if not numbers or not fitted:
        raise InputError(f"no video of {folder.folder} can be read in one of its splits")
    (train_features, train_labels), (test_features, test_labels) = (
        (np.array([rows[v] for v in part]), np.array([v.label for v in part], np.intp))
        for part in (fitted, [test[number] for number in numbers])
    )
    most_frequent = np.bincount(train_labels, minlength=len(folder.classes)).argmax()
    majority = float((test_labels == most_frequent).mean())
    trivial: list[dict[str, Any]] = []
    for name, features in TRIVIAL.items():
        columns = [FEATURES.index(feature) for feature in features]
        predicted = fit_and_predict(
            train_features[:, columns], train_labels, test_features[:, columns]
        )
        hits = int((predicted == test_labels).sum())
        trivial.append({"predictor": name, **_accuracy(hits, len(numbers))})
    leaks = [row["predictor"] for row in trivial if row["low"] > majority]
    return {
        "classes": list(folder.classes),
        "clips": len(numbers),
        "sources": len({test[number].source for number in numbers}),
        **_accuracy(right, len(numbers)),
        "majority": majority,
        "trivial": trivial,
        "leaks": leaks if len(numbers) >= ENOUGH else None,
    }


def held_out_lines(held_out: Mapping[str, Any]) -> str:
    """The result in words: one line for the model, one for the trivial predictors."""
    accuracies = ", ".join(f"{row['predictor']} {_share(row)}" for row in held_out["trivial"])
    leaks = "this set leaks: " if held_out["leaks"] else ""
    if held_out["leaks"] is None:
        leaks = f"too few held-out clips to say whether the set leaks (at least {ENOUGH}): "
    trivial = "trivial predictors, fitted to the other clips, are right about"
    return (
        f"{held_out['clips']} held-out clips of {held_out['sources']} sources: the model is right "
        f"about {_share(held_out)}, the most frequent class about {percent(held_out['majority'])}\n"
        f"{leaks}{trivial}: {accuracies}"
    )


def fit_and_predict(known: Float64, labels: Labels, asked: Float64) -> Labels:
    """Fit a softmax regression with a small L2 penalty, and predict with it.

    Args:
        known: training features [N, F].
        labels: their classes [N].
        asked: features [M, F] to predict the classes of.

    Returns:
        The most likely classes [M].
    """
    mean, scale = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-12)
    inputs, queries = (
        np.column_stack([(part - mean) / scale, np.ones(len(part))]) for part in (known, asked)
    )
    one_hot = np.eye(labels.max() + 1)[labels]  # [N, classes]
    weights = np.zeros((inputs.shape[1], one_hot.shape[1]))
    for _ in range(_STEPS):
        logits = inputs @ weights
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = odds / odds.sum(axis=1, keepdims=True) - one_hot
        weights -= _RATE * (inputs.T @ error / len(inputs) + _PENALTY * weights)
    return np.asarray((queries @ weights).argmax(axis=1), np.intp)


def _features(clips: ClassClips, number: int) -> list[float]:
    """`FEATURES` of a video, as logarithms, so that equal ratios are equal distances."""
    frames, info = clips[number].frames.mean(axis=3, dtype=np.float32), clips.info(number)
    motion = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2))
    spread = float(motion.std()) if len(motion) else 0.0
    return [float(np.log(v)) for v in (info.size_bytes, info.rate, spread + _TINY)]


def _accuracy(right: int, clips: int) -> dict[str, float | None]:
    interval = wilson(right, clips)
    return {"accuracy": interval.mean, "low": interval.low, "high": interval.high}


def _share(row: Mapping[str, Any]) -> str:
    return f"{percent(row['accuracy'])} ({percent(row['low'])} to {percent(row['high'])})"
