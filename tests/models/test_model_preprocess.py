"""What the model is fed, against Hugging Face's own processor and hand-worked numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from staa_cli.errors import CheckpointError, InputError
from staa_cli.models.loading import load_model
from staa_cli.models.preprocess import preprocess_frame, processor_input, view_box
from staa_cli.schema import ModelInput

WANTED = ModelInput(
    frames=8,
    size=(56, 56),
    stride=32,
    rate=30.0,
    mean=(0.45, 0.4, 0.5),
    std=(0.225, 0.25, 0.2),
    resize=56,
)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width"), [(120, 211), (211, 120), (57, 101), (56, 56), (40, 33), (333, 97)]
)
@pytest.mark.parametrize(
    "changes",
    [{}, {"resize": 71}, {"interpolation": "bicubic"}, {"keep_aspect": False}],
    ids=lambda c: ",".join(c) or "plain",
)
def test_pixels_equal_those_of_hugging_face(
    height: int, width: int, changes: dict[str, Any]
) -> None:
    from transformers import VideoMAEImageProcessor

    wanted = replace(WANTED, **changes)
    frame = picture(height, width)
    side = wanted.resize
    reference = VideoMAEImageProcessor(
        size={"shortest_edge": side} if wanted.keep_aspect else {"height": side, "width": side},
        crop_size={"height": 56, "width": 56},
        resample={"bilinear": 2, "bicubic": 3}[wanted.interpolation],
        image_mean=list(wanted.mean),
        image_std=list(wanted.std),
    )
    expected = reference([[frame]], return_tensors="pt").pixel_values[0, 0]
    torch.testing.assert_close(preprocess_frame(frame, wanted), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("height", "width"), [(61, 97), (97, 61), (36, 36)])
@pytest.mark.parametrize(
    ("name", "arguments", "limit"),
    [
        ("VideoMAEImageProcessor", {"size": {"shortest_edge": 32}}, 2e-6),
        # It resizes with Pillow, which rounds some pixels to the next of 256 levels.
        ("VivitImageProcessor", {"size": {"shortest_edge": 36}}, 1 / 127.5 / 0.5 + 2e-6),
        ("VJEPA2VideoProcessor", {}, 2e-6),
    ],
)
def test_every_familys_own_processor_is_followed(
    name: str, arguments: dict[str, Any], limit: float, height: int, width: int, tmp_path: Path
) -> None:
    import transformers

    crop: Any = 32 if name.startswith("VJEPA2") else {"height": 32, "width": 32}
    reference = getattr(transformers, name)(crop_size=crop, **arguments)
    reference.save_pretrained(tmp_path)
    (saved,) = tmp_path.iterdir()
    wanted = processor_input(json.loads(saved.read_text()), replace(WANTED, size=(32, 32)))
    frame = picture(height, width)
    given = torch.from_numpy(frame).permute(2, 0, 1)[None] if crop == 32 else [frame]
    (expected,) = reference([given], return_tensors="pt").values()
    torch.testing.assert_close(preprocess_frame(frame, wanted), expected[0, 0], rtol=0, atol=limit)


def test_a_vivit_processor_shifts_colours_unless_it_says_otherwise() -> None:
    facts = {"image_processor_type": "VivitImageProcessor", "rescale_factor": 1 / 127.5}
    assert processor_input(facts, WANTED).offset == -1
    assert processor_input({**facts, "offset": False}, WANTED).offset == 0
    assert processor_input({"image_processor_type": "VideoMAEImageProcessor"}, WANTED).offset == 0


def test_a_plain_colour_comes_out_rescaled_and_normalised() -> None:
    frame = np.full((90, 160, 3), (51, 102, 204), dtype=np.uint8)  # 0.2, 0.4, 0.8
    wanted = replace(WANTED, mean=(0.2, 0.2, 0.3), std=(0.5, 0.5, 0.25))
    values = preprocess_frame(frame, wanted)
    assert values.shape == (3, 56, 56)
    expected = torch.tensor([0.0, 0.4, 2.0]).view(3, 1, 1).expand(3, 56, 56)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-6)


def test_frames_become_a_batch_of_one() -> None:
    model = load_model("test_timesformer", device="cpu")
    frames = np.stack([picture(48, 64), picture(48, 64) // 2])
    batch = model.preprocess(frames)
    assert batch.shape == (1, 2, 3, 32, 32)
    assert torch.equal(batch[0, 1], model.preprocess_frame(frames[1]))


def test_views_of_other_arrays_are_taken_as_they_are() -> None:
    frame = picture(60, 80)
    mirrored = preprocess_frame(frame[:, ::-1], WANTED)
    assert torch.equal(mirrored, preprocess_frame(frame[:, ::-1].copy(), WANTED))
    frame.flags.writeable = False
    preprocess_frame(frame, WANTED)


@pytest.mark.parametrize(
    "frame",
    [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8)],
    ids=["float", "grey", "alpha"],
)
def test_something_else_than_a_picture_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(InputError, match="uint8"):
        preprocess_frame(frame, WANTED)


@pytest.mark.parametrize(
    ("size", "changes", "box"),
    [
        ((100, 100), {}, (0, 0, 1, 1)),
        ((100, 200), {}, (0.25, 0, 0.75, 1)),
        ((200, 100), {}, (0, 0.25, 1, 0.75)),
        ((100, 200), {"resize": 112}, (84 / 224, 0.25, 140 / 224, 0.75)),
        ((100, 200), {"keep_aspect": False}, (0, 0, 1, 1)),
    ],
)
def test_the_view_box_is_the_part_that_is_seen(
    size: tuple[int, int], changes: dict[str, Any], box: tuple[float, ...]
) -> None:
    assert view_box(*size, replace(WANTED, **changes)) == pytest.approx(box)


@pytest.mark.parametrize(("height", "width"), [(540, 960), (960, 541), (701, 223)])
def test_white_inside_the_view_box_is_all_that_the_model_sees(height: int, width: int) -> None:
    left, top, right, bottom = view_box(height, width, WANTED)
    inside = (slice(round(top * height), round(bottom * height)),
              slice(round(left * width), round(right * width)))  # fmt: skip
    frame = np.zeros((height, width, 3), dtype=np.uint8)
    frame[inside] = 255
    wanted = replace(WANTED, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    seen = preprocess_frame(frame, wanted)
    assert seen.min() >= 0.5  # at most the rim is mixed with what lies outside
    assert preprocess_frame(255 - frame, wanted).max() <= 0.5


BASE = replace(WANTED, mean=(0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("facts", "changes"),
    [
        ({}, {}),
        ({"size": 64}, {"resize": 64}),
        ({"size": {"shortest_edge": 64}}, {"resize": 64}),
        ({"size": {"height": 64, "width": 64}}, {"resize": 64, "keep_aspect": False}),
        ({"resample": 3}, {"interpolation": "bicubic"}),
        ({"rescale_factor": 1 / 127.5, "offset": True}, {"rescale": 1 / 127.5, "offset": -1.0}),
        ({"do_rescale": False}, {"rescale": 1.0}),
        ({"image_mean": [0.5, 0.4, 0.3]}, {"mean": (0.5, 0.4, 0.3)}),
        ({"image_std": [0.5, 0.4, 0.3]}, {"std": (0.5, 0.4, 0.3)}),
        ({"do_normalize": False}, {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
    ],
)
def test_a_processor_is_read_literally(facts: dict[str, Any], changes: dict[str, Any]) -> None:
    assert processor_input(facts, BASE) == replace(BASE, **changes)


@pytest.mark.parametrize(
    "facts",
    [
        {"size": {"height": 64, "width": 80}},
        {"size": {"shortest_edge": 64, "longest_edge": 80}},
        {"size": 48},
        {"size": None},
        {"resample": 0},
        {"image_mean": [0.5]},
    ],
)
def test_a_processor_that_cannot_be_followed_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="processor"):
        processor_input(facts, BASE)
