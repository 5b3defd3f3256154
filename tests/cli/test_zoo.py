"""`zoo:NAME`, and what `staa models` says of the zoo."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from staa_cli.models.catalog import zoo

Run = Callable[..., Any]


def test_the_zoo_is_listed(run: Run) -> None:
    rows = json.loads(run("models", "--zoo", "--json").out)
    assert [row["name"] for row in rows] == [f"zoo:{name}" for name in zoo.zoo_manifests()]
    for row in rows:
        assert 0 < row["accuracy"] <= 1
        assert row["name"] in run("models", "--zoo").out


def test_without_a_checkout_it_is_said_how_the_zoo_is_made(
    run: Run, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    done = run("models", "--zoo")
    assert done.code == 5
    assert "python -m staa_cli.training.zoo" in done.err


@pytest.mark.parametrize("command", [("models", "inspect"), ("explain", "x.mp4", "--model")])
def test_a_model_that_is_not_there_is_refused_in_one_line(
    run: Run, command: tuple[str, ...]
) -> None:
    done = run(*command, "zoo:divided-clz")
    assert "the zoo has no model 'divided-clz'" in done.err
    assert "Traceback" not in done.err


def test_an_architecture_is_not_given_beside_it(run: Run) -> None:
    done = run("explain", "x.mp4", "--model", "zoo:divided-cls", "--arch", "test_vivit")
    assert done.code == 2
    assert "has its own architecture" in done.err
