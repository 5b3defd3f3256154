"""Remove name prefixes and extra tensors that training code adds.

A prefix is removed only if a model is recognized after the removal and not before: a prefix that
all names share may also be a part of the model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from staa_cli.errors import CheckpointError
from staa_cli.models.checkpoints.key_maps import State
from staa_cli.models.families.base import FAMILIES, Family

# Tensors that only training uses: the weights of a loss, and the step count of an average.
_TRAINING = re.compile(
    r"((\w+_)?(criterion|loss(es|_fn|_func|_function)?|metrics?)|n_averaged)(\.|$)"
)


@dataclass(frozen=True, slots=True, eq=False)
class Unwrapped:
    """A checkpoint's tensors without prefixes in their names."""

    tensors: dict[str, Tensor]
    left_out: tuple[str, ...]
    """Full names of tensors that only training uses."""
    detail: str
    """For an error message: the removed or unknown prefix, and the names without it."""


def unwrapped(tensors: State, family: str | None) -> Unwrapped:
    """Remove the prefixes that most tensor names share.

    Names without the prefix are kept; loading uses them or reports them as unexpected.

    Args:
        tensors: of a file, or of a folder.
        family: name of their family; None to try all families.

    Raises:
        CheckpointError: a tensor is present both with and without the prefix.
    """
    recognizable = [one for _, one in FAMILIES.items() if one.recognize is not None]
    families = [FAMILIES.get(family)] if family else recognizable
    names = {name: name for name in tensors if not _TRAINING.match(name)}  # short to full
    unprefixed: dict[str, str] = {}
    prefix, twice = "", set[str]()
    while not _recognized(names, tensors, families):
        component = _common_prefix(names)
        if component is None:
            return Unwrapped(dict(tensors), (), _groups(tensors))
        unmatched = {
            short: full for short, full in names.items() if not short.startswith(component)
        }
        twice |= unmatched.keys() & unprefixed.keys()
        unprefixed |= unmatched
        names = {
            short.removeprefix(component): full
            for short, full in names.items()
            if short.startswith(component) and not _TRAINING.match(short.removeprefix(component))
        }
        prefix += component
    twice |= names.keys() & unprefixed.keys()
    if twice:
        raise CheckpointError(
            f"{len(twice)} tensors are present twice, with and without the prefix "
            f"{prefix!r}: {_some(twice)}",
            "save the weights of one model only",
        )
    kept = names | unprefixed
    full_names = set(kept.values())
    left_out = tuple(name for name in tensors if name not in full_names)
    detail = f"; the prefix {prefix!r} was removed from the names" if prefix else ""
    if prefix and unprefixed:
        detail += f" of all except {_some(unprefixed)}"
    return Unwrapped({short: tensors[full] for short, full in kept.items()}, left_out, detail)


def _recognized(names: dict[str, str], tensors: State, families: Iterable[Family]) -> bool:
    """Whether a family's parameters have these names."""
    shapes = {
        short: torch.empty_like(tensors[full], device="meta") for short, full in names.items()
    }
    return any(
        name.startswith(family.marks) for family in families for name in family.convert(shapes)
    )


def _common_prefix(names: Iterable[str]) -> str | None:
    """The first component, with its dot, that more than half of the names share."""
    names = list(names)
    heads = Counter(name.partition(".")[0] for name in names if "." in name)
    for head, count in heads.most_common(1):
        if 2 * count > len(names):
            return f"{head}."
    return None


def _groups(names: Iterable[str]) -> str:
    """The most common first components of the names, for an error message."""
    heads = Counter(f"{name.partition('.')[0]}." for name in names if "." in name)
    listed = ", ".join(f"{head!r} ({count})" for head, count in heads.most_common(4))
    return f"; their names begin with {listed}" if listed else ""


def _some(names: Iterable[str], count: int = 4) -> str:
    listed = sorted(names)
    return ", ".join(listed[:count]) + (", ..." if len(listed) > count else "")
