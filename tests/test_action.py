"""The composite action blocks, and runs nothing that it is given; nobody replaces the baseline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compared_runs import result

ROOT = Path(__file__).parent.parent
ACTION = ROOT / ".github" / "actions" / "explain-diff"
WORKFLOWS = [
    (page, block)
    for page in ("README.md", "docs/diff.md")
    for block in re.findall(
        r"```yaml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL
    )
    if "explain-diff" in block
]

needs_shell = pytest.mark.skipif(
    sys.platform == "win32" or not all(map(shutil.which, ("bash", "git", "tar"))),
    reason="bash, git, and tar are needed",
)

STAA = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$CALLS/$1"
if [ "$1" = explain ]; then
    cp -r "$NEW_RESULTS" "$4"
    exit "${EXPLAIN_CODE:-0}"
fi
exec "$PYTHON" -m staa_cli "$@"
"""
"""Explains nothing, but leaves results that are ready in --output-dir; the rest is real."""


class Checkout:
    """A checkout of a pull request, whose base branch has a baseline."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.origin, self.new = folder / "pr", folder / "origin", folder / "new"
        self.origin.mkdir()
        self.git(self.origin, "init", "-q", "-b", "main")
        result(self.origin / "baseline")
        self.base = self.commit(self.origin)
        self.git(folder, "clone", "-q", str(self.origin), str(self.folder))
        for name in ("calls", "temp", "bin"):
            (folder / name).mkdir()
        (folder / "bin" / "staa").write_text(STAA)
        (folder / "bin" / "staa").chmod(0o755)
        self.files = {name: folder / name for name in ("summary", "output", "calls", "temp")}

    def git(self, folder: Path, *words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", "-C", folder, *who, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, folder: Path) -> str:
        self.git(folder, "add", "-A")
        self.git(folder, "commit", "-q", "-m", "change")
        return self.git(folder, "rev-parse", "HEAD")

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        files = self.files
        given = {
            "VIDEOS": "videos",
            "MODEL": "model",
            "GATES": "--max-shift 0.15",
            "BASELINE": "baseline",
            "EXPLAIN": "",
            "BASE": self.base,
            "CALLS": str(files["calls"]),
            "NEW_RESULTS": str(self.new),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{files['temp'].parent / 'bin'}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(files["temp"]),
            "GITHUB_OUTPUT": str(files["output"]),
            "GITHUB_STEP_SUMMARY": str(files["summary"]),
        }
        return subprocess.run(
            ["bash", ACTION / "compare.sh"],
            cwd=self.folder,
            env=given | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def call(self, command: str) -> list[str]:
        return (self.files["calls"] / command).read_text().splitlines()

    @property
    def results(self) -> Path:
        """What becomes the artifact."""
        name, _, path = self.files["output"].read_text().strip().partition("=")
        assert name == "results"
        return Path(path)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@needs_shell
def test_results_as_before_pass_and_all_is_kept(checkout: Checkout) -> None:
    result(checkout.new, weights="new")
    done = checkout.run()
    assert done.returncode == 0, done.stderr
    assert checkout.files["summary"].read_text().startswith("## staa diff: passed\n")
    assert (checkout.results / "explained" / "walk" / "report.json").is_file()
    assert json.loads((checkout.results / "diff.json").read_text())["status"] == "passed"
    links = re.findall(r'href="(\./[^"]*)"', (checkout.results / "diff.html").read_text())
    assert len(links) == 2
    assert all((checkout.results / link).is_file() for link in links)  # also in the artifact


@needs_shell
@pytest.mark.parametrize("edits_baseline", [False, True])
def test_a_shift_blocks_though_the_pull_request_edits_the_baseline(
    checkout: Checkout, edits_baseline: bool
) -> None:
    result(checkout.new, weights="new", peak_s=1.5)
    if edits_baseline:
        shutil.rmtree(checkout.folder / "baseline")
        shutil.copytree(checkout.new, checkout.folder / "baseline")
        checkout.commit(checkout.folder)
    done = checkout.run()
    assert done.returncode == 1
    assert "error: --max-shift 0.15 failed for 1 of 1 video: walk.mp4" in done.stderr
    assert checkout.files["summary"].read_text().startswith("## staa diff: failed\n")


@needs_shell
def test_what_cannot_be_evaluated_does_not_pass(checkout: Checkout) -> None:
    result(checkout.new, "other.mp4")
    assert checkout.run().returncode == 3
    for variables, words in (
        ({"BASE": ""}, "no base commit"),
        ({"BASE": "0" * 40}, "cannot fetch the base commit"),
        ({"BASELINE": "nowhere"}, "has no nowhere"),
        ({"GATES": " \n\n"}, "no gates"),
    ):
        done = checkout.run(**variables)
        assert (done.returncode, words in done.stderr) == (3, True), done.stderr


@needs_shell
def test_a_failure_of_explain_is_the_failure(checkout: Checkout) -> None:
    result(checkout.new, weights="new")
    assert checkout.run(EXPLAIN_CODE="5").returncode == 5
    assert checkout.call("diff")  # which tells what is there


@needs_shell
def test_names_and_options_reach_staa_as_they_are(checkout: Checkout) -> None:
    result(checkout.new, weights="new")
    hostile = "$(touch pwned) `touch pwned`; touch pwned #*'\"\\"
    gates = "--max-shift 9\n\n  --fail-if label_changed and new.model.name == '$(touch pwned)'\n"
    done = checkout.run(
        VIDEOS=f"--{hostile}", MODEL=hostile, EXPLAIN="--config ci\n--reproducible", GATES=gates
    )
    assert done.returncode == 0, done.stderr
    assert not list(checkout.folder.rglob("pwned"))
    explain = checkout.call("explain")
    assert explain[4:] == [
        *("--model", hostile, "--config", "ci", "--reproducible", "--", f"--{hostile}"),
    ]
    assert checkout.call("diff")[1:5] == [
        *("--max-shift", "9", "--fail-if", "label_changed and new.model.name == '$(touch pwned)'"),
    ]


def test_no_value_is_put_into_the_text_of_a_script() -> None:
    action = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))
    steps = action["runs"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step]
    assert len(scripts) == 2
    assert not any("${{" in script for script in scripts)
    used = set(re.findall(r"inputs\.([\w-]+)", json.dumps(steps)))
    assert used == set(action["inputs"])


@needs_shell
def test_scripts_are_valid() -> None:
    subprocess.run(["bash", "-n", ACTION / "compare.sh"], check=True)


@pytest.mark.parametrize(("page", "block"), WORKFLOWS)
def test_the_workflow_of_a_page_uses_the_action_as_it_is(page: str, block: str) -> None:
    workflow = yaml.safe_load(block)
    (job,) = workflow["jobs"].values()
    action = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))
    (step,) = [step for step in job["steps"] if "explain-diff" in step.get("uses", "")]
    assert f"/{ACTION.relative_to(ROOT).as_posix()}@" in step["uses"], page
    required = {name for name, about in action["inputs"].items() if about.get("required")}
    assert required <= set(step["with"]) <= set(action["inputs"])


def test_the_pages_show_the_workflow() -> None:
    assert {page for page, _ in WORKFLOWS} == {"README.md", "docs/diff.md"}
