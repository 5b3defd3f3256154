"""Shell completion of option values. Imports nothing slow, such as torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from staa_cli.config.presets import describe_presets
from staa_cli.config.settings import Settings
from staa_cli.entry_points import DATASETS, EXPORTS, METHODS, METRICS, declared
from staa_cli.models.catalog.names import bundled, of_packages, published

Offers = list[tuple[str, str]]
"""Values, each with a short description or an empty one."""


def complete_models(incomplete: str) -> Offers:
    """Named models; if none matches, the shell offers files."""
    offers = [(name, "comes with staa") for name in bundled()]
    offers += [(name, f"from {model.package}") for name, model in of_packages().items()]
    offers += [(name, f"{model.data}, downloads once") for name, model in published().items()]
    return _matching(offers, incomplete)


def complete_method(incomplete: str) -> Offers:
    """Attribution methods."""
    return _matching(_plain(["auto", *declared(METHODS)]), incomplete)


def complete_methods(incomplete: str) -> Offers:
    """Several methods, A,B, or names of groups."""
    return _last_of_list(["auto", "all", "baselines", *declared(METHODS)], incomplete)


def complete_metrics(incomplete: str) -> Offers:
    """Several metrics, A,B."""
    return _last_of_list(["all", *declared(METRICS)], incomplete)


def complete_datasets(incomplete: str) -> Offers:
    """Named data sets; if none matches, the shell offers files."""
    return _matching(_plain(declared(DATASETS)), incomplete)


def complete_exports(incomplete: str) -> Offers:
    """Export formats."""
    return _matching(_plain(declared(EXPORTS)), incomplete)


def complete_classes(ctx: typer.Context, incomplete: str) -> Offers:
    """Classes of the given model if it is bundled or a folder with labels."""
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
    ):  # the command will report the error
        return []
    return _matching(_plain(map(str, labels)), incomplete)


def complete_presets(incomplete: str) -> Offers:
    """Presets; if none matches, the shell offers files."""
    return _matching(describe_presets().items(), incomplete)


def one_of(*words: str) -> Callable[[str], Offers]:
    """A function that completes one of these words."""

    def complete(incomplete: str) -> Offers:
        return _matching(_plain(words), incomplete)

    return complete


def _plain(words: Iterable[str]) -> Offers:
    return [(word, "") for word in words]


def _matching(offers: Iterable[tuple[str, str]], incomplete: str) -> Offers:
    return [(value, about) for value, about in offers if value.startswith(incomplete)]


def _last_of_list(words: Iterable[str], incomplete: str) -> Offers:
    """Words for the last part of ``A,B``, without those already in it."""
    before, comma, last = incomplete.rpartition(",")
    unused = [word for word in words if word not in before.split(",")]
    return [(before + comma + word, "") for word in unused if word.startswith(last)]
