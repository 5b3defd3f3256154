"""Shell completion: what is offered, in three shells, at the cost of no heavy import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from staa_cli.config.presets import presets
from staa_cli.errors import ExitCode
from staa_cli.evaluation.base import list_metrics
from staa_cli.methods import list_methods
from staa_cli.models.catalog.manifests import list_models


@pytest.fixture
def offered(run: Any) -> Any:
    """What bash is offered for the last word of a line."""

    def call(line: str, **variables: str) -> list[str]:
        words = line.split(" ")
        done = run(
            _STAA_COMPLETE="complete_bash",
            COMP_WORDS=line,
            COMP_CWORD=str(len(words) - 1),
            **variables,
        )
        assert (done.code, done.err) == (0, "")
        return str(done.out).split()

    return call


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("staa exp", ["explain", "export"]),
        ("staa benchmark q", ["quality"]),
        ("staa explain --dry", ["--dry-run"]),
        ("staa explain --sampling s", ["segments"]),
        ("staa explain --colormap m", ["magma"]),
        ("staa explain --color a", ["auto", "always"]),
        ("staa explain --device c", ["cpu", "cuda"]),
        ("staa explain --config long", ["long-video"]),
        ("staa config show --config f", ["fast"]),
        ("staa explain --class gr", ["grow"]),
        ("staa compare a.mp4 --class hop --class sh", ["shake", "shrink"]),
        ("staa compare a.mp4 --methods staa,roll", ["staa,rollout"]),
        ("staa compare a.mp4 --methods rollout,rollo", []),
        ("staa benchmark quality --dataset events-h", ["events-hard"]),
        ("staa benchmark quality --dataset clips/", []),
        ("staa benchmark quality --metrics pointing,temporal_a", ["pointing,temporal_auc"]),
        ("staa models inspect tiny-events-", ["tiny-events-joint"]),
        ("staa explain vid", []),  # and so the shell offers files
        ("staa explain --model ./my", []),
        ("staa nonsense --fo", []),
    ],
)
def test_what_is_offered(offered: Any, line: str, values: list[str]) -> None:
    assert offered(line) == values


def test_every_name_is_offered(offered: Any) -> None:
    methods = {method["name"] for method in list_methods()}
    assert set(offered("staa explain --method ")) == methods | {"auto"}
    assert set(offered("staa compare a --methods ")) == methods | {"auto", "all", "baselines"}
    metrics = {metric["name"] for metric in list_metrics()}
    assert set(offered("staa benchmark quality --metrics ")) == metrics | {"all"}
    assert set(offered("staa explain --model ")) == {model["name"] for model in list_models()}
    assert set(offered("staa explain --config ")) == set(presets())


def test_classes_are_those_of_the_model_on_the_line(offered: Any, tmp_path: Path) -> None:
    labels = {"0": "pouring", "1": "stirring"}
    (tmp_path / "config.json").write_text(json.dumps({"id2label": labels}))
    (tmp_path / "weights").mkdir()
    assert offered(f"staa explain --model {tmp_path} --class ") == ["pouring", "stirring"]
    assert offered("staa explain --class st", STAA_MODEL=str(tmp_path)) == ["stirring"]
    assert offered(f"staa explain --model {tmp_path}/weights --class ") == []
    (tmp_path / "config.json").write_text("[]")
    assert offered(f"staa explain --model {tmp_path} --class ") == []


@pytest.mark.parametrize(
    ("shell", "answer"), [("zsh", '"rollout"'), ("fish", "rollout")], ids=["zsh", "fish"]
)
def test_other_shells(run: Any, shell: str, answer: str) -> None:
    done = run(
        _STAA_COMPLETE=f"complete_{shell}",
        _TYPER_COMPLETE_ARGS="staa explain --method ro",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert done.code == 0
    assert answer in done.out


def test_completion_imports_nothing_heavy(staa: Any) -> None:
    for line in ("staa explain --method ro", "staa explain --model t", "staa explain --class s"):
        done = staa(
            PYTHONPROFILEIMPORTTIME="1",
            _STAA_COMPLETE="complete_bash",
            COMP_WORDS=line,
            COMP_CWORD="3",
        )
        assert done.stdout.strip()
        imported = {name.rpartition("|")[2].strip() for name in done.stderr.splitlines()}
        assert "staa_cli.cli.completion" in imported
        assert not imported & {"torch", "torchvision", "timm", "av", "PIL", "numpy", "yaml"}


def test_the_script_is_shown_for_the_shell_that_is_used(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--install-completion" in run("-h").out
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "zsh")
    done = run("--show-completion")
    assert done.code == 0
    assert "#compdef staa" in done.out
    assert "_STAA_COMPLETE=complete_zsh" in done.out


def test_what_goes_wrong_stays_off_the_line(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, Path]:
        raise OSError("the disk is gone")

    monkeypatch.setattr("staa_cli.cli.completion.bundled", broken)
    done = run(_STAA_COMPLETE="complete_bash", COMP_WORDS="staa explain --model t", COMP_CWORD="3")
    assert (done.out, done.err) == ("", "")


@pytest.mark.parametrize("option", ["--show-completion", "--install-completion"])
def test_a_shell_is_not_named_but_asks(run: Any, option: str) -> None:
    done = run(option, "zsh")
    assert done.code == ExitCode.USAGE
    assert f"zsh -c 'staa {option}'" in done.err
    assert done.out == ""
