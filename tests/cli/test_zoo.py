"""`zoo:NAME`, and what `staa models` says of the zoo."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from staa_cli.models.catalog import zoo

Run = Callable[..., Any]


def test_the_zoo_is_listed(run: Run) -> None:
    rows = json.loads(run("models", "--zoo", "--json").out)
    assert [row["name"] for row in rows] == [f"zoo:{name}" for name in zoo.zoo_manifests()]
    listed = run("models", "--zoo")
    for row in rows:
        assert 0 < row["accuracy"] <= 1
        assert row["name"] in listed.out
    assert "--zoo" not in listed.err


def add_model(folder: Path, accuracy: float) -> None:
    """The zoo's divided-cls, as if it had this accuracy."""
    facts = json.loads((zoo.zoo_folder() / "divided-cls.json").read_text())
    facts["accuracy"] = accuracy
    (folder / "divided-cls.json").write_text(json.dumps(facts))
    shutil.copy(zoo.zoo_folder() / "divided-cls.safetensors", folder)


@pytest.mark.parametrize("accuracy", [0.8491, 0.85, 0.97])
def test_accuracy_is_shown_and_marked_where_it_is_too_small(
    accuracy: float, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model(tmp_path, accuracy)
    monkeypatch.setattr(zoo, "zoo_folder", lambda: tmp_path)
    for command in (("models", "--zoo"), ("models", "inspect", "zoo:divided-cls")):
        words = " ".join(run(*command, COLUMNS="200").out.split())
        assert f"{accuracy:.3f} on held-out events" in words
        assert ("left out of means" in words) == (accuracy < 0.85)
    assert json.loads(run("models", "inspect", "zoo:divided-cls", "--json").out)["accuracy"] == (
        accuracy
    )


def test_the_list_of_models_points_to_the_zoo_where_there_is_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--zoo lists" in run("models").err
    assert "--zoo" not in "".join((run("models", "--json").out, run("models", "--json").err))
    monkeypatch.setattr(zoo, "zoo_folder", lambda: tmp_path)
    assert "--zoo" not in run("models").err


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("zoo:divided-clz", "'zoo:divided-cls'"),
        ("zoo:pooller", "'zoo:pooler'"),
        ("divided-cls", "'zoo:divided-cls'"),
        ("zoo:", None),
        ("zoo:../x", None),
    ],
)
def test_only_names_of_recipes_are_said_to_be_trainable(
    name: str, near: str | None, run: Run
) -> None:
    for command in (("models", "inspect"), ("explain", "x.mp4", "--model")):
        done = run(*command, name)
        assert (done.code, "training.zoo" in done.err) == (5, False)
        assert ("did you mean" in done.err) == (near is not None)
        assert (near or "`staa models --zoo`") in done.err


def test_without_a_checkout_it_is_said_how_the_zoo_is_made(
    run: Run, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "zoo_folder", lambda: tmp_path)
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
