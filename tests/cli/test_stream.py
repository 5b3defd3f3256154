"""`staa stream`: what it prints, what it leaves behind, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import jsonschema
import pytest

from staa_cli.cli import app as cli
from staa_cli.errors import ExitCode, OutputError

ROOT = Path(__file__).parents[2]
HOP = str(ROOT / "sample_videos" / "hop.mp4")

Run = Callable[..., Any]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def check_schema(run: Run, rows: list[dict[str, Any]]) -> None:
    """Check lines by the schema that the command prints."""
    schema = json.loads(run("schema", "stream").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    for row in rows:
        jsonschema.validate(row, schema)


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_stream_is_written_and_each_window_has_a_line(run: Run) -> None:
    done = run("stream", HOP, "-o", "a.mp4", "-o", "a.mkv", "-o", "a.ts", "--json")
    assert done.code == ExitCode.OK
    *windows, summary = lines(done.out)
    check_schema(run, [*windows, summary])
    assert [row["kind"] for row in windows] == ["window"] * len(windows)
    assert len(windows) >= 3
    for row in windows:
        assert row["schema_version"] == 1
        assert row["end_s"] - row["start_s"] == pytest.approx(1.75)
        assert len(row["times_s"]) == len(row["frame_indices"]) == 8
        assert len(row["scores"]["score"]) == 8
        assert row["top_k"][0]["label"] == row["label"]
        assert 0 < row["probability"] <= 1
        assert row["delay"]["capture_to_maps_s"] > row["delay"]["model_s"] > 0
    assert summary["kind"] == "summary"
    assert summary["frames"] == summary["frames_shown"] == frames(Path(HOP))
    assert summary["windows"] == len(windows)
    assert summary["frames_dropped"] == summary["windows_dropped"] == 0
    assert {row["output"] for row in summary["sinks"]} >= {"a.mp4", "a.mkv", "a.ts"}
    assert frames(Path("a.mp4")) == frames(Path("a.mkv")) == frames(Path("a.ts"))
    assert frames(Path("a.mp4")) == summary["frames"]
    assert "frames shown" in done.err
    assert "from capture to overlay" in done.err


def test_lines_go_to_a_file_beside_a_stream_on_stdout(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    code = cli.run(["stream", HOP, "-o", "-", "--ndjson", "w.ndjson", "-q"])
    out, err = capfdbinary.readouterr()
    assert code == ExitCode.OK
    assert err == b""
    Path("out.ts").write_bytes(out)
    assert frames(Path("out.ts")) == frames(Path(HOP))
    assert lines(Path("w.ndjson").read_text())[-1]["kind"] == "summary"


def test_an_alert_prints_lines_and_keeps_a_result_that_other_commands_read(run: Run) -> None:
    done = run("stream", HOP, "--alert", "p > 0", "--keep", "2", "--keep-dir", "kept")
    assert done.code == ExitCode.OK
    alert, kept = lines(done.out)
    check_schema(run, [alert, kept])
    assert (alert["kind"], kept["kind"]) == ("alert", "kept")
    folder = Path(kept["result"])
    assert folder.parts[0] == "kept"
    assert folder.parts[1].endswith("hop.mp4")
    assert (folder / "report.json").is_file()
    assert run("render", str(folder), "--view", "contour").code == ExitCode.OK
    assert run("report", "kept").code == ExitCode.OK
    assert run("diff", str(folder), str(folder), "--max-shift", "0.1").code == ExitCode.OK
    explained = run("explain", str(folder / "source.mp4"), "-o", "again", "--json")
    assert explained.code == ExitCode.OK
    moved = folder.rename("moved")
    assert run("render", str(moved), "--gif").code == ExitCode.OK


def test_warnings_are_told_once_and_more_with_v(run: Run) -> None:
    done = run("stream", HOP, "--size", "64", "-v")
    assert done.err.count("warning: untrained-size: ") == 1
    assert done.err.count("warning: model-note: ") == 1
    assert re.search(r"^source: h264 \d+x\d+, 24 frames/s, mov$", done.err, re.MULTILINE)
    assert re.search(r"^model: tiny-events, windows of 8 frames over 1\.75 s, ", done.err, re.M)
    quiet = run("stream", HOP, "--size", "64", "-q")
    assert quiet.err == ""
    assert "source: " not in run("stream", HOP).err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nofile.mp4"], 3, "error: nofile.mp4: no such file"),
        (["."], 3, "error: .: a folder, not a video file"),
        (["rtps://camera/1"], 2, "error: staa does not read streams from rtps://"),
        (["file:///etc/passwd"], 2, "error: a file is given by its path"),
        ([HOP, "-o", "a.avi"], 2, "error: --output: cannot write a stream to 'a.avi'"),
        ([HOP, "-o", "-", "--json"], 2, "error: --json and --output - both write to stdout"),
        ([HOP, "-o", "a.ts", "-o", "a.ts"], 2, "error: --output: the same target is given twice"),
        ([HOP, "-o", "no/a.ts"], 3, "error: --output: there is no folder no"),
        ([HOP, "--hop", "0"], 2, "error: --hop: expected auto, or a number from 1 to 99,999"),
        ([HOP, "--alert", "p > 0.8 for 2"], 2, "hint: a time is written as: p > 0.8 for 2 s"),
        ([HOP, "--alert", "p > 1", "--exec", "nowhere"], 2, "error: --exec: no program 'nowhere'"),
        ([HOP, "-o", "udp://127.0.0.1"], 2, "error: --output: 'udp://127.0.0.1' has no port"),
        ([HOP, "--timeout", "0"], 2, "error: --timeout: expected a number of seconds above 0"),
        ([HOP, "--timeout", "nan"], 2, "error: --timeout: expected a number of seconds above 0"),
        ([HOP, "--reconnect", "-1"], 2, "error: --reconnect: expected a number of seconds from 0"),
        ([HOP, "--keep", "-1"], 2, "error: --keep: expected a number of seconds above 0"),
        ([HOP, "--source-option", "x"], 2, "error: --source-option: expected NAME=VALUE"),
        ([HOP, "--alert", "prob > 1"], 2, "error: --alert: unknown field 'prob'"),
        ([HOP, "--exec", "ls"], 2, "error: --exec runs for alerts, but there is no --alert"),
        ([HOP, "--alert", "p > 1", "--exec", "a 'b"], 2, "error: --exec: cannot read"),
        ([HOP, "--alert", "p > 1", "--exec", " "], 2, "error: --exec: expected a command"),
        (["-", "--follow"], 2, "error: --follow is for a file that is still being written"),
        ([HOP, "--class", "dancing"], 2, "error: the model has no class 'dancing'"),
        ([HOP, "--model", "nothing-here"], 5, "error: no model, file, or folder is named"),
        (["http://127.0.0.1:1/a.ts"], 3, "cannot be opened: connection refused"),
        (["v4l2:/dev/video99"], 3, "cannot be opened: no such file or directory"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run, arguments: list[str], code: int, message: str
) -> None:
    done = run("stream", *arguments)
    assert done.code == code
    assert message in done.err
    assert done.out == ""
    assert "Traceback" not in done.err


def test_no_file_is_replaced_unless_asked(run: Run) -> None:
    for name in ("a.mp4", "a.ndjson"):
        Path(name).write_text("mine")
    done = run("stream", HOP, "-o", "a.mp4")
    assert (done.code, Path("a.mp4").read_text()) == (3, "mine")
    assert "error: --output: a.mp4 exists already" in done.err
    done = run("stream", HOP, "--ndjson", "a.ndjson")
    assert (done.code, Path("a.ndjson").read_text()) == (3, "mine")
    assert run("stream", HOP, "-o", "a.mp4", "--force").code == ExitCode.OK


@pytest.mark.parametrize("option", ["-o", "--ndjson"])
@pytest.mark.parametrize("name", ["in.mp4", "link.mp4"])
def test_a_source_is_never_overwritten(run: Run, option: str, name: str) -> None:
    Path("in.mp4").write_bytes(content := Path(HOP).read_bytes())
    Path("link.mp4").symlink_to("in.mp4")
    done = run("stream", "in.mp4", option, name, "--force")
    assert done.code == ExitCode.USAGE
    assert f"{name} is the source itself" in done.err
    assert Path("in.mp4").read_bytes() == content


def test_why_no_window_was_explained_is_told(run: Run) -> None:
    done = run("stream", HOP, "--stride", "50")
    assert done.code == ExitCode.OK
    assert "warning: no window was explained: one takes 87.5 s of a stream" in done.err


def test_what_could_not_be_kept_is_an_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OutputError("no space left for it")

    monkeypatch.setattr("staa_cli.live.keep.write_lossless", full)
    done = run("stream", HOP, "--alert", "p > 0", "--keep-dir", "kept")
    assert done.code == ExitCode.INPUT_FAILED
    assert "warning: alert 'p > 0': no space left for it" in done.err
    assert lines(done.out)[1]["error"] == "no space left for it"
    assert list(Path("kept").rglob("*T*")) == []


def test_a_folder_that_keeps_nothing_is_noticed_at_once(run: Run) -> None:
    Path("file").write_text("mine")
    done = run("stream", HOP, "--alert", "p > 0", "--keep-dir", "file")
    assert done.code == ExitCode.INPUT_FAILED
    assert "error: --keep-dir: cannot write to file" in done.err


def test_credentials_of_a_source_are_never_shown(run: Run) -> None:
    done = run("stream", "http://me:secret@127.0.0.1:1/a.ts?token=hidden")
    assert done.code == 3
    assert "secret" not in done.err
    assert "hidden" not in done.err


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a stream in a process of its own."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        environ = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "staa_cli", "stream", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def grown(path: Path, size: int) -> None:
    """Wait until a file has some bytes."""
    limit = time.monotonic() + 60
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < limit, f"{path} does not grow"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_what_was_written_plays_after_a_kill(
    started: Callable[..., subprocess.Popen[str]], name: str
) -> None:
    process = started(HOP, "--realtime", "-o", name)
    grown(Path(name), 60_000)
    process.kill()
    process.wait(10)
    assert frames(Path(name)) >= 20


@pytest.mark.slow
def test_ctrl_c_closes_files_and_tells_what_happened(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    process = started(HOP, "--realtime", "-o", "a.mp4", "--ndjson", "w.ndjson")
    grown(Path("a.mp4"), 60_000)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert time.monotonic() - start < 5
    assert process.returncode == ExitCode.INTERRUPTED
    summary = lines(Path("w.ndjson").read_text())[-1]
    assert summary["kind"] == "summary"
    assert frames(Path("a.mp4")) == summary["sinks"][0]["frames_written"] >= 20
    assert "frames shown" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_signals_of_services_end_a_stream_as_ctrl_c_does(
    started: Callable[..., subprocess.Popen[str]], number: int
) -> None:
    process = started(HOP, "--realtime", "-o", "a.mp4", "--ndjson", "w.ndjson")
    grown(Path("a.mp4"), 60_000)
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert lines(Path("w.ndjson").read_text())[-1]["kind"] == "summary"
    assert "frames shown" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_pipe_that_is_too_fast_is_told(started: Callable[..., subprocess.Popen[str]]) -> None:
    with av.open(HOP) as source, av.open("long.ts", "w", format="mpegts") as target:
        stream: Any = target.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.width, stream.height = source.streams.video[0].width, source.streams.video[0].height
        for number, frame in enumerate(list(source.decode(video=0)) * 3):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, 24), 0
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    process = started("-")
    assert process.stdin is not None
    process.stdin.buffer.write(Path("long.ts").read_bytes())  # type: ignore[attr-defined]
    _, err = process.communicate(timeout=60)
    assert err.count("--no-realtime takes all") == 1


@pytest.mark.slow
def test_ctrl_c_ends_a_stream_to_which_nothing_is_sent(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    process = started("-", "--timeout", "60")
    time.sleep(6)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert time.monotonic() - start < 5
    assert process.returncode == ExitCode.INTERRUPTED


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_a_stream_quietly(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    process = started(HOP, "--realtime", "-o", "-", "-q")
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 20_000)
    process.stdout.close()
    assert process.wait(20) == ExitCode.BROKEN_PIPE
    assert process.stderr is not None
    assert process.stderr.read() == ""
