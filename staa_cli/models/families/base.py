"""A model family as data: how its checkpoints are recognized, renamed, and built.

A new family is a folder with its module and a key map with its `Family`, declared as an entry point
of the group ``staa.families``; the loader needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from staa_cli import entry_points
from staa_cli.errors import CheckpointError
from staa_cli.models.checkpoints.key_maps import State
from staa_cli.registry import Registry
from staa_cli.schema import ModelInput


@dataclass(frozen=True, slots=True)
class Family:
    """One family of checkpoints.

    Args:
        model_types: its names in a Hugging Face config.
        license: reported for a checkpoint that does not state its own.
        convert: tensors in any published naming scheme to ours; ours stay as they are.
        recognize: whether converted tensors are of this family; None if tensors cannot show it.
        from_config: a Hugging Face config to arguments for `build`.
        from_state: converted tensors to arguments for `build`; raises CheckpointError if the
            tensors alone are not enough.
        measured: arguments that the tensors show more reliably than a config.
        build: the module from those arguments; it has ``num_classes``, ``layout()``, and
            ``attention_layers()``.
        input: the input that a built module expects, as published.
        from_original_names: unconverted tensors to arguments that only their original names show.
        left_out: prefixes of tensors that do not affect the prediction, such as a decoder's.
        marks: prefixes of converted names that show that all wrapper prefixes are removed.
        processors: classes of Hugging Face's image and video processor of the model, for a file
            that names none; None if processor files are not used.
        any_crop: whether Hugging Face's model accepts other frame sizes than its config's.
        labels: default class names of a built module, or None.
        note: a caution for the user about results.
    """

    model_types: tuple[str, ...]
    license: str
    convert: Callable[[State], dict[str, Tensor]]
    recognize: Callable[[State], bool] | None
    from_config: Callable[[Mapping[str, Any]], dict[str, Any]]
    from_state: Callable[[State], dict[str, Any]]
    measured: Callable[[State], dict[str, Any]]
    build: Callable[..., nn.Module]
    input: Callable[[Any], ModelInput]
    from_original_names: Callable[[State], dict[str, Any]] = lambda tensors: {}
    left_out: tuple[str, ...] = ()
    marks: tuple[str, ...] = ("blocks.0.",)
    processors: tuple[str, str] | None = None
    any_crop: bool = False
    labels: Callable[[Any], tuple[str, ...] | None] = lambda module: None
    note: str = ""


def _accept(name: str, declared: Any) -> Family:
    if not isinstance(declared, Family):
        raise TypeError("expected a staa_cli.models.families.base.Family")
    return declared


FAMILIES: Registry[Family] = Registry("model family", entry_points.FAMILIES, _accept)
register_family = FAMILIES.register
"""A decorator that registers a `Family` under a name in the running program."""


def family_of_config(config: Mapping[str, Any]) -> str:
    """Name of the family of a Hugging Face or timm config.

    Raises:
        CheckpointError: the family is not supported.
    """
    # timm's config has no model_type.
    model_type = config.get("model_type", "timm" if "architecture" in config else None)
    for name, family in FAMILIES.items():
        if model_type in family.model_types:
            return name
    raise CheckpointError(
        f"config.json says model_type {model_type!r}, which is not supported", _supported()
    )


def family_of_state(tensors: State, where: str, detail: str = "") -> str:
    """Name of the family whose weights these are.

    Args:
        tensors: under their original names.
        where: where they come from, for errors.
        detail: appended to the error message.

    Raises:
        CheckpointError: the family is not supported.
    """
    for name, family in FAMILIES.items():
        if family.recognize is not None and family.recognize(family.convert(tensors)):
            return name
    examples = ", ".join(f"{name} {list(value.shape)}" for name, value in list(tensors.items())[:3])
    raise CheckpointError(
        f"{where} does not match any supported model: {len(tensors)} tensors such as "
        f"{examples}{detail}",
        _supported(),
    )


def _supported() -> str:
    families = ", ".join(name for name, _ in FAMILIES.items())
    return "; ".join(
        [
            f"supported model families: {families}",
            *(problem.cause for problem in FAMILIES.problems()),
        ]
    )
