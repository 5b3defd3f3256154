"""Faithfulness of a whole video: which clips, which copies, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from explaining import Progress
from small_videos import asked, film

from staa_cli.api import Explanation, explain_video
from staa_cli.config.settings import PostSettings
from staa_cli.evaluation.base import Curves
from staa_cli.evaluation.measure import summarize
from staa_cli.methods.perturbation.base import replacement_for
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.video.decode import iter_frames
from staa_cli.video.probe import probe


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", 36)


@pytest.fixture(scope="module")
def explained(video: Path, model: LoadedModel) -> Explanation:
    return explain_video(video, model, settings=asked())


@pytest.fixture(scope="module")
def checked(video: Path, model: LoadedModel) -> tuple[Explanation, Progress]:
    progress = Progress()
    settings = asked(output={"faithfulness": True}, post=PostSettings(threshold="otsu"))
    return explain_video(video, model, settings=settings, on_progress=progress), progress


def test_faithfulness_is_of_the_clips_that_speak_most_and_of_raw_maps(
    checked: tuple[Explanation, Progress], model: LoadedModel, video: Path
) -> None:
    """Every curve anew, from frames read here, by hand."""
    found, _ = checked
    told = found.faithfulness
    assert told is not None
    confidences = [each.score for each in found.clip_predictions]
    assert set(told.clips) == set(np.argsort(confidences)[-4:])
    assert [row.method for row in told.rows] == [
        "staa-class",
        "random",
        "center",
        "frame-difference",
    ]
    assert told.replacement == "blur"
    info = probe(video)
    frames = dict(iter_frames(info, range(info.frames)))
    curves = []
    for number in told.clips:
        clip = model.preprocess(np.stack([frames[i] for i in found.clips[number].frame_indices]))
        empty = replacement_for(clip, "blur")
        order = np.argsort(-found.attributions[number].values.ravel(), kind="stable")
        steps = np.ceil(np.arange(51) * order.size / 50).astype(int)
        kept = []
        for count in steps:
            mask = torch.ones(order.size)
            mask[order[:count]] = 0
            whole = mask.reshape(4, 4, 4).repeat_interleave(8, 1).repeat_interleave(8, 2)
            kept.append(torch.lerp(empty, clip, whole[None, :, None]))
        with torch.inference_mode():
            p = model.forward(torch.cat(kept)).softmax(dim=1)[:, found.prediction.target]
        curves.append(p.numpy())
    np.testing.assert_allclose(told.rows[0].deletion, np.mean(curves, axis=0), atol=1e-4)
    assert told.rows[0].insertion[0] == pytest.approx(told.rows[0].deletion[-1], abs=1e-6)
    assert told.rows[0].insertion[-1] == pytest.approx(told.rows[0].deletion[0], abs=1e-6)


def test_faithfulness_tells_its_progress_and_warns_where_it_fails(
    checked: tuple[Explanation, Progress],
) -> None:
    found, progress = checked
    steps = [(done, total) for stage, done, total in progress if stage == "faithfulness"]
    assert found.faithfulness is not None
    copies = 4 * (2 + 4 * 98)  # of four clips: the whole, nothing, and what four maps have between
    assert steps[-1] == (copies, copies)
    assert steps == sorted(steps)
    # A model with random weights cares for no place: some baseline is as good.
    told = [w.text for w in found.warnings if w.code == "not-faithful"]
    assert bool(told) == bool(found.faithfulness.beaten_by)
    for name in found.faithfulness.beaten_by:
        assert name in told[0]


def test_quick_faithfulness_has_every_fifth_point_of_a_full_one(
    checked: tuple[Explanation, Progress], model: LoadedModel, video: Path
) -> None:
    full, progress = checked[0].faithfulness, Progress()
    settings = asked(output={"quick_faithfulness": True})
    passed: list[int] = []
    handle = model.module.register_forward_hook(lambda _, given, out: passed.append(len(out)))
    found = explain_video(video, model, settings=settings, on_progress=progress)
    handle.remove()
    quick = found.faithfulness
    assert full is not None
    assert quick is not None
    assert sum(passed) == len(found.clips) + quick.passes
    assert (quick.quick, quick.steps, full.quick, full.steps) == (True, 10, False, 50)
    assert quick.clips == full.clips
    for few, many in zip(quick.rows, full.rows, strict=True):
        np.testing.assert_allclose(few.deletion, many.deletion[::5], atol=1e-5)
        np.testing.assert_allclose(few.insertion, many.insertion[::5], atol=1e-5)
    (most,) = {total for stage, _, total in progress if stage == "faithfulness"}
    assert most == 4 * (2 + 4 * 18)
    both = explain_video(
        video, model, settings=asked(output={"faithfulness": True, "quick_faithfulness": True})
    )
    assert both.faithfulness is not None
    assert not both.faithfulness.quick


def test_gains_of_clips_make_an_interval_and_that_of_one_clip_none() -> None:
    """Of two clips a quarter of all resamples has only the one, and a quarter only the other."""
    whole, none = np.ones(3), np.zeros(3)

    def curves(kept: float) -> dict[str, Curves]:
        return {"staa": Curves(none, whole * kept, none), "random": Curves(none, none, none)}

    two = summarize([curves(0.25), curves(0.75)], (3, 5), "blur", "quick", 0)
    staa, random = two.rows
    assert (staa.srg_low, staa.srg, staa.srg_high) == (0.25, 0.5, 0.75)
    assert (random.srg_low, random.srg, random.srg_high) == (0, 0, 0)
    (alone, _) = summarize([curves(0.25)], (3,), "blur", "quick", 0).rows
    assert (alone.srg_low, alone.srg, alone.srg_high) == (None, 0.25, None)


def test_the_interval_of_a_video_holds_its_gain(checked: tuple[Explanation, Progress]) -> None:
    told = checked[0].faithfulness
    assert told is not None
    for row in told.rows:
        assert row.srg_low is not None
        assert row.srg_high is not None
        assert row.srg_low < row.srg < row.srg_high


def test_nothing_is_measured_unasked(explained: Explanation) -> None:
    assert explained.faithfulness is None
    assert "not-faithful" not in {w.code for w in explained.warnings}
