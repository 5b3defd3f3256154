"""From a picture to what the model takes: resize, center crop, rescale, normalize.

The pixels are those of Hugging Face's back ends, torchvision's unless a checkpoint's processor is
of the other: resized as uint8, with antialias, cropped at the floor of the half, padded with black
where the crop is larger. Always on the CPU, so that every device sees the same numbers.
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


def preprocess_frame(frame: UInt8, wanted: ModelInput) -> Tensor:
    """A picture uint8 [H, W, 3] RGB to normalized float [3, h, w].

    Raises:
        InputError: it is something else than such a picture.
    """
    picture = _view(frame, wanted).float()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (wanted.mean, wanted.std))
    return picture.mul_(wanted.rescale).add_(wanted.offset).sub_(mean).div_(std).contiguous()


def view_of(frame: UInt8, wanted: ModelInput) -> UInt8:
    """What the model sees of a picture uint8 [H, W, 3]: uint8 [h, w, 3], before normalization.

    Raises:
        InputError: it is something else than such a picture.
    """
    return np.ascontiguousarray(_view(frame, wanted).permute(1, 2, 0).numpy())


def view_of_mask(mask: Bool, wanted: ModelInput) -> Bool:
    """What the model sees of a mask [H, W] over a picture: [h, w], where half of a pixel is in it.

    A mask that covers half of no pixel is where it covers most of one.
    """
    picture = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
    share = view_of(picture, wanted)[..., 0]
    return np.asarray(share >= min(128, max(1, share.max())))


def _view(frame: UInt8, wanted: ModelInput) -> Tensor:
    """Resized and cropped, uint8 [3, h, w]."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(f"frames must be uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}")
    writable = np.require(frame, requirements=["C", "W"])
    picture = torch.from_numpy(writable).permute(2, 0, 1)[None]  # [1, 3, H, W], channels last
    return _crop(_resize(picture, wanted), wanted)[0]


def view_box(height: int, width: int, wanted: ModelInput) -> tuple[float, float, float, float]:
    """Part of a picture [H, W] that the model sees: left, top, right, bottom.

    Each is a share of the picture, 0 to 1; where the model sees padding, it lies beyond that.
    """
    rows, columns = resized(height, width, wanted)
    top, left = _corner((rows, columns), wanted)
    bottom, right = top + wanted.size[0], left + wanted.size[1]
    return left / columns, top / rows, right / columns, bottom / rows


def resized(height: int, width: int, wanted: ModelInput) -> tuple[int, int]:
    """Height and width before the crop."""
    if wanted.resize is None:
        return height, width
    if isinstance(wanted.resize, tuple):
        return wanted.resize
    short, long = sorted((height, width))
    side, exact = wanted.resize, float(wanted.resize)
    if wanted.longest is not None and long / short * side > wanted.longest:
        exact = wanted.longest * short / long
        side = round(exact)
    if short == side:
        return height, width
    other = int(exact * long / short)
    return (side, other) if height <= width else (other, side)


def resized_input(own: ModelInput, size: tuple[int, int]) -> ModelInput:
    """The same part of the picture at another size; what is not scaled is cropped otherwise."""
    if size == own.size:
        return own
    rows, columns = (new / old for new, old in zip(size, own.size, strict=True))
    resize, longest, grown = own.resize, own.longest, max(rows, columns)
    if isinstance(resize, tuple):
        resize = round(resize[0] * rows), round(resize[1] * columns)
    elif resize is not None:
        resize = round(resize * grown)
    if longest is not None:
        longest = round(longest * grown)
    return replace(own, size=size, resize=resize, longest=longest)


def _resize(picture: Tensor, wanted: ModelInput) -> Tensor:
    height, width = picture.shape[-2:]
    size = resized(height, width, wanted)
    if size == (height, width):
        return picture
    if wanted.backend == "pillow":
        pixels = Image.fromarray(picture[0].permute(1, 2, 0).numpy())
        pixels = pixels.resize((size[1], size[0]), Image.Resampling[wanted.interpolation.upper()])
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
    if wanted.interpolation == "nearest":  # which has no antialias
        return F.interpolate(picture, size, mode="nearest-exact")
    return F.interpolate(picture, size, mode=wanted.interpolation, antialias=wanted.antialias)


def _corner(size: tuple[int, int], wanted: ModelInput) -> tuple[int, int]:
    """Row and column of a picture at which the crop begins; negative where it is padded."""
    spare = (size[0] - wanted.size[0], size[1] - wanted.size[1])
    if wanted.backend == "pillow":
        return spare[0] // 2, spare[1] // 2
    return int(spare[0] / 2), int(spare[1] / 2)  # towards zero


def _crop(picture: Tensor, wanted: ModelInput) -> Tensor:
    height, width = picture.shape[-2:]
    top, left = _corner((height, width), wanted)
    # Negative padding cuts off.
    right, bottom = wanted.size[1] - width + left, wanted.size[0] - height + top
    return F.pad(picture, (-left, right, -top, bottom))
