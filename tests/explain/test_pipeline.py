"""From a video to its explanation, with a small model of random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explaining import same
from small_videos import HEIGHT, WIDTH, asked, film, pictures

from staa_cli.api import Explanation, explain_clip, explain_video
from staa_cli.config.settings import PostSettings, SamplingSettings
from staa_cli.errors import UsageError
from staa_cli.explain.pipeline import find_target
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.video.decode import iter_frames
from staa_cli.video.encode import write_video
from staa_cli.video.probe import probe


def test_every_frame_has_a_row(explained: Explanation) -> None:
    frames = explained.frames
    for column in (frames.times_s, frames.score, frames.weighted_score, frames.seen):
        assert column.shape == (36,)
        assert np.isfinite(column).all()
    np.testing.assert_allclose(frames.times_s, np.arange(36) / 12, atol=1e-4)
    seen = {index for clip in explained.clips for index in clip.frame_indices}
    assert np.flatnonzero(frames.seen).tolist() == sorted(seen)
    assert 0 < len(seen) < 36


def test_clips_are_in_order_and_each_is_what_explain_clip_says(
    video: Path, model: LoadedModel, explained: Explanation
) -> None:
    frames = dict(iter_frames(probe(video), range(36)))
    starts = [clip.start_s for clip in explained.clips]
    assert starts == sorted(starts)
    assert len(starts) > 3
    rows = []
    for clip, attribution, each in zip(
        explained.clips, explained.attributions, explained.clip_predictions, strict=True
    ):
        pictures = np.stack([frames[i] for i in clip.frame_indices])
        alone = explain_clip(model, pictures, target=explained.prediction.target)
        np.testing.assert_allclose(attribution.values, alone.attribution.values, atol=1e-6)
        np.testing.assert_allclose(each.scores, alone.prediction.scores, rtol=1e-5, atol=1e-7)
        assert each.target == explained.prediction.target
        rows.append(alone.prediction.scores)
    np.testing.assert_allclose(
        explained.prediction.scores, np.mean(rows, axis=0), rtol=1e-5, atol=1e-7
    )
    assert explained.prediction.target == int(np.mean(rows, axis=0).argmax())


@pytest.mark.parametrize("size", [2, 3, 100])
@pytest.mark.parametrize("method", ["staa", "random"])
def test_the_batch_size_changes_nothing(
    video: Path, model: LoadedModel, size: int, method: str
) -> None:
    one, many = (
        explain_video(video, model, method=method, settings=asked(batch_size=n)) for n in (1, size)
    )
    same(one, many, atol=1e-6)
    assert one.fingerprint == many.fingerprint


def test_weights_of_clips_are_their_probability_of_the_class(
    video: Path, wavering: LoadedModel
) -> None:
    settings = asked(sampling=SamplingSettings(strategy="segments", clips=2))
    found = explain_video(video, wavering, settings=settings)
    first, last = found.clip_predictions
    assert abs(first.score - last.score) > 0.05
    assert np.isnan(found.frames.score[[0, -1]]).all()  # what lies around the clips
    rows = [clip.frame_indices[0] for clip in found.clips]
    for row, each in zip(rows, (first, last), strict=True):
        ratio = found.frames.weighted_score[row] / found.frames.score[row]
        assert ratio == pytest.approx(each.score, rel=1e-4)


def test_a_stretch_is_all_that_is_explained(video: Path, model: LoadedModel) -> None:
    sampling = SamplingSettings(start=0.4, end=0.8)
    found = explain_video(video, model, settings=asked(sampling=sampling))
    times = found.video.times_s
    assert list(found.part) == np.flatnonzero((times >= 0.4 - 1e-6) & (times < 0.8 - 1e-6)).tolist()
    assert (found.start_s, found.end_s) == pytest.approx((0.4, 0.8), abs=0.04)
    assert found.coverage.covered_share == 1
    assert all(found.start_s <= m.start_s <= m.end_s <= found.end_s for m in found.moments)
    peak = found.frames.times_s[np.argmax(found.frames.weighted_score)]
    assert found.temporal.peak_s in (None, peak)

    kept = explain_video(video, model, settings=asked(sampling=replace(sampling, keep_rest=True)))
    inside = np.isin(np.arange(len(times)), found.part)
    assert kept.part == range(len(times))
    assert kept.coverage.frames_seen == found.coverage.frames_seen
    np.testing.assert_array_equal(kept.frames.score[inside], found.frames.score)
    assert kept.frames.covered.tolist() == inside.tolist()
    assert np.isnan(kept.frames.score[~inside]).all()
    assert kept.temporal == found.temporal
    assert kept.moments == found.moments


LABELS = ("walking", "3", "Running", "class_3", "class_4")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, (None, "top-1")),
        ("running", (2, "named")),
        ("3", (1, "named")),  # a name goes before a number
        (4, (4, "index")),
        ("0", (0, "index")),
    ],
)
def test_a_class_by_name_or_number(wanted: Any, found: Any) -> None:
    assert find_target(wanted, LABELS) == found


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("runing", "'Running'"),
        ("5", "it has 5 classes"),
        ("-1", "it has 5 classes"),
        ("", "it has 5 classes"),
    ],
)
def test_a_class_that_is_not_there(wanted: str, hint: str) -> None:
    with pytest.raises(UsageError, match="no class") as caught:
        find_target(wanted, LABELS)
    assert hint in str(caught.value.hint)


def test_of_several_classes_of_one_name_an_index_says_which() -> None:
    labels = ("wave", "fall", "Wave", "wave", "FALL")
    with pytest.raises(UsageError, match=r"2 classes are called 'wave': 0, 3") as caught:
        find_target("wave", labels)
    assert "--class 0" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"3 classes are called 'WAVE': 0, 2, 3"):
        find_target("WAVE", labels)
    assert find_target("3", labels) == (3, "index")
    assert find_target("Wave", labels) == (2, "named")  # spelled as only one of them is
    assert find_target("FALL", labels) == (4, "named")


def test_the_named_class_is_explained(video: Path, model: LoadedModel) -> None:
    found = explain_video(video, model, target="CLASS_2", settings=asked())
    assert (found.prediction.target, found.prediction.reason) == (2, "named")
    assert "class-blind-method" not in {w.code for w in found.warnings}
    blind = explain_video(video, model, target="CLASS_2", method="staa", settings=asked())
    assert "class-blind-method" in {w.code for w in blind.warnings}
    other = explain_video(video, model, settings=asked(target="1"))
    assert (other.prediction.target, other.prediction.reason) == (1, "index")


def test_clips_of_another_length_and_size_are_explained_with_a_warning(video: Path) -> None:
    model = load_model("test_timesformer", device="cpu")
    settings = asked(sampling=SamplingSettings(frames=2, size=48))
    found = explain_video(video, model, settings=settings)
    assert {a.values.shape for a in found.attributions} == {(2, 6, 6)}
    assert {len(clip.frame_indices) for clip in found.clips} == {2}
    assert (found.model.input.frames, found.model.input.size) == (2, (48, 48))
    assert found.model.input.resize == model.input.resize * 48 // 32
    told = [w.text for w in found.warnings if w.code == "untrained-size"]
    assert len(told) == 1
    assert "2 frames of 48 x 48" in told[0]
    assert "4 frames of 32 x 32" in told[0]
    own = explain_video(video, model, settings=asked(sampling=SamplingSettings(frames=4, size=32)))
    assert "untrained-size" not in {w.code for w in own.warnings}


@pytest.mark.parametrize(
    ("name", "sampling", "told", "hint"),
    [
        ("test_videomae", {"frames": 3}, "do not divide into tokens of 2", "use 2"),
        ("test_videomae", {"frames": 1}, "do not divide into tokens of 2", "use 2"),
        ("test_videomae", {"size": 64}, "takes pictures of 32 x 32 only", "leave out --size"),
        ("test_timesformer", {"size": 44}, "do not divide into patches of 8", "use 40"),
        ("test_timesformer", {"size": 3}, "do not divide into patches of 8", "use 8"),
    ],
)
def test_a_length_or_size_that_cannot_be_is_told(
    video: Path, name: str, sampling: dict[str, Any], told: str, hint: str
) -> None:
    model = load_model(name, device="cpu")
    with pytest.raises(UsageError, match=told) as caught:
        explain_video(video, model, settings=asked(sampling=SamplingSettings(**sampling)))
    assert caught.value.hint == hint


def test_a_frozen_video_has_a_flat_curve_and_no_moment(
    tmp_path: Path,
) -> None:
    model = load_model("test_timesformer", device="cpu")
    model.module.time_embed.zero_()  # or the model itself would tell the frames apart
    found = explain_video(film(tmp_path / "still.mp4", moving=False), model, settings=asked())
    assert len(found.clips) > 1
    assert found.temporal.flat
    assert found.temporal.coefficient_of_variation < 0.01
    assert found.moments == ()
    assert "flat-temporal" in {w.code for w in found.warnings}
    assert np.ptp(found.frames.score) < 0.01 * found.frames.score.mean()


def test_what_a_model_makes_up_about_a_still_video_is_called_flat(tmp_path: Path) -> None:
    """Its positions alone tell the frames apart; a codec's rounding is no motion, a square is."""
    model, settings = load_model("tiny-events"), asked(model="tiny-events")
    found = explain_video(film(tmp_path / "still.mp4", 60, moving=False), model, settings=settings)
    assert found.temporal.coefficient_of_variation > 0.05
    assert found.temporal.still
    assert found.temporal.flat
    assert found.moments == ()
    (text,) = (w.text for w in found.warnings if w.code == "flat-temporal")
    assert "nothing moves" in text
    first, second = pictures(45, moving=False)[0], pictures(45, moving=False)[0].copy()
    second[36:44, 40:48] += 20
    write_video(tmp_path / "patch.mp4", [*[first] * 30, *[second] * 30], rate=12)
    moved = explain_video(tmp_path / "patch.mp4", model, settings=settings)
    assert not moved.temporal.still


def test_motion_makes_the_curve_of_the_motion_baseline(tmp_path: Path, model: LoadedModel) -> None:
    still, moving = pictures(12, moving=False), pictures(36)[12:24]
    path = tmp_path / "both.mp4"
    write_video(path, [*still, *moving, *[moving[-1]] * 12], rate=12)
    found = explain_video(path, model, method="frame-difference", settings=asked())
    (moment,) = found.moments
    assert 0.7 < moment.start_s <= moment.peak_s <= moment.end_s < 2.3
    assert moment.share > 0.5
    score = found.frames.score
    assert score[12:24].mean() > 5 * max(score[:8].mean(), score[-8:].mean())


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_video_shorter_than_a_clip(tmp_path: Path, model: LoadedModel, frames: int) -> None:
    found = explain_video(film(tmp_path / "short.mp4", frames), model, settings=asked())
    assert len(found.clips) == 1
    assert found.clips[0].padded > 0
    assert len(found.frames.score) == frames
    assert len(found.maps.times_s) == len(set(found.clips[0].times_s))
    assert "short-video" in {w.code for w in found.warnings}


def test_frames_of_any_rate(tmp_path: Path, model: LoadedModel) -> None:
    times = [0, 0.05, 0.1, 0.7, 0.75, 1.5, 1.6, 1.7, 2.4]
    path = film(tmp_path / "varies.mp4", len(times), times_s=times)
    found = explain_video(path, model, settings=asked())
    np.testing.assert_allclose(found.frames.times_s, times, atol=1e-3)
    assert np.isfinite(found.frames.score).all()
    for clip in found.clips:
        np.testing.assert_array_equal(clip.times_s, found.frames.times_s[list(clip.frame_indices)])


def test_maps_are_of_what_the_model_saw(explained: Explanation, model: LoadedModel) -> None:
    side = HEIGHT / WIDTH  # a square in the middle, but for a rounded pixel
    assert explained.maps.box == pytest.approx(((1 - side) / 2, 0, (1 + side) / 2, 1), abs=0.02)
    assert explained.maps.values.shape[1:] == model.layout.grid[1:]
    assert (
        explained.maps.times_s.tolist() == explained.frames.times_s[explained.frames.seen].tolist()
    )


def test_only_the_drawn_maps_are_thresholded_and_only_the_curve_is_smoothed(
    video: Path, model: LoadedModel, explained: Explanation
) -> None:
    post = PostSettings(threshold="percentile", threshold_value=75, smooth="average", smooth_s=0.5)
    found = explain_video(video, model, settings=asked(post=post))
    for mine, theirs in zip(found.attributions, explained.attributions, strict=True):
        np.testing.assert_array_equal(mine.values, theirs.values)
    raw, smoothed = explained.temporal, found.temporal
    assert smoothed.coefficient_of_variation == raw.coefficient_of_variation
    assert smoothed.maximum == found.frames.score.max() < raw.maximum
    assert np.abs(np.diff(found.frames.score)).max() < np.abs(np.diff(explained.frames.score)).max()
    share = np.count_nonzero(found.maps.values) / np.count_nonzero(explained.maps.values)
    assert 0.2 < share < 0.5  # knots of overlapping clips hold what either keeps
    assert found.fingerprint != explained.fingerprint
