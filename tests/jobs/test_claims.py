"""Processes that share an output folder: each video is explained once, and none is lost."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from job_runs import content, job, run, statuses
from small_videos import asked, film

from staa_cli.errors import OutputError
from staa_cli.jobs import claims
from staa_cli.jobs.claims import CLAIM, STALE_S, Claimed, claim
from staa_cli.jobs.engines import spread
from staa_cli.jobs.engines.local import run_local
from staa_cli.jobs.run import Request

ROOT = Path(__file__).parents[2]
LONG_AGO = (1.0, 1.0)


def claimed_by(folder: Path, host: str, process: int) -> Path:
    """A claim of another process."""
    folder.mkdir(parents=True)
    (folder / CLAIM).write_text(json.dumps({"host": host, "pid": process}))
    return folder / CLAIM


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_one_process_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "result"
    with claim(folder):
        owner = json.loads((folder / CLAIM).read_text())
        assert owner == {"host": socket.gethostname(), "pid": os.getpid()}
        with pytest.raises(Claimed), claim(folder):
            pass
        assert (folder / CLAIM).exists()  # still that of the first
    assert list(tmp_path.iterdir()) == []  # nothing was written, so nothing stays
    with claim(folder):
        (folder / "report.json").write_text("{}")
    assert list(folder.iterdir()) == [folder / "report.json"]


def test_a_claim_is_given_up_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claim(tmp_path / "result"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_this_host_that_is_gone_has_no_claim(tmp_path: Path) -> None:
    file = claimed_by(tmp_path / "result", socket.gethostname(), ended_process())
    with claim(tmp_path / "result"):
        assert json.loads(file.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("owner", ["another host", "this process", "half-written"])
def test_a_claim_that_nobody_touches_is_stale(tmp_path: Path, owner: str) -> None:
    host = socket.gethostname() if owner == "this process" else "elsewhere"
    file = claimed_by(tmp_path / "result", host, os.getpid())
    if owner == "half-written":
        file.write_text('{"host"')
    with pytest.raises(Claimed), claim(tmp_path / "result"):
        pass
    os.utime(file, (time.time() - STALE_S / 2,) * 2)
    with pytest.raises(Claimed), claim(tmp_path / "result"):
        pass
    os.utime(file, (time.time() - 2 * STALE_S,) * 2)
    with claim(tmp_path / "result"):
        pass


def test_a_claim_of_the_future_is_stale_too(tmp_path: Path) -> None:
    """It was touched by a clock that was wrong: its owner would have touched it again since."""
    file = claimed_by(tmp_path / "result", "elsewhere", 1)
    os.utime(file, (time.time() + STALE_S / 2,) * 2)
    with pytest.raises(Claimed), claim(tmp_path / "result"):
        pass
    os.utime(file, (2_208_988_800,) * 2)  # in 2040
    with claim(tmp_path / "result"):
        pass


def test_a_claim_that_does_not_fit_on_the_disk_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.TextIOWrapper):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path: Path, mode: str, **_: object) -> Full:
        return Full(io.FileIO(path, mode))

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(OutputError, match="no space left"), claim(tmp_path / "result"):
        pass
    assert list(tmp_path.iterdir()) == []


LEAVES = """
import sys, threading, time
from pathlib import Path
from staa_cli.jobs import claims

folder, where = Path(sys.argv[1]), sys.argv[2]
made = threading.Event()
if where == "created":  # Ctrl-C arrives when the file is there, and nothing else is
    created = claims._created
    def interrupted(*arguments):
        created(*arguments)
        raise KeyboardInterrupt
    claims._created = interrupted
if where == "released":  # or when the work is done
    def interrupted(thread):
        raise KeyboardInterrupt
    threading.Thread.join = interrupted

def work():
    try:
        with claims.claim(folder / "result"):
            made.set()
            if where == "working":
                time.sleep(60)
    except KeyboardInterrupt:
        pass
    made.set()

threading.Thread(target=work, daemon=True).start()
made.wait()
if where != "working":
    time.sleep(0.2)
"""


@pytest.mark.parametrize("where", ["created", "working", "released"])
def test_an_interrupt_leaves_no_claim(tmp_path: Path, where: str) -> None:
    """Wherever it meets a thread; one that does not notice ends with the process."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVES, tmp_path, where],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_the_claim_of_who_took_over_stays(tmp_path: Path) -> None:
    with claim(tmp_path / "result"):
        (tmp_path / "result" / CLAIM).write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    assert (tmp_path / "result" / CLAIM).exists()


def test_ages_are_those_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this host's clock says."""
    claimed_by(tmp_path / "result", "elsewhere", 1)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    with pytest.raises(Claimed), claim(tmp_path / "result"):
        pass


def test_a_claim_is_touched_while_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "TOUCHED_S", 0.01)
    file = tmp_path / "result" / CLAIM
    with claim(tmp_path / "result"):
        os.utime(file, LONG_AGO)
        deadline = time.monotonic() + 20
        while file.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert file.stat().st_mtime > 2
    assert not [each for each in threading.enumerate() if each.name == "claim"]


def test_a_claimed_video_comes_last_and_is_not_explained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job(tmp_path, f"{name}.mp4", seed=seed) for seed, name in enumerate("ab")]
    run(jobs[0])
    done = content(jobs[0].folder)
    for path in jobs[0].folder.iterdir():
        path.unlink()
    jobs[0].folder.rmdir()
    file = claimed_by(jobs[0].folder, "elsewhere", 1)
    said: list[str] = []

    def other_process_finishes(line: str) -> None:
        said.append(line)
        for name, data in done.items():
            (jobs[0].folder / name).write_bytes(data)
        file.unlink()

    monkeypatch.setattr(spread, "WAIT_S", 0.01)
    outcomes = list(run_local(jobs, Request(asked()), announce=other_process_finishes, at_once=1))
    assert [outcome.job for outcome in outcomes] == [jobs[1], jobs[0]]
    assert statuses(outcomes) == ["done", "skipped"]
    assert said == [f"waiting for another process to finish {jobs[0].title}"]
    assert content(jobs[0].folder) == done


def command(folder: Path) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "staa_cli", "explain", "clips", "--reproducible", "--no-html"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "STAA_MODEL": "test_timesformer"}
    return subprocess.Popen(
        line, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def files(folder: Path) -> dict[str, bytes]:
    """Every file of the results by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path: Path) -> None:
    for number in range(8):
        film(tmp_path / "clips" / f"{number}.mp4", 12, seed=number)
    processes = [command(tmp_path) for _ in range(2)]
    told = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(text.count("mp4: ") for text in told) == 2 * 8
    skipped = sum(text.count("skipped, already finished") for text in told)
    assert skipped == 8  # by one of the two each
    results = files(tmp_path / "staa-out")
    assert not [name for name in results if CLAIM in name]
    assert len([name for name in results if name.endswith("report.json")]) == 8


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_any_moment_the_same_line_ends_in_the_same_files(tmp_path: Path) -> None:
    for number in range(3):
        film(tmp_path / "clips" / f"{number}.mp4", 12, seed=number)
    with command(tmp_path) as process:
        began = time.monotonic()
        process.communicate(timeout=240)
        took_s = time.monotonic() - began
    assert process.returncode == 0
    wanted = files(tmp_path / "staa-out")
    assert len(wanted) > 3
    moments = random.Random(5)
    for _ in range(20):
        for path in sorted((tmp_path / "staa-out").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        with command(tmp_path) as process:
            time.sleep(moments.uniform(0.3, 1.0) * took_s)
            process.kill()
        with command(tmp_path) as process:
            _, told = process.communicate(timeout=240)
        assert process.returncode == 0, told
        assert files(tmp_path / "staa-out") == wanted
