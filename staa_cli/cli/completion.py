"""What the shell offers as values of options. Loads nothing that takes long, as torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from staa_cli.config.presets import describe_presets
from staa_cli.config.settings import Settings
from staa_cli.models.catalog.names import bundled, installed, published

Offers = list[tuple[str, str]]
"""Values, each with a word about it or an empty one."""

_PACKAGE = Path(__file__).resolve().parent.parent
_FILED = re.compile(r"^@(?:register|metric|located)\(\s*\"([^\"]+)\"", re.MULTILINE)


def complete_models(incomplete: str) -> Offers:
    """Models that have a name; where none fits, the shell offers files."""
    found = [(name, "comes with staa") for name in bundled()]
    found += [(name, "of an installed package") for name in installed()]
    found += [(name, f"{model.data}, downloads once") for name, model in published().items()]
    return _fitting(found, incomplete)


def complete_method(incomplete: str) -> Offers:
    """Attribution methods."""
    return _fitting(_plain(["auto", *_filed("methods")]), incomplete)


def complete_methods(incomplete: str) -> Offers:
    """Several methods, A,B, or the words for groups of them."""
    return _listed(["auto", "all", "baselines", *_filed("methods")], incomplete)


def complete_metrics(incomplete: str) -> Offers:
    """Several metrics, A,B."""
    return _listed(["all", *_filed("evaluation")], incomplete)


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


def _filed(room: str) -> list[str]:
    """Names under which a room files its things, read from its text: importing it imports torch."""
    files = sorted((_PACKAGE / room).rglob("*.py"))
    return [name for path in files for name in _FILED.findall(path.read_text(encoding="utf-8"))]
