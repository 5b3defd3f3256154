"""Single checkpoint files: every wrapping loads to the same model, or says why not."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_checks import MakeFolder, State, assert_refused, load
from safetensors.torch import load_file, save_file
from torch import Tensor

from staa_cli.models.checkpoints.formats import read_weights
from staa_cli.models.families.timesformer.module import TimeSformer
from staa_cli.models.families.videomae.module import VideoMAE
from staa_cli.models.families.vivit.module import ViViT


@pytest.mark.parametrize(
    ("suffix", "wrap"),
    [
        (".pyth", lambda s: {"epoch": 3, "model_state": {f"model.{k}": v for k, v in s.items()},
                             "optimizer_state": {"state": {}}, "cfg": "TRAIN:\n  ENABLE: true"}),
        (".pth", lambda s: {"model": s, "args": argparse.Namespace(lr=0.1), "epoch": 7}),
        (".pt", lambda s: {"module": {f"module.{k}": v for k, v in s.items()}}),
        (".pth", lambda s: {"state_dict": {f"module.model.{k}": v for k, v in s.items()}}),
        (".bin", lambda s: s),
        (".pth", lambda s: {"model": s, "step": torch.tensor(5)}),
        (".pth", lambda s: {"net": s, "acc": 0.9, "optimizer": {"state": {0: {}}}}),
        (".pt", lambda s: {k: v.double()
                           for k, v in s.items()}),
    ],
    ids=["pyth", "namespace", "deepspeed", "lightning", "bare", "step", "net", "double"],
)  # fmt: skip
def test_every_wrapping_of_a_file_gives_the_same_model(
    suffix: str, wrap: Callable[[State], Any], small: TimeSformer, tmp_path: Path, tiny_clip: Tensor
) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save(wrap(small.state_dict()), path)
    model = load(path)
    assert torch.equal(model.forward(tiny_clip), small(tiny_clip))
    assert model.labels == tuple(f"class_{i}" for i in range(5))
    assert model.info.name == path.name


@pytest.mark.parametrize("kind", ["divided_space_time", "joint_space_time", "space_only"])
@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_everything_but_the_heads_comes_from_shapes(kind: Any, stem: Any, tmp_path: Path) -> None:
    built = TimeSformer(
        48, 16, 7, 384, depth=3, num_heads=6, mlp_ratio=1.5, num_frames=8, attention_type=kind,
        stem=stem,
    )  # fmt: skip
    built = built.eval()
    save_file(built.state_dict(), tmp_path / "w.safetensors")
    model = load(tmp_path / "w.safetensors")
    assert model.layout == built.layout()
    assert model.input.size == (48, 48)
    clip = torch.randn(1, 8, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(model.forward(clip), built(clip))


@pytest.mark.parametrize("family", ["timesformer", "videomae", "vivit"])
def test_a_file_without_biases_of_attention_is_a_model_without(family: str, tmp_path: Path) -> None:
    build: Any = {"timesformer": TimeSformer, "videomae": VideoMAE, "vivit": ViViT}[family]
    sizes = {"tubelet_size": 2} if family != "timesformer" else {}
    built = build(
        224,
        32,
        **sizes,
        num_classes=5,
        embed_dim=384,
        depth=1,
        num_heads=6,
        num_frames=16,
        qkv_bias=False,
    ).eval()
    save_file(built.state_dict(), tmp_path / "w.safetensors")
    clip = torch.randn(1, 16, 3, 224, 224, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "w.safetensors").forward(clip), built(clip))


def test_hugging_faces_names_in_a_file_load_too(hf_folder: MakeFolder, tiny_clip: Tensor) -> None:
    reference, folder = hf_folder(
        hidden_size=384, num_attention_heads=6, layer_norm_eps=1e-6, num_hidden_layers=1
    )
    torch.save({"model": reference.state_dict()}, folder / "theirs.pth")
    assert torch.equal(
        load(folder / "theirs.pth").forward(tiny_clip), load(folder).forward(tiny_clip)
    )


def test_an_unknown_width_needs_an_architecture(tmp_path: Path, tiny_clip: Tensor) -> None:
    original = load("test_timesformer")
    torch.save(original.module.state_dict(), tmp_path / "w.pth")
    error = assert_refused(tmp_path / "w.pth", "width 32", "heads")
    assert "--arch" in str(error.hint)
    again = load(tmp_path / "w.pth", arch="test_timesformer")
    assert torch.equal(again.forward(tiny_clip), original.forward(tiny_clip))
    assert_refused(tmp_path / "w.pth", "do not fit", arch="timesformer_base_patch16_224")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("norm.weight"), ["1 missing", "norm.weight"]),
        (lambda s: s.update(extra=torch.ones(2)), ["1 unexpected", "extra"]),
        (lambda s: s.update({"norm.bias": torch.ones(3)}), ["1 misshapen", "norm.bias"]),
        (lambda s: s.update({"norm.bias": torch.ones(384, dtype=torch.int8)}), ["int8 [384]"]),
        (lambda s: [s.pop(n) for n in ("head.weight", "head.bias")], ["no classification head"]),
        (lambda s: s["blocks.1.norm1.bias"].fill_(float("nan")), ["finite", "blocks.1.norm1.bias"]),
        (lambda s: s["norm.bias"].fill_(float("inf")), ["finite", "norm.bias"]),
        (lambda s: s.update(pos_embed=torch.ones(1, 16, 384)), ["15 entries"]),
        (
            lambda s: s.pop("cls_token"),
            ["does not match any supported model", "48 tensors such as", "[384"],
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_that_do_not_fit_are_told_by_name(
    change: Callable[[State], Any],
    words: list[str],
    suffix: str,
    small: TimeSformer,
    tmp_path: Path,
) -> None:
    state = dict(small.state_dict())
    change(state)
    path = tmp_path / f"w{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert_refused(path, *words)


class Bomb:
    """Says where it was when a pickle brought it to life."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    torch.save({"model": {"w": torch.ones(1)}, "x": Bomb(mark)}, tmp_path / "w.pth")
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()  # the bomb works
    mark.unlink()
    error = assert_refused(tmp_path / "w.pth", "would run ")
    assert "safetensors" in str(error.hint)
    assert not mark.exists()


def truncated(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        write(path)
        path.write_bytes(path.read_bytes()[:-100])

    return cut


def write_safetensors(path: Path) -> None:
    save_file({"w": torch.ones(300)}, path)


def write_pickle(path: Path) -> None:
    torch.save({"w": torch.ones(300)}, path)


def write_old_pickle(path: Path) -> None:
    torch.save({"w": torch.ones(300)}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda p: p.write_text("not weights at all\n" * 20), ["cannot read weights"]),
        (lambda p: p.write_bytes(b""), ["cannot read weights"]),
        (lambda p: p.write_bytes(b"hello"), ["cannot read weights"]),
        (lambda p: p.write_bytes(bytes(range(256)) * 8), ["cannot read weights"]),
        (lambda p: p.write_text("version https://git-lfs\noid sha256:0"), ["Git LFS pointer"]),
    ],
    ids=["text", "empty", "word", "noise", "lfs"],
)
def test_files_that_are_no_weights_are_told(
    suffix: str, write: Callable[[Path], None], words: list[str], tmp_path: Path
) -> None:
    path = tmp_path / f"w{suffix}"
    write(path)
    told = assert_refused(path, str(path), *words).cause
    assert not told.rpartition(": ")[2].isdecimal()  # an unpickler's own word may be a byte


@pytest.mark.parametrize(
    ("held", "words"),
    [({}, "contains no weights"), ({"epoch": 3, "loss": 0.1}, "contains no weights but ")],
)
def test_a_file_without_tensors_says_what_is_in_it(
    tmp_path: Path, held: dict[str, Any], words: str
) -> None:
    torch.save(held, tmp_path / "w.pth")
    cause = assert_refused(tmp_path / "w.pth", words).cause
    assert all(name in cause for name in held)
    assert not cause.endswith(" ")


@pytest.mark.parametrize(
    ("name", "write"),
    [("w.safetensors", write_safetensors), ("w.pth", write_pickle), ("w.pyth", write_old_pickle)],
)
def test_truncated_files_are_told(name: str, write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / name)
    assert list(read_weights([tmp_path / name])) == ["w"]
    truncated(write)(tmp_path / name)
    assert_refused(tmp_path / name, "cannot read weights")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"epoch": 3, "lr": 0.1}, ["no weights but epoch, lr"]),
        ([1, 2], ["a list"]),
        ({"model": {}}, ["no weights"]),
    ],
)
def test_checkpoints_without_weights_are_told(value: Any, words: list[str], tmp_path: Path) -> None:
    torch.save(value, tmp_path / "w.pth")
    assert_refused(tmp_path / "w.pth", *words)


def test_published_names_are_the_authors(hf_folder: MakeFolder) -> None:
    """The .pyth files hold these names; whoever changes them breaks every official checkpoint."""
    _, folder = hf_folder(num_hidden_layers=1)
    parts = ("weight", "bias")
    layers = (
        "patch_embed.proj", "norm", "head", "blocks.0.norm1", "blocks.0.norm2",
        "blocks.0.temporal_norm1", "blocks.0.temporal_fc", "blocks.0.attn.qkv",
        "blocks.0.attn.proj", "blocks.0.temporal_attn.qkv", "blocks.0.temporal_attn.proj",
        "blocks.0.mlp.fc1", "blocks.0.mlp.fc2",
    )  # fmt: skip
    expected = {f"{layer}.{part}" for layer in layers for part in parts}
    assert set(load(folder).module.state_dict()) == expected | {
        "cls_token",
        "pos_embed",
        "time_embed",
    }
    assert set(load_file(folder / "model.safetensors")).isdisjoint(expected)
