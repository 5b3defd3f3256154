"""Processor files of every class over a grid of settings, pixel by pixel against transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_checks import edit_json
from torch import Tensor

from staa_cli.errors import CheckpointError
from staa_cli.models.checkpoints.processors import (
    CLASSES,
    class_of,
    processor_input,
    read_processor,
)
from staa_cli.models.preprocess import preprocess_frame, view_box
from staa_cli.schema import ModelInput

Facts = dict[str, Any]

BASE = ModelInput(
    frames=8,
    size=(56, 56),
    stride=4,
    rate=30.0,
    mean=(0.1, 0.2, 0.3),
    std=(0.3, 0.2, 0.1),
    resize=56,
)
OF_MODEL = {
    "timesformer": ("VideoMAEImageProcessor", "TimesformerVideoProcessor"),
    "videomae": ("VideoMAEImageProcessor", "VideoMAEVideoProcessor"),
    "vivit": ("VivitImageProcessor", "VivitVideoProcessor"),
    "vjepa2": ("VJEPA2VideoProcessor", "VJEPA2VideoProcessor"),
}
PICTURES = ((61, 97), (97, 61), (48, 48), (40, 33))
"""Height and width; larger than every crop, as large, and smaller, by odd numbers too."""

GRID: dict[str, list[Any]] = {
    "do_resize": [True, False],
    "size": [
        40,
        {"shortest_edge": 52},
        {"shortest_edge": 45, "longest_edge": 60},
        {"height": 48, "width": 64},
        [50, 44],
    ],
    "do_center_crop": [True, False],
    "crop_size": [48, {"height": 40, "width": 56}],
    "resample": [0, 1, 2, 3, 4, 5],
    "do_rescale": [True, False],
    "rescale_factor": [1 / 255, 1 / 127.5],
    "offset": [True, False],
    "do_normalize": [True, False],
    "image_mean": [[0.5, 0.4, 0.3], 0.45],
    "image_std": [[0.5, 0.25, 0.2], 0.225],
}
IDLE: Facts = {
    "data_format": "channels_first",
    "do_convert_rgb": True,
    "do_pad": False,
    "do_sample_frames": False,
    "num_frames": 3,
    "return_metadata": True,
    "processor_class": None,
    "unheard_of": 5,
}
"""Keys that change no pixel."""
MISSING = object()


def some_files(seed: int, count: int) -> Iterator[Facts]:
    """Files with each key at one of its values, or not there."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        picked = {key: [*values, MISSING][rng.integers(len(values) + 1)]
                  for key, values in GRID.items()}  # fmt: skip
        yield {key: value for key, value in picked.items() if value is not MISSING}


def single_changes() -> Iterator[Facts]:
    """A plain file, then that with one key at each of its values, or without the key."""
    plain = {"size": {"shortest_edge": 52}, "crop_size": {"height": 48, "width": 48}}
    yield plain
    for key, values in GRID.items():
        for value in values:
            yield {**plain, key: value}
        yield {name: value for name, value in plain.items() if name != key}
    yield {**plain, **IDLE}
    yield {**plain, "size": 52, "default_to_square": True}
    yield {**plain, "size": 52, "default_to_square": False}
    for key in GRID:
        yield {**plain, key: None}


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in PICTURES]


def theirs(name: str, facts: Facts, frame: np.ndarray) -> Tensor:
    """Pixels float [3, h, w] from the reference; it raises whatever it raises."""
    import transformers

    processor = getattr(transformers, name).from_dict(facts)
    given: Any = [frame] if "Image" in name else torch.from_numpy(frame).permute(2, 0, 1)[None]
    (values,) = (v for k, v in processor(given, return_tensors="pt").items() if "pixel" in k)
    return values[0, 0].float()


def compare(name: str, facts: Facts) -> str:
    """What became of a file: the same pixels, refused by both, or by us alone and why."""
    try:
        given, _ = processor_input(facts, BASE, "p.json", name)
    except CheckpointError as error:
        if "a different size" in error.cause:
            return "varies"
        if "resample" in error.cause and name != "VivitImageProcessor":
            return "resample"  # what torch of every version that we take cannot do
        with pytest.raises(Exception):  # noqa: B017, PT011
            [theirs(name, facts, frame) for frame in pictures()]
        return "refused"
    for frame in pictures():
        expected, found = theirs(name, facts, frame), preprocess_frame(frame, given)
        assert found.shape == expected.shape, facts
        largest = float(expected.abs().max())
        # Bytes that are not rescaled reach into the thousands, of which float32 keeps 7 digits.
        limit = 1e-4 * max(1.0, largest / 255)
        torch.testing.assert_close(
            found, expected, rtol=0, atol=limit, msg=lambda m: f"{facts} {m}"
        )
    return "same"


@pytest.mark.parametrize("name", CLASSES)
def test_every_key_does_what_the_reference_does_with_it(name: str) -> None:
    outcomes = [compare(name, facts) for facts in single_changes()]
    assert outcomes.count("same") >= 25
    # Pictures as they come are of the videos' own sizes, which no explanation can be laid over.
    assert outcomes.count("varies") <= 2
    assert outcomes.count("resample") == (0 if name == "VivitImageProcessor" else 4)


@pytest.mark.parametrize("name", CLASSES)
def test_keys_together_do_what_the_reference_does_with_them(name: str) -> None:
    outcomes = [compare(name, facts) for facts in some_files(1, 40)]
    assert outcomes.count("same") >= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("seed", range(10))
def test_many_more_keys_together(name: str, seed: int) -> None:
    assert [compare(name, facts) for facts in some_files(100 + seed, 100)].count("same") >= 25


@pytest.mark.parametrize("name", CLASSES)
def test_a_file_as_its_class_saves_it_is_read_the_same(name: str, tmp_path: Path) -> None:
    import transformers

    model = next(m for m, classes in OF_MODEL.items() if name in classes)
    getattr(transformers, name)(do_rescale=True, crop_size=48).save_pretrained(tmp_path)
    given, note = read_processor(tmp_path, OF_MODEL[model], BASE)
    (saved,) = tmp_path.iterdir()
    for frame in pictures():
        expected = theirs(name, json.loads(saved.read_text()), frame)
        torch.testing.assert_close(preprocess_frame(frame, given), expected, rtol=0, atol=1e-4)
    assert note == ""


@pytest.mark.parametrize("model", OF_MODEL)
def test_a_file_that_names_no_class_is_read_by_the_models_own(model: str, tmp_path: Path) -> None:
    from transformers import AutoImageProcessor, AutoVideoProcessor

    (tmp_path / "config.json").write_text(json.dumps({"model_type": model}))
    file = tmp_path / "preprocessor_config.json"
    file.write_text('{"crop_size": 48}')
    auto: Any = AutoVideoProcessor if model == "vjepa2" else AutoImageProcessor
    assert class_of({}, "", False, OF_MODEL[model]) == type(auto.from_pretrained(tmp_path)).__name__
    file.rename(tmp_path / "video_preprocessor_config.json")
    chosen = type(AutoVideoProcessor.from_pretrained(tmp_path)).__name__
    assert class_of({}, "", True, OF_MODEL[model]) == chosen


@pytest.mark.parametrize(
    ("facts", "video", "name"),
    [
        ({"image_processor_type": "VivitImageProcessor"}, False, "VivitImageProcessor"),
        ({"image_processor_type": "VivitImageProcessor"}, True, "VivitVideoProcessor"),
        ({"image_processor_type": "VideoMAEImageProcessorFast"}, False, "VideoMAEImageProcessor"),
        ({"image_processor_type": "VideoMAEImageProcessorPil"}, False, "VideoMAEImageProcessor"),
        ({"feature_extractor_type": "VideoMAEFeatureExtractor"}, False, "VideoMAEImageProcessor"),
        ({"image_processor_type": "VideoMAEFeatureExtractor"}, False, "VideoMAEImageProcessor"),
        ({"video_processor_type": "VJEPA2VideoProcessor"}, False, "VJEPA2VideoProcessor"),
        ({"image_processor_type": "GotOcrImageProcessor"}, True, "TimesformerVideoProcessor"),
    ],
)
def test_the_class_that_a_file_names_reads_it(facts: Facts, video: bool, name: str) -> None:
    assert class_of(facts, "", video, OF_MODEL["timesformer"]) == name


def test_a_class_that_is_not_known_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"p\.json: image_processor_type 'ViTImageProcessor'"):
        class_of({"image_processor_type": "ViTImageProcessor"}, "p.json", False, ("", ""))


def test_files_are_looked_for_in_the_references_order(tmp_path: Path) -> None:
    def resize() -> Any:
        return read_processor(tmp_path, OF_MODEL["timesformer"], BASE)[0].resize

    assert resize() == BASE.resize
    edit_json(tmp_path / "preprocessor_config.json", size=60)
    assert resize() == 60
    edit_json(tmp_path / "processor_config.json", image_processor={"size": 61})
    assert resize() == 61
    edit_json(tmp_path / "video_preprocessor_config.json", size=62)
    assert resize() == 62
    edit_json(tmp_path / "processor_config.json", video_processor={"size": 63})
    assert resize() == 63


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"size": {"longest_edge": 64}}, "size {'longest_edge': 64}"),
        ({"size": {"max_height": 64, "max_width": 64}}, "size {'max_height': 64, 'max_width': 64}"),
        ({"size": "large"}, "size 'large'"),
        ({"size": 0}, "size 0"),
        ({"size": None}, "size None"),
        ({"crop_size": {"shortest_edge": 48}}, "crop_size {'shortest_edge': 48}"),
        ({"do_center_crop": False}, "do_center_crop False"),
        ({"do_center_crop": False, "do_resize": False}, "do_center_crop False"),
        ({"do_resize": "yes"}, "do_resize 'yes'"),
        ({"resample": 1}, "resample 1"),
        ({"resample": 7}, "resample 7"),
        ({"image_mean": [0.5]}, "image_mean [0.5]"),
        ({"image_std": [0.5, 0.5, 0]}, "image_std [0.5, 0.5, 0]"),
        ({"rescale_factor": 0}, "rescale_factor 0"),
        ({"do_sample_frames": True, "fps": 0}, "fps 0"),
        ({"do_sample_frames": True, "fps": 2, "num_frames": 8}, "fps 2"),
    ],
)
def test_what_cannot_be_followed_is_named_with_its_value(facts: Facts, words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        processor_input(facts, BASE, "p.json", "VideoMAEVideoProcessor")
    assert caught.value.cause.startswith(f"p.json: {words} is not supported")
    assert "\n" not in caught.value.cause


def test_an_offset_without_rescaling_is_refused_as_in_the_reference() -> None:
    with pytest.raises(CheckpointError, match=r"do_rescale False.*offset"):
        processor_input({"do_rescale": False}, BASE, "p.json", "VivitImageProcessor")


def test_frames_come_as_fast_as_the_file_says() -> None:
    asked = {"do_sample_frames": True, "fps": 2}
    given, note = processor_input(asked, BASE, "p.json", "VideoMAEVideoProcessor")
    assert (given.interval_s, given.frames, note) == (0.5, BASE.frames, "")
    # An image processor knows nothing of time, and a video processor has to be told to.
    for facts, name in ((asked, "VideoMAEImageProcessor"), ({"fps": 2}, "VivitVideoProcessor")):
        assert processor_input(facts, BASE, "p.json", name)[0].interval_s == BASE.interval_s


def test_frames_that_would_be_spread_over_a_video_are_told() -> None:
    asked = {"do_sample_frames": True, "num_frames": 16}
    given, note = processor_input(asked, BASE, "p.json", "VJEPA2VideoProcessor")
    assert given.interval_s == BASE.interval_s
    for words in ("p.json", "num_frames 16", "one frame in 4 at 30 frames a second"):
        assert words in note


def test_padding_lies_outside_the_view_box_of_the_picture() -> None:
    facts = {"do_resize": False, "crop_size": {"height": 80, "width": 40}}
    given, _ = processor_input(facts, BASE, "p.json", "VideoMAEVideoProcessor")
    white = np.full((60, 60, 3), 255, np.uint8)
    seen = preprocess_frame(white, replace(given, mean=(0.0,) * 3, std=(1.0,) * 3))[0]
    left, top, right, bottom = view_box(60, 60, given)
    assert (left, right) == (10 / 60, 50 / 60)
    rows = (torch.arange(80) + 0.5) / 80 * (bottom - top) + top
    inside = (rows > 0) & (rows < 1)
    assert seen[inside].min() == 1
    assert seen[~inside].max() == 0
    assert int((~inside).sum()) == 20
