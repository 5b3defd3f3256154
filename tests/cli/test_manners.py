"""Manners: help, exit codes, what goes to stdout, and what a mistake is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from small_videos import film

from staa_cli import __version__
from staa_cli.cli.options import SETTINGS
from staa_cli.config.settings import keys
from staa_cli.errors import ExitCode

ROOT = Path(__file__).parent.parent.parent
COMMANDS = [
    *(
        "explain",
        "compare",
        "report",
        "diff",
        "export",
        "benchmark",
        "benchmark quality",
        "benchmark cost",
    ),
    *("models", "models inspect", "methods", "config", "config show", "doctor", "schema"),
]


HEAVY = ("torch", "torchvision", "timm", "av", "PIL", "numpy", "imageio", "yaml", "rich")


def test_help_imports_nothing_heavy(staa: Any) -> None:
    done = staa("explain", "--help", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "staa_cli.cli.commands.explain" in imported
    assert not imported & set(HEAVY)


@pytest.mark.perf
def test_help_takes_less_than_a_third_of_a_second(staa: Any) -> None:
    def seconds() -> float:
        start = time.perf_counter()
        staa("--help")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_goes_to_stdout_plain_and_within_the_width(
    run: Any, command: str, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        done = run(*command.split(), flag)
        assert done.code == ExitCode.OK
        assert done.err == ""
        assert "\x1b" not in done.out
        examples = re.search(r"^Examples:\n(  .*\n)+", done.out, re.MULTILINE)
        assert examples
        rest = done.out.replace(examples[0], "")
        assert max(len(line) for line in rest.splitlines()) <= width
        assert "  -h, --help" in done.out


def test_every_setting_with_an_option_is_in_the_help_with_its_value(run: Any) -> None:
    text = " ".join(run("explain", "--help").out.split())
    for name in (name for group in SETTINGS.values() for name in group):
        key = keys()[name]
        assert key.flag in text
        if not isinstance(key.default, bool):
            worth = key.unset or (
                f"{key.default:g}" if isinstance(key.default, float) else key.default
            )
            assert f"[{worth}]" in text


def test_help_shows_the_value_in_force(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAA_SAMPLING_CLIPS", "5")
    assert "[5, by STAA_SAMPLING_CLIPS]" in " ".join(run("explain", "--help").out.split())


OPTION = re.compile(r"^  (?:-\w, |    )(--[\w-]+)", re.MULTILINE)


def test_h_shows_twenty_options_and_where_the_others_are(run: Any) -> None:
    short, whole = (OPTION.findall(run("explain", flag).out) for flag in ("-h", "--help"))
    assert len(short) == 20 + 1  # and --help itself
    assert set(short) < set(whole)
    assert [flag for flag in whole if flag in short] == short
    assert {"--model", "--class", "--method", "--start", "--output-dir", "--config"} <= set(short)
    assert run("explain", "-h").out.endswith("exit codes: staa explain --help\n")
    assert run("explain", "-rh").out == run("explain", "-h").out
    for command in ("methods", "models inspect", "config show"):  # there are few
        assert run(*command.split(), "-h").out == run(*command.split(), "--help").out


@pytest.mark.parametrize(
    "line", ["-h", "--help", "explain --help", "compare --help", "diff --help"]
)
def test_help_tells_the_exit_codes(run: Any, line: str) -> None:
    told = run(*line.split()).out.partition("Exit codes:")[2]
    codes = [int(code) for code in re.findall(r"^  (\d+) ", told, re.MULTILINE)]
    assert codes == [int(code) for code in ExitCode]


def test_help_tells_the_presets_as_their_files_do(run: Any) -> None:
    told = run("explain", "--help", COLUMNS="100").out.partition("Presets of --config:")[2]
    for path in (ROOT / "configs").glob("*.yaml"):
        (about,) = re.findall(rf"^  {path.stem} +(\S.*)$", told, re.MULTILINE)
        line = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
        assert line.startswith(about)
        assert line.endswith(".")
        assert path.stem in run("explain", "-h").out


def test_arch_is_about_the_model(run: Any) -> None:
    told = run("models", "inspect", "-h").out
    assert told.index("Model:") < told.rindex("--arch") < told.index("Messages:")


@pytest.mark.parametrize(
    "line",
    [
        *("methods", "models", "config show", "config init", "benchmark metrics", "doctor"),
        *("explain walk.mp4 --no-annotated", "compare walk.mp4 --methods staa --no-faithfulness"),
        "explain walk.mp4 --dry-run",
    ],
)
def test_quiet_is_quiet(
    run: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "walk.mp4", 12)
    done = run(*line.split(), "-q", STAA_MODEL="test_timesformer")
    assert (done.code, done.out, done.err) == (ExitCode.OK, "", "")


@pytest.mark.parametrize(
    "line", ["methods --json", "schema", "explain walk.mp4 --no-annotated --json"]
)
def test_quiet_keeps_what_json_asks_for(
    run: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "walk.mp4", 12)
    done = run(*line.split(), "-q", STAA_MODEL="test_timesformer")
    assert (done.code, done.err) == (ExitCode.OK, "")
    assert json.loads(done.out)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's way to close a stream")
@pytest.mark.parametrize(("closed", "other"), [(">&-", "stderr"), ("2>&-", "stdout")])
def test_a_closed_stream_is_as_one_that_nobody_reads(
    tmp_path: Path, closed: str, other: str
) -> None:
    film(tmp_path / "walk.mp4", 12)
    line = f'"{sys.executable}" -m staa_cli explain walk.mp4 --no-annotated {closed}'
    environ = os.environ | {"PYTHONPATH": str(ROOT), "STAA_MODEL": "test_timesformer"}
    done = subprocess.run(
        line,
        shell=True,
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.OK
    assert "walk" in getattr(done, other)
    assert "Traceback" not in done.stderr


def test_help_is_colored_on_demand(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in run("explain", "-h", "--color", "always").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in run("-h").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("-h").out


def test_version_is_the_version_alone(run: Any) -> None:
    assert run("--version").out == __version__ + "\n"


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("nonsense", 2, "nonsense"),
        ("explain --nonsense", 2, "--nonsense"),
        ("explain --fram 3", 2, "--frames"),
        ("explain --frames", 2, "--frames"),
        ("benchmark quality --seed -1", 2, "--seed: at least 0, not -1"),
        ("explain a.mp4 --frames 0", 2, "--frames: expected a whole number of at least 1, not '0'"),
        ("explain a.mp4 --view hot", 2, "--view: expected one of heat"),
        ("explain a.mp4 --config fst", 2, "'fast'"),
        ("explain a.mp4 --start 2 --end 1", 2, "--start: the start (2 s) is not before the end"),
        ("explain a.mp4 --force --no-clobber", 2, "contradict"),
        ("explain a.mp4 --faithfulness --quick-faithfulness", 2, "contradict"),
        ("explain a.mp4 -qv", 2, "--quiet and --verbose contradict"),
        ("explain a.mp4 --color blue", 2, "--color"),
        ("explain --from-file nowhere", 2, "nowhere"),
        ("explain", 4, "no input was given"),
        ("explain *.nothing", 4, "no video in *.nothing"),
        ("config validate nowhere.yaml", 2, "nowhere.yaml"),
        ("config", 2, "config --help"),
    ],
)
def test_a_mistake_is_one_error_line_and_its_exit_code(
    run: Any, line: str, code: int, error: str
) -> None:
    done = run(*line.split())
    assert done.code == code
    assert done.out == ""
    first, *rest = done.err.splitlines()
    assert first.startswith("error: ")
    assert all(line.startswith("hint: ") for line in rest)
    assert error in done.err


@pytest.mark.parametrize("flag", ["--config", "--from-file", "--model", "--output-dir", "--arch"])
def test_an_empty_name_is_told_with_its_option(run: Any, flag: str) -> None:
    done = run("explain", "a.mp4", flag, "")
    assert done.code == ExitCode.USAGE
    assert done.err.startswith(f"error: {flag}: expected ")
    assert done.err.splitlines()[0].endswith(", not ''")


def test_no_arguments_at_all_show_the_help(run: Any) -> None:
    assert run().out == run("--help").out


def test_a_bug_is_70_and_the_way_to_see_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("staa_cli.methods.list_methods", broken)
    done = run("methods")
    assert done.code == ExitCode.INTERNAL
    assert done.err.startswith("error: ZeroDivisionError: division by zero\nhint: ")
    assert "-vv" in done.err
    for traced in (run("methods", "-vv"), run("methods", STAA_DEBUG="1")):
        assert traced.code == ExitCode.INTERNAL
        assert "Traceback" in traced.err
        assert "in broken" in traced.err


def test_an_interrupt_is_130(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("staa_cli.methods.list_methods", interrupted)
    done = run("methods")
    assert (done.code, done.err) == (ExitCode.INTERRUPTED, "interrupted\n")


def test_a_broken_pipe_is_quiet() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "staa_cli", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == ExitCode.BROKEN_PIPE


def test_a_full_disk_is_said_in_words() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with full.open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "staa_cli", "schema"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert done.returncode == ExitCode.INPUT_FAILED
    assert done.stderr.startswith("error: no space left")


def test_schema_prints_a_json_schema(run: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(run("schema").out))


def test_methods_and_models_speak_json_and_tables(run: Any) -> None:
    methods = json.loads(run("methods", "--json").out)
    assert "staa" in [method["name"] for method in methods]
    table = run("methods").out.splitlines()
    assert table[0].split()[0] == "NAME"
    assert len(table) >= len(methods) + 1
    models = json.loads(run("models", "--json").out)
    assert "tiny-events" in [model["name"] for model in models]
    assert "tiny-events" in run("models").out


def test_a_table_fits_its_terminal_and_never_cuts_a_word(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        for command in ("methods", "models", "config show"):
            lines = run(*command.split()).out.splitlines()
            assert max(len(line) for line in lines) <= width
    monkeypatch.delenv("COLUMNS")
    names = [line.split()[0] for line in run("methods").out.splitlines()[1:]]
    assert names == [method["name"] for method in json.loads(run("methods", "--json").out)]


@pytest.mark.parametrize("command", ["explain", "compare", "benchmark quality", "benchmark cost"])
def test_every_command_that_opens_a_model_can_be_kept_off_the_network(
    command: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STAA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "0")  # set by the flag, put back afterwards
    video = [] if "benchmark" in command else [str(film(tmp_path / "video.mp4", 8))]
    done = run(*command.split(), *video, "--model", "hf-hub:nobody/nothing", "--offline")
    assert done.code == 5
    assert "nobody/nothing is not in the cache" in done.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("explain a.mp4 --methd rollout", "--method"),
        ("explain a.mp4 --mehtod rollout", "--method"),
        ("explain a.mp4 --modle x", "--model"),
        ("explain a.mp4 --output x", "--output-dir"),
        ("explain a.mp4 --dryrun", "--dry-run"),
        ("explain a.mp4 --dry", "--dry-run"),
        ("explain a.mp4 --treads 2", "--threads"),
        ("explain a.mp4 --clas hop", "--class"),
        ("explain a.mp4 --colour never", "--color"),
        ("explain a.mp4 --color-map magma", "--colormap"),
        ("explain a.mp4 --sampling-strategy dense", "--sampling"),
        ("explain a.mp4 --target hop", "--class"),
        ("explain a.mp4 --noclobber", "--no-clobber"),
        ("compare a.mp4 --method staa --clss hop", "--class"),
        ("benchmark quality --metric pointing", "--metrics"),
        ("explian a.mp4", "'explain'"),
        ("benchmark qualty", "'quality'"),
        ("explain a.mp4 --method staa-clas", "'staa-class'"),
        ("explain a.mp4 --view haet", "'heat'"),
    ],
)
def test_a_slip_is_told_what_was_meant_and_nothing_else(run: Any, typed: str, meant: str) -> None:
    done = run(*typed.split())
    assert done.code == ExitCode.USAGE
    assert done.err.endswith(f"hint: did you mean {meant}?\n")


def test_what_is_like_nothing_is_sent_to_the_help(run: Any) -> None:
    for line, page in (("explain a.mp4 --nonsense", "staa explain"), ("nonsense", "staa")):
        assert f"hint: `{page} --help` lists what is available" in run(*line.split()).err
