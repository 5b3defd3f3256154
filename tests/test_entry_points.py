"""What staa declares of its own: all of it is there, and all that is there is declared."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import staa_cli.evaluation
import staa_cli.methods
import staa_cli.models.families
from staa_cli.benchmark.datasets import DATASETS
from staa_cli.benchmark.datasets.events import EVENT_SETS
from staa_cli.entry_points import BUILTIN
from staa_cli.evaluation.base import METRICS, Metric
from staa_cli.methods import METHODS, Method
from staa_cli.models.catalog.manifests import read_manifests
from staa_cli.models.catalog.names import MODELS
from staa_cli.models.families.base import FAMILIES, Family
from staa_cli.results.exports.base import EXPORTS
from staa_cli.results.writers.base import WRITERS

REGISTRIES = (METHODS, METRICS, WRITERS, EXPORTS, MODELS, FAMILIES, DATASETS)


def things_in(room: ModuleType) -> Iterator[Any]:
    """What the modules of a package have under their names."""
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        yield from vars(importlib.import_module(module.name)).values()


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_all_that_is_declared_loads_in_the_order_of_the_list(registry: Any) -> None:
    own = BUILTIN[registry.group]
    assert registry.names()[: len(own)] == list(own)
    assert [name for name, _ in registry.items()][: len(own)] == list(own)
    assert all(registry.package_of(name) is None for name in own)
    assert all(target.startswith("staa_cli.") for target in own.values())


def test_there_is_a_registry_for_every_group() -> None:
    assert set(BUILTIN) == {registry.group for registry in REGISTRIES}
    assert len({registry.kind for registry in REGISTRIES}) == len(REGISTRIES)


def test_a_method_that_is_written_is_declared() -> None:
    written = {
        thing
        for thing in things_in(staa_cli.methods)
        if isinstance(thing, type) and issubclass(thing, Method) and "summary" in vars(thing)
    }
    assert written == {type(METHODS.get(name)) for name in BUILTIN[METHODS.group]}
    assert all(METHODS.get(name).name == name for name in BUILTIN[METHODS.group])


def test_a_metric_that_is_written_is_declared() -> None:
    written = {thing for thing in things_in(staa_cli.evaluation) if isinstance(thing, Metric)}
    assert written == {METRICS.get(name) for name in BUILTIN[METRICS.group]}


def test_a_family_that_is_written_is_declared() -> None:
    written = {
        thing.model_types
        for thing in things_in(staa_cli.models.families)
        if isinstance(thing, Family)
    }
    assert written == {FAMILIES.get(name).model_types for name in BUILTIN[FAMILIES.group]}


def test_weights_that_come_along_are_declared() -> None:
    assert {name: MODELS.get(name)() for name in BUILTIN[MODELS.group]} == read_manifests()


def test_sets_of_events_are_declared() -> None:
    assert list(BUILTIN[DATASETS.group]) == [
        *(*EVENT_SETS, "twins", "classes:", "splices:", "mosaics:"),
    ]
