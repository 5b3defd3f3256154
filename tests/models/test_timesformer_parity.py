"""TimeSformer against Hugging Face's, number for number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from staa_cli.models.load import LoadedModel, load_model
from staa_cli.models.taps import Tap, cls_row, full_map, taps

MakeFolder = Callable[..., tuple[Any, Path]]


def loaded(folder: Path) -> LoadedModel:
    return load_model(str(folder), device="cpu")


@torch.no_grad()
def reference_logits(model: Any, clip: Tensor) -> Tensor:
    """Hugging Face's logits [B, classes]; it leaves space only a frame each: averaged here."""
    if model.config.attention_type != "space_only":
        return model(clip).logits
    last = model.timesformer(clip, output_hidden_states=True).hidden_states[-1]  # before the norm
    last = last.reshape(len(clip), -1, *last.shape[1:]).mean(dim=1)
    return model.classifier(model.timesformer.layernorm(last)[:, 0])


def block_taps(role: str, name: str, read: Any, depth: int) -> list[Tap]:
    return [Tap(role, block, name, read) for block in range(depth)]


@pytest.mark.parametrize("kind", ["divided_space_time", "joint_space_time", "space_only"])
def test_logits_equal_those_of_hugging_face(
    kind: str, hf_folder: MakeFolder, tiny_clip: Tensor
) -> None:
    reference, folder = hf_folder(attention_type=kind)
    wanted = reference_logits(reference, tiny_clip)
    torch.testing.assert_close(loaded(folder).forward(tiny_clip), wanted, rtol=0, atol=1e-5)
    assert wanted.std() > 0.1  # the comparison is of something


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("divided_space_time", "spatial"),
        ("joint_space_time", "joint"),
        ("space_only", "spatial"),
    ],
)
def test_attention_over_space_equals_that_of_hugging_face(
    kind: str, role: str, hf_folder: MakeFolder, tiny_clip: Tensor
) -> None:
    reference, folder = hf_folder(attention_type=kind)
    with torch.no_grad():
        maps = reference(tiny_clip, output_attentions=True).attentions
    module = loaded(folder).module
    wanted = [
        *block_taps(role, "map", full_map, len(maps)),
        *block_taps(role, "row", cls_row, len(maps)),
    ]
    with taps(module, wanted) as read:
        module(tiny_clip)
    for block, attention in enumerate(maps):
        mean = attention.mean(dim=1)
        torch.testing.assert_close(read["map", block], mean, rtol=0, atol=1e-6)
        torch.testing.assert_close(read["row", block], mean[:, 0], rtol=0, atol=1e-6)


def test_attention_over_time_equals_that_of_hugging_face(
    hf_folder: MakeFolder, tiny_clip: Tensor
) -> None:
    reference, folder = hf_folder()
    seen: list[Tensor] = []
    for layer in reference.timesformer.encoder.layer:
        layer.temporal_attention.attention.attn_drop.register_forward_hook(
            lambda _module, _inputs, output: seen.append(output)
        )
    with torch.no_grad():
        reference(tiny_clip)
    module = loaded(folder).module
    with taps(module, block_taps("temporal", "map", full_map, len(seen))) as read:
        module(tiny_clip)
    assert len(seen) == 3
    for block, attention in enumerate(seen):
        torch.testing.assert_close(read["map", block], attention.mean(dim=1), rtol=0, atol=1e-6)


def test_one_changed_patch_lights_its_own_place_and_time(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder()
    module = loaded(folder).module
    clip = torch.zeros(1, 4, 3, 32, 32)
    changed = clip.clone()
    frame, row, column = 2, 1, 3
    changed[0, frame, :, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 1.0
    tokens: list[Tensor] = []  # [1, 1+P*T, D], as the first block is given them
    module.blocks[0].register_forward_pre_hook(lambda _module, given: tokens.append(given[1]))
    for x in (clip, changed):
        module(x)
    differing = (tokens[0] != tokens[1]).any(dim=-1)[0].reshape(4, 4, 4)  # [h, w, t]
    assert differing.nonzero().tolist() == [[row, column, frame]]


def straightforward(state: dict[str, Tensor], clip: Tensor, heads: int, eps: float) -> Tensor:
    """Divided attention written out in loops over a clip [T, 3, H, W]: logits [classes].

    Tables are looked up at floor(i * table / wanted), which is what "nearest" means.
    """

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def attend(x: Tensor, name: str) -> Tensor:  # [N, D]
        parts = []
        size = x.shape[-1] // heads
        q, k, v = linear(x, f"{name}.qkv").chunk(3, dim=-1)
        for head in range(heads):
            part = slice(head * size, head * size + size)
            weights = (q[:, part] @ k[:, part].T / size**0.5).softmax(dim=-1)
            parts.append(weights @ v[:, part])
        return linear(torch.cat(parts, dim=-1), f"{name}.proj")

    frames = len(clip)
    kernel = state["patch_embed.proj.weight"]
    patch, width = kernel.shape[-1], kernel.shape[0]
    rows, columns = clip.shape[-2] // patch, clip.shape[-1] // patch
    side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    table = state["pos_embed"][0, 1:].reshape(side, side, width)
    times = state["time_embed"][0]
    x = torch.zeros(frames, rows * columns, width)
    for t in range(frames):
        for r in range(rows):
            for c in range(columns):
                pixels = clip[t, :, r * patch : (r + 1) * patch, c * patch : (c + 1) * patch]
                x[t, r * columns + c] = (
                    (kernel * pixels).sum(dim=(1, 2, 3))
                    + state["patch_embed.proj.bias"]
                    + table[r * side // rows, c * side // columns]
                    + times[t * len(times) // frames]
                )
    cls = state["cls_token"][0, 0] + state["pos_embed"][0, 0]
    depth = sum(name.endswith("norm2.weight") for name in state)
    for block in (f"blocks.{index}" for index in range(depth)):
        moved = torch.zeros_like(x)
        for place in range(rows * columns):
            over_time = attend(
                norm(x[:, place], f"{block}.temporal_norm1"), f"{block}.temporal_attn"
            )
            moved[:, place] = linear(over_time, f"{block}.temporal_fc")
        x = x + moved
        out = torch.stack(
            [
                attend(norm(torch.cat([cls[None], x[t]]), f"{block}.norm1"), f"{block}.attn")
                for t in range(frames)
            ]
        )
        cls, x = cls + out[:, 0].mean(dim=0), x + out[:, 1:]

        def mlp(y: Tensor, block: str = block) -> Tensor:
            hidden = F.gelu(linear(norm(y, f"{block}.norm2"), f"{block}.mlp.fc1"))
            return y + linear(hidden, f"{block}.mlp.fc2")

        cls, x = mlp(cls), mlp(x)
    return linear(norm(cls, "norm"), "head")


@pytest.mark.parametrize(
    "shape",
    [(4, 32, 32), (3, 32, 32), (8, 32, 32), (4, 48, 24)],
    ids=lambda s: "x".join(map(str, s)),
)
def test_other_lengths_and_sizes_follow_the_nearest_entry_of_the_tables(
    shape: tuple[int, int, int], hf_folder: MakeFolder
) -> None:
    reference, folder = hf_folder(num_hidden_layers=2)
    module = loaded(folder).module
    frames, height, width = shape
    clip = torch.randn(frames, 3, height, width, generator=torch.Generator().manual_seed(1))
    wanted = straightforward(dict(module.state_dict()), clip, heads=3, eps=1e-3)
    torch.testing.assert_close(module(clip[None])[0], wanted, rtol=0, atol=1e-5)
    if shape == (4, 32, 32):  # the oracle itself agrees with the reference
        torch.testing.assert_close(
            reference_logits(reference, clip[None])[0], wanted, rtol=0, atol=1e-5
        )


@pytest.mark.slow
def test_the_published_size_agrees_with_hugging_face(hf_folder: MakeFolder) -> None:
    base = {
        "image_size": 224,
        "patch_size": 16,
        "num_frames": 8,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-6,
        "id2label": {i: f"LABEL_{i}" for i in range(400)},
    }
    reference, folder = hf_folder(**base)
    for name, parameter in reference.named_parameters():
        parameter.data *= 1 / 6 if parameter.ndim > 1 else 1  # sharp rows, but not one-hot
        parameter.data += name.endswith(("norm.weight", "before.weight", "after.weight"))
    reference.save_pretrained(folder)
    clip = torch.randn(1, 8, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    model = loaded(folder)
    with torch.no_grad():
        wanted = reference(clip, output_attentions=True)
    with taps(model.module, block_taps("spatial", "row", cls_row, 12)) as read:
        logits = model.forward(clip)
    torch.testing.assert_close(logits, wanted.logits, rtol=0, atol=1e-5)
    for block, attention in enumerate(wanted.attentions):
        row = attention.mean(dim=1)[:, 0]
        torch.testing.assert_close(read["row", block], row, rtol=0, atol=1e-6)
        assert row.max() > 2 / 197
    assert (model.input.stride, model.input.rate) == (32, 30.0)
    assert model.layout.grid == (8, 14, 14)
