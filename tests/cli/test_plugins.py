"""Packages that add a method, a metric, a model, a family, and a data set, used by the command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compared_runs import result
from plugins import PACKAGE, declare, declare_package, on_the_path
from safetensors.torch import save_file
from small_videos import film

from staa_cli import entry_points
from staa_cli.errors import ExitCode

ROOT = Path(__file__).parent.parent.parent
METHOD = {"their-method": "their_staa.methods:Brightness"}
BENCHMARK = (
    *("benchmark", "quality", "--dataset", "their-dataset", "--model", "their-model"),
    *("--methods", "their-method,random", "--metrics", "their_metric", "--json"),
)


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where their package counts as installed, and in which a command runs."""
    monkeypatch.chdir(tmp_path)
    declare_package(tmp_path / "site")
    with on_the_path(tmp_path / "site", PACKAGE):
        yield tmp_path


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Path]:
    """A folder where a package counts as installed of which nothing can be imported."""
    groups = {
        group: {f"broken-{group.partition('.')[2]}": "their_broken_package:thing"}
        for group in entry_points.BUILTIN
    }
    declare(tmp_path / "broken", "their-broken-package", groups, "0.3")
    with on_the_path(tmp_path / "broken"):
        yield tmp_path


def test_a_video_is_explained_by_their_method_and_model(theirs: Path, run: Any) -> None:
    video = film(theirs / "walk.mp4", 12)
    line = ("explain", str(video), "--method", "their-method", "--model", "their-model")
    done = run(*line, "--no-annotated", "--json")
    assert done.code == ExitCode.OK
    report = json.loads(done.out)
    assert report["model"]["name"] == "their-model"
    assert report["model"]["source"] == "their_staa.models:build"
    assert report["prediction"]["target"]["label"] in ("left", "right")
    assert (theirs / "staa-out" / "walk" / "report.json").is_file()
    assert "already finished" in run(*line, "--no-annotated").err
    declare(theirs / "later", "their-staa", {entry_points.METHODS: METHOD}, "1.1")
    with on_the_path(theirs / "later"):  # comes before the version that was
        assert "already finished" not in run(*line, "--no-annotated").err


def test_their_format_is_written_from_the_one_decode_and_drawn_again(
    theirs: Path, run: Any
) -> None:
    video = film(theirs / "walk.mp4", 12)
    line = ("explain", str(video), "--model", "their-model", "--no-annotated")
    assert run(*line, "--formats", "their-text").code == ExitCode.OK
    folder = theirs / "staa-out" / "walk"
    peak, brightness = (folder / "peak.txt").read_text().split()
    assert 0 < int(brightness) < 256
    assert not (folder / "annotated.mp4").exists()
    (folder / "peak.txt").unlink()
    assert run("render", str(folder), "--no-annotated", "--formats", "their-text").code == 0
    assert (folder / "peak.txt").read_text().split() == [peak, brightness]
    slip = run(*line, "--formats", "their-texd", "--force")
    assert slip.code == ExitCode.USAGE
    assert "did you mean 'their-text'?" in slip.err


def test_their_export_is_written_like_those_of_staa(theirs: Path, run: Any) -> None:
    for name, confidence in (("walk.mp4", 0.5), ("jump.mp4", 0.75)):
        result(theirs / "run", name, confidence=confidence)
    done = run("export", "their-list", "run")
    assert done.code == ExitCode.OK
    path = Path("staa-export", "their-list", "videos.m3u")
    assert done.out == f"{path}\n"
    assert path.read_text() == "/videos/jump.mp4\n/videos/walk.mp4\n"
    slip = run("export", "their-list", "run", "--rows", "videos")
    assert slip.code == ExitCode.USAGE
    assert "error: --rows has no effect on their-list" in slip.err


def test_their_method_is_scored_by_their_metric_on_their_data(theirs: Path, run: Any) -> None:
    done = run(*BENCHMARK, "--into", "scores")
    assert done.code == ExitCode.OK
    result = json.loads(done.out)
    assert (result["dataset"], result["scored"], result["of"]) == ("their-dataset", 3, 3)
    rows = {row["method"]: row for row in result["results"]}
    assert set(rows) == {"their-method", "random"}
    assert {row["metric"] for row in rows.values()} == {"their_metric"}
    assert 1 / 16 < rows["their-method"]["mean"] < 1  # of 4 x 2 x 2 tokens
    lines = (theirs / "scores" / "scores.ndjson").read_text().splitlines()
    again = json.loads(run(*BENCHMARK, "--into", "scores").out)
    assert again["results"] == result["results"]
    assert (theirs / "scores" / "scores.ndjson").read_text().splitlines() == lines
    row = next(json.loads(line) for line in lines[1:] if "their_metric" in line)
    assert row["method"] == "their-method of their-staa 1.0"  # what another version does is unknown
    assert "their_metric of their-staa 1.0" in row
    assert json.loads(lines[0])["dataset_package"] == "their-staa 1.0"


def test_a_checkpoint_of_their_family_is_opened(theirs: Path, run: Any) -> None:
    from their_staa.models import build  # type: ignore[import-not-found]

    folder = theirs / "checkpoint"
    folder.mkdir()
    state = build().state_dict()
    save_file(state, folder / "model.safetensors")
    save_file(state, theirs / "alone.safetensors")
    labels = {"0": "left", "1": "right"}
    config = {"model_type": "their-family", "id2label": labels}
    (folder / "config.json").write_text(json.dumps(config))
    for path in (folder, theirs / "alone.safetensors"):
        told = json.loads(run("models", "inspect", str(path), "--json").out)
        assert (told["family"], told["classes"], told["fits"]) == ("their-family", 2, True)
    assert json.loads(run("models", "inspect", str(folder), "--json").out)["labels"] == [
        "left",
        "right",
    ]


def test_theirs_are_in_every_list_behind_those_of_staa(theirs: Path, run: Any) -> None:
    for line, name in (
        (("methods",), "their-method"),
        (("benchmark", "metrics"), "their_metric"),
        (("models",), "their-model"),
    ):
        done = run(*line, "--json")
        assert done.err == ""
        assert [row["name"] for row in json.loads(done.out)][-1] == name
    told = json.loads(run("doctor", "--json").out)["plugins"]
    assert told == {
        "method": ["their-method (their-staa 1.0)"],
        "metric": ["their_metric (their-staa 1.0)"],
        "format": ["their-text (their-staa 1.0)"],
        "export format": ["their-list (their-staa 1.0)"],
        "model": ["their-model (their-staa 1.0)"],
        "model family": ["their-family (their-staa 1.0)"],
        "data set": ["their-dataset (their-staa 1.0)"],
    }
    done = run("benchmark", "quality", "--dataset", "their-datasets")
    assert (done.code, "did you mean 'their-dataset'?" in done.err) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("staa explain --method their", "their-method"),
        ("staa compare a.mp4 --methods staa,their", "staa,their-method"),
        ("staa benchmark quality --metrics their", "their_metric"),
        ("staa benchmark quality --dataset their", "their-dataset"),
        ("staa explain --model their", "their-model"),
        ("staa export their", "their-list"),
    ],
)
def test_theirs_are_offered_without_being_imported(
    theirs: Path, run: Any, line: str, value: str
) -> None:
    words = len(line.split())
    done = run(_STAA_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(words - 1))
    assert done.out.split() == [value]
    assert not [name for name in sys.modules if name.startswith("their_staa")]


def test_packages_are_not_looked_for_where_no_name_is_asked_for(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(**_: str) -> None:
        pytest.fail("it takes a while to look for packages")

    monkeypatch.setattr("importlib.metadata.entry_points", look)
    for line in (("--help",), ("explain", "--help"), ("--version",), ("config", "show")):
        assert run(*line).code == ExitCode.OK


def test_what_is_broken_is_in_nobodys_way(broken: Path, run: Any, tmp_path: Path) -> None:
    for command in (("methods",), ("benchmark", "metrics")):
        done = run(*command)
        assert (done.code, done.err.count("warning: ")) == (ExitCode.OK, 1)
        assert "broken" not in done.out
        assert "of their-broken-package 0.3 cannot be loaded: ModuleNotFoundError" in done.err
    assert "broken-models" in run("models").out  # listed without being imported
    video = film(tmp_path / "walk.mp4", 8)
    line = ("explain", str(video), "-q", "--no-annotated", "-o", str(tmp_path / "out"))
    assert run(*line, "--model", "test_timesformer").code == ExitCode.OK


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (("explain", "walk.mp4", "--method", "broken-methods"), "method"),
        (("explain", "walk.mp4", "--model", "broken-models"), "model"),
        (("benchmark", "quality", "--metrics", "broken-metrics"), "metric"),
        (("benchmark", "quality", "--dataset", "broken-datasets"), "data set"),
        (("export", "broken-exports", "."), "export format"),
    ],
)
def test_what_is_broken_fails_in_one_line_where_it_is_asked_for(
    broken: Path, run: Any, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...], kind: str
) -> None:
    monkeypatch.chdir(broken)
    film(broken / "walk.mp4", 8)
    done = run(*line)
    assert done.code == ExitCode.UNAVAILABLE
    error, hint = done.err.splitlines()
    assert error.startswith(f"error: the {kind} 'broken-")
    assert "of their-broken-package 0.3 cannot be loaded" in error
    assert hint.startswith("hint: it is declared as their_broken_package:thing")


def test_the_doctor_finds_what_is_broken(broken: Path, run: Any) -> None:
    done = run("doctor", "--json")
    assert done.code == ExitCode.UNAVAILABLE
    problems = json.loads(done.out)["problems"]
    assert [problem for problem in problems if "their-broken-package 0.3" in problem] == problems
    assert len(problems) == len(entry_points.BUILTIN)
    assert done.err.count("warning: ") == len(problems)


def test_a_package_cannot_take_a_name_of_staa(tmp_path: Path, run: Any) -> None:
    declare(tmp_path, "their-staa", {entry_points.METHODS: {"rollout": METHOD["their-method"]}})
    with on_the_path(tmp_path, PACKAGE):
        done = run("methods")
        assert done.code == ExitCode.OK
        assert not [row for row in done.out.splitlines() if row.startswith("rollout ")]
        assert "'rollout' is declared by staa itself and by their-staa 1.0" in done.err


def test_what_the_page_shows_is_a_package(tmp_path: Path, run: Any) -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", page, re.DOTALL))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    weights = ROOT / "staa_cli" / "models" / "catalog" / "weights"
    for kind in ("json", "safetensors"):
        copy = tmp_path / "my_package" / f"my-model.{kind}"
        copy.write_bytes((weights / f"tiny-events.{kind}").read_bytes())
    project = tomllib.loads(files["pyproject.toml"])["project"]
    declare(tmp_path, project["name"], project["entry-points"], project["version"])
    (program,) = re.findall(r"```python\n(from .*?)```", page, re.DOTALL)
    line = next(line for line in page.splitlines() if line.startswith("staa benchmark quality"))
    words = [*line.split()[1:], "--model", "my-model", "--clips", "2", "--json"]
    with on_the_path(tmp_path):
        result = json.loads(run(*words).out)
        compile(program, "docs/plugins.md", "exec")
    assert result["model"] == "my-model"
    assert [row["method"] for row in result["results"]] == ["brightness", "random"]
    assert len(files) == 1 + sum(map(len, project["entry-points"].values()))


@pytest.mark.slow
def test_an_installed_package_is_used_and_held_to_the_contract(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    for path in sorted(PACKAGE.rglob("*.*")):
        if path.suffix in (".py", ".toml"):
            copy = source / path.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", site)
    command = [sys.executable, "-m", "pip", "install", *options, source]
    subprocess.run(list(map(str, command)), check=True)
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, site)))}

    def call(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environ, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    film(tmp_path / "walk.mp4", 12)
    line = ("explain", "walk.mp4", "--method", "their-method", "--model", "their-model", "--json")
    assert json.loads(call("-m", "staa_cli", *line))["model"]["name"] == "their-model"
    result = json.loads(call("-m", "staa_cli", *BENCHMARK))
    assert {row["method"] for row in result["results"]} == {"their-method", "random"}
    contract = ROOT / "tests" / "methods" / "test_contract.py"
    told = call("-m", "pytest", "-q", "-k", "their-method", "--rootdir", str(ROOT), str(contract))
    assert int(told.split(" passed")[0].split()[-1]) > 10
