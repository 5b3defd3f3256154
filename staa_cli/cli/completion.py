"""What the shell offers as values of options. Loads nothing that takes long, as torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from staa_cli.config.presets import describe_presets
from staa_cli.config.settings import Settings
from staa_cli.entry_points import DATASETS, METHODS, METRICS, declared
from staa_cli.models.catalog.names import bundled, of_packages, published

Offers = list[tuple[str, str]]
"""Values, each with a word about it or an empty one."""


def complete_models(incomplete: str) -> Offers:
    """Models that have a name; where none fits, the shell offers files."""
    offers = [(name, "comes with staa") for name in bundled()]
    offers += [(name, f"from {model.package}") for name, model in of_packages().items()]
    offers += [(name, f"{model.data}, downloads once") for name, model in published().items()]
    return _fitting(offers, incomplete)


def complete_method(incomplete: str) -> Offers:
    """Attribution methods."""
    return _fitting(_plain(["auto", *declared(METHODS)]), incomplete)


def complete_methods(incomplete: str) -> Offers:
    """Several methods, A,B, or the words for groups of them."""
    return _listed(["auto", "all", "baselines", *declared(METHODS)], incomplete)


def complete_metrics(incomplete: str) -> Offers:
    """Several metrics, A,B."""
    return _listed(["all", *declared(METRICS)], incomplete)


def complete_datasets(incomplete: str) -> Offers:
    """Data sets that have a name; where none fits, the shell offers files."""
    return _fitting(_plain(declared(DATASETS)), incomplete)


def complete_classes(ctx: typer.Context, incomplete: str) -> Offers:
    """Classes of the model on the line, where it comes with staa or is a folder that names them."""
    model = ctx.params.get("model") or os.environ.get("STAA_MODEL") or Settings().model
    try:
        if model in bundled():
            labels = json.loads(bundled()[model].read_text(encoding="utf-8"))["labels"]
        else:
            config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
            labels = list(config["id2label"].values())
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ):  # the command will say what is wrong
        return []
    return _fitting(_plain(map(str, labels)), incomplete)


def complete_presets(incomplete: str) -> Offers:
    """Presets; where none fits, the shell offers files."""
    return _fitting(describe_presets().items(), incomplete)


def one_of(*words: str) -> Callable[[str], Offers]:
    """Completes one of these words."""

    def complete(incomplete: str) -> Offers:
        return _fitting(_plain(words), incomplete)

    return complete


def _plain(words: Iterable[str]) -> Offers:
    return [(word, "") for word in words]


def _fitting(offers: Iterable[tuple[str, str]], incomplete: str) -> Offers:
    return [(value, about) for value, about in offers if value.startswith(incomplete)]


def _listed(words: Iterable[str], incomplete: str) -> Offers:
    """Words for the last part of ``A,B``, none that is there already."""
    before, comma, last = incomplete.rpartition(",")
    free = [word for word in words if word not in before.split(",")]
    return [(before + comma + word, "") for word in free if word.startswith(last)]
