"""The README and the pages in docs/ promise only what runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import takewhile
from math import isnan
from pathlib import Path

import pytest
import yaml
from small_videos import film

from staa_cli import __version__
from staa_cli.cli.app import run
from staa_cli.config.settings import load_settings
from staa_cli.evaluation.base import BASELINES
from staa_cli.methods import AUTO

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES["README.md"]
BLOCKS = [
    (kind, block)
    for text in PAGES.values()
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
]
PARTS = re.findall(
    r"<!-- made by: (.+?) -->\n(.*?)<!-- end -->", "".join(PAGES.values()), re.DOTALL
)


def lines_of(language: str) -> list[str]:
    return [line for kind, block in BLOCKS if kind == language for line in block.splitlines()]


def staa_lines() -> list[str]:
    """Every line that calls the command: those that are shown, and those that made a figure."""
    lines = [line.split("  #")[0].strip() for line in lines_of("sh")]
    lines += [command for command, _ in PARTS] + [
        part for line in lines for part in line.split("| ")
    ]
    return sorted({line for line in lines if line.startswith("staa ")})


def test_the_two_lines_that_ci_runs_are_there() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    for name in ("run the tests", "the first run"):
        assert len(re.findall(rf"^    .+ # {name}$", README, re.MULTILINE)) == 1
        assert f"line '{name}'" in script


def test_the_readme_shows_commands() -> None:
    assert len(staa_lines()) >= 8


def test_the_readme_is_a_front_page() -> None:
    assert len(README.encode()) <= 10_000


def words_of(line: str) -> list[str]:
    """The words of a command, up to a pipe or a redirection."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>")
    lexer.whitespace_split, lexer.commenters = True, ""
    return list(takewhile(lambda word: word not in ("|", ">", ">>"), lexer))


@pytest.mark.parametrize("line", staa_lines())
def test_every_command_line_parses(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = words_of(line)[1:]
    command = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
    depth = 2 if command[0] in ("benchmark", "config") or "inspect" in command else 1
    assert run([*words[:depth], "--help"]) == 0
    text = capsys.readouterr().out
    for option in (word.split("=")[0] for word in words if re.fullmatch(r"--?[a-z].*", word)):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"no option {option}"


def test_yaml_examples_are_valid_settings(tmp_path: Path) -> None:
    for index, block in enumerate(b for kind, b in BLOCKS if kind == "yaml" if "on:" not in b):
        path = tmp_path / f"{index}.yaml"
        path.write_text(block)
        load_settings(str(path), {}, {})


def anchors(text: str) -> set[str]:
    """What a link may name in a page: its headings, lowercase, a hyphen for each blank."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_local_links_and_pictures_exist(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", PAGES[page]):
        path, _, anchor = target.partition("#")
        other = (ROOT / page).parent / path if path else ROOT / page
        assert other.exists(), target
        if anchor:
            assert anchor in anchors(other.read_text(encoding="utf-8")), target


def test_one_version_everywhere() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert cited["version"] == built["project"]["version"] == __version__
    assert __version__ in PAGES["CHANGELOG.md"]


def test_every_page_is_in_the_table_of_pages() -> None:
    there = {Path(page).name for page in PAGES if page.startswith("docs/")}
    assert there <= {"README.md", *re.findall(r"\(([\w-]+\.md)\)", PAGES["docs/README.md"])}


def test_every_figure_is_made_by_something_in_the_repository() -> None:
    for command, _ in PARTS:
        scripts = re.findall(r"[\w./-]+/[\w.-]+\.(?:py|md)", command)
        assert all((ROOT / script).is_file() for script in scripts), command
        assert scripts or command.startswith("staa "), command


def test_the_front_table_is_what_the_committed_benchmark_says() -> None:
    ((command, shown),) = [part for part in PARTS if "front_table" in part[0]]
    words = [sys.executable, *command.split()[1:]]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == shown


def test_python_examples_compile() -> None:
    for block in (block for kind, block in BLOCKS if kind == "python"):
        compile(block, "a page", "exec")


def test_the_model_of_ones_own_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = (block for kind, block in BLOCKS if kind == "python" and "my_model:build" in block)
    (tmp_path / "my_model.py").write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    video = film(tmp_path / "video.mp4", 24)
    words = ["explain", video.name, "--model", "my_model:build", "-q", "--no-annotated"]
    assert run(words) == 0
    report = json.loads((tmp_path / "staa-out" / "video" / "report.json").read_text())
    assert report["model"]["source"] == "my_model:build"
    assert report["prediction"]["target"]["label"] in ("jump", "fall")
    sys.modules.pop("my_model")


@pytest.mark.parametrize("model", ["tiny-events", "tiny-events-joint"])
def test_the_benchmark_is_of_the_bundled_weights_and_follows_from_the_scores(model: str) -> None:
    folder = ROOT / "docs" / "benchmark" / model
    header, *rows = map(json.loads, (folder / "scores.ndjson").read_text().splitlines())
    result = json.loads((folder / "benchmark.json").read_text())
    weights = ROOT / "staa_cli" / "models" / "catalog" / "weights" / f"{model}.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert header["weights_sha256"] == result["weights_sha256"] == digest

    scores: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        scores.setdefault((row["method"], row["clip"]), {}).update(row)
    right = [clip for clip in range(result["clips"]) if scores["", clip]["scored"]]
    assert len(right) == result["correct"]
    measured = {row["method"] for row in result["results"]}  # a method of a later day need not be
    assert measured >= {*AUTO, *BASELINES}
    (shown,) = [text for command, text in PARTS if f"quality --model {model} " in command]
    for row in result["results"]:
        found = [scores[row["method"], clip][row["metric"]] for clip in right]
        values = [value for value in found if not isnan(value)]  # no energy where all is negative
        assert row["n"] == len(values)
        assert row["mean"] == pytest.approx(sum(values) / len(values), abs=1e-12)
        if row["metric"] == "srg":
            cell = f"{row['mean']:z.2f} ({row['low']:z.2f} to {row['high']:z.2f})"
            assert re.search(rf"^{row['method']} +{re.escape(cell)} ", shown, re.MULTILINE)


@pytest.mark.slow
def test_the_lines_of_python_on_the_front_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "sample_videos").symlink_to(ROOT / "sample_videos")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("shake 0.")
    assert (tmp_path / "out" / "report.json").is_file()


@pytest.mark.slow
def test_the_table_of_claims_can_be_made() -> None:
    def made(*words: str) -> list[str]:
        command = [sys.executable, str(FIGURES / "claims.py"), *words]
        path = {**os.environ, "PYTHONPATH": str(ROOT)}  # as the scripts are run from a checkout
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT, env=path
        )
        _, _, head, rule, *rows = done.stdout.splitlines()
        assert (head, rule) == ("| claim | measured here | figures |", "|---|---|---|")
        return rows

    videos = [row.split(" | ")[0].strip("| ") for row in made("videos")]
    assert videos == ["importance in time", "real time"]
    rows = made("clips", "--clips", "4", "--rounds", "1")
    claims = [row.split(" | ")[0].strip("| ") for row in rows]
    assert {"importance in time", "one forward pass", "under 3 % of the cost of SHAP"} <= set(
        claims
    )
    published = next(row for row in rows if "`published_faithfulness`" in row)
    for method in ("staa-published", "staa-class", "random"):
        assert re.search(rf"{method} \d\.\d\d \(", published)
    shares = next(row for row in rows if "of kernel-shap" in row)
    assert float(re.search(r"([\d.]+) % of kernel-shap", shares)[1]) < 3


@pytest.mark.slow
def test_the_table_of_the_ground_left_behind_can_be_made() -> None:
    script = FIGURES / "left_behind.py"
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), "--clips", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=path)
    about, _, head, rule, *rows = done.stdout.splitlines()
    assert "4 held-out clips" in about
    assert (head.count("|"), rule) == (9, "|---" * 8 + "|")
    assert [row.split("|")[1].split(", ")[1].strip() for row in rows] == ["hop", "shake"] * 2
    for row in rows:
        means = [float(cell.split("(")[0]) for cell in row.split("|")[3:-1]]
        as_it_is, _, there, elsewhere = means[2:]
        assert there < 0.3 < 0.7 < min(as_it_is, elsewhere)
