"""What the model is fed, against Hugging Face's own processor and hand-worked numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from staa_cli.errors import InputError
from staa_cli.models.load import load_model
from staa_cli.models.preprocess import preprocess_frame, view_box
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
    [{}, {"resize": 71}, {"interpolation": "bicubic"}, {"resize": (56, 56)}],
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
        size={"height": 56, "width": 56} if isinstance(side, tuple) else {"shortest_edge": side},
        crop_size={"height": 56, "width": 56},
        resample={"bilinear": 2, "bicubic": 3}[wanted.interpolation],
        image_mean=list(wanted.mean),
        image_std=list(wanted.std),
    )
    expected = reference([[frame]], return_tensors="pt").pixel_values[0, 0]
    torch.testing.assert_close(preprocess_frame(frame, wanted), expected, rtol=0, atol=2e-6)


def test_a_plain_color_comes_out_rescaled_and_normalized() -> None:
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
    ids=["float", "gray", "alpha"],
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
        ((100, 200), {"resize": (56, 56)}, (0, 0, 1, 1)),
        ((100, 200), {"resize": (112, 56)}, (0, 0.25, 1, 0.75)),
        ((100, 200), {"resize": None}, (72 / 200, 22 / 100, 128 / 200, 78 / 100)),
        ((100, 200), {"resize": 56, "longest": 56}, (0, -0.5, 1, 1.5)),
        ((28, 112), {"resize": None}, (0.25, -0.5, 0.75, 1.5)),
        ((55, 55), {"resize": None}, (0, 0, 56 / 55, 56 / 55)),
        ((55, 55), {"resize": None, "backend": "pillow"}, (-1 / 55, -1 / 55, 1, 1)),
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


@pytest.mark.parametrize("backend", ["torchvision", "pillow"])
@pytest.mark.parametrize(
    "changes",
    [{"resize": None}, {"resize": 40}, {"resize": (40, 70)}, {"resize": 70, "longest": 80}],
    ids=str,
)
@pytest.mark.parametrize(("height", "width"), [(33, 41), (101, 47), (90, 200)])
def test_a_dot_is_where_the_view_box_says(
    height: int, width: int, changes: dict[str, Any], backend: Any
) -> None:
    """Padded, cropped, stretched, or all of it: a place in the view is one in the picture."""
    wanted = replace(WANTED, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), backend=backend, **changes)
    left, top, right, bottom = view_box(height, width, wanted)
    for y, x in ((height // 2, width // 2), (height // 2 - 4, width // 2 + 5)):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[y - 1 : y + 2, x - 1 : x + 2] = 255
        seen = preprocess_frame(frame, wanted)[0].double()
        rows, columns = ((torch.arange(side) + 0.5) / side for side in wanted.size)
        across = float((seen.sum(0) * columns).sum() / seen.sum())
        down = float((seen.sum(1) * rows).sum() / seen.sum())
        assert left + across * (right - left) == pytest.approx((x + 0.5) / width, abs=0.3 / 40)
        assert top + down * (bottom - top) == pytest.approx((y + 0.5) / height, abs=0.3 / 40)
