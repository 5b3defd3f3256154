"""What training code puts around weights: prefixes, losses, averages, adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_checks import MakeFolder, State, assert_refused, edit_json, load
from safetensors.torch import load_file, save_file
from saved_folders import saved
from torch import Tensor

from staa_cli.models.checkpoints.inspection import inspect_model
from staa_cli.models.checkpoints.prefixes import unwrapped
from staa_cli.models.families.base import family_of_state
from staa_cli.models.families.timesformer.module import TimeSformer

FAMILIES = ("timesformer", "videomae", "vivit", "vjepa2")


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def with_loss(state: State) -> State:
    return {**prefixed(state, "model."), "criterion.weight": torch.ones(5)}


def averaged(state: State) -> State:
    return {**prefixed(state, "module."), "n_averaged": torch.tensor(3)}


def metrics_within(state: State) -> State:
    return prefixed({**state, "train_loss.weight": torch.ones(5)}, "module.")


def head_outside(state: State) -> State:
    inside = {n: t for n, t in state.items() if not n.startswith(("classifier.", "head."))}
    outside = {n: t for n, t in state.items() if n not in inside}
    return {**prefixed(inside, "net."), **outside}


WRAPPINGS: dict[str, Callable[[State], State]] = {
    "plain": lambda state: state,
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "lightning": lambda state: prefixed(state, "model."),
    "own": lambda state: prefixed(state, "net."),
    "named as a part": lambda state: prefixed(state, "vit."),
    "three deep": lambda state: prefixed(state, "module._orig_mod.video_model."),
    "loss": with_loss,
    "average": averaged,
    "loss within": metrics_within,
    "bare with loss": lambda state: {**state, "loss_fn.weight": torch.ones(5)},
    "head outside": head_outside,
}
every_wrapping = pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)


def tiny(family: str) -> tuple[Any, State]:
    """A model with random weights, and they under its own names."""
    model = load(f"test_{family}")
    return model, {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


def clip() -> Tensor:
    return torch.randn(1, 4, 3, 32, 32, generator=torch.Generator().manual_seed(7))


def write(state: State, path: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(
        {"state_dict": state, "epoch": 3}, path
    )


@every_wrapping
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_in_any_wrapping_is_the_same_model(
    family: str, suffix: str, wrap: Callable[[State], State], tmp_path: Path
) -> None:
    model, state = tiny(family)
    write(wrap(state), tmp_path / f"w{suffix}")
    found = load(tmp_path / f"w{suffix}", arch=f"test_{family}")
    assert torch.equal(found.forward(clip()), model.forward(clip()))


@every_wrapping
@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_in_any_wrapping_is_the_same_model(
    family: str, wrap: Callable[[State], State], tmp_path: Path
) -> None:
    saved(family, tmp_path)
    wanted = load(tmp_path).forward(clip())
    write(wrap(load_file(tmp_path / "model.safetensors")), tmp_path / "model.safetensors")
    assert torch.equal(load(tmp_path).forward(clip()), wanted)


@every_wrapping
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_recognized_in_any_wrapping(
    family: str, wrap: Callable[[State], State]
) -> None:
    _, state = tiny(family)
    found = unwrapped(wrap(state), None).tensors
    assert family_of_state(found, "w.pth") == family
    assert found.keys() == state.keys()


def test_a_file_that_says_nothing_but_its_tensors_is_unwrapped(
    small: TimeSformer, tmp_path: Path, tiny_clip: Tensor
) -> None:
    write(with_loss(small.state_dict()), tmp_path / "w.pth")
    assert torch.equal(load(tmp_path / "w.pth").forward(tiny_clip), small(tiny_clip))


def test_image_models_of_timm_are_unwrapped_too(tmp_path: Path) -> None:
    from timm import create_model

    vit = create_model("vit_tiny_patch16_224", num_classes=5)
    write(prefixed(vit.state_dict(), "_orig_mod."), tmp_path / "w.pth")
    found = load(tmp_path / "w.pth", arch="timm:vit_tiny_patch16_224")
    assert torch.equal(
        found.module.state_dict()["vit.head.weight"], vit.get_parameter("head.weight")
    )


def test_what_training_kept_beside_a_model_is_left_out_by_name(tmp_path: Path) -> None:
    _, state = tiny("timesformer")
    write({**with_loss(state), "n_averaged": torch.tensor(3)}, tmp_path / "w.pth")
    found = inspect_model(str(tmp_path / "w.pth"), arch="test_timesformer")
    assert found["fits"]
    assert sorted(found["left_out"]) == ["criterion.weight", "n_averaged"]


def test_weights_beside_the_prefix_that_nothing_needs_are_named(tmp_path: Path) -> None:
    """They may be a part of what the model computes: nobody drops them."""
    _, state = tiny("vivit")
    extra = {"adapter.weight": torch.ones(2), "gate": torch.ones(1)}
    write({**prefixed(state, "net."), **extra}, tmp_path / "w.pth")
    assert_refused(
        tmp_path / "w.pth",
        "2 unexpected",
        "'net.'",
        "all except adapter.weight, gate",
        arch="test_vivit",
    )


def test_a_prefix_is_named_where_what_lies_behind_does_not_fit(tmp_path: Path) -> None:
    _, state = tiny("videomae")
    del state["head.weight"]
    write({**prefixed(state, "net."), "other.weight": torch.ones(2)}, tmp_path / "w.pth")
    assert_refused(
        tmp_path / "w.pth", "no classification head", "'net.'", "other.weight", arch="test_videomae"
    )


def test_weights_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    _, state = tiny("timesformer")
    twice = {**prefixed(state, "model."), "head.weight": torch.ones(5, 32)}
    write(twice, tmp_path / "w.pth")
    assert_refused(tmp_path / "w.pth", "twice", "'model.'", "head.weight", arch="test_timesformer")
    gates = {"gate": torch.ones(1), "module.gate": torch.ones(1)}
    write({**prefixed(state, "module.model."), **gates}, tmp_path / "w.pth")
    assert_refused(tmp_path / "w.pth", "twice", "gate", arch="test_timesformer")


def test_two_models_in_one_file_are_told_by_what_their_names_begin_with(tmp_path: Path) -> None:
    _, state = tiny("timesformer")
    write({**prefixed(state, "student."), **prefixed(state, "ema.")}, tmp_path / "w.pth")
    assert_refused(tmp_path / "w.pth", f"'student.' ({len(state)})", f"'ema.' ({len(state)})")


def test_a_folder_names_a_prefix_that_is_in_the_way(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder()
    state = load_file(folder / "model.safetensors")
    copy = {name: tensor.clone() for name, tensor in state.items()}
    write({**prefixed(state, "a."), **prefixed(copy, "b.")}, folder / "model.safetensors")
    assert_refused(folder, "'a.'", "'b.'")


def test_an_adapters_folder_is_named_as_one(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder()
    edit_json(folder / "adapter_config.json", peft_type="LORA")
    error = assert_refused(folder, "PEFT adapter", "adapter_config.json")
    assert "merge" in str(error.hint)
    (folder / "adapter_config.json").unlink()
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
    save_file({"w": torch.ones(2)}, folder / "adapter_model.safetensors")
    assert_refused(folder, "PEFT adapter", "adapter_model.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("part", ["lora_A.weight", "base_layer.weight", "ia3_l"])
def test_an_adapters_file_is_named_as_one(suffix: str, part: str, tmp_path: Path) -> None:
    name = f"base_model.model.videomae.encoder.layer.0.attention.attention.query.{part}"
    write({name: torch.ones(2, 4)}, tmp_path / f"adapter{suffix}")
    assert_refused(tmp_path / f"adapter{suffix}", "PEFT adapter", part)
