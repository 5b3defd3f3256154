"""Read a Hugging Face processor's file as the processor class that it names would.

Each class has its own defaults, uses some keys, and ignores others; `CLASSES` says which. Keys that
concern neither pixels nor time (data_format, device, return_metadata, do_convert_rgb, do_pad, ...)
do not change RGB frames, neither there nor here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from staa_cli.errors import CheckpointError
from staa_cli.models.checkpoints.formats import read_json
from staa_cli.schema import ModelInput

Facts = Mapping[str, Any]
Triple = tuple[float, float, float]

_HALF: Triple = (0.5, 0.5, 0.5)
_IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
# In the order of Pillow's numbers.
_INTERPOLATION: tuple[Interpolation, ...] = (
    "nearest",
    "lanczos",
    "bilinear",
    "bicubic",
    "box",
    "hamming",
)
_OF_TORCH = ("nearest", "bilinear", "bicubic")
# File, key in it, and whether it is a video processor's, in search order; processor_config.json
# can contain both kinds.
_FILES = (
    ("processor_config.json", "video_processor", True),
    ("video_preprocessor_config.json", None, True),
    ("processor_config.json", "image_processor", False),
    ("preprocessor_config.json", None, False),
)
_NAMES = ("video_processor_type", "image_processor_type", "feature_extractor_type")
_LEGACY_NULLS = ("size", "crop_size", "image_mean", "image_std")
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")


@dataclass(frozen=True, slots=True)
class Processor:
    """Defaults and behavior of a processor class.

    Args:
        mean: default of ``image_mean``.
        std: default of ``image_std``.
        size: shorter side, default of ``size``.
        crop: side, default of ``crop_size``.
        rescale: default of ``rescale_factor``.
        offset: whether colors are shifted by -1 after rescaling; ``optional``: unless the file's
            ``offset`` is false.
        size_of_crop: ``size`` is ignored; it is computed from ``crop_size``.
        legacy: the old image processor: Pillow resizes, some null values mean the default, and the
            longer side has no limit.
        samples: supports ``do_sample_frames``, ``num_frames``, and ``fps``.
    """

    mean: Triple = _HALF
    std: Triple = _HALF
    size: int = 224
    crop: int = 224
    rescale: float = 1 / 255
    offset: Literal["never", "always", "optional"] = "never"
    size_of_crop: bool = False
    legacy: bool = False
    samples: bool = True


CLASSES: dict[str, Processor] = {
    "VideoMAEImageProcessor": Processor(samples=False),
    "VideoMAEVideoProcessor": Processor(),
    "TimesformerVideoProcessor": Processor(*_IMAGENET),
    "VivitImageProcessor": Processor(
        size=256, rescale=1 / 127.5, offset="optional", legacy=True, samples=False
    ),
    "VivitVideoProcessor": Processor(size=256, rescale=1 / 127.5, offset="always"),
    "VJEPA2VideoProcessor": Processor(*_IMAGENET, crop=256, size_of_crop=True),
}


def read_processor(
    folder: Path, defaults: tuple[str, str], base: ModelInput
) -> tuple[ModelInput, str]:
    """Apply the processor file of a folder to `base`; also returns a note for the user.

    Args:
        folder: of a checkpoint.
        defaults: the model's image and video processor class, for a file that names none.
        base: the input that the weights were trained for; its number of frames is kept.

    Raises:
        CheckpointError: the file has an invalid or unsupported value.
    """
    for name, key, video in _FILES:
        if (folder / name).is_file():
            facts = read_json(folder / name)
            if key is not None:
                facts = facts.get(key)  # type: ignore[assignment]
            if isinstance(facts, dict):
                return processor_input(facts, base, name, class_of(facts, name, video, defaults))
    return (
        base,
        "the folder has no processor file: pixels are preprocessed as for the "
        "family's published models",
    )


def class_of(facts: Facts, where: str, video: bool, defaults: tuple[str, str]) -> str:
    """Name of the class in `CLASSES` that reads a file.

    Args:
        facts: the file's content.
        where: the file's name.
        video: whether it is a video processor's file.
        defaults: the model's image and video processor class.

    Raises:
        CheckpointError: it names an unsupported class.
    """
    key = next((key for key in _NAMES if facts.get(key)), None)
    if key is None:
        return defaults[video]
    named = str(facts[key]).removesuffix("Fast").removesuffix("Pil")
    class_name = named.replace("FeatureExtractor", "ImageProcessor")
    if video and key != "video_processor_type":
        # An image processor in a video processor's file: use the same model's video processor.
        class_name = class_name.replace("ImageProcessor", "VideoProcessor")
        class_name = class_name if class_name in CLASSES else defaults[video]
    if class_name not in CLASSES:
        raise CheckpointError(
            f"{where}: {key} {facts[key]!r} is not supported", f"supported: {', '.join(CLASSES)}"
        )
    return class_name


def processor_input(
    facts: Facts, base: ModelInput, where: str, class_name: str
) -> tuple[ModelInput, str]:
    """Apply a processor's JSON to `base`, as its class does; also returns a note for the user.

    Args:
        facts: the file's content.
        base: the input that the weights were trained for; its number of frames is kept.
        where: the file's name.
        class_name: in `CLASSES`.

    Raises:
        CheckpointError: it has an invalid or unsupported value.
    """
    return _Reader(facts, where, CLASSES[class_name]).read(base)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one file as one class does."""

    facts: Facts
    where: str
    kind: Processor

    def read(self, base: ModelInput) -> tuple[ModelInput, str]:
        resizes, crops, rescales, normalizes = (self.flag(step, True) for step in _STEPS)
        crop = self.crop()
        resize, longest = self.scaling(crop)
        size = crop if crops else resize if resizes and isinstance(resize, tuple) else None
        if size is None:
            raise self.refused(
                "do_center_crop", "without it, every video would have a different size"
            )
        shifts = self.kind.offset == "always" and rescales
        if self.kind.offset == "optional" and self.flag("offset", True):
            if not rescales:
                raise self.refused("do_rescale", "offset requires it")
            shifts = True
        model_input = replace(
            base,
            size=size,
            resize=resize if resizes else None,
            longest=longest if resizes else None,
            backend="pillow" if self.kind.legacy else "torchvision",
            interpolation=self.interpolation() if resizes else base.interpolation,
            rescale=self.factor() if rescales else 1.0,
            offset=-1.0 if shifts else 0.0,
            mean=self.triple("image_mean", self.kind.mean) if normalizes else (0.0, 0.0, 0.0),
            std=self.triple("image_std", self.kind.std) if normalizes else (1.0, 1.0, 1.0),
        )
        if 0.0 in model_input.std:
            raise self.refused("image_std", "it contains a zero")
        return self.sampled(model_input)

    def sampled(self, model_input: ModelInput) -> tuple[ModelInput, str]:
        """The frame rate of the file, or a note that its frames are sampled differently here."""
        if not self.kind.samples or not self.flag("do_sample_frames", False):
            return model_input, ""
        fps = self.get("fps")
        if fps is None:
            return model_input, (
                f"{self.where} spreads frames over a whole video (do_sample_frames, num_frames "
                f"{self.get('num_frames')}); clips here take one frame in "
                f"{model_input.stride} at {model_input.rate:g} frames a second"
            )
        if self.get("num_frames") is not None:
            raise self.refused("fps", "num_frames is also given, and only one of them can apply")
        if not _is_number(fps) or fps <= 0:
            raise self.refused("fps", "it is not a frame rate")
        return replace(model_input, stride=1, rate=float(fps)), ""

    def scaling(
        self, crop: tuple[int, int] | None
    ) -> tuple[int | tuple[int, int] | None, int | None]:
        """The size to resize to, and the limit of the longer side; None if there is none."""
        if self.kind.size_of_crop:
            assert crop is not None
            return int(crop[0] * 256 / 224), None
        size = self.get("size", {"shortest_edge": self.kind.size})
        if isinstance(size, list) and len(size) == 2:
            size = {"height": size[0], "width": size[1]}
        if _is_length(size):
            square = not self.kind.legacy and self.flag("default_to_square", False)
            size = {"height": size, "width": size} if square else {"shortest_edge": size}
        if not isinstance(size, Mapping) or not all(map(_is_length, size.values())):
            raise self.refused("size", "it is not a size")
        if set(size) == {"height", "width"}:
            return (size["height"], size["width"]), None
        if set(size) == {"shortest_edge"}:
            return size["shortest_edge"], None
        if set(size) == {"shortest_edge", "longest_edge"}:
            return size["shortest_edge"], None if self.kind.legacy else size["longest_edge"]
        if self.flag("do_resize", True):
            raise self.refused("size", "expected height and width, or shortest_edge")
        return None, None

    def crop(self) -> tuple[int, int] | None:
        """Height and width; None if the value is invalid but not used."""
        size = self.get("crop_size", self.kind.crop)
        if self.kind.size_of_crop and isinstance(size, list):
            raise self.refused("crop_size", "expected one number, or height and width by name")
        if _is_length(size):
            return size, size
        if isinstance(size, list) and len(size) == 2:
            size = {"height": size[0], "width": size[1]}
        named = isinstance(size, Mapping) and set(size) == {"height", "width"}
        if named and all(map(_is_length, size.values())):
            return size["height"], size["width"]
        if self.kind.size_of_crop or self.flag("do_center_crop", True):
            raise self.refused("crop_size", "expected height and width")
        return None

    def interpolation(self) -> Interpolation:
        resample = self.get("resample", 2)
        supported = [n for n in _INTERPOLATION if self.kind.legacy or n in _OF_TORCH]
        if isinstance(resample, int) and 0 <= resample < len(_INTERPOLATION):
            name = _INTERPOLATION[resample]
            if name in supported:
                return name
        numbers = ", ".join(f"{_INTERPOLATION.index(name)} ({name})" for name in supported)
        raise self.refused("resample", f"supported: {numbers}")

    def factor(self) -> float:
        factor = self.get("rescale_factor", self.kind.rescale)
        if not _is_number(factor) or not factor:
            raise self.refused("rescale_factor", "it is not a factor")
        return float(factor)

    def triple(self, key: str, default: Triple) -> Triple:
        values = self.get(key, default)
        values = [values] * 3 if _is_number(values) else values
        if isinstance(values, list | tuple) and len(values) == 3 and all(map(_is_number, values)):
            return float(values[0]), float(values[1]), float(values[2])
        raise self.refused(key, "expected one number, or three")

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key, default)
        if value is not None and not isinstance(value, bool):
            raise self.refused(key, "expected true or false")
        return bool(value)

    def get(self, key: str, default: Any = None) -> Any:
        """A key's value; null is a value, except where the old image processor uses its default."""
        value = self.facts.get(key, default)
        null_is_default = self.kind.legacy and key in _LEGACY_NULLS
        return default if value is None and null_is_default else value

    def refused(self, key: str, why: str) -> CheckpointError:
        value = self.facts.get(key, "is not given")
        return CheckpointError(f"{self.where}: {key} {value!r} is not supported: {why}")


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
