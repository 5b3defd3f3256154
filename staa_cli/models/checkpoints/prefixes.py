"""Names of tensors without what training code puts before them, and what it adds beside them.

A prefix is taken off only where a model is recognized behind it and not before: what begins all
names may as well be a part of the model.
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

# What training keeps beside a model, and no model computes with: the weights of a loss, and how
# often an average was taken.
_TRAINING = re.compile(
    r"((\w+_)?(criterion|loss(es|_fn|_func|_function)?|metrics?)|n_averaged)(\.|$)"
)


@dataclass(frozen=True, slots=True, eq=False)
class Unwrapped:
    """A checkpoint's tensors under the names that the model itself gives them."""

    tensors: dict[str, Tensor]
    left_out: tuple[str, ...]
    """Full names of what only training needs."""
    told: str
    """For a refusal: the prefix that was taken off, or is in the way, and the names beside it."""


def unwrapped(tensors: State, family: str | None) -> Unwrapped:
    """Take off whatever stands before the names of all tensors, or of all but a few.

    Those few stay under their own names, for whoever needs them to find, or to name as left over.

    Args:
        tensors: of a file, or of a folder.
        family: that they are known to be of; None where they have to tell.

    Raises:
        CheckpointError: a tensor is there twice, with the prefix and without.
    """
    known = [one for _, one in FAMILIES.items() if one.recognize is not None]
    families = [FAMILIES.get(family)] if family else known
    names = {name: name for name in tensors if not _TRAINING.match(name)}  # short to full
    beside: dict[str, str] = {}
    prefix, twice = "", set[str]()
    while not _shown(names, tensors, families):
        common = _common(names)
        if common is None:
            return Unwrapped(dict(tensors), (), _groups(tensors))
        others = {short: full for short, full in names.items() if not short.startswith(common)}
        twice |= others.keys() & beside.keys()
        beside |= others
        names = {
            short.removeprefix(common): full
            for short, full in names.items()
            if short.startswith(common) and not _TRAINING.match(short.removeprefix(common))
        }
        prefix += common
    twice |= names.keys() & beside.keys()
    if twice:
        raise CheckpointError(
            f"{len(twice)} tensors are present twice, with and without the prefix "
            f"{prefix!r}: {_some(twice)}",
            "save the weights of one model only",
        )
    kept = names | beside
    full_names = set(kept.values())
    left_out = tuple(name for name in tensors if name not in full_names)
    told = f"; the prefix {prefix!r} was removed from the names" if prefix else ""
    if prefix and beside:
        told += f" of all except {_some(beside)}"
    return Unwrapped({short: tensors[full] for short, full in kept.items()}, left_out, told)


def _shown(names: dict[str, str], tensors: State, families: Iterable[Family]) -> bool:
    """Whether a family's parts stand under these names."""
    shapes = {
        short: torch.empty_like(tensors[full], device="meta") for short, full in names.items()
    }
    return any(
        name.startswith(family.marks) for family in families for name in family.convert(shapes)
    )


def _common(names: Iterable[str]) -> str | None:
    """What more than half of the names begin with, up to and with their first dot."""
    names = list(names)
    heads = Counter(name.partition(".")[0] for name in names if "." in name)
    for head, count in heads.most_common(1):
        if 2 * count > len(names):
            return f"{head}."
    return None


def _groups(names: Iterable[str]) -> str:
    """What the names begin with, most often first; empty where most stand alone."""
    heads = Counter(f"{name.partition('.')[0]}." for name in names if "." in name)
    told = ", ".join(f"{head!r} ({count})" for head, count in heads.most_common(4))
    return f"; their names begin with {told}" if told else ""


def _some(names: Iterable[str], count: int = 4) -> str:
    listed = sorted(names)
    return ", ".join(listed[:count]) + (", ..." if len(listed) > count else "")
