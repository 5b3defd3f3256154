"""From a frame to the model's input: resize, center crop, rescale, normalize.

Pixels match those of Hugging Face's back ends: torchvision, or Pillow if the checkpoint's processor
uses it. Frames are resized as uint8, with antialiasing, cropped at the rounded-down center, and
padded with black where the crop is larger. Always on the CPU, so that every device gets the same
numbers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from staa_cli.errors import InputError
from staa_cli.schema import Bool, ModelInput, UInt8


def preprocess_frame(frame: UInt8, model_input: ModelInput) -> Tensor:
    """A frame uint8 [H, W, 3] RGB to normalized float [3, h, w].

    Raises:
        InputError: the frame has another dtype or shape.
    """
    picture = _view(frame, model_input).float()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model_input.mean, model_input.std))
    return (
        picture.mul_(model_input.rescale).add_(model_input.offset).sub_(mean).div_(std).contiguous()
    )


def view_of(frame: UInt8, model_input: ModelInput) -> UInt8:
    """The part of a frame uint8 [H, W, 3] that the model sees: uint8 [h, w, 3], not normalized.

    Raises:
        InputError: the frame has another dtype or shape.
    """
    return np.ascontiguousarray(_view(frame, model_input).permute(1, 2, 0).numpy())


def view_of_mask(mask: Bool, model_input: ModelInput) -> Bool:
    """The part of a mask [H, W] that the model sees: [h, w], the pixels that it covers by half.

    If it covers no pixel by half, the pixel that it covers most.
    """
    picture = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
    share = view_of(picture, model_input)[..., 0]
    return np.asarray(share >= min(128, max(1, share.max())))


def _view(frame: UInt8, model_input: ModelInput) -> Tensor:
    """Resized and cropped, uint8 [3, h, w]."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(f"frames must be uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}")
    writable = np.require(frame, requirements=["C", "W"])
    picture = torch.from_numpy(writable).permute(2, 0, 1)[None]  # [1, 3, H, W], channels last
    return _crop(_resize(picture, model_input), model_input)[0]


def view_box(height: int, width: int, model_input: ModelInput) -> tuple[float, float, float, float]:
    """Part of a frame [H, W] that the model sees: left, top, right, bottom.

    Each is a fraction of the frame, 0 to 1; with padding, it is outside this range.
    """
    rows, columns = resized(height, width, model_input)
    top, left = _corner((rows, columns), model_input)
    bottom, right = top + model_input.size[0], left + model_input.size[1]
    return left / columns, top / rows, right / columns, bottom / rows


def resized(height: int, width: int, model_input: ModelInput) -> tuple[int, int]:
    """Height and width of a resized frame, before the crop."""
    if model_input.resize is None:
        return height, width
    if isinstance(model_input.resize, tuple):
        return model_input.resize
    short, long = sorted((height, width))
    side, exact_side = model_input.resize, float(model_input.resize)
    if model_input.longest is not None and long / short * side > model_input.longest:
        exact_side = model_input.longest * short / long
        side = round(exact_side)
    if short == side:
        return height, width
    long_side = int(exact_side * long / short)
    return (side, long_side) if height <= width else (long_side, side)


def resized_input(model_input: ModelInput, size: tuple[int, int]) -> ModelInput:
    """The same part of the frame at another size; without a resize, only the crop changes."""
    if size == model_input.size:
        return model_input
    rows, columns = (new / old for new, old in zip(size, model_input.size, strict=True))
    resize, longest, scale = model_input.resize, model_input.longest, max(rows, columns)
    if isinstance(resize, tuple):
        resize = round(resize[0] * rows), round(resize[1] * columns)
    elif resize is not None:
        resize = round(resize * scale)
    if longest is not None:
        longest = round(longest * scale)
    return replace(model_input, size=size, resize=resize, longest=longest)


def _resize(picture: Tensor, model_input: ModelInput) -> Tensor:
    height, width = picture.shape[-2:]
    size = resized(height, width, model_input)
    if size == (height, width):
        return picture
    if model_input.backend == "pillow":
        pixels = Image.fromarray(picture[0].permute(1, 2, 0).numpy())
        pixels = pixels.resize(
            (size[1], size[0]), Image.Resampling[model_input.interpolation.upper()]
        )
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
    if model_input.interpolation == "nearest":  # it has no antialiasing
        return F.interpolate(picture, size, mode="nearest-exact")
    return F.interpolate(
        picture, size, mode=model_input.interpolation, antialias=model_input.antialias
    )


def _corner(size: tuple[int, int], model_input: ModelInput) -> tuple[int, int]:
    """Row and column of a frame at which the crop begins; negative with padding."""
    spare = (size[0] - model_input.size[0], size[1] - model_input.size[1])
    if model_input.backend == "pillow":
        return spare[0] // 2, spare[1] // 2
    return int(spare[0] / 2), int(spare[1] / 2)  # towards zero


def _crop(picture: Tensor, model_input: ModelInput) -> Tensor:
    height, width = picture.shape[-2:]
    top, left = _corner((height, width), model_input)
    # Negative padding crops.
    right, bottom = model_input.size[1] - width + left, model_input.size[0] - height + top
    return F.pad(picture, (-left, right, -top, bottom))
