"""Several videos at once, in processes or in a cluster: the same results, whatever happens to one.

Each test is one command line, as a person has it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_videos import film

from staa_cli.errors import ExitCode
from staa_cli.schema import UInt8
from staa_cli.video.encode import write_video

ROOT = Path(__file__).parents[2]
MODEL = """
import os, signal, time
from pathlib import Path

import torch
from torch import nn

from staa_cli.models.layers import TapAttention
from staa_cli.schema import AttentionLayout, ModelInput

HALF = (0.5, 0.5, 0.5)


class Fickle(nn.Module):
    input = ModelInput(4, (32, 32), stride=4, rate=30.0, mean=HALF, std=HALF, resize=32)
    labels = ("jump", "fall")

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 16, stride=16)
        self.attn = TapAttention(16, num_heads=2, qkv_bias=True)
        self.head = nn.Linear(16, 2)

    def layout(self):
        return AttentionLayout("joint", "mean", (4, 2, 2), tubelet=1, depth=1, prefix_tokens=0)

    def attention_layers(self):
        return {("joint", 0): self.attn}

    def forward(self, x):
        with Path("threads").open("a") as file:
            file.write(f"{torch.get_num_threads()}\\n")
        if x.mean() > 0.5:
            tries = Path("tries")
            with tries.open("a") as file:
                file.write("x")
            mood = os.environ["MOOD"]
            if mood == "die" or mood == "die once" and tries.stat().st_size == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if mood == "bug":
                raise AttributeError("'NoneType' object has no attribute 'shape'")
            if mood == "sleep":
                for _ in range(3000):
                    time.sleep(0.1)  # as a pass in many steps
        tokens = self.embed(x.flatten(0, 1)).flatten(2).transpose(1, 2)
        return self.head(self.attn(tokens.reshape(len(x), -1, 16)).mean(dim=1))


def build():
    torch.manual_seed(0)
    return Fickle()
"""
needs_ray = pytest.mark.skipif(not find_spec("ray"), reason="ray is not installed")
ENGINES = [
    pytest.param(("--jobs", "2"), id="processes"),
    pytest.param(("--engine", "ray", "--jobs", "2"), id="ray", marks=needs_ray),
]
BRIGHT, NAMES = "b", "abcd"
BEGIN_S, END_S = 60.0, 20.0
"""Time for a run to begin, and to end after it was interrupted: far longer than it takes."""


def gray(path: Path, level: int) -> None:
    """A second of noise around a level of gray."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(level)
    pictures: list[UInt8] = [
        random.integers(level - 20, level + 20, (32, 32, 3)).astype(np.uint8) for _ in range(12)
    ]
    write_video(path, pictures, rate=12, preset="ultrafast")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with that model, a video about which it is fickle, and three others."""
    (tmp_path / "fickle.py").write_text(MODEL)
    for number, name in enumerate(NAMES):
        gray(tmp_path / "in" / f"{name}.mp4", 230 if name == BRIGHT else 40 + 20 * number)
    return tmp_path


def line(*arguments: str) -> list[str]:
    fixed = ("--model", "fickle:build", "--no-annotated", "--no-html", "--no-npz", "--threads", "1")
    return [sys.executable, "-m", "staa_cli", "explain", *fixed, *arguments]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "COLUMNS": "80"}
    return own | {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}


@pytest.fixture
def explain(here: Path, environ: dict[str, str]) -> Callable[..., Any]:
    """Runs `staa explain in` with that model, in a mood."""

    def run(*arguments: str, mood: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line("in", *arguments),
            capture_output=True,
            text=True,
            cwd=here,
            env=environ | {"MOOD": mood},
            timeout=240,
            check=False,
        )

    return run


def results(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_the_results_are_those_of_one_process(
    explain: Any, here: Path, engine: tuple[str, ...]
) -> None:
    (here / "in" / "bad.mp4").write_text("no video")
    one = explain("--reproducible", "-o", "one")
    several = explain("--reproducible", "-o", "several", *engine)
    assert (one.returncode, several.returncode) == (ExitCode.INPUT_FAILED,) * 2, several.stderr
    wanted, got = results(here / "one"), results(here / "several")
    assert got == wanted
    assert len([name for name in got if name.endswith("report.json")]) == 4
    paths = [name.replace("one", "several") for name in one.stdout.splitlines()]
    assert sorted(several.stdout.splitlines()) == sorted(paths)
    assert several.stderr.count("error: in/bad.mp4: ") in (1, 2)
    assert "4 explained, 1 failed" in several.stderr
    again = explain("--reproducible", "-o", "several", *engine)
    assert "4 skipped, 1 failed" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_that_is_killed_takes_nothing_along(
    explain: Any, here: Path, engine: tuple[str, ...]
) -> None:
    done = explain("--json", *engine, mood="die once")
    assert done.returncode == ExitCode.OK, done.stderr
    reports = [json.loads(text) for text in done.stdout.splitlines()]
    assert sorted(report["video"]["path"] for report in reports) == [
        f"in/{name}.mp4" for name in NAMES
    ]
    assert "trying once more" in done.stderr
    assert (here / "tries").stat().st_size >= 2
    assert "4 explained" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_video_that_kills_its_worker_again_fails_alone(
    explain: Any, here: Path, engine: tuple[str, ...]
) -> None:
    done = explain("--json", *engine, mood="die")
    assert done.returncode == ExitCode.INPUT_FAILED, done.stderr
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    (failed,) = (entry for entry in lines if entry.get("status") == "failed")
    assert failed["video"]["path"] == "in/b.mp4"
    assert failed["error"]["cause"].endswith("also when tried again")
    assert (here / "tries").stat().st_size == 2
    assert "3 explained, 1 failed" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_bug_is_told_with_where_it_occurs(
    explain: Any, here: Path, engine: tuple[str, ...]
) -> None:
    done = explain("-vv", *engine, mood="bug")
    assert done.returncode == ExitCode.INPUT_FAILED, done.stderr
    assert "error: in/b.mp4: AttributeError: 'NoneType' object has no attribute" in done.stderr
    assert "in forward" in done.stderr  # the traceback of the worker
    assert "with auto on fickle:build" in done.stderr
    assert "3 explained, 1 failed" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_what_no_video_could_be_asked_is_told_once(
    explain: Any, here: Path, engine: tuple[str, ...]
) -> None:
    alone = explain("--class", "nothing")
    done = explain("--class", "nothing", "--json", *engine)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr.removeprefix("starting Ray on this host\n") == alone.stderr
    assert not list(here.glob("staa-out/*"))


def processes_with(variable: str) -> list[int]:
    """Processes with an environment variable, but for those that nobody has waited for."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture
def running(here: Path, environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `staa explain`; it and all that it started is ended after the test."""
    mark = f"TEST_RUN={here}"
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, mood: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            line(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=here,
            env=environ | {"MOOD": mood, "TEST_RUN": str(here)},
            start_new_session=True,  # a group, as a shell makes one, to interrupt
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    for number in processes_with(mark):
        os.kill(number, signal.SIGKILL)


def until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")


@linux
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("of_all", [True, False], ids=["terminal", "kill -INT"])
def test_an_interrupt_ends_it_and_leaves_nothing_unfinished(
    running: Any, here: Path, engine: tuple[str, ...], of_all: bool
) -> None:
    """Ctrl-C reaches all processes of a terminal's group; a signal of `kill` only the first."""
    process = running("in", *engine, mood="sleep")
    assert len({process.stdout.readline() for _ in range(3)}) == 3
    assert until((here / "tries").exists, BEGIN_S)
    (os.killpg if of_all else os.kill)(process.pid, signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=END_S)
    assert process.returncode == ExitCode.INTERRUPTED, err
    assert time.monotonic() - began < END_S
    assert err.splitlines()[-1].startswith("interrupted: 3 of 4 finished")
    assert "Traceback" not in err
    assert out == ""
    assert sorted(path.name for path in (here / "staa-out").iterdir()) == ["a", "c", "d"]
    assert until(lambda: not processes_with(f"TEST_RUN={here}"), END_S)


@linux
@pytest.mark.slow
def test_workers_end_when_the_command_is_killed(running: Any, here: Path) -> None:
    process = running("in", "--jobs", "2", mood="sleep")
    assert until((here / "tries").exists, BEGIN_S)
    process.kill()
    assert until(lambda: not processes_with(f"TEST_RUN={here}"), END_S)
    assert not (here / "staa-out" / "b").exists()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_list_from_a_pipe_is_explained_as_it_arrives(
    running: Any, here: Path, engine: tuple[str, ...]
) -> None:
    process = running("--from-file", "-", *engine)
    for name in "ac":
        process.stdin.write(f"in/{name}.mp4\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"staa-out/in/{name}/report.json\n"
    out, err = process.communicate("in/d.mp4\n", timeout=120)
    assert process.returncode == ExitCode.OK, err
    assert out.splitlines()[0] == "staa-out/in/d/report.json"


@linux
@pytest.mark.slow
def test_an_interrupt_while_a_list_is_read_ends_it(running: Any, here: Path) -> None:
    process = running("--from-file", "-", "--jobs", "2")
    process.stdin.write("in/a.mp4\n")
    process.stdin.flush()
    assert process.stdout.readline() == "staa-out/in/a/report.json\n"
    os.killpg(process.pid, signal.SIGINT)
    assert until(lambda: process.poll() is not None, END_S)  # its input is still open
    assert process.returncode == ExitCode.INTERRUPTED
    assert process.stderr.read().splitlines()[-1].startswith("interrupted: 1 finished")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_each_worker_has_the_threads_that_are_asked_for(
    explain: Any, here: Path, engine: tuple[str, ...]
) -> None:
    assert explain("--threads", "3", *engine).returncode == ExitCode.OK
    assert set((here / "threads").read_text().split()) == {"3"}


@linux
@pytest.mark.slow
def test_processes_share_the_cores(here: Path, environ: dict[str, str]) -> None:
    cores = len(os.sched_getaffinity(0))
    for videos, threads in ((["in/a.mp4"], cores), (["in/c.mp4", "in/d.mp4"], cores // 2)):
        command = [each for each in line(*videos, "--jobs", "2") if each not in ("--threads", "1")]
        subprocess.run(command, cwd=here, env=environ, timeout=120, check=True)
        assert set((here / "threads").read_text().split()) == {str(max(1, threads))}
        (here / "threads").unlink()


@pytest.mark.slow
def test_a_shard_a_gate_and_the_first_failure(explain: Any, here: Path) -> None:
    shard = explain("--shard", "1/2", "--jobs", "2", "-o", "shard")
    assert shard.returncode == ExitCode.OK, shard.stderr
    assert sorted(path.parent.name for path in here.glob("shard/*/report.json")) == ["a", "c"]
    gate = explain("--jobs", "2", "--fail-if", "coverage.frames_seen >= 1")
    assert gate.returncode == ExitCode.GATE_FAILED
    (here / "in" / "a.mp4").write_text("no video")
    fast = explain("-x", "--jobs", "2", "-o", "fast", mood="sleep")
    assert fast.returncode == ExitCode.INPUT_FAILED
    assert "1 failed" in fast.stderr
    assert "not tried" in fast.stderr


CODE = """
import sys
from staa_cli.cli.app import run
if __name__ == "__main__":
    code = run(["explain", *sys.argv[1:]])
    print(*sorted({"torch", "timm", "torchvision", "av"} & set(sys.modules)), file=sys.stderr)
    sys.exit(code)
"""


def test_the_process_of_the_call_does_without_torch(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    for number in range(2):
        film(tmp_path / "in" / f"{number}.mp4", 12, seed=number)
    done = subprocess.run(
        [sys.executable, "-c", CODE, "in", "--jobs", "2", "--no-annotated", "--no-html"],
        cwd=tmp_path,
        env=environ | {"STAA_MODEL": "test_timesformer"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == ExitCode.OK, done.stderr
    assert done.stderr.splitlines()[-1] == ""
    assert "2 explained" in done.stderr


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_number_that_is_none_is_refused(run: Any, number: str) -> None:
    done = run("explain", "video.mp4", "--jobs", number)
    assert done.code == ExitCode.USAGE
    assert "--jobs" in done.err
