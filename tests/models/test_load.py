"""Names, labels, devices, and what loading costs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_checks import assert_refused, load
from torch import Tensor

from staa_cli.errors import UnavailableError, UsageError
from staa_cli.methods import Options, get_method
from staa_cli.methods.run import explain_batch
from staa_cli.models.families.timesformer.module import TimeSformer
from staa_cli.models.load import find_device

# Labels of the user's own


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.json", '{"1": "b", "0": "a", "2": "c", "3": "d", "4": "e"}'),
        ("labels.json", '["a", "b", "c", "d", "e"]'),
        ("labels.txt", "a\nb\nc\nd\ne\n\n"),
        ("labels.txt", "\ufeffa\r\nb\r\nc\r\nd\r\ne"),
    ],
)
def test_a_label_file_names_the_classes(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert load("test_timesformer", labels=tmp_path / name).labels == ("a", "b", "c", "d", "e")


def test_a_label_file_of_another_length_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    assert_refused("test_timesformer", "5 classes", "names 2", labels=tmp_path / "labels.txt")


@pytest.mark.parametrize("text", ["{", "3"])
def test_a_label_file_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(UsageError, match=r"labels\.json"):
        load("test_timesformer", labels=tmp_path / "labels.json")


# Names, devices, precision


def test_a_test_architecture_has_the_same_random_weights_every_time(tiny_clip: Tensor) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    first, second = load("test_timesformer"), load("test_timesformer")
    assert torch.equal(torch.get_rng_state(), before)  # the caller's numbers are not disturbed
    assert torch.equal(first.forward(tiny_clip), second.forward(tiny_clip))
    assert first.info.weights_sha256 == second.info.weights_sha256 != ""
    assert "random" in first.info.note
    assert all(p.abs().max() > 0 for p in first.module.parameters())


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("tiny-event", "is named 'tiny-event'", "'tiny-events'"),
        ("./absent.pth", "absent.pth", "staa models"),
        ("timesformer_base_patch16_224", "without weights", "--arch"),
    ],
)
def test_a_name_that_is_nothing_says_what_to_do(name: str, words: str, hint: str) -> None:
    with pytest.raises(UnavailableError, match=words) as caught:
        load(name)
    assert hint in str(caught.value.hint)


def test_an_architecture_that_is_none_says_what_there_is(
    tmp_path: Path, small: TimeSformer
) -> None:
    torch.save(small.state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "w.pth", arch="timesformer_base")
    assert "timesformer_base_patch16_224" in str(caught.value.hint)


def test_devices_that_are_not_there_are_told() -> None:
    with pytest.raises(UnavailableError, match="cuda:99"):
        find_device("cuda:99")
    if not torch.backends.mps.is_available():
        with pytest.raises(UnavailableError, match="mps"):
            find_device("mps")
    with pytest.raises(UsageError, match="gpu"):
        find_device("gpu")
    with pytest.raises(UsageError, match="cuda:x"):
        find_device("cuda:x")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_weights_that_do_not_fit_into_memory_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(UnavailableError, match="test_timesformer does not fit into") as caught:
        load("test_timesformer")
    assert "--precision bf16" in str(caught.value.hint)


def test_clips_that_no_machine_holds_are_refused_before_it_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = load("tiny-events")
    monkeypatch.setattr("staa_cli.models.load.free_memory_bytes", lambda: 8 * 10**9)
    assert model.fitted(frames=64).input.frames == 64
    with pytest.raises(UnavailableError, match=r"100000 frames .* 8.0 GB are free") as caught:
        model.fitted(frames=100_000)
    assert "fewer frames" in str(caught.value.hint)
    monkeypatch.setattr("staa_cli.models.load.free_memory_bytes", lambda: None)
    assert model.fitted(frames=100_000).input.frames == 100_000  # where nobody tells


def test_an_empty_name_is_not_the_current_folder() -> None:
    with pytest.raises(UsageError, match="empty"):
        load(" ")


def test_half_precision_stays_near_and_answers_in_float32(tiny_clip: Tensor) -> None:
    exact = load("test_timesformer").forward(tiny_clip)
    rough = load("test_timesformer", precision="bf16").forward(tiny_clip)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.05 * exact.abs().max()
    with pytest.raises(UsageError, match="int4"):
        load("test_timesformer", precision="int4")


@pytest.mark.slow
def test_to_compile_without_a_compiler_is_refused_at_once(tmp_path: Path) -> None:
    import torch._inductor.config as inductor

    with (
        inductor.patch({"cpp.cxx": (str(tmp_path / "g++"),)}),
        pytest.raises(UnavailableError, match="needs a C\\+\\+ compiler") as raised,
    ):
        load("test_timesformer", compile=True)
    assert "leave out --compile" in str(raised.value.hint)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for the CPU with g++")
def test_a_compiled_model_is_read_like_any_other(tiny_clip: Tensor) -> None:
    """First nobody reads, then two methods do: what was compiled before must not blind them."""
    plain, compiled = load("test_timesformer"), load("test_timesformer", compile=True)
    torch.testing.assert_close(
        compiled.forward(tiny_clip), plain.forward(tiny_clip), rtol=0, atol=1e-5
    )
    for name in ("staa", "rollout"):
        method = get_method(name)
        ours, wanted = (
            explain_batch(model.module, model.layout, tiny_clip, method, Options()).values
            for model in (compiled, plain)
        )
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-7)


# What costs nothing


def test_naming_the_models_does_not_import_torch() -> None:
    code = (
        "import sys; from staa_cli.models.catalog.manifests import list_models; list_models()"
        "; print([n for n in ('torch', 'timm', 'av') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
