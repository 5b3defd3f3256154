"""What a model family is, as data: how its checkpoints are recognized, renamed, and built.

A new family is a folder with its module, and a key map with its `Family`, which is declared under
a name, as an entry point of the group ``staa.families``; the loader asks for nothing else.
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
        license: what is said where a checkpoint does not state its own.
        convert: tensors in any published naming scheme to ours; ours stay as they are.
        recognize: whether converted tensors are of this family; None where tensors never tell.
        from_config: a Hugging Face config to arguments for `build`.
        from_state: converted tensors to arguments for `build`; raises CheckpointError where the
            tensors alone do not tell.
        measured: the arguments that the tensors tell better than a config.
        build: the module from those arguments; it has ``num_classes``, ``layout()``, and
            ``attention_layers()``.
        input: what a built module expects, as it was published.
        from_original_names: tensors under their own names to arguments that only those names tell.
        left_out: beginnings of names that have no part in a decision, such as a decoder's.
        marks: beginnings of converted names that show that nothing stands before them any more.
        processors: classes of Hugging Face's image and video processor of the model, for a file
            that names none; None where no such file counts.
        any_crop: whether Hugging Face's model takes pictures of another size than its config's.
        labels: names of a built module's classes where no checkpoint tells them, or None.
        note: what a user should know before believing a result.
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
"""A decorator that files a `Family` under a name, for as long as the program runs."""


def family_of_config(config: Mapping[str, Any]) -> str:
    """Name of the family that a Hugging Face config is of; timm's names an architecture.

    Raises:
        CheckpointError: it is of none that is known here.
    """
    found = config.get("model_type", "timm" if "architecture" in config else None)
    for name, family in FAMILIES.items():
        if found in family.model_types:
            return name
    raise CheckpointError(
        f"config.json says model_type {found!r}, which is not supported", _supported()
    )


def family_of_state(tensors: State, where: str, beside: str = "") -> str:
    """Name of the family whose weights these are.

    Args:
        tensors: under their own names.
        where: where they come from, for people.
        beside: what else a refusal should say.

    Raises:
        CheckpointError: they are of none that is known here.
    """
    for name, family in FAMILIES.items():
        if family.recognize is not None and family.recognize(family.convert(tensors)):
            return name
    some = ", ".join(f"{name} {list(value.shape)}" for name, value in list(tensors.items())[:3])
    raise CheckpointError(
        f"{where} does not match any supported model: {len(tensors)} tensors such as "
        f"{some}{beside}",
        _supported(),
    )


def _supported() -> str:
    families = ", ".join(name for name, _ in FAMILIES.items())
    return "; ".join(
        [f"supported model families: {families}", *(each.cause for each in FAMILIES.problems())]
    )
