"""A folder of videos with a ground_truth.json: what is asked of its clips, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image
from small_videos import film

from staa_cli.benchmark.datasets import Dataset, open_dataset
from staa_cli.cli.app import run
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.results.generate_schema import ground_truth_schema
from staa_cli.schema import Bool, ModelInput, UInt8
from staa_cli.video.encode import write_video

RATE, WIDTH, HEIGHT = 12, 96, 64
LIT = {"x": 0.5, "y": 0.25, "width": 0.25, "height": 0.5}
"""Where the picture of `lit_video` is white, for half a second."""
EVENT = {"start_s": 1.0, "end_s": 1.5}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer")


def with_input(model: LoadedModel, **changes: Any) -> LoadedModel:
    return replace(model, info=replace(model.info, input=replace(model.input, **changes)))


def lit_video(path: Path, seconds: float = 4.0, rotation: int = 0) -> Path:
    """Dark, but for a white rectangle in the upright picture that is there for half a second."""
    upright = np.full((round(seconds * RATE), HEIGHT, WIDTH, 3), 30, np.uint8)
    upright[RATE : RATE + RATE // 2, 16:48, 48:72] = 240
    stored = np.rot90(upright, -(rotation // 90), axes=(1, 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, list(stored), rate=RATE, rotation=rotation, preset="ultrafast")
    return path


def truth(folder: Path, *videos: dict[str, Any], **more: Any) -> Path:
    """Writes what is said of some videos."""
    text = json.dumps({"schema_version": 1, "videos": videos, **more})
    (folder / "ground_truth.json").write_text(text)
    return folder


def lit(frames: UInt8) -> Bool:
    """[T, h, w] where what the model sees is white."""
    return np.asarray(frames.min(axis=3) > 135)


def png(path: Path, values: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path.name


VIEWS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "cropped": {"resize": 40},
    "padded": {"resize": 24},
    "squeezed": {"resize": (32, 32)},
    "unscaled": {"resize": None},
    "by pillow": {"backend": "pillow", "interpolation": "bicubic"},
    "nearest": {"interpolation": "nearest"},
}


@pytest.mark.parametrize("rotation", [0, 90, 180])
@pytest.mark.parametrize("view", VIEWS)
def test_a_box_is_where_the_model_sees_what_it_is_around(
    view: str, rotation: int, model: LoadedModel, tmp_path: Path
) -> None:
    lit_video(tmp_path / "a.mp4", rotation=rotation)
    off = {"time_s": 1.0, "end_s": 1.5, **LIT}
    truth(tmp_path, {"file": "a.mp4", "events": [EVENT], "boxes": [off]})
    data = open_dataset(str(tmp_path), with_input(model, **VIEWS[view]), 0)
    assert (data.count, set(data.truth)) == (1, {"mask", "event"})
    sample = data.sample(0)
    (question,) = sample.questions
    seen, mask = lit(sample.frames), question.mask
    assert mask is not None
    assert question.event is not None
    assert question.event.tolist() == [False, True, True, False]
    assert np.array_equal(seen.any(axis=(1, 2)), question.event)
    assert np.array_equal(mask.any(axis=(1, 2)), question.event)
    assert (seen != mask).mean() < 0.03  # an edge may be off by a pixel
    assert (seen & mask).sum() > 0.8 * (seen | mask).sum()
    # What the model is given is what it would be given of the whole picture.
    given = sample.preprocess(with_input(model, **VIEWS[view]))
    assert given.shape == (1, model.input.frames, 3, *model.input.size)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "LA", "P", "I;16"])
@pytest.mark.parametrize("scale", [1, 3])
def test_a_mask_of_any_kind_of_png_and_any_size_says_the_same_as_the_box(
    mode: str, scale: int, model: LoadedModel, tmp_path: Path
) -> None:
    lit_video(tmp_path / "a.mp4")
    values = np.zeros((HEIGHT * scale, WIDTH * scale), np.uint8)
    values[16 * scale : 48 * scale, 48 * scale : 72 * scale] = 1  # an index: a person sees black
    image = Image.fromarray(values * 255 if mode in ("1", "RGB", "RGBA", "LA") else values)
    if mode == "P":
        image.putpalette([0, 0, 0] * 256)
    image = Image.fromarray(values.astype(np.uint16)) if mode == "I;16" else image.convert(mode)
    (tmp_path / "masks").mkdir()
    image.save(tmp_path / "masks" / "a 1.png")
    masks = [{"time_s": 1, "file": "masks/a 1.png", "end_s": 1.5}]
    truth(tmp_path, {"file": "a.mp4", "events": [EVENT], "masks": masks})
    by_mask = open_dataset(str(tmp_path), model, 0).sample(0).questions[0].mask
    boxes = [{"time_s": 1, "end_s": 1.5, **LIT}]
    truth(tmp_path, {"file": "a.mp4", "events": [EVENT], "boxes": boxes})
    by_box = open_dataset(str(tmp_path), model, 0).sample(0).questions[0].mask
    assert by_mask is not None
    assert by_box is not None
    assert by_mask.any()
    assert np.array_equal(by_mask, by_box)


def test_a_box_holds_until_the_next_or_its_end_and_boxes_of_one_time_hold_together(
    model: LoadedModel, tmp_path: Path
) -> None:
    film(tmp_path / "a.mp4", 48)
    left = {"x": 0.0, "y": 0.0, "width": 0.5, "height": 1.0}
    right = {**left, "x": 0.5}
    boxes = [
        {"time_s": 2.0, **right},  # in any order
        {"time_s": 1.0, **left},
        {"time_s": 2.5, **left},
        {"time_s": 2.5, **right},
        {"time_s": 3.0, **left, "end_s": 3.5},
    ]
    truth(tmp_path, {"file": "a.mp4", "boxes": boxes})
    whole = with_input(model, frames=32, stride=1, rate=8.0, resize=(32, 32))
    mask = open_dataset(str(tmp_path), whole, 0).sample(0).questions[0].mask
    times_s = np.arange(32) / 8
    on_left, on_right = mask[:, 16, 4], mask[:, 16, 28]
    assert np.array_equal(
        on_left,
        ((times_s >= 1) & (times_s < 2)) | ((times_s >= 2.5) & (times_s < 3.5)),
    )
    assert np.array_equal(on_right, (times_s >= 2) & (times_s < 3))


def test_something_smaller_than_a_pixel_of_the_model_is_not_lost(
    model: LoadedModel, tmp_path: Path
) -> None:
    film(tmp_path / "a.mp4", 12)
    box = {"time_s": 0, "x": 0.5, "y": 0.5, "width": 0.001, "height": 0.001}
    truth(tmp_path, {"file": "a.mp4", "boxes": [box]})
    mask = open_dataset(str(tmp_path), model, 0).sample(0).questions[0].mask
    assert set(mask.sum(axis=(1, 2))) == {1}


def clips_of(data: Dataset) -> list[list[bool]]:
    return [data.sample(n).questions[0].event.tolist() for n in range(data.count or 0)]


def test_there_is_a_clip_for_every_event_that_no_other_clip_shows(
    model: LoadedModel, tmp_path: Path
) -> None:
    """Of 4 frames, 0.25 s apart: the third is at the middle of the event."""
    lit_video(tmp_path / "a.mp4", 8.0)
    short = {"start_s": 4.0, "end_s": 4.1}  # shorter than the time between two frames
    near, late = {"start_s": 4.2, "end_s": 4.25}, {"start_s": 7.5, "end_s": 8.0}
    truth(tmp_path, {"file": "a.mp4", "events": [late, near, short]})
    data = open_dataset(str(tmp_path), model, 0)
    assert data.count == 2
    first, last = clips_of(data)
    assert first == [False, False, True, False]
    assert last[-2:] == [True, True]
    assert len({data.describe(0), data.describe(1)}) == 2
    truth(tmp_path, {"file": "a.mp4", "events": [{"start_s": 0.0, "end_s": 0.5}]})
    assert clips_of(open_dataset(str(tmp_path), model, 0)) == [[True, True, False, False]]


def test_what_is_known_decides_which_metrics_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        lit_video(tmp_path / name)
    line = ["benchmark", "quality", "--dataset", str(tmp_path), "--model", "test_timesformer"]
    line += ["--methods", "rollout,random", "--json"]

    def scored(*videos: dict[str, Any], more: tuple[str, ...] = ()) -> dict[str, Any]:
        truth(tmp_path, *videos)
        assert run([*line, *more]) == 0
        result = json.loads(capsys.readouterr().out)
        result["metrics"] = {row["metric"]: row["n"] for row in result["results"]}
        return dict(result)

    when, box = {"events": [EVENT]}, {"time_s": 0, **LIT}
    times = scored({"file": "a.mp4", **when})
    assert (times["metrics"], times["mask_share"]) == ({"temporal_auc": 1}, None)
    assert (times["correct"], times["accuracy"]) == (None, None)
    places = scored({"file": "a.mp4", "boxes": [box]})
    assert places["metrics"] == {"pointing": 1, "energy": 1, "iou": 1}
    both = scored({"file": "a.mp4", "boxes": [box]}, {"file": "b.mp4", **when})
    assert both["metrics"] == {"pointing": 1, "energy": 1, "iou": 1, "temporal_auc": 1}
    # A file alone: faithfulness, of the class that the model says of the middle of the video.
    alone = scored({"file": "a.mp4"})
    assert alone["metrics"] == {"srg": 1}
    assert (alone["scored"], alone["of"], alone["labeled"]) == (1, 1, None)
    beside = scored({"file": "a.mp4"}, {"file": "b.mp4", **when}, more=("--metrics", "srg"))
    assert beside["metrics"] == {"srg": 2}
    truth(tmp_path, {"file": "a.mp4", **when})
    assert run([*line, "--metrics", "energy"]) == 2
    told = capsys.readouterr().err
    assert "has no boxes or masks, which is needed for energy" in told
    assert "hint: boxes or masks come from a ground_truth.json in the folder" in told
    assert "without --metrics: temporal_auc\n" in told
    # Labels alone: correctness, of those that the model knows.
    labels = load_model("test_timesformer").labels
    videos = [
        {"file": f"{name}.mp4", "label": label}
        for name, label in zip("ab", labels[:2], strict=True)
    ]
    found = scored(
        *videos, {"file": "c.mp4", "label": "never heard"}, more=("--metrics", "deletion")
    )
    assert (found["labeled"], found["clips"]) == (2, 3)
    assert found["scored"] == found["correct"] + 1
    assert found["accuracy"] == found["correct"] / 2


def test_labels_that_the_model_knows_are_asked_for_and_others_are_not(
    model: LoadedModel, tmp_path: Path
) -> None:
    film(tmp_path / "a.mp4", 12)
    for label, target in ((model.labels[1].upper(), 1), ("never heard", None), ("1", None)):
        truth(tmp_path, {"file": "a.mp4", "label": label, "events": [{"start_s": 0, "end_s": 1}]})
        data = open_dataset(str(tmp_path), model, 0)
        assert data.sample(0).questions[0].target == target
        assert ("label" in data.truth) == (target is not None)


def test_labels_that_the_model_does_not_know_are_told_before_anything_is_scored(
    model: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, videos = model.labels[1], []
    for number, label in enumerate([known.upper(), known + "e", "ö", known + "e"]):
        film(tmp_path / f"{number}.mp4", 12)
        videos.append({"file": f"{number}.mp4", "label": label})
    truth(tmp_path, *videos)
    line = ["benchmark", "quality", "--dataset", str(tmp_path), "--model", "test_timesformer"]
    line += ["--methods", "random", "--metrics", "sparseness"]
    assert run(line) == 0
    told = [row for row in capsys.readouterr().err.splitlines() if row.startswith("warning: ")]
    assert len(told) == 1
    assert repr(known.upper()) not in told[0]
    assert told[0].count(f"{known + 'e'!r} (did you mean") == 1
    assert told[0].endswith("'ö'")
    truth(tmp_path, videos[0])
    assert run(line) == 3  # the model knows the label, and says something else
    assert "warning: " not in capsys.readouterr().err


def test_a_byte_order_mark_before_the_text_is_no_fault(model: LoadedModel, tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", 12)
    truth(tmp_path, VIDEO)
    content = (tmp_path / "ground_truth.json").read_bytes()
    (tmp_path / "ground_truth.json").write_bytes(b"\xef\xbb\xbf" + content)
    assert open_dataset(str(tmp_path), model, 0).count == 1


def test_the_sample_videos_are_a_valid_instance_and_are_scored(
    sample_videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = json.loads((sample_videos / "ground_truth.json").read_text())
    jsonschema.validate(stored, ground_truth_schema())
    line = ["benchmark", "quality", "--dataset", str(sample_videos), "--methods", "staa-class"]
    assert run([*line, "--metrics", "pointing,temporal_auc", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["clips"], result["labeled"]) == (6, 6)
    assert result["correct"] >= 5
    means = {row["metric"]: row["mean"] for row in result["results"]}
    assert means["pointing"] > 0.8
    assert means["temporal_auc"] > 0.8


BOX = {"time_s": 0.0, "x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2}
VIDEO: dict[str, Any] = {"file": "a.mp4", "boxes": [BOX]}


def one(**changes: Any) -> Callable[[Path], object]:
    """Another thing said of the one video; None leaves something out."""
    said = {name: value for name, value in {**VIDEO, **changes}.items() if value is not None}
    return lambda folder: truth(folder, said)


def text(content: str | bytes) -> Callable[[Path], object]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / "ground_truth.json").write_bytes(data)


def with_mask(values: Any, **changes: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        png(folder / "m.png", values)
        one(boxes=None, masks=[{"time_s": 0, "file": "m.png"} | changes])(folder)

    return write


def with_half_a_mask(folder: Path) -> None:
    with_mask(np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8))(folder)
    content = (folder / "m.png").read_bytes()
    (folder / "m.png").write_bytes(content[: len(content) // 2])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "box too wide": (one(boxes=[{**BOX, "width": 1.2}]), "videos[0].boxes[0].width"),
    "box over the edge": (one(boxes=[{**BOX, "x": 0.9}]), "ends outside the picture"),
    "box in pixels": (one(boxes=[BOX, {**BOX, "x": 120}]), "videos[0].boxes[1].x"),
    "box without size": (one(boxes=[{**BOX, "height": 0}]), "videos[0].boxes[0].height"),
    "box before the start": (one(boxes=[{**BOX, "time_s": -1}]), "videos[0].boxes[0].time_s"),
    "box after the end": (one(boxes=[{**BOX, "time_s": 9}]), "boxes[0].time_s is 9 s, but"),
    "event after the end": (one(events=[{"start_s": 1, "end_s": 7}]), "events[0].end_s is 7 s"),
    "event backwards": (one(events=[{"start_s": 1, "end_s": 1}]), "must be after start_s"),
    "box backwards": (one(boxes=[{**BOX, "time_s": 1, "end_s": 0.5}]), "must be after time_s"),
    "unknown video": (one(file="c.mp4"), "names the video 'c.mp4', which does not exist"),
    "a folder": (one(file="."), "names the video '.', which is a folder"),
    "no PNG": (
        one(boxes=None, masks=[{"time_s": 0, "file": "a.mp4"}]),
        "names the mask 'a.mp4', which is not a PNG file",
    ),
    "missing mask": (
        one(boxes=None, masks=[{"time_s": 0, "file": "m.png"}]),
        "names the mask 'm.png', which does not exist",
    ),
    "video outside": (one(file="../a.mp4"), "must be a path inside the folder"),
    "mask outside": (with_mask(np.ones((6, 8), bool), file="x/../../m.png"), "inside the folder"),
    "mask by an absolute path": (with_mask(np.ones((6, 8), bool), file="/m.png"), "inside the"),
    "text for a number": (one(boxes=[{**BOX, "x": "0.1"}]), "boxes[0].x: expected float, got str"),
    "an object for a list": (one(boxes=BOX), "videos[0].boxes: expected array"),
    "no boxes": (one(boxes=[]), "videos[0].boxes: expected array of length >= 1"),
    "no videos": (truth, "videos: expected array of length >= 1"),
    "boxes and masks": (one(masks=[{"time_s": 0, "file": "a.mp4"}]), "boxes or masks, not both"),
    "a video twice": (
        lambda folder: truth(folder, VIDEO, {**VIDEO, "file": "./a.mp4"}),
        "'./a.mp4' is listed twice",
    ),
    "a box twice": (one(boxes=[BOX, BOX]), "boxes[1] is listed twice"),
    "a slip of the pen": (one(evnts=[]), "unknown field evnts"),
    "no JSON": (text('{"schema_version": 1,'), "is not JSON"),
    "no text": (text(b"\xff\xfe"), "is not JSON"),
    "another encoding": (
        text(
            '{"schema_version": 1,\n"videos": [{"file": "a.mp4", "label": "ö"}]}'.encode("cp1252")
        ),
        "is not JSON: it is not UTF-8 text (line 2)",
    ),
    "nothing in it": (text(""), "is not JSON: it is empty"),
    "a list": (text("[]"), "is not a valid ground truth: expected object, got array"),
    "the future": (text('{"schema_version": 2, "tracks": {}}'), "has schema version 2"),
}
AT_ITS_CLIP: dict[str, tuple[Callable[[Path], object], str]] = {
    "half a PNG": (with_half_a_mask, "cannot be decoded"),
    "mask turned": (
        with_mask(np.ones((8, 6), bool)),
        "is 6 x 8, but the upright picture is 64 x 48",
    ),
}


IN_PIXELS = {"box too wide", "box over the edge", "box in pixels", "box without size"}


@pytest.mark.parametrize("fault", [*BAD, *AT_ITS_CLIP])
def test_what_cannot_be_is_told_in_one_line(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, words = (BAD | AT_ITS_CLIP)[fault]
    film(tmp_path / "a.mp4", 24)
    write(tmp_path)
    line = ["benchmark", "quality", "--dataset", str(tmp_path), "--model", "test_timesformer"]
    assert run([*line, "--methods", "random"]) == 3
    printed = capsys.readouterr()
    errors = [row for row in printed.err.splitlines() if row.startswith("error: ")]
    if fault in BAD:
        assert len(errors) == 1
        assert "hint: " in printed.err
    assert words in errors[0]
    assert str(tmp_path) in errors[0]
    assert ("0 to 1, not pixels" in printed.err) == (fault in IN_PIXELS)
    assert printed.out == ""


def test_a_video_that_does_not_open_is_named_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "a.mp4", 24)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    truth(tmp_path, VIDEO, {**VIDEO, "file": "b.mp4"})
    line = ["benchmark", "quality", "--dataset", str(tmp_path), "--model", "test_timesformer"]
    assert run([*line, "--methods", "random", "--json"]) == 3
    printed = capsys.readouterr()
    assert "b.mp4" in printed.err
    assert json.loads(printed.out)["scored"] == 1


def test_what_is_said_anew_is_another_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "a.mp4", 24)
    truth(tmp_path, VIDEO)
    line = ["benchmark", "quality", "--dataset", str(tmp_path), "--model", "test_timesformer"]
    line += ["--methods", "random", "--into", str(tmp_path / "scores"), "-q"]
    assert [run(line), run(line)] == [0, 0]
    truth(tmp_path, {**VIDEO, "boxes": [{**BOX, "x": 0.3}]})
    assert run(line) == 2
    assert "other videos" in capsys.readouterr().err


@pytest.mark.parametrize("fault", BAD)
def test_the_json_schema_agrees_as_far_as_a_schema_can_tell(fault: str, tmp_path: Path) -> None:
    """What concerns two fields, files, or the form of JSON is beyond it."""
    beyond = ("outside", "inside", "after", "exist", "twice", "needs", "JSON", "not both")
    files = ("is a folder", "PNG")
    write, words = BAD[fault]
    if any(word in words for word in (*beyond, *files)) or "is 9 s" in words or "is 7 s" in words:
        return
    write(tmp_path)
    stored = json.loads((tmp_path / "ground_truth.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(stored, ground_truth_schema())


def test_the_sampling_is_the_models_own(model: LoadedModel, tmp_path: Path) -> None:
    lit_video(tmp_path / "a.mp4")
    truth(tmp_path, {"file": "a.mp4", "events": [EVENT]})
    slow: ModelInput = replace(model.input, stride=model.input.stride * 2)
    counts = []
    for given in (model.input, slow):
        again = replace(model, info=replace(model.info, input=given))
        counts.append(sum(clips_of(open_dataset(str(tmp_path), again, 0))[0]))
    assert counts == [2, 1]  # of four frames, 0.25 s and 0.5 s apart, in half a second
