"""One class for all clips: how it is found, and how many passes that takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from explaining import Progress, counted, guesses_that_were_wrong, same
from small_videos import asked

from staa_cli.api import Explanation, explain_video
from staa_cli.explain.attribution import pool
from staa_cli.models.load import LoadedModel, load_model


@pytest.mark.parametrize(
    ("method", "a_pass"), [("staa-class", 1), ("staa-logit", 1), ("attention-gradient", 3)]
)
def test_a_class_specific_method_speaks_of_the_videos_class(
    video: Path, wavering: LoadedModel, method: str, a_pass: int
) -> None:
    found = explain_video(video, wavering, method=method, settings=asked())
    own = {int(each.scores.argmax()) for each in found.clip_predictions}
    assert len(own) > 1  # or it could not go wrong
    assert {a.target for a in found.attributions} == {found.prediction.target}
    # A method that must know the class beforehand explains each clip at once for what the video was
    # most probably of so far, and again where that was wrong.
    wrong = guesses_that_were_wrong(found)
    assert 0 < wrong < len(found.clips)
    more = wrong / len(found.clips) if a_pass > 1 else 0
    assert {a.passes for a in found.attributions} == {a_pass * (1 + more)}
    assert found.prediction.reason == "top-1"
    named = explain_video(
        video, wavering, method=method, target=found.prediction.target, settings=asked()
    )
    same(found, named)
    assert {a.passes for a in named.attributions} == {a_pass}
    other = explain_video(video, wavering, method=method, target=0, settings=asked())
    assert found.prediction.target != 0
    assert not np.array_equal(other.frames.score, found.frames.score)


@pytest.mark.parametrize("name", ["tiny-events", "tiny-events-joint"])
def test_no_clip_is_passed_twice(name: str) -> None:
    """Of this sample's clips, the first are of nothing, and would have to be explained again."""
    model, sample = (
        load_model(name),
        Path(__file__).parent.parent.parent / "sample_videos" / "hop.mp4",
    )
    with counted(model) as passed:
        found = explain_video(sample, model)
    assert found.prediction.label == "hop"
    assert found.clip_predictions[0].top(1)[0][1] == "none"
    assert sum(passed) == len(found.clips) == 4
    assert sum(a.passes for a in found.attributions) == 4


def test_maps_of_the_top_classes_are_those_of_each_class(
    video: Path, wavering: LoadedModel, tmp_path: Path
) -> None:
    with counted(wavering) as passed:
        found = explain_video(video, wavering, settings=asked(output={"npz": True}), target="3")
    assert sum(passed) == len(found.clips)
    best = [index for index, *_ in found.prediction.top(5)]
    assert best[0] != 3
    found.save(tmp_path)
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        assert arrays["classes"].tolist() == best
        assert arrays["class_labels"].tolist() == [wavering.labels[index] for index in best]
        rows = zip(
            best, arrays["class_attributions"], arrays["clip_scores"][:, best].T, strict=True
        )
        for index, values, scores in rows:
            alone = explain_video(video, wavering, target=str(index), settings=asked())
            assert np.array_equal(values, np.stack([a.values for a in alone.attributions]))
            assert scores.tolist() == [float(each.score) for each in alone.clip_predictions]
        own = arrays["class_attributions"][best.index(3)]
        assert np.array_equal(arrays["attributions"], own)


@pytest.mark.parametrize("method", ["staa", "attention-gradient", "random"])
def test_where_passes_serve_one_class_or_none_there_are_no_maps_of_others(
    video: Path, model: LoadedModel, method: str
) -> None:
    settings = asked(output={"npz": True})
    assert explain_video(video, model, method=method, settings=settings).by_class is None
    assert explain_video(video, model, settings=asked()).by_class is None  # nor unasked


def test_what_waits_for_the_class_may_lie_on_the_disk(
    video: Path, wavering: LoadedModel, explained: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = explain_video(video, wavering, settings=asked())
    monkeypatch.setattr("staa_cli.methods.stored_outputs.IN_MEMORY", 1)
    same(explain_video(video, wavering, settings=asked(batch_size=3)), whole, atol=1e-6)


def test_a_class_blind_method_takes_one_pass(video: Path, wavering: LoadedModel) -> None:
    found = explain_video(video, wavering, method="staa", settings=asked())
    assert {a.passes for a in found.attributions} == {1.0}
    assert {a.target for a in found.attributions} == {None}


def test_pooling_by_hand() -> None:
    rows = np.array([[0.9, 0.1, 0.0], [0.2, 0.2, 0.6]], np.float32)
    np.testing.assert_allclose(pool(rows, None), [0.55, 0.15, 0.3], rtol=1e-6)
    # Class 0 stands for nothing: the clips count 0.1 and 0.8.
    np.testing.assert_allclose(
        pool(rows, 0), (0.1 * rows[0] + 0.8 * rows[1]) / 0.9, rtol=1e-4, atol=1e-6
    )
    sure = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    np.testing.assert_allclose(pool(sure, 0), [1.0, 0.0])


def test_a_short_event_survives_much_nothing() -> None:
    rows = [np.array([0.97, 0.02, 0.01], np.float32)] * 20 + [
        np.array([0.04, 0.01, 0.95], np.float32)
    ]
    assert pool(rows, None).argmax() == 0
    assert pool(rows, 0).argmax() == 2


def test_what_is_kept_of_the_clips_lies_in_one_block(explained: Explanation) -> None:
    # Ten minutes of video took 1.10 of one minute's memory while each clip kept a block of its own.
    assert len(explained.attributions) > 1
    for kept in (
        [attribution.values for attribution in explained.attributions],
        [prediction.scores for prediction in explained.clip_predictions],
    ):
        assert len({id(array.base) for array in kept}) == 1
        assert sum(array.nbytes for array in kept) == kept[0].base.nbytes


def test_progress_is_told_for_every_pass(video: Path, wavering: LoadedModel) -> None:
    progress = Progress()
    found = explain_video(
        video, wavering, method="attention-gradient", settings=asked(), on_progress=progress
    )
    passes = {"explaining": len(found.clips), "explaining again": guesses_that_were_wrong(found)}
    steps = [(stage, n + 1, count) for stage, count in passes.items() for n in range(count)]
    assert progress == steps
    # A method that asks about many copies finds the class first.
    progress.clear()
    explain_video(video, wavering, method="frame-drop", settings=asked(), on_progress=progress)
    assert [stage for stage, *_ in progress[: len(found.clips)]] == ["predicting"] * len(
        found.clips
    )
    assert {stage for stage, *_ in progress} == {"predicting", "explaining"}
