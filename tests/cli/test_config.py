"""`staa config`: values with their origins, checks with lines, a file to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from staa_cli.config.settings import Settings, keys, load_settings
from staa_cli.errors import ExitCode


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_show_tells_every_value_and_its_origin(run: Any) -> None:
    Path("own.yaml").write_text("extends: ci\n\nthreads: 3\n")
    shown = json.loads(
        run("config", "show", "--config", "own.yaml", "--json", STAA_MODEL="mine").out
    )
    assert list(shown) == list(keys())
    assert shown["threads"] == {"value": 3, "from": "own.yaml:3"}
    assert shown["precision"]["from"].startswith("configs/ci.yaml:")
    assert shown["model"] == {"value": "mine", "from": "STAA_MODEL"}
    assert shown["device"]["value"] == "cpu"
    assert shown["render.view"] == {"value": "heat", "from": "default"}


def test_show_prints_a_row_a_key(run: Any) -> None:
    rows = [line.split() for line in run("config", "show").out.splitlines()]
    assert rows[0] == ["SETTING", "VALUE", "FROM"]
    assert [row[0] for row in rows[1:]] == list(keys())
    assert ["output.gif", "false", "default"] in rows


def test_validate_names_the_line(run: Any) -> None:
    Path("bad.yaml").write_text("sampling:\n  strategy: dense\n  frmes: 8\n")
    done = run("config", "validate", "fast", "bad.yaml")
    assert done.code == ExitCode.USAGE
    assert "error: bad.yaml:3: no such setting: sampling.frmes\n" in done.err
    assert "hint: did you mean 'frames'?" in done.err
    assert run("config", "validate", "fast").code == ExitCode.OK


def test_validate_knows_the_methods(run: Any) -> None:
    Path("bad.yaml").write_text("crf: 3\nmethod:\n  name: rolout\n")
    done = run("config", "validate", "bad.yaml")
    assert done.code == ExitCode.USAGE
    assert "bad.yaml:1: " in done.err
    assert "bad.yaml:3: " in done.err
    assert "rollout" in done.err.splitlines()[-1]


def test_validate_tells_all_that_is_wrong_at_once(run: Any) -> None:
    Path("base.yaml").write_text("threads: none at all\n")
    Path("bad.yaml").write_text(
        "extends: base.yaml\n"
        "modle: x\n"
        "sampling:\n"
        "  frames: 0\n"
        "  hop: 0.5\n"
        "  hop: 0.7\n"
        "method: rollout\n"
        "render:\n"
        "  view: hot\n"
    )
    Path("apart.yaml").write_text(
        "model: mine:build\nsampling:\n  start: 3\n  end: 2\npost:\n"
        "  threshold: percentile\n  threshold_value: 120\n"
    )
    Path("lost.yaml").write_text("extends: nowhere.yaml\ncrf: 3\n")
    done = run("config", "validate", "bad.yaml", "fast", "apart.yaml", "lost.yaml")
    assert done.code == ExitCode.USAGE
    lines = [line.removeprefix("error: ") for line in done.err.splitlines()]
    starts = [line.partition(": ")[0] for line in lines if not line.startswith("hint: ")]
    assert starts[:7] == [
        *("base.yaml:1", "bad.yaml:2", "bad.yaml:6", "bad.yaml:4", "bad.yaml:7", "bad.yaml:9"),
        "fast",
    ]
    assert starts[7:] == [
        *("apart.yaml:1", "apart.yaml:3", "apart.yaml:7"),
        *("nowhere.yaml", "lost.yaml:2"),
    ]
    assert "hint: did you mean 'model'?" in done.err
    used = run("config", "show", "--config", "bad.yaml")  # whoever works with it is told the first
    assert used.code == ExitCode.USAGE
    assert used.err.count("error: ") == 1


def test_init_writes_a_file_that_says_the_defaults_and_replaces_none(run: Any) -> None:
    assert run("config", "init").out == "staa.yaml\n"
    assert load_settings("staa.yaml", {}, {}).settings == Settings()
    Path("staa.yaml").write_text("model: mine\n")
    assert run("config", "init").code == ExitCode.USAGE
    assert Path("staa.yaml").read_text() == "model: mine\n"
    assert run("config", "init", "staa.yaml", "--force").code == ExitCode.OK
    assert load_settings("staa.yaml", {}, {}).settings == Settings()
