"""Hugging Face folders: every layout loads to the same model, or says why not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_checks import MakeFolder, assert_refused, edit_json, load
from torch import Tensor


def test_a_folder_says_what_it_is(hf_folder: MakeFolder) -> None:
    reference, folder = hf_folder()
    model = load(folder)
    assert model.info.name == "hf"
    assert model.info.family == "timesformer"
    assert model.info.source == str(folder)
    assert "no processor" in model.info.note
    assert model.labels == ("jump", "fall", "spin", "rest", "wave")
    assert model.info.parameters == reference.num_parameters()
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert model.info.weights_sha256 == digest
    assert (model.input.frames, model.input.size, model.input.resize) == (4, (32, 32), 32)
    assert (model.input.mean, model.input.std) == ((0.45,) * 3, (0.225,) * 3)
    layout = model.layout
    assert (layout.kind, layout.grid, layout.depth) == ("divided", (4, 4, 4), 3)
    assert (layout.pooling, layout.prefix_tokens, layout.order) == ("cls", 1, "hwt")


def test_a_loaded_model_is_frozen_and_evaluating(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder(hidden_dropout_prob=0.5)
    model = load(folder)
    assert not model.module.training
    assert not any(p.requires_grad for p in model.module.parameters())
    batch = torch.ones(1, 4, 3, 32, 32, requires_grad=True)
    model.forward(batch).sum().backward()  # gradient methods need this way to stay open
    assert batch.grad is not None
    assert batch.grad.abs().max() > 0


@pytest.mark.parametrize("layout", ["bin", "sharded safetensors", "sharded bin"])
def test_every_layout_of_a_folder_gives_the_same_model(
    layout: str, hf_folder: MakeFolder, tiny_clip: Tensor
) -> None:
    reference, folder = hf_folder()
    whole = load(folder).forward(tiny_clip)
    (folder / "model.safetensors").unlink()
    if layout == "sharded safetensors":
        reference.save_pretrained(folder, max_shard_size="40KB")
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    elif layout == "bin":
        torch.save(reference.state_dict(), folder / "pytorch_model.bin")
    else:
        state = list(reference.state_dict().items())
        shards = {"pytorch_model-1.bin": state[::2], "pytorch_model-2.bin": state[1::2]}
        for name, part in shards.items():
            torch.save(dict(part), folder / name)
        weight_map = {key: name for name, part in shards.items() for key, _ in part}
        edit_json(folder / "pytorch_model.bin.index.json", weight_map=weight_map)
    assert torch.equal(load(folder).forward(tiny_clip), whole)


def test_the_processor_of_a_folder_is_followed(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder()
    edit_json(folder / "preprocessor_config.json", size=40, crop_size=32, image_mean=[0.4] * 3)
    assert (load(folder).input.resize, load(folder).input.mean) == (40, (0.4, 0.4, 0.4))
    edit_json(folder / "video_preprocessor_config.json", size={"shortest_edge": 48}, crop_size=32)
    assert (load(folder).input.resize, load(folder).input.mean) == (48, (0.485, 0.456, 0.406))


@pytest.mark.parametrize("named", [True, False], ids=["LABEL_i", "absent"])
def test_labels_that_say_nothing_count_as_missing(named: bool, hf_folder: MakeFolder) -> None:
    _, folder = hf_folder()
    nothing = {str(i): f"LABEL_{i}" for i in range(5)} if named else None
    edit_json(folder / "config.json", id2label=nothing)
    assert load(folder).labels == ("class_0", "class_1", "class_2", "class_3", "class_4")


def test_more_than_nine_labels_keep_the_order_of_their_numbers(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder(id2label={i: f"n{i}" for i in range(12)})
    assert load(folder).labels == tuple(f"n{i}" for i in range(12))


def test_labels_of_another_number_are_refused(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder()
    edit_json(folder / "config.json", id2label={"0": "a", "1": "b"})
    assert_refused(folder, "5 classes", "names 2")


def test_frames_come_from_the_weights_and_a_config_that_differs_is_told(
    hf_folder: MakeFolder, tiny_clip: Tensor
) -> None:
    _, folder = hf_folder()
    logits = load(folder).forward(tiny_clip)
    edit_json(folder / "config.json", num_frames=96)
    model = load(folder)
    assert model.input.frames == model.layout.grid[0] == 4
    assert "96" in model.info.note
    assert torch.equal(model.forward(tiny_clip), logits)


@pytest.mark.parametrize(
    ("frames", "classes", "stride", "rate"),
    [
        (8, 400, 32, 30.0),
        (16, 400, 16, 30.0),
        (96, 600, 4, 30.0),
        (32, 7, 8, 30.0),
        (8, 174, 1, 2.0),
        (64, 174, 1, 16.0),
    ],
)
def test_sampling_is_that_of_the_published_recipes(
    frames: int, classes: int, stride: int, rate: float, hf_folder: MakeFolder
) -> None:
    _, folder = hf_folder(num_frames=frames, id2label={i: f"n{i}" for i in range(classes)})
    given = load(folder).input
    assert (given.frames, given.stride, given.rate) == (frames, stride, rate)


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": ')


def drop_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def drop_shard(folder: Path) -> None:
    drop_weights(folder)
    weight_map = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    edit_json(folder / "model.safetensors.index.json", weight_map=weight_map)


def point_outside(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "w.safetensors")
    edit_json(folder / "model.safetensors.index.json", weight_map={"a": "../w.safetensors"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (break_config, ["config.json"]),
        (lambda f: (f / "config.json").unlink(), ["no config.json"]),
        (lambda f: edit_json(f / "config.json", model_type="swin"), ["'swin'", "not supported"]),
        (lambda f: edit_json(f / "config.json", hidden_act="relu"), ["relu"]),
        (lambda f: edit_json(f / "config.json", attention_type="axial"), ["axial"]),
        (lambda f: edit_json(f / "config.json", hidden_size="wide"), ["hidden_size is 'wide'"]),
        (lambda f: edit_json(f / "config.json", hidden_size=0), ["hidden_size is 0"]),
        (
            lambda f: edit_json(f / "config.json", num_attention_heads=5),
            ["cannot build a model", "num_heads=5"],
        ),
        (lambda f: edit_json(f / "config.json", image_size=64), ["1 misshapen", "pos_embed"]),
        (lambda f: edit_json(f / "config.json", num_hidden_layers=4), ["missing", "blocks.3."]),
        (lambda f: edit_json(f / "config.json", num_hidden_layers=2), ["unexpected", "blocks.2."]),
        (drop_weights, ["contains no weights"]),
        (drop_shard, ["2 of 2 shards", "model-1.safetensors"]),
        (point_outside, ["../w.safetensors"]),
    ],
)
def test_a_folder_that_is_wrong_is_refused(
    change: Callable[[Path], None], words: list[str], hf_folder: MakeFolder
) -> None:
    _, folder = hf_folder()
    change(folder)
    assert_refused(folder, *words)


def test_long_lists_of_misfits_are_counted_not_printed(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder()
    edit_json(folder / "config.json", hidden_size=48)
    error = assert_refused(
        folder, "misshapen", "cls_token float32 [1, 1, 24] for float32 [1, 1, 48]"
    )
    assert len(error.cause) < 400 + len(str(folder))
