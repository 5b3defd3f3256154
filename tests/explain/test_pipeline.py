"""From a video to its explanation, with a small model of random weights."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_videos import HEIGHT, WIDTH, asked, film, pictures

from staa_cli.api import Explanation, explain_clip, explain_video
from staa_cli.config.settings import MethodSettings, PostSettings, SamplingSettings
from staa_cli.errors import InputError, UnavailableError, UsageError, VideoError
from staa_cli.explain import provenance
from staa_cli.explain.attribution import pool
from staa_cli.explain.clips import ClipReader
from staa_cli.explain.pipeline import find_target
from staa_cli.explain.timing import Stopwatch
from staa_cli.memory import peak_memory_bytes
from staa_cli.methods import Options
from staa_cli.methods.perturbation.base import replacement_for
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.models.preprocess import preprocess_frame
from staa_cli.schema import Clip, UInt8
from staa_cli.video.decode import iter_frames
from staa_cli.video.encode import write_video
from staa_cli.video.probe import probe


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


@pytest.fixture(scope="module")
def wavering(model: LoadedModel) -> LoadedModel:
    """A model that is of another opinion at the end of the video than at its start."""
    other = load_model("test_timesformer", device="cpu")
    other.module.head.weight *= 40
    return other


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", 36)


@pytest.fixture(scope="module")
def explained(video: Path, model: LoadedModel) -> Explanation:
    return explain_video(video, model, settings=asked())


def same(one: Explanation, two: Explanation, atol: float = 0.0) -> None:
    pairs = [
        (one.frames.score, two.frames.score),
        (one.frames.weighted_score, two.frames.weighted_score),
        (one.maps.values, two.maps.values),
        (one.prediction.scores, two.prediction.scores),
        *((a.values, b.values) for a, b in zip(one.attributions, two.attributions, strict=True)),
    ]
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
    assert one.prediction.target == two.prediction.target
    assert one.clips == two.clips


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


def guesses_that_were_wrong(found: Explanation) -> int:
    """Clips after which the most probable class so far was not the one that it was in the end."""
    rows = np.stack([each.scores for each in found.clip_predictions]).astype(np.float64)
    return int((rows.cumsum(axis=0).argmax(axis=1) != found.prediction.target).sum())


@contextmanager
def counted(model: LoadedModel) -> Iterator[list[int]]:
    """How many clips went through the model, call by call."""
    passed: list[int] = []
    handle = model.module.register_forward_hook(lambda _, given, out: passed.append(len(out)))
    try:
        yield passed
    finally:
        handle.remove()


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


def test_what_is_not_looked_at_is_said_with_what_would_look_at_it(
    tmp_path: Path, model: LoadedModel
) -> None:
    long = film(tmp_path / "long.mp4", 400)
    sampling = SamplingSettings(strategy="segments", clips=2)
    found = explain_video(long, model, settings=asked(sampling=sampling))
    assert found.coverage.covered_share < 0.5
    for moment in found.moments:
        rows = (found.frames.times_s >= moment.start_s) & (found.frames.times_s < moment.end_s)
        assert found.frames.covered[rows].all()
        assert found.frames.seen[rows].any()
    (warning,) = [w for w in found.warnings if w.code == "sparse-sampling"]
    dense = explain_video(long, model, settings=asked(sampling=SamplingSettings("dense")))
    assert f"--sampling dense reaches all of it, in {len(dense.clips)} clips" in warning.text
    assert dense.coverage.covered_share == 1
    assert "sparse-sampling" not in {w.code for w in dense.warnings}
    wide = explain_video(long, model, settings=asked(sampling=SamplingSettings("dense", hop=3.0)))
    assert "--hop 1 reaches all" in {w.code: w.text for w in wide.warnings}["sparse-sampling"]
    ends = explain_video(long, model, settings=asked(sampling=SamplingSettings("dense", hop=1.0)))
    assert ends.coverage.covered_share == 1


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
    [("runing", "'Running'"), ("5", "there are 5"), ("-1", "there are 5"), ("", "there are 5")],
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


def test_a_setting_that_a_method_has_no_use_for_is_told(video: Path, model: LoadedModel) -> None:
    method = MethodSettings(name="center", layers="all", combine="mean")
    found = explain_video(video, model, settings=asked(method=method))
    texts = [w.text for w in found.warnings if w.code == "setting-without-effect"]
    assert len(texts) == 2
    assert "center has no choice of layers: 'all'" in texts[0]
    method = MethodSettings(name="staa", layers="all", combine="mean")
    found = explain_video(video, model, settings=asked(method=method))
    assert "setting-without-effect" not in {w.code for w in found.warnings}


@pytest.mark.parametrize(
    ("group", "idle", "heeded", "text"),
    [
        ("post", {"threshold_value": 9.0}, {"threshold": "percentile"}, "--threshold-value"),
        ("post", {"threshold_value": 9.0, "threshold": "otsu"}, {"threshold": "mean_std"}, "--thr"),
        ("post", {"smooth_s": 2.0}, {"smooth": "average"}, "--smooth-s has no effect"),
        ("sampling", {"hop": 0.9, "strategy": "segments"}, {"strategy": "auto"}, "--hop"),
        ("sampling", {"clips": 3}, {"strategy": "random"}, "--clips has no effect: it belongs to"),
        ("sampling", {"stride": 2, "strategy": "uniform"}, {"strategy": "dense"}, "--stride"),
        ("sampling", {"keep_rest": True}, {"end": 1.0}, "--keep-rest"),
    ],
)
def test_a_setting_that_another_leaves_nothing_to_do_is_told(
    video: Path,
    model: LoadedModel,
    group: str,
    idle: dict[str, Any],
    heeded: dict[str, Any],
    text: str,
) -> None:
    kind: Any = {"post": PostSettings, "sampling": SamplingSettings}[group]

    def told(values: dict[str, Any]) -> list[str]:
        found = explain_video(video, model, settings=asked(**{group: kind(**values)}))
        return [w.text for w in found.warnings if w.code == "setting-without-effect"]

    (found,) = told(idle)
    assert found.startswith(text)
    assert told(idle | heeded) == []


@pytest.mark.parametrize(("deviations", "left"), [(1.0, True), (1e6, False)])
def test_a_threshold_that_leaves_nothing_is_told(
    video: Path, model: LoadedModel, deviations: float, left: bool
) -> None:
    post = PostSettings(threshold="mean_std", threshold_value=deviations)
    found = explain_video(video, model, settings=asked(post=post))
    assert bool(found.maps.values.any()) == left
    assert ("nothing-left" not in {w.code for w in found.warnings}) == left


def test_the_named_class_is_explained(video: Path, model: LoadedModel) -> None:
    found = explain_video(video, model, target="CLASS_2", settings=asked())
    assert (found.prediction.target, found.prediction.reason) == (2, "named")
    assert "class-blind-method" not in {w.code for w in found.warnings}
    blind = explain_video(video, model, target="CLASS_2", method="staa", settings=asked())
    assert "class-blind-method" in {w.code for w in blind.warnings}
    other = explain_video(video, model, settings=asked(target="1"))
    assert (other.prediction.target, other.prediction.reason) == (1, "index")


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


class Progress(list[tuple[str, int, int]]):
    def __call__(self, *step: Any) -> None:
        if step[0] != "planning":
            self.append(step)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_uneven_clips_get_their_own_frames(video: Path, model: LoadedModel, size: int) -> None:
    info = probe(video)
    indices = [(0, 10, 20, 30), (5, 6, 7, 8), (8, 8, 9, 31), (35, 35, 35, 35), (0, 10, 20, 30)]
    clips = [Clip(n, row, tuple(info.times_s[list(row)])) for n, row in enumerate(indices)]
    progress = Progress()
    reader = ClipReader(
        info, model, clips, batch_size=size, on_progress=progress, stopwatch=Stopwatch()
    )
    for _ in range(2):  # a second pass is like the first
        found: dict[int, torch.Tensor] = {}
        for numbers, batch in reader.forward("reading", lambda inputs, numbers: inputs):
            assert len(numbers) == len(batch) <= size
            found |= zip(numbers, batch, strict=True)
        assert sorted(found) == [0, 1, 2, 3, 4]
        assert reader.report.frames_decoded == len({i for row in indices for i in row})
        assert reader.report.missing == []
    frames = dict(iter_frames(info, range(36)))
    for number, row in enumerate(indices):
        wanted = model.preprocess(np.stack([frames[i] for i in row]))[0]
        assert torch.equal(found[number], wanted)
    steps = [done for _, done, _ in progress]
    assert steps == sorted(steps[: len(steps) // 2]) * 2
    assert progress[-1] == ("reading", 5, 5)


def test_batches_back_off_when_memory_runs_out_and_the_report_says_so(
    video: Path, model: LoadedModel
) -> None:
    plain = explain_video(video, model, settings=asked(batch_size=1))
    sizes: list[int] = []

    class Small(LoadedModel):
        def place(self, batch: torch.Tensor) -> torch.Tensor:
            sizes.append(len(batch))
            if len(batch) > 2:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")
            return model.place(batch)

    tight = Small(model.module, model.info, model.device, model.precision)
    found = explain_video(video, tight, settings=asked(batch_size=8))
    assert sizes[0] > 4
    assert max(sizes[2:]) == 2
    same(found, plain, atol=1e-6)
    (warning,) = [w for w in found.warnings if w.code == "batch-size-reduced"]
    assert "2 clips" in warning.text


def test_a_clip_that_never_fits_is_told_and_other_errors_stay(
    video: Path, model: LoadedModel
) -> None:
    class Full(LoadedModel):
        def place(self, batch: torch.Tensor) -> torch.Tensor:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    class Broken(LoadedModel):
        def place(self, batch: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("something else")

    parts = model.module, model.info, model.device, model.precision
    with pytest.raises(UnavailableError, match="one clip alone") as caught:
        explain_video(video, Full(*parts), settings=asked(batch_size=4))
    assert "--precision bf16" in str(caught.value.hint)
    with pytest.raises(RuntimeError, match="something else"):
        explain_video(video, Broken(*parts), settings=asked(batch_size=4))


@pytest.mark.parametrize("hop", [1, 2, 4])
def test_no_more_frames_are_kept_than_clips_still_need(
    video: Path, model: LoadedModel, hop: int
) -> None:
    made: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    class Watched(LoadedModel):
        def preprocess_frame(self, frame: UInt8) -> torch.Tensor:
            tensor = preprocess_frame(frame, self.input)
            made.append(weakref.ref(tensor))
            alive.append(sum(ref() is not None for ref in made))
            return tensor

    info = probe(video)
    rows = [tuple(range(start, start + 4)) for start in range(0, 32, hop)]
    clips = [Clip(n, row, tuple(info.times_s[list(row)])) for n, row in enumerate(rows)]
    watched = Watched(model.module, model.info, model.device, model.precision)
    reader = ClipReader(
        info, watched, clips, batch_size=1, on_progress=lambda *_: None, stopwatch=Stopwatch()
    )
    for _ in reader.forward("reading", lambda inputs, numbers: None):
        pass
    assert max(alive) == 4


def test_what_is_kept_of_the_clips_lies_in_one_block(explained: Explanation) -> None:
    # Ten minutes of video took 1.10 of one minute's memory while each clip kept a block of its own.
    assert len(explained.attributions) > 1
    for kept in (
        [attribution.values for attribution in explained.attributions],
        [prediction.scores for prediction in explained.clip_predictions],
    ):
        assert len({id(array.base) for array in kept}) == 1
        assert sum(array.nbytes for array in kept) == kept[0].base.nbytes


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
        ("test_videomae", {"frames": 3}, "do not divide into tokens of 2", "take 2"),
        ("test_videomae", {"frames": 1}, "do not divide into tokens of 2", "take 2"),
        ("test_videomae", {"size": 64}, "takes pictures of 32 x 32 only", "leave --size out"),
        ("test_timesformer", {"size": 44}, "do not divide into patches of 8", "take 40"),
        ("test_timesformer", {"size": 3}, "do not divide into patches of 8", "take 8"),
    ],
)
def test_a_length_or_size_that_cannot_be_is_told(
    video: Path, name: str, sampling: dict[str, int], told: str, hint: str
) -> None:
    model = load_model(name, device="cpu")
    with pytest.raises(UsageError, match=told) as caught:
        explain_video(video, model, settings=asked(sampling=SamplingSettings(**sampling)))
    assert caught.value.hint == hint


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


def test_pictures_and_their_tensor_give_the_same(model: LoadedModel) -> None:
    frames = np.stack(pictures(4))
    one, two = explain_clip(model, frames), explain_clip(model, model.preprocess(frames))
    np.testing.assert_array_equal(one.attribution.values, two.attribution.values)
    np.testing.assert_array_equal(one.prediction.scores, two.prediction.scores)
    assert one.attribution.values.shape == (4, 4, 4)
    assert one.attribution.layers


def test_clips_of_another_length(model: LoadedModel) -> None:
    for count in (1, 2, 7):
        values = explain_clip(model, np.stack(pictures(count))).attribution.values
        assert values.shape == (count, 4, 4)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 48, 64, 3), np.uint8),
        np.zeros((4, 48, 64, 3), np.float32),
        np.zeros((48, 64, 3), np.uint8),
        torch.zeros(4, 48, 64, 3, dtype=torch.uint8),
        torch.zeros(1, 4, 3, 48, 64),
        torch.zeros(2, 4, 3, 32, 32),
        torch.zeros(4, 3, 32, 32),
        torch.zeros(1, 0, 3, 32, 32),
    ],
    ids=lambda frames: f"{frames.dtype} {list(frames.shape)}",
)
def test_what_is_no_clip_is_told(model: LoadedModel, frames: Any) -> None:
    with pytest.raises(InputError):
        explain_clip(model, frames)


def test_options_reach_the_method(model: LoadedModel) -> None:
    frames = np.stack(pictures(4))
    found = explain_clip(model, frames, method="rollout", options=Options(layers=(0,)))
    assert found.attribution.layers == (0,)
    with pytest.raises(UsageError, match="no block 9"):
        explain_clip(model, frames, options=Options(layers=(9,)))
    with pytest.raises(UsageError, match="unknown method"):
        explain_clip(model, frames, method="saliency")


def test_a_clip_comes_with_the_warnings_of_a_video(model: LoadedModel) -> None:
    frames = np.stack(pictures(4))
    assert explain_clip(model, frames).warnings == ()
    (told,) = explain_clip(model, np.stack(pictures(7))).warnings
    assert told.code == "untrained-size"
    assert "clips have 7 frames" in told.text
    asked_for = {"target": 1, "method": "staa", "options": Options(replacement="black")}
    codes = [each.code for each in explain_clip(model, frames, **asked_for).warnings]
    assert codes == ["class-blind-method", "setting-without-effect"]


def test_videos_at_once_give_what_they_give_in_turn(tmp_path: Path, model: LoadedModel) -> None:
    jobs = [
        (film(tmp_path / f"{n}.mp4", 24, seed=n), method)
        for n, method in enumerate(("staa", "rollout", "staa-logit"))
    ]
    alone = [explain_video(path, model, method=name, settings=asked()) for path, name in jobs]
    together: dict[int, Explanation] = {}

    def work(n: int) -> None:
        path, name = jobs[n]
        for _ in range(2):
            together[n] = explain_video(path, model, method=name, settings=asked())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(3):
        same(together[n], alone[n], atol=1e-6)


def test_it_is_silent_and_leaves_nothing(
    video: Path, model: LoadedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    explain_video(video, model, settings=asked())
    threads = torch.get_num_threads()
    gc.collect()
    gc.freeze()  # what is there now is looked at no more
    try:
        for _ in range(2):
            explain_video(video, model, settings=asked())
        gc.collect()
        assert [each for each in gc.get_objects() if type(each) is torch.Tensor] == []
    finally:
        gc.unfreeze()
    assert torch.get_num_threads() == threads
    assert not any(part._forward_hooks for part in model.module.modules())
    assert torch.is_grad_enabled()
    assert capfd.readouterr() == ("", "")


def test_nothing_is_written(tmp_path: Path, model: LoadedModel) -> None:
    film(tmp_path / "walk.mp4", 12)
    explain_video(tmp_path / "walk.mp4", model)
    assert [path.name for path in tmp_path.iterdir()] == ["walk.mp4"]


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
    for mine, raw in zip(found.attributions, explained.attributions, strict=True):
        np.testing.assert_array_equal(mine.values, raw.values)
    raw, smoothed = explained.temporal, found.temporal
    assert smoothed.coefficient_of_variation == raw.coefficient_of_variation
    assert smoothed.maximum == found.frames.score.max() < raw.maximum
    assert np.abs(np.diff(found.frames.score)).max() < np.abs(np.diff(explained.frames.score)).max()
    share = np.count_nonzero(found.maps.values) / np.count_nonzero(explained.maps.values)
    assert 0.2 < share < 0.5  # knots of overlapping clips hold what either keeps
    assert found.fingerprint != explained.fingerprint


def test_the_fingerprint_is_of_what_matters(model: LoadedModel) -> None:
    base = asked()
    one = provenance.fingerprint("video", "weights", "softmax", model.labels, base)
    for same_result in (
        replace(base, batch_size=7, threads=3, device="cpu"),
        replace(base, output=replace(base.output, dir="elsewhere")),
    ):
        assert (
            provenance.fingerprint("video", "weights", "softmax", model.labels, same_result) == one
        )
    others = [
        provenance.fingerprint("other", "weights", "softmax", model.labels, base),
        provenance.fingerprint("video", "other", "softmax", model.labels, base),
        provenance.fingerprint("video", "weights", "sigmoid", model.labels, base),
        provenance.fingerprint("video", "weights", "softmax", ("a", *model.labels[1:]), base),
        provenance.fingerprint(
            "video", "weights", "softmax", model.labels, replace(base, target="1")
        ),
        provenance.fingerprint(
            "video",
            "weights",
            "softmax",
            model.labels,
            replace(base, method=MethodSettings(seed=1)),
        ),
    ]
    assert len({one, *others}) == 1 + len(others)


def test_what_a_reader_should_know_is_said(explained: Explanation, tmp_path: Path) -> None:
    codes = {w.code for w in explained.warnings}
    assert "model-note" in codes
    assert codes.isdisjoint({"upsampled-input", "decode-errors", "truncated"})
    write_video(tmp_path / "tiny.mp4", [p[:24, :32] for p in pictures(24)], rate=12)
    small = explain_video(tmp_path / "tiny.mp4", settings=asked())
    assert "upsampled-input" in {w.code for w in small.warnings}


def test_a_picture_that_is_padded_has_its_moments_in_the_picture(tmp_path: Path) -> None:
    write_video(tmp_path / "tiny.mp4", [p[:16, :48] for p in pictures(24)], rate=12)
    model = load_model("test_timesformer", device="cpu")
    info = replace(model.info, input=replace(model.input, resize=None))
    found = explain_video(tmp_path / "tiny.mp4", replace(model, info=info), settings=asked())
    assert found.maps.box == pytest.approx((8 / 48, -8 / 16, 40 / 48, 24 / 16))
    for moment in found.moments:
        assert min(*moment.box, *moment.center) >= 0
        assert max(*moment.box, *moment.center) <= 1
    (told,) = [w.text for w in found.warnings if w.code == "upsampled-input"]
    assert "padded with black" in told


def test_the_run_is_described(explained: Explanation) -> None:
    assert explained.run is not None
    assert explained.run.peak_memory_bytes is not None
    assert explained.run.device == "cpu"
    assert explained.run.seconds.keys() == {"probe", "decode", "forward", "stitch"}
    assert all(seconds > 0 for seconds in explained.run.seconds.values())
    assert explained.run.peak_memory_bytes > 50e6


@pytest.mark.parametrize("content", [None, b"", b"no video"])
def test_what_is_no_video_is_told(
    tmp_path: Path, model: LoadedModel, content: bytes | None
) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError):
        explain_video(path, model)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells it right")
def test_the_peak_is_this_processes_own_and_not_what_its_parent_had() -> None:
    ballast = bytearray(15 * 10**8)
    assert len(ballast) > 0
    code = "from staa_cli.memory import peak_memory_bytes; print(peak_memory_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1e7 < int(done.stdout) < 14e8 < peak_memory_bytes()


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
    assert steps[-1] == (4 * 4 * 102, 4 * 4 * 102)
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
    assert most == 4 * 4 * 22  # a fifth of 4 * 4 * 102
    both = explain_video(
        video, model, settings=asked(output={"faithfulness": True, "quick_faithfulness": True})
    )
    assert both.faithfulness is not None
    assert not both.faithfulness.quick


def test_nothing_is_measured_unasked(explained: Explanation) -> None:
    assert explained.faithfulness is None
    assert "not-faithful" not in {w.code for w in explained.warnings}
