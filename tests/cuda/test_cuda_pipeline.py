"""A video explained on a CUDA device, by the library and by the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from staa_cli import explain_video, load_model
from staa_cli.benchmark.cost import measure_cost, noise
from staa_cli.cli import app as cli
from staa_cli.config.settings import SamplingSettings, Settings
from staa_cli.errors import ExitCode, UnavailableError
from staa_cli.methods import Options, get_method
from staa_cli.methods.run import explain_batch
from staa_cli.models.catalog.manifests import read_manifests

if not torch.cuda.is_available():
    pytest.skip("no CUDA device here", allow_module_level=True)
pytestmark = pytest.mark.cuda

ROOT = Path(__file__).parent.parent.parent
Record = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("STAA_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", sorted(read_manifests()))
@pytest.mark.parametrize("video", ["hop", "grow_sound", "split_vfr"])
def test_a_video_is_explained_as_on_the_cpu(
    video: str, name: str, gpu: str, sample_videos: Path, record_property: Record
) -> None:
    """With what torch rounds by default."""
    path = sample_videos / f"{video}.mp4"
    ours, theirs = (
        explain_video(path, name, settings=Settings(device=device)) for device in (gpu, "cpu")
    )
    assert ours.prediction.label == theirs.prediction.label
    classes = len(ours.model.labels)
    one, two = (
        {label: score for _, label, score in each.prediction.top(classes)}
        for each in (ours, theirs)
    )
    moved = max(abs(one[label] - two[label]) for label in two)
    record_property("probability moved by", f"{moved:.1e}")
    assert moved < 1e-3
    alike = np.corrcoef(ours.frames.score, theirs.frames.score)[0, 1]
    record_property("correlation of the frames' scores", f"{alike:.6f}")
    assert alike > 0.999
    assert ours.clips == theirs.clips
    assert ours.fingerprint == theirs.fingerprint
    assert [w.code for w in ours.warnings] == [w.code for w in theirs.warnings]
    assert ours.run is not None
    assert ours.run.device.startswith(gpu)


def test_a_check_on_the_device_finds_what_one_on_the_cpu_finds(
    gpu: str, sample_videos: Path
) -> None:
    from staa_cli.config.settings import OutputSettings

    output = OutputSettings(faithfulness=True)
    sampling = SamplingSettings(strategy="segments", clips=1)
    ours, theirs = (
        explain_video(
            sample_videos / "hop.mp4",
            settings=Settings(device=device, output=output, sampling=sampling),
        ).faithfulness
        for device in (gpu, "cpu")
    )
    assert ours is not None
    assert theirs is not None
    for one, two in zip(ours.rows, theirs.rows, strict=True):
        assert one.method == two.method
        assert one.srg == pytest.approx(two.srg, abs=1e-2)


def test_auto_takes_the_device(gpu: str, sample_videos: Path) -> None:
    assert load_model("test_timesformer").device.type == gpu
    settings = Settings(sampling=SamplingSettings(strategy="segments", clips=1))
    details = explain_video(sample_videos / "hop.mp4", settings=settings).run
    assert details is not None
    assert details.device == gpu


def test_a_card_by_its_number(gpu: str) -> None:
    assert load_model("test_timesformer", device=f"{gpu}:0").device == torch.device(gpu, 0)
    absent = f"{gpu}:{torch.cuda.device_count() + 6}"
    with pytest.raises(UnavailableError, match=absent):
        load_model("test_timesformer", device=absent)


def test_a_card_that_is_not_there_ends_the_command(
    gpu: str, sample_videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    absent = f"{gpu}:{torch.cuda.device_count() + 6}"
    video = str(sample_videos / "hop.mp4")
    code = cli.run(["explain", video, "--device", absent, "-o", str(tmp_path)])
    assert code == ExitCode.UNAVAILABLE == 5
    told = capfd.readouterr().err
    assert f"no device {absent}" in told
    assert "Traceback" not in told


def test_doctor_names_the_manifest(gpu: str, capfd: pytest.CaptureFixture[str]) -> None:
    cli.run(["doctor"])
    told = " ".join(capfd.readouterr().out.split())
    assert torch.cuda.get_device_name(0) in told


def test_two_runs_write_the_same_bytes(gpu: str, sample_videos: Path, tmp_path: Path) -> None:
    """In processes of their own; and the device by no word changes what a report must hold."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    reports = []
    for run in ("one", "two"):
        command: list[Any] = [
            sys.executable,
            "-m",
            "staa_cli",
            "explain",
            sample_videos / "grow_sound.mp4",
        ]
        command += ["--device", gpu, "--reproducible", "--no-annotated", "-q", "-o", tmp_path / run]
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        (report,) = (tmp_path / run).rglob("report.json")
        reports.append(report.read_bytes())
    assert reports[0] == reports[1]
    assert "run" not in json.loads(reports[0])


def test_cost_counts_the_memory_of_the_device(gpu: str) -> None:
    model = load_model("tiny-events", device=gpu)
    (row,) = measure_cost(model, ["grad-attention"], rounds=2)["results"]
    assert row["wall_ratio"] > 1
    assert row["memory_ratio"] > 1
    assert row["memory_above_bytes"] > 0


@pytest.mark.slow
def test_a_compiled_model_is_read_like_any_other(gpu: str, exact: None) -> None:
    """First nobody reads, then two methods do: what was compiled before must not blind them."""
    plain, compiled = (load_model("test_timesformer", device=gpu, compile=c) for c in (False, True))
    clip = noise(plain)
    torch.testing.assert_close(compiled.forward(clip), plain.forward(clip), rtol=0, atol=1e-4)
    for name in ("staa", "rollout"):
        method = get_method(name)
        ours, wanted = (
            explain_batch(model.module, model.layout, clip, method, Options()).values
            for model in (compiled, plain)
        )
        np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-6)
