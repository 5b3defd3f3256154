"""`staa explain` from end to end: real videos, a small model with random weights, real files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from small_videos import wandering_square

from staa_cli.errors import ExitCode

ROOT = Path(__file__).parent.parent.parent
OVERVIEW = ["staa-out/index.html", "staa-out/index.json"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAA_THREADS", "1")
    monkeypatch.setenv("STAA_MODEL", "test_timesformer")


def written(folder: str = "staa-out") -> dict[str, bytes]:
    return {
        path.as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def test_one_video_gives_its_files_on_stdout_and_words_on_stderr(run: Any) -> None:
    wandering_square("walk.mkv")
    done = run("explain", "walk.mkv")
    assert done.code == ExitCode.OK
    assert sorted(done.out.splitlines()) == sorted(written())
    assert {"annotated.mp4", "report.json"} <= {Path(line).name for line in done.out.splitlines()}
    assert {str(Path(line).parent) for line in done.out.splitlines()} == {"staa-out/walk"}
    first, *rest = done.err.splitlines()
    assert first.startswith("walk.mkv: ")
    assert all(line.startswith("warning: ") for line in rest)


def test_what_a_warning_means_is_said_once_and_with_v_of_every_video(run: Any) -> None:
    for name in ("a.mkv", "b.mkv"):
        wandering_square(name)
    line = (
        "explain a.mkv b.mkv --no-annotated --force --class 1 --method staa --clips 3 --smooth-s 2"
    )
    meant = [
        "warning: class-blind-method: staa is class-blind: its maps are the same for every class",
        "warning: setting-without-effect: --clips has no effect: it applies only to "
        "--sampling segments or random",
        "warning: setting-without-effect: --smooth-s has no effect: it applies only "
        "to --smooth average or exponential",
    ]
    for flags, times in (((), 1), (("-v",), 2), (("-q",), 0)):
        lines = run(*line.split(), *flags).err.splitlines()
        assert [lines.count(text) for text in meant] == [times] * 3
        videos = [text for text in lines if text.startswith(("a.mkv: ", "b.mkv: "))]
        assert len(videos) == (0 if flags == ("-q",) else 2)
        assert all(text.count("warning: setting-without-effect") == 1 for text in videos)


def test_many_passes_are_told_of_before_they_are_made(run: Any) -> None:
    wandering_square("walk.mkv")
    done = run("explain", "walk.mkv", "--no-annotated", "--quick-faithfulness")
    first, *rest = done.err.splitlines()
    assert re.fullmatch(
        r"walk.mkv: \d+ clips, \d+ passes \(\d+ explain, up to \d+ measure faithfulness\)", first
    )
    assert all(line.startswith(("walk.mkv: ", "warning: ")) for line in rest)
    number = r"-?\d\.\d\d"
    gain = rf"SRG {number} (\({number} to {number}\) on \d clips|on one clip, no interval), "
    assert re.search(gain, rest[0])
    assert (
        run("explain", "walk.mkv", "--no-annotated", "--quick-faithfulness", "--force", "-q").err
        == ""
    )


def test_v_says_more_and_vv_more_than_that(run: Any) -> None:
    wandering_square("walk.mkv")
    plain, more, most = (
        run("explain", "walk.mkv", "--no-annotated", "--force", "--hop", "1", *flags).err
        for flags in ((), ("-v",), ("-vv",))
    )
    assert [line[:8] for line in plain.splitlines() if not line.startswith("warning: ")] == [
        "walk.mkv"
    ]
    for word in ("sampling.hop = 1.0, by --hop", "threads = 1, by STAA_THREADS", "forward "):
        assert word not in plain
        assert word in more
        assert word in most
    for word in ("h264 in matroska", "0 bad packets", "divided attention", "cpu, fp32, 1 thread,"):
        assert word not in more
        assert word in most


def test_json_is_one_valid_report_and_nothing_else(run: Any) -> None:
    wandering_square("walk.mkv")
    done = run("explain", "walk.mkv", "--json", "--no-annotated")
    assert done.out.startswith('{"schema_version": ')
    report = json.loads(done.out)
    jsonschema.validate(report, json.loads(run("schema").out))
    assert report["video"]["path"] == "walk.mkv"
    assert len(report["frames"]["time_s"]) == 24
    assert "staa-out/walk/annotated.mp4" not in written()
    assert json.loads(Path("staa-out/walk/report.json").read_text()) == report


def test_one_bad_file_does_not_stop_the_others(run: Any) -> None:
    wandering_square("in/a.mkv")
    Path("in/b.mp4").write_text("no video")
    wandering_square("in/c.mkv")
    done = run("explain", "in", "--json")
    assert done.code == ExitCode.INPUT_FAILED
    first, second, third = map(json.loads, done.out.splitlines())
    assert (first["video"]["path"], third["video"]["path"]) == ("in/a.mkv", "in/c.mkv")
    assert second["video"] == {"path": "in/b.mp4"}
    assert second["error"]["code"] == ExitCode.INPUT_FAILED
    assert done.err.count("error: in/b.mp4: ") == 2  # when it happens, and again at the end
    assert "2 explained, 1 failed" in done.err


def test_fail_fast_stops_there(run: Any) -> None:
    Path("a.mp4").write_text("no video")
    wandering_square("b.mkv")
    done = run("explain", "a.mp4", "b.mkv", "-x")
    assert done.code == ExitCode.INPUT_FAILED
    assert done.out == ""
    assert "1 not tried" in done.err


def test_the_same_line_again_skips_what_is_finished(run: Any) -> None:
    wandering_square("walk.mkv")
    first = run("explain", "walk.mkv")
    before = {path: Path(path).stat().st_mtime_ns for path in written()}
    again = run("explain", "walk.mkv")
    assert again.code == ExitCode.OK
    assert "skipped" in again.err
    assert again.out == first.out
    assert {path: Path(path).stat().st_mtime_ns for path in written()} == before
    assert "skipped" not in run("explain", "walk.mkv", "--force").err
    assert "skipped" not in run("explain", "walk.mkv", "--hop", "1").err


def test_no_clobber_leaves_old_results_of_other_settings(run: Any) -> None:
    wandering_square("walk.mkv")
    run("explain", "walk.mkv")
    before = written()
    done = run("explain", "walk.mkv", "--hop", "1", "--no-clobber")
    assert done.code == ExitCode.OK
    assert "skipped" in done.err
    assert written() == before


def test_dry_run_does_nothing_and_says_what_it_would_do(run: Any) -> None:
    wandering_square("walk.mkv")
    done = run("explain", "walk.mkv", "--dry-run", "--json")
    plan = json.loads(done.out)
    assert plan["input"] == "walk.mkv"
    assert plan["folder"] == "staa-out/walk"
    assert plan["clips"] >= 1
    assert (plan["passes"], plan["faithfulness_passes"]) == (plan["clips"], 0)
    assert plan["seconds"] > 0
    assert plan["seconds"] == round(plan["seconds"], 3)
    assert not Path("staa-out").exists()
    table = run("explain", "walk.mkv", "--dry-run")
    assert "walk.mkv -> staa-out/walk" in table.out
    assert "walk.mkv -> staa-out/walk" not in table.err
    assert re.search(
        r"^about .+ in all, at .+ passes/s and .+ as just measured on cpu$", table.err, re.MULTILINE
    )
    assert not Path("staa-out").exists()
    run("explain", "walk.mkv", "--no-annotated")
    done = run("explain", "walk.mkv", "--no-annotated", "--dry-run")  # there is nothing to time
    assert "measured" not in done.err


def test_results_belong_to_one_video(run: Any) -> None:
    wandering_square("x/a.mkv")
    wandering_square("y/a.mkv", frames=12)
    both = run("explain", "x/a.mkv", "y/a.mkv", "--no-annotated", "--json")
    assert both.code == ExitCode.INPUT_FAILED
    first, second = map(json.loads, both.out.splitlines())
    assert first["video"]["path"] == "x/a.mkv"
    assert "staa-out/a" in second["error"]["cause"]
    assert "--root" in second["error"]["hint"]
    before = written()
    for flags in ((), ("--no-clobber",), ("--class", "1")):
        alone = run("explain", "y/a.mkv", "--no-annotated", *flags)
        assert alone.code == ExitCode.INPUT_FAILED
        assert "staa-out/a holds the results of another video" in alone.err
    assert written() == before
    assert run("explain", "y/a.mkv", "--no-annotated", "--force").code == ExitCode.OK
    assert frames_of("a") == 12


def frames_of(name: str) -> int:
    report = json.loads(Path(f"staa-out/{name}/report.json").read_text())
    return len(report["frames"]["index"])


def test_shards_and_single_calls_in_any_order_write_what_one_call_would(run: Any) -> None:
    names = ["in/a.mkv", "in/a.mp4", "in/x/a.mkv", "in/x/A.mkv", "in/y/b.mkv"]
    for number, name in enumerate(names):
        wandering_square(name, frames=8 + number)
    fixed = ("--no-annotated", "--reproducible")
    Path("list").write_text("\n".join(names))
    whole = run("explain", "in", "-r", *fixed, "-o", "whole")
    assert (whole.code, len(whole.out.splitlines())) == (ExitCode.OK, 3 * len(names) + 2)
    one = {path.removeprefix("whole/"): data for path, data in written("whole").items()}
    calls = [("in", "-r", "--shard", f"{index}/3") for index in (2, 3, 1)]
    by_list = ("--from-file", "list", "--root", "in", "--shard")
    calls_by_list = [(*by_list, f"{index}/2") for index in (2, 1)]
    for folder, lines in (("shards", calls), ("lists", calls_by_list)):
        for line in lines:
            done = run("explain", *line, *fixed, "-o", folder)
            assert done.code == ExitCode.OK
            assert "skipped" not in done.err
        several = {path.removeprefix(f"{folder}/"): data for path, data in written(folder).items()}
        assert several == one
        again = run("explain", "in", "-r", *fixed, "-o", folder)
        assert "5 skipped" in again.err
        for name in names:
            Path("one").write_text(name)
            alone = run("explain", "--from-file", "one", "--root", "in", *fixed, "-o", folder)
            assert "skipped" in alone.err
        assert written(folder).keys() == {f"{folder}/{path}" for path in one}


def test_an_empty_shard_is_no_failure_and_failures_are_sharded_as_any(run: Any) -> None:
    wandering_square("a.mkv", frames=8)
    fixed = ("explain", "a.mkv", "nothing*", "--no-annotated", "--shard")
    first, second, third = (run(*fixed, f"{index}/3") for index in (1, 2, 3))
    written_files = [f"staa-out/a/{name}" for name in ("report.html", "maps.npz", "report.json")]
    assert (first.code, first.out.splitlines()) == (ExitCode.OK, [*written_files, *OVERVIEW])
    assert (second.code, second.out.splitlines()) == (ExitCode.INPUT_FAILED, OVERVIEW)
    assert "nothing*: no such file" in second.err
    assert (third.code, third.out, third.err) == (ExitCode.OK, "", "this shard has no inputs\n")
    assert run("explain", "nothing*", "--shard", "2/3").code == ExitCode.NOTHING_MATCHED


def test_a_hostile_name_does_no_harm(run: Any) -> None:
    wandering_square("-r [red]\n.mkv", frames=12)
    done = run("explain", "./-r [red]\n.mkv", "--no-annotated")
    assert done.code == ExitCode.OK
    assert "-r [red]\\n.mkv: " in done.err
    assert all(Path(line).is_file() for line in done.out.splitlines())


def test_reproducible_means_equal_bytes(run: Any) -> None:
    wandering_square("walk.mkv")
    for folder in ("one", "two"):
        assert run("explain", "walk.mkv", "--reproducible", "-o", folder).code == ExitCode.OK
    one = {Path(path).relative_to("one"): data for path, data in written("one").items()}
    two = {Path(path).relative_to("two"): data for path, data in written("two").items()}
    assert one.keys() == two.keys()
    assert [str(path) for path in one if one[path] != two[path]] == []


def test_options_reach_the_report(run: Any) -> None:
    wandering_square("walk.mkv")
    line = "explain walk.mkv --no-annotated --json --sampling uniform --class 1 --method rollout"
    report = json.loads(run(*line.split(), "--seed", "7").out)
    assert report["sampling"]["strategy"] == "uniform"
    assert report["prediction"]["target"]["index"] == 1
    assert report["prediction"]["target"]["reason"] == "index"
    assert report["method"]["name"] == "rollout"
    assert report["settings"]["sampling"]["seed"] == report["settings"]["method"]["seed"] == 7


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("--method rolout", ExitCode.USAGE),
        # what is understood and not there, and what cannot be a name
        ("--model nowhere-to-be-found", ExitCode.UNAVAILABLE),
        ("--model ./nowhere.pth", ExitCode.UNAVAILABLE),
        ("--model timm:nowhere", ExitCode.UNAVAILABLE),
        ("--model nowhere:build", ExitCode.UNAVAILABLE),
        ("--model json:nowhere", ExitCode.UNAVAILABLE),
        ("--model json:dumps", ExitCode.UNAVAILABLE),
        ("--model hf-hub:nobody/nowhere", ExitCode.UNAVAILABLE),
        ("--model hf-hub:nobody", ExitCode.USAGE),
        ("--model hf-hub:", ExitCode.USAGE),
        ("--model timm:", ExitCode.USAGE),
        ("--arch nowhere --model ./walk.mkv", ExitCode.USAGE),
        ("--device cuda:99", ExitCode.UNAVAILABLE),
        ("--start 99", ExitCode.INPUT_FAILED),
    ],
)
def test_what_cannot_be_has_its_code_and_writes_nothing(run: Any, line: str, code: int) -> None:
    wandering_square("walk.mkv", frames=12)
    done = run("explain", "walk.mkv", *line.split(), STAA_OFFLINE="1")
    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert written() == {}


@pytest.mark.parametrize(
    "end", [pytest.param("\n", id="lines"), pytest.param("\0", id="NUL", marks=pytest.mark.slow)]
)
def test_a_line_is_explained_before_the_next_one_is_written(end: str) -> None:
    for name in ("a.mkv", "b.mkv"):
        wandering_square(name, frames=8)
    line = "-m staa_cli explain --from-file - --json --no-annotated"
    process = subprocess.Popen(
        [sys.executable, *line.split()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    names = ["a.mkv", "missing.mkv", "b.mkv", "a.mkv"]  # the last one is answered once more
    for name in names:
        process.stdin.write(name + end)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["video"]["path"] == name
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (ExitCode.INPUT_FAILED, "")
    assert "2 explained, 1 skipped, 1 failed" in err


@pytest.mark.slow
def test_a_list_on_stdin_is_sharded_and_planned(staa: Any) -> None:
    for name in ("a.mkv", "b.mkv", "c.mkv"):
        wandering_square(name, frames=8)
    line = ("explain", "--from-file", "-", "--no-annotated", "--model", "test_timesformer")
    names = "a.mkv\nb.mkv\nc.mkv\n"
    plans = staa(*line, "--dry-run", "--json", "--shard", "1/2", stdin=names)
    assert [json.loads(plan)["input"] for plan in plans.stdout.splitlines()] == ["a.mkv", "c.mkv"]
    done = staa(*line, "--shard", "2/2", stdin=names)
    files = ("report.html", "maps.npz", "report.json")
    written_files = [*(f"staa-out/b/{name}" for name in files), *OVERVIEW]
    assert (done.returncode, done.stdout.splitlines()) == (ExitCode.OK, written_files)
    nothing = staa(*line, stdin="")
    assert nothing.returncode == ExitCode.NOTHING_MATCHED
    assert nothing.stderr.startswith("error: no input was given")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--root in", "--root applies only to --from-file"),
        ("--from-file list --root nowhere", "--root: expected a folder, not 'nowhere'"),
        ("--shard 4/3", "--shard: expected i/n with i from 1 to n, not '4/3'"),
    ],
)
def test_what_cannot_be_a_part_of_the_inputs_is_one_line(run: Any, line: str, words: str) -> None:
    done = run("explain", "a.mkv", *line.split())
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    error, hint = done.err.splitlines()
    assert error == f"error: {words}"
    assert hint.startswith("hint: ")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are different there")
def test_an_interrupt_leaves_finished_videos_and_no_parts(tmp_path: Path) -> None:
    for number in range(30):
        wandering_square(f"in/{number:02}.mkv", frames=48)
    process = subprocess.Popen(
        [sys.executable, "-m", "staa_cli", "explain", "in", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        # A job in the background of a script ignores interrupts, and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(Path("staa-out").rglob("report.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "of 30 finished" in err
    assert "Traceback" not in err
    assert list(Path("staa-out").rglob("*.part")) == []
    assert all(Path(line).is_file() for line in out.splitlines())
