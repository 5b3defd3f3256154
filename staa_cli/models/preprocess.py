"""From a picture to what the model takes: resize, centre crop, rescale, normalise.

The pixels are those of Hugging Face's torchvision back end: resized as uint8, with antialias,
cropped at the floor of the half. Always on the CPU, so that every device sees the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from staa_cli.errors import CheckpointError, InputError
from staa_cli.schema import ModelInput, UInt8

_INTERPOLATION: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}


def preprocess_frame(frame: UInt8, wanted: ModelInput) -> Tensor:
    """A picture uint8 [H, W, 3] RGB to normalised float [3, h, w].

    Raises:
        InputError: it is something else than such a picture.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(f"frames must be uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}")
    writable = np.require(frame, requirements=["C", "W"])
    picture = torch.from_numpy(writable).permute(2, 0, 1)[None]  # [1, 3, H, W], channels last
    picture = _crop(_resize(picture, wanted), wanted)[0].float()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (wanted.mean, wanted.std))
    return picture.mul_(wanted.rescale).add_(wanted.offset).sub_(mean).div_(std).contiguous()


def view_box(height: int, width: int, wanted: ModelInput) -> tuple[float, float, float, float]:
    """Part of a picture [H, W] that the model sees: left, top, right, bottom, each 0 to 1."""
    rows, columns = resized(height, width, wanted)
    top, left = _corner((rows, columns), wanted)
    bottom, right = top + wanted.size[0], left + wanted.size[1]
    return left / columns, top / rows, right / columns, bottom / rows


def resized(height: int, width: int, wanted: ModelInput) -> tuple[int, int]:
    """Height and width before the crop."""
    short = wanted.resize
    if not wanted.keep_aspect:
        return short, short
    if height <= width:
        return short, int(short * width / height)
    return int(short * height / width), short


def processor_input(facts: Mapping[str, Any], base: ModelInput) -> ModelInput:
    """A Hugging Face processor's JSON over what is known already.

    The crop stays that of `base`: the weights' own size.

    Raises:
        CheckpointError: it asks for something that cannot be done here.
    """
    size = facts.get("size", base.resize)
    short, keep_aspect = _short_side(size)
    if short < max(base.size):
        raise CheckpointError(
            f"the processor's size {size} is smaller than the model's input {list(base.size)}"
        )
    resample = facts.get("resample", 2)
    if resample not in _INTERPOLATION:
        raise CheckpointError(f"the processor's resample {resample} is not known here")
    normalise = facts.get("do_normalize", True)
    kind = str(facts.get("image_processor_type", facts.get("feature_extractor_type", "")))
    shifted = facts.get("offset", kind.startswith("Vivit"))  # whose class has it on by default
    return replace(
        base,
        resize=short,
        keep_aspect=keep_aspect,
        interpolation=_INTERPOLATION[resample],
        rescale=facts.get("rescale_factor", 1 / 255) if facts.get("do_rescale", True) else 1.0,
        offset=-1.0 if shifted else 0.0,
        mean=_triple(facts.get("image_mean", base.mean)) if normalise else (0.0, 0.0, 0.0),
        std=_triple(facts.get("image_std", base.std)) if normalise else (1.0, 1.0, 1.0),
    )


def _short_side(size: Any) -> tuple[int, bool]:
    """Pixels, and whether the picture keeps its shape."""
    if isinstance(size, int):
        return size, True
    if isinstance(size, Mapping):
        if set(size) == {"shortest_edge"}:
            return int(size["shortest_edge"]), True
        if set(size) == {"height", "width"} and size["height"] == size["width"]:
            return int(size["height"]), False
    raise CheckpointError(f"the processor's size {size} is not known here")


def _triple(values: Any) -> tuple[float, float, float]:
    if isinstance(values, list | tuple) and len(values) == 3:
        return float(values[0]), float(values[1]), float(values[2])
    raise CheckpointError(f"the processor's mean and std take three numbers, not {values}")


def _resize(picture: Tensor, wanted: ModelInput) -> Tensor:
    height, width = picture.shape[-2:]
    size = resized(height, width, wanted)
    if size == (height, width):
        return picture
    return F.interpolate(picture, size, mode=wanted.interpolation, antialias=wanted.antialias)


def _corner(size: tuple[int, int], wanted: ModelInput) -> tuple[int, int]:
    return (size[0] - wanted.size[0]) // 2, (size[1] - wanted.size[1]) // 2


def _crop(picture: Tensor, wanted: ModelInput) -> Tensor:
    height, width = picture.shape[-2:]
    top, left = _corner((height, width), wanted)
    return picture[..., top : top + wanted.size[0], left : left + wanted.size[1]]
