"""What maps.npz holds of an explanation."""

from __future__ import annotations

from typing import Any

import numpy as np

from staa_cli.schema import Explanation


def arrays_of(explanation: Explanation) -> dict[str, Any]:
    """An explanation in, its arrays by name out.

    `attributions` [clips, T', h, w], `clip_times_s` and `clip_frame_indices` [clips, T],
    `map_times_s` [K], `maps` [K, h, w], `box` [4], `frame_times_s`, `score`, `weighted_score` [N].
    Scores are NaN where no clip reaches.
    Where the passes served every class, also those of the top five, the most probable first:
    `classes` [5] their indices, `class_labels` [5], `class_scores` [5, clips] what each clip gives
    them, and `class_attributions` [5, clips, T', h, w].
    """
    arrays: dict[str, Any] = {
        "attributions": np.stack([each.values for each in explanation.attributions]),
        "clip_times_s": np.array([clip.times_s for clip in explanation.clips]),
        "clip_frame_indices": np.array([clip.frame_indices for clip in explanation.clips]),
        "map_times_s": explanation.maps.times_s,
        "maps": explanation.maps.values,
        "box": np.array(explanation.maps.box),
        "frame_times_s": explanation.frames.times_s,
        "score": explanation.frames.score,
        "weighted_score": explanation.frames.weighted_score,
    }
    if explanation.by_class is not None:
        classes = np.array(explanation.by_class.classes)
        scores = np.stack([each.scores for each in explanation.clip_predictions])
        arrays |= {
            "classes": classes,
            "class_labels": np.array([explanation.model.labels[index] for index in classes]),
            "class_scores": scores[:, classes].T,  # [5, clips]
            "class_attributions": explanation.by_class.values,
        }
    return arrays
