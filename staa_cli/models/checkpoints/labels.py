"""Class names, from a checkpoint's config or from a user's file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from staa_cli.errors import CheckpointError, UsageError
from staa_cli.schema import Output

_PLACEHOLDER = re.compile(r"LABEL_\d+")


def placeholder_labels(classes: int, output: Output = "softmax") -> tuple[str, ...]:
    """Names for outputs of which only the number is known."""
    kind = "output" if output == "identity" else "class"
    return (kind,) if classes == 1 else tuple(f"{kind}_{index}" for index in range(classes))


def labels_from_config(config: Mapping[str, Any], default: tuple[str, ...]) -> tuple[str, ...]:
    """Read class names from a Hugging Face or timm config; names like `LABEL_0` are ignored.

    Args:
        config: the content of config.json.
        default: names to use if it has none.

    Raises:
        CheckpointError: the number of names differs from the width of the head.
    """
    names = config.get("id2label") or dict(enumerate(config.get("label_names") or ()))
    if not names or all(_PLACEHOLDER.fullmatch(str(name)) for name in names.values()):
        return default
    return _in_order(names, len(default), "config.json")


def read_labels(path: Path | Sequence[str], classes: int) -> tuple[str, ...]:
    """Read one name per class from a file.

    Args:
        path: JSON, ``["name", ...]`` or ``{"0": "name", ...}``, or text with one name per line; or
            the names themselves.
        classes: width of the head.

    Raises:
        UsageError: the file cannot be read as names.
        CheckpointError: the number of names differs from the width of the head.
    """
    if not isinstance(path, Path):
        return _in_order(dict(enumerate(path)), classes, "labels")
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = json.loads(text) if path.suffix.lower() == ".json" else text.splitlines()
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot read labels from {path}: {cause}") from error
    except ValueError as error:
        raise UsageError(f"cannot read labels from {path}: {error}") from error
    if isinstance(names, list):
        names = dict(enumerate(name for name in names if str(name).strip()))
    if not isinstance(names, dict):
        raise UsageError(
            f"{path} contains no labels", 'wanted: {"0": "name", ...} as JSON, or one name per line'
        )
    return _in_order(names, classes, str(path))


def _in_order(names: Mapping[Any, Any], classes: int, where: str) -> tuple[str, ...]:
    by_index = {str(index): str(name).strip() for index, name in names.items()}
    if by_index.keys() != {str(index) for index in range(classes)}:
        raise CheckpointError(
            f"the weights have {classes} classes, but {where} names {len(by_index)}",
            f"--labels FILE takes one name per line, or a JSON object with keys 0 to {classes - 1}",
        )
    return tuple(by_index[str(index)] for index in range(classes))
