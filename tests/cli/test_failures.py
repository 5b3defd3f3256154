"""What one input meets is that input's failure: bugs, too little memory, names without a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from staa_cli.errors import ExitCode
from staa_cli.jobs import estimate, plan
from staa_cli.schema import UInt8
from staa_cli.video.encode import write_video
from staa_cli.video.probe import probe

# A model of somebody's own, which some videos upset.
MODEL = """
import os

import torch
from torch import nn

from staa_cli.models.layers import TapAttention
from staa_cli.schema import AttentionLayout, ModelInput

HALF = (0.5, 0.5, 0.5)


class Upset(nn.Module):
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
        if x.mean() > 0.5:
            raise {
                "bug": AttributeError("'NoneType' object has no attribute 'shape'"),
                "memory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
                "python": MemoryError(),
                "interrupt": KeyboardInterrupt(),
            }[os.environ["UPSET"]]
        tokens = self.embed(x.flatten(0, 1)).flatten(2).transpose(1, 2)
        return self.head(self.attn(tokens.reshape(len(x), -1, 16)).mean(dim=1))


def build():
    torch.manual_seed(0)
    return Upset()
"""


def film(path: Path, level: int) -> None:
    """A second of noise around a level of gray."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(level)
    pictures: list[UInt8] = [
        random.integers(level - 20, level + 20, (32, 32, 3)).astype(np.uint8) for _ in range(12)
    ]
    write_video(path, pictures, rate=12, preset="ultrafast")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with that model, a video that upsets it, and two that do not."""
    (tmp_path / "upset.py").write_text(MODEL)
    film(tmp_path / "in" / "a.mp4", 230)
    film(tmp_path / "in" / "b.mp4", 60)
    film(tmp_path / "in" / "c.mp4", 80)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the model's own folder is added
    monkeypatch.setenv("STAA_THREADS", "1")
    yield tmp_path
    sys.modules.pop("upset", None)


@pytest.fixture
def explain(run: Any, here: Path) -> Any:
    """Runs `staa explain` with that model, which is upset as the keyword says."""

    def call(*arguments: str, upset: str = "bug", **variables: str) -> Any:
        fixed = ("--model", "upset:build", "--no-annotated")
        return run("explain", *arguments, *fixed, UPSET=upset, **variables)

    return call


@pytest.mark.parametrize(
    ("upset", "kind", "code", "words"),
    [
        ("bug", "UnexpectedError", 70, "AttributeError: 'NoneType' object has no attribute"),
        ("memory", "UnavailableError", 5, "does not fit into the memory of"),
        ("python", "UnavailableError", 5, "does not fit into the memory of"),
    ],
)
def test_one_upset_model_does_not_stop_the_others(
    explain: Any, here: Path, upset: str, kind: str, code: int, words: str
) -> None:
    done = explain("in", "--json", upset=upset)
    assert done.code == ExitCode.INPUT_FAILED
    first, second, third = map(json.loads, done.out.splitlines())
    assert first["video"] == {"path": "in/a.mp4"}
    assert first["status"] == "failed"
    assert (first["error"]["kind"], first["error"]["code"]) == (kind, code)
    assert words in first["error"]["cause"]
    assert first["error"]["hint"]
    assert [second["video"]["path"], third["video"]["path"]] == ["in/b.mp4", "in/c.mp4"]
    assert not (here / "staa-out" / "a").exists()
    assert done.err.count("error: in/a.mp4: ") == 2  # when it happens, and again at the end
    assert "2 explained, 1 failed" in done.err
    assert "Traceback" not in done.err
    again = explain("in", upset=upset)
    assert again.code == ExitCode.INPUT_FAILED
    assert "2 skipped, 1 failed" in again.err


def test_a_bug_says_where_it_happened_and_shows_more_when_asked(explain: Any) -> None:
    quiet = explain("in/a.mp4")
    assert quiet.code == ExitCode.INPUT_FAILED
    error, hint = quiet.err.splitlines()
    assert error.startswith("error: in/a.mp4: AttributeError: ")
    assert "between 0.00 s and" in error
    assert "with auto on upset:build" in error
    assert "-vv" in hint
    for traced in (explain("in", "-vv"), explain("in", STAA_DEBUG="1")):
        assert traced.err.count("Traceback") >= 1
        assert "in forward" in traced.err
        assert ", 1 failed" in traced.err
        assert traced.code == ExitCode.INPUT_FAILED


def test_fail_fast_and_an_interrupt_end_it(explain: Any, here: Path) -> None:
    fast = explain("in", "-x")
    assert fast.code == ExitCode.INPUT_FAILED
    assert "1 failed, 2 not tried" in fast.err
    for flags, again in (
        ((), "the same command again"),
        (("--force",), "it again without --force"),
    ):
        stopped = explain("in", *flags, upset="interrupt")
        assert stopped.code == ExitCode.INTERRUPTED
        assert f"finished; run {again} to continue" in stopped.err.splitlines()[-1]
    for folder in (here / "staa-out").glob("*"):  # another video may have been finished
        assert (folder / "report.json").is_file()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("--class nothing", ExitCode.USAGE),
        ("--method staa-published", ExitCode.USAGE),
        ("--frames 4 --size 48", ExitCode.USAGE),
        ("--method integrated-gradients --samples 5000", ExitCode.USAGE),
        ("--method kernel-shap --samples 2", ExitCode.USAGE),
        ("--device cuda:99", ExitCode.UNAVAILABLE),
    ],
)
def test_what_no_video_could_be_asked_is_said_before_the_first(
    explain: Any, here: Path, line: str, code: int
) -> None:
    if "samples" in line:
        pytest.importorskip("captum")
    done = explain("in", "--json", *line.split())
    assert (done.code, done.out) == (code, "")
    assert done.err.count("error: ") == 1
    assert "in/" not in done.err
    assert not (here / "staa-out").exists()


def test_a_dry_run_goes_on_as_well(explain: Any, monkeypatch: pytest.MonkeyPatch) -> None:

    def probing(path: Path) -> Any:
        if path.name == "a.mp4":
            raise ValueError("of a library")
        return probe(path)

    monkeypatch.setattr(plan, "probe", probing)
    done = explain("in", "missing.mp4", "--dry-run", "--json")
    assert done.code == ExitCode.INPUT_FAILED
    first, *good, last = map(json.loads, done.out.splitlines())
    assert [plan["status"] for plan in good] == ["explain", "explain"]
    assert first["status"] == "fail"
    assert first["error"]["kind"] == "UnexpectedError"
    assert last["error"]["cause"] == "no such file"
    assert "of a library" in explain("in", "--dry-run").out
    assert "as just measured on cpu" in explain("in/b.mp4", "--dry-run").err

    def broken(*_: object) -> float:
        raise ValueError("no clock")

    monkeypatch.setattr(estimate, "time_pass", broken)
    untimed = explain("in/b.mp4", "--dry-run")
    assert untimed.code == ExitCode.OK
    assert "cannot estimate the time: ValueError: no clock" in untimed.err
    quiet = explain("in", "missing.mp4", "--dry-run", "-q")
    assert (quiet.code, quiet.out) == (ExitCode.INPUT_FAILED, "")
    assert [line.partition(": ")[0] for line in quiet.err.splitlines()[::2]] == ["error", "error"]
    assert "missing.mp4: no such file" in quiet.err
    assert "in probing" in explain("in", "--dry-run", "-vv").err


def test_a_failure_is_told_again_only_where_something_stands_between(explain: Any) -> None:
    last = explain("in/b.mp4", "x.mp4", "y.mp4")
    assert [last.err.count(f"error: {name}: no such file") for name in ("x.mp4", "y.mp4")] == [1, 1]
    assert "1 explained, 2 failed" in last.err
    first = explain("x.mp4", "in/b.mp4")
    assert first.err.count("error: x.mp4: no such file") == 2
    assert explain("x.mp4", "in/b.mp4", "-q").err.count("error: x.mp4: no such file") == 1


def test_what_matched_nothing_fails_beside_what_did(explain: Any, here: Path) -> None:
    (here / "empty").mkdir()
    done = explain("in/b.mp4", "clip[1].mp4", "*.mkv", "empty", "--json")
    assert done.code == ExitCode.INPUT_FAILED
    good, *bad = map(json.loads, done.out.splitlines())
    assert good["video"]["path"] == "in/b.mp4"
    assert [line["video"]["path"] for line in bad] == ["clip[1].mp4", "*.mkv", "empty"]
    assert {line["error"]["code"] for line in bad} == {ExitCode.INPUT_FAILED}
    alone = explain("clip[1].mp4")
    assert alone.code == ExitCode.NOTHING_MATCHED
    nameless = explain("")
    assert nameless.code == ExitCode.USAGE


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_list_that_windows_wrote(explain: Any, here: Path, encoding: str) -> None:
    film(here / "動 [1].mp4", 70)
    film(here / "unlisted.mp4", 70)
    text = "clip[9].mp4\r\n動 [1].mp4\r\nin/b.mp4\r\n"
    (here / "list.txt").write_bytes(text.encode(encoding))
    done = explain("--from-file", "list.txt", "--json")
    assert done.code == ExitCode.INPUT_FAILED
    missing, *good = map(json.loads, done.out.splitlines())
    assert missing["video"]["path"] == "clip[9].mp4"
    assert missing["error"]["cause"] == "no such file"
    assert [report["video"]["path"] for report in good] == ["動 [1].mp4", "in/b.mp4"]
