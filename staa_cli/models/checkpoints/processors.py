"""A Hugging Face processor's file to what the model is fed, as the class that it names does it.

Each class has defaults of its own, heeds some keys, and ignores others; `CLASSES` says which. Keys
about anything else than pixels and time (data_format, device, return_metadata, do_convert_rgb,
do_pad, ...) change nothing in RGB frames, there or here.
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
# As Pillow numbers them.
_INTERPOLATION: tuple[Interpolation, ...] = (
    "nearest",
    "lanczos",
    "bilinear",
    "bicubic",
    "box",
    "hamming",
)
_OF_TORCH = ("nearest", "bilinear", "bicubic")
# In the order in which they are looked for, and whether they are a video processor's; in
# processor_config.json each has a key of its own.
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
    """What a class of processors has where its file says nothing, and what it does otherwise.

    Args:
        mean: of ``image_mean``.
        std: of ``image_std``.
        size: shorter side, of ``size``.
        crop: side, of ``crop_size``.
        rescale: of ``rescale_factor``.
        offset: whether colors are shifted by -1 after the rescaling; ``asked``: where ``offset``
            is not false.
        size_of_crop: ``size`` is without effect; it follows from ``crop_size``.
        legacy: the old image processor: Pillow resizes, null may be a default, and the longer side
            has no limit.
        samples: supported_options ``do_sample_frames``, ``num_frames``, and ``fps``.
    """

    mean: Triple = _HALF
    std: Triple = _HALF
    size: int = 224
    crop: int = 224
    rescale: float = 1 / 255
    offset: Literal["never", "always", "asked"] = "never"
    size_of_crop: bool = False
    legacy: bool = False
    samples: bool = True


CLASSES: dict[str, Processor] = {
    "VideoMAEImageProcessor": Processor(samples=False),
    "VideoMAEVideoProcessor": Processor(),
    "TimesformerVideoProcessor": Processor(*_IMAGENET),
    "VivitImageProcessor": Processor(
        size=256, rescale=1 / 127.5, offset="asked", legacy=True, samples=False
    ),
    "VivitVideoProcessor": Processor(size=256, rescale=1 / 127.5, offset="always"),
    "VJEPA2VideoProcessor": Processor(*_IMAGENET, crop=256, size_of_crop=True),
}


def read_processor(
    folder: Path, families: tuple[str, str], base: ModelInput
) -> tuple[ModelInput, str]:
    """The processor's file of a folder over what is known already, and a note for the user.

    Args:
        folder: of a checkpoint.
        families: classes of the model's image and video processor, for a file that names none.
        base: what the weights were made for; its frames stay.

    Raises:
        CheckpointError: the file asks for something that cannot be done here, or by anyone.
    """
    for name, key, video in _FILES:
        if (folder / name).is_file():
            facts = read_json(folder / name)
            if key is not None:
                facts = facts.get(key)  # type: ignore[assignment]
            if isinstance(facts, dict):
                return processor_input(facts, base, name, class_of(facts, name, video, families))
    return (
        base,
        "the folder has no processor file: pixels are preprocessed as for the "
        "family's published models",
    )


def class_of(facts: Facts, where: str, video: bool, families: tuple[str, str]) -> str:
    """Name of the class in `CLASSES` that a file is read by.

    Args:
        facts: the file's content.
        where: the file's name.
        video: whether it is a video processor's file.
        families: the model's own image and video processor.

    Raises:
        CheckpointError: it names one that is not known here.
    """
    key = next((key for key in _NAMES if facts.get(key)), None)
    if key is None:
        return families[video]
    named = str(facts[key]).removesuffix("Fast").removesuffix("Pil")
    found = named.replace("FeatureExtractor", "ImageProcessor")
    if video and key != "video_processor_type":
        # A file from before there were video processors: the video processor of the same model.
        found = found.replace("ImageProcessor", "VideoProcessor")
        found = found if found in CLASSES else families[video]
    if found not in CLASSES:
        raise CheckpointError(
            f"{where}: {key} {facts[key]!r} is not supported", f"supported: {', '.join(CLASSES)}"
        )
    return found


def processor_input(
    facts: Facts, base: ModelInput, where: str, class_name: str
) -> tuple[ModelInput, str]:
    """A processor's JSON, read as that class reads it, over `base`; and a note for the user.

    Args:
        facts: the file's content.
        base: what the weights were made for; its frames stay.
        where: the file's name.
        class_name: in `CLASSES`.

    Raises:
        CheckpointError: it asks for something that cannot be done here, or by anyone.
    """
    return _Reader(facts, where, CLASSES[class_name]).read(base)


@dataclass(frozen=True, slots=True)
class _Reader:
    """One file, as one class reads it."""

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
        if self.kind.offset == "asked" and self.flag("offset", True):
            if not rescales:
                raise self.refused("do_rescale", "offset requires it")
            shifts = True
        given = replace(
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
        if 0.0 in given.std:
            raise self.refused("image_std", "it contains a zero")
        return self.sampled(given)

    def sampled(self, given: ModelInput) -> tuple[ModelInput, str]:
        """Frames as far apart as the file says, or a note that they are spread otherwise."""
        if not self.kind.samples or not self.flag("do_sample_frames", False):
            return given, ""
        fps = self.get("fps")
        if fps is None:
            return given, (
                f"{self.where} spreads frames over a whole video (do_sample_frames, num_frames "
                f"{self.get('num_frames')}); clips here take one frame in "
                f"{given.stride} at {given.rate:g} frames a second"
            )
        if self.get("num_frames") is not None:
            raise self.refused("fps", "num_frames is also given, and only one of them can apply")
        if not _is_number(fps) or fps <= 0:
            raise self.refused("fps", "it is not a frame rate")
        return replace(given, stride=1, rate=float(fps)), ""

    def scaling(
        self, crop: tuple[int, int] | None
    ) -> tuple[int | tuple[int, int] | None, int | None]:
        """What the picture is scaled to, and its longer side at most; None where it never is."""
        if self.kind.size_of_crop:
            assert crop is not None
            return int(crop[0] * 256 / 224), None
        size = self.get("size", {"shortest_edge": self.kind.size})
        if isinstance(size, list) and len(size) == 2:
            size = {"height": size[0], "width": size[1]}
        if _is_length(size):
            squares = not self.kind.legacy and self.flag("default_to_square", False)
            size = {"height": size, "width": size} if squares else {"shortest_edge": size}
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
        """Height and width; None where there is no crop and the file's need not make sense."""
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
        known = [n for n in _INTERPOLATION if self.kind.legacy or n in _OF_TORCH]
        if isinstance(resample, int) and 0 <= resample < len(_INTERPOLATION):
            name = _INTERPOLATION[resample]
            if name in known:
                return name
        numbers = ", ".join(f"{_INTERPOLATION.index(name)} ({name})" for name in known)
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
        """A key's value; null is one too, but where the old image processor takes its default."""
        value = self.facts.get(key, default)
        null_is_default = self.kind.legacy and key in _LEGACY_NULLS
        return default if value is None and null_is_default else value

    def refused(self, key: str, why: str) -> CheckpointError:
        told = self.facts.get(key, "is not given")
        return CheckpointError(f"{self.where}: {key} {told!r} is not supported: {why}")


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
