"""Helpers for tests of checkpoints: loading on the CPU, and checks of error messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from staa_cli.errors import CheckpointError, StaaError
from staa_cli.models.load import LoadedModel, load_model

MakeFolder = Callable[..., tuple[Any, Path]]
State = dict[str, Tensor]


def load(path: Path | str, **options: Any) -> LoadedModel:
    return load_model(str(path), device="cpu", **options)


def edit_json(path: Path, **changes: Any) -> None:
    facts = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**facts, **changes}))


def assert_refused(path: Path | str, *words: str, **options: Any) -> StaaError:
    """Check that loading fails with a one-line message that contains these words."""
    with pytest.raises(CheckpointError) as caught:
        load(path, **options)
    assert "\n" not in caught.value.cause
    for word in words:
        assert word in caught.value.cause
    return caught.value
