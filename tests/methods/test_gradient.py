"""Gradient methods against whole matrices, autograd's own gradients of them, and Captum."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient
from captum.attr import IntegratedGradients as Integrated
from small_models import TARGET, clips, explain, model
from torch import Tensor, nn

from staa_cli.errors import UsageError
from staa_cli.methods.perturbation.base import replacement_for
from staa_cli.models.families.vjepa2.module import CrossAttention
from staa_cli.models.layers import TapAttention

JOINT = ["test_videomae", "test_videomae-token", "test_vivit", "test_vjepa2"]
Key = tuple[str, int]


@contextmanager
def matrices(module: Any) -> Iterator[dict[Key, Tensor]]:
    """The next pass fills this with every layer's whole attention, whose gradient is kept."""
    kept: dict[Key, Tensor] = {}

    def explicit(key: Key, layer: Any) -> Any:
        def forward(x: Tensor, other: Any = None, wanted: int | None = None, **_: Any) -> Tensor:
            if isinstance(layer, CrossAttention):
                heads = (layer.num_heads, layer.head_dim)
                q = layer.q(x).reshape(len(x), 1, *heads).transpose(1, 2)
                kv = layer.kv(other).reshape(*other.shape[:2], 2, *heads)
                k, v = kv.permute(2, 0, 3, 1, 4)
            else:
                qkv = layer.qkv(x).reshape(*x.shape[:2], 3, layer.num_heads, layer.head_dim)
                q, k, v = qkv.permute(2, 0, 3, 1, 4)
                q, k = layer.q_norm(q), layer.k_norm(k)
                if other is not None:
                    sine, cosine = other
                    q, k = (
                        each * cosine
                        + torch.stack([-each[..., 1::2], each[..., ::2]], -1).flatten(-2) * sine
                        for each in (q, k)
                    )
            kept[key] = torch.softmax(q @ k.transpose(-1, -2) * layer.scale, dim=-1)
            kept[key].retain_grad()
            out = (kept[key] @ v).transpose(1, 2).flatten(2)
            return out if isinstance(layer, CrossAttention) else layer.proj(out)[:, :wanted]

        return forward

    layers = [
        (key, layer)
        for key, layer in module.attention_layers().items()
        if isinstance(layer, TapAttention | CrossAttention)
    ]
    for key, layer in layers:
        layer.forward = explicit(key, layer)  # type: ignore[method-assign]
    try:
        yield kept
    finally:
        for _, layer in layers:
            del layer.forward


def differentiated(kind: str) -> dict[Key, Tensor]:
    """Whole attention [rows, heads, N, N] of every layer, each with its gradient."""
    module = model(kind)
    with matrices(module) as kept:
        logits = module(clips(kind).requires_grad_())
    logits[:, TARGET].sum().backward()
    return kept


def relevance(attention: Tensor) -> Tensor:
    """Equation 5: [rows, N, N]."""
    return (attention.detach() * attention.grad).clamp_min(0).mean(dim=1)


def blocks(kept: dict[Key, Tensor], role: str) -> list[Tensor]:
    return [kept[key] for key in sorted(kept) if key[0] == role]


@pytest.mark.parametrize("kind", JOINT)
def test_relevance_is_the_product_of_whole_matrices(kind: str) -> None:
    kept, layout = differentiated(kind), model(kind).layout()
    steps = [relevance(a) for a in blocks(kept, "joint") + blocks(kept, "pooler_self")]
    whole = torch.eye(steps[0].shape[-1]).expand_as(steps[0])
    for step in steps:
        whole = whole + step @ whole  # equation 6
    passed = whole - torch.eye(steps[0].shape[-1])  # what each token is of itself speaks of none
    row = {
        "mean": lambda: passed.mean(dim=1),
        "token": lambda: passed[:, 0],
        "cls": lambda: passed[:, 0],
        "attentive": lambda: (relevance(kept["pooler", 0]) @ whole)[:, 0],
    }[layout.pooling]()
    wanted = row[:, layout.prefix_tokens :].reshape(2, *layout.grid)
    found = explain("grad-attention", kind).values
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)
    assert found.std() > 0


def test_relevance_of_divided_attention_is_that_of_the_steps_over_all_tokens() -> None:
    """Both steps of a block as matrices over the class token and all patches of all frames."""
    kind = "test_timesformer"
    kept = differentiated(kind)
    frames, height, width = model(kind).layout().grid
    places, batch = height * width, 2
    size = 1 + frames * places
    at = 1 + torch.arange(frames * places).reshape(frames, places)
    whole = torch.eye(size).expand(batch, size, size)
    for block in range(2):
        time = relevance(kept["temporal", block]).reshape(batch, places, frames, frames)
        space = relevance(kept["spatial", block]).reshape(batch, frames, 1 + places, 1 + places)
        over_time, over_space = torch.zeros(2, batch, size, size)
        for place in range(places):
            over_time[:, at[:, place, None], at[None, :, place]] = time[:, place]
        for frame in range(frames):
            tokens = torch.cat([torch.zeros(1, dtype=torch.int64), at[frame]])
            over_space[:, tokens[:, None], tokens[None]] += space[:, frame]
        for step in (over_time, over_space):
            whole = whole + step @ whole
    wanted = whole[:, 0, 1:].reshape(batch, frames, height, width)
    found = explain("grad-attention", kind).values
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", [*JOINT, "test_timesformer"])
def test_gradients_of_the_read_outs_attention_are_autograds(kind: str) -> None:
    kept, layout = differentiated(kind), model(kind).layout()
    role = {"attentive": "pooler"}.get(layout.pooling, "joint")
    role = "spatial" if layout.kind == "divided" else role
    slopes = [a.grad.clamp_min(0).mean(dim=1) for a in blocks(kept, role)]
    rows = [each.mean(dim=1) if layout.pooling == "mean" else each[:, 0] for each in slopes]
    wanted = torch.stack(rows).mean(dim=0)[:, layout.prefix_tokens :].reshape(2, *layout.grid)
    found = explain("attention-gradient", kind).values
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("kind", ["test_videomae", "test_vivit", "test_timesformer"])
def test_cam_is_that_of_the_norms_output(kind: str) -> None:
    module, layout = model(kind), model(kind).layout()
    tokens: list[Tensor] = []

    def keep(_module: nn.Module, _given: Any, out: Tensor) -> None:
        out.retain_grad()
        tokens.append(out)

    handle = module.blocks[-1].norm1.register_forward_hook(keep)
    module(clips(kind).requires_grad_())[:, TARGET].sum().backward()
    handle.remove()
    values, slopes = (
        each[:, layout.prefix_tokens :].reshape(2, -1, each.shape[-1]).detach()
        for each in (tokens[0], tokens[0].grad)
    )
    wanted = torch.einsum("bnd,bd->bn", values, slopes.mean(dim=1)).relu()
    frames, height, width = layout.grid
    if layout.order == "hwt":
        wanted = wanted.reshape(2, height, width, frames).permute(0, 3, 1, 2)
    found = explain("gradcam", kind).values
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=1e-4, atol=1e-7)


def by_tokens(pixels: Tensor, kind: str) -> Tensor:
    """[B, T, 3, H, W] to sums over the pixels and colors of every token."""
    frames, height, width = model(kind).layout().grid
    batch, t, _, y, x = pixels.shape
    parts = pixels.sum(dim=2).reshape(
        batch, frames, t // frames, height, y // height, width, x // width
    )
    return parts.sum(dim=(2, 4, 6)).detach()


@pytest.mark.parametrize("kind", ["test_videomae", "test_timesformer", "test_vjepa2", "frames"])
def test_pixels_times_gradients_are_captums(kind: str) -> None:
    wanted = InputXGradient(model(kind)).attribute(clips(kind).requires_grad_(), target=TARGET)
    found = explain("input-x-gradient", kind).values
    np.testing.assert_allclose(found, by_tokens(wanted, kind), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["test_videomae", "test_timesformer"])
def test_integrated_gradients_are_captums_and_add_up(kind: str) -> None:
    module, inputs = model(kind), clips(kind)
    empty = replacement_for(inputs, "mean")
    wanted = Integrated(module).attribute(inputs, empty, target=TARGET, n_steps=20)
    found = explain("integrated-gradients", kind, samples=20, replacement="mean")
    np.testing.assert_allclose(found.values, by_tokens(wanted, kind), rtol=1e-3, atol=1e-5)
    assert found.passes_per_clip == 1 + 3 * 20
    fine = explain("integrated-gradients", kind, samples=200, replacement="mean").values.sum(
        axis=(1, 2, 3)
    )
    with torch.no_grad():
        gained = (module(inputs) - module(empty))[:, TARGET]
    np.testing.assert_allclose(fine, gained, rtol=0.02, atol=1e-3)


def test_attention_that_shows_no_output_is_told() -> None:
    module = model("test_vivit")
    layer = module.blocks[0].attn

    class Silent(type(layer)):  # type: ignore[misc]
        def forward(self, x: Tensor, rope: Any = None, **_: Any) -> Tensor:
            from staa_cli.models.taps import record

            record(self, x[:, None], x[:, None], x[:, None])
            return x

    old, layer.__class__ = layer.__class__, Silent
    try:
        with pytest.raises(UsageError, match="exposes no output") as caught:
            explain("grad-attention", "test_vivit")
    finally:
        layer.__class__ = old
    assert "TapAttention" in (caught.value.hint or "")


def test_weights_stay_frozen_and_nothing_is_left() -> None:
    module, inputs = model("test_videomae"), clips("test_videomae")
    explain("grad-attention", "test_videomae")
    assert not inputs.requires_grad
    assert not any(p.requires_grad or p.grad is not None for p in module.parameters())
