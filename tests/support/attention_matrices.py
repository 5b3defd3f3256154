"""Attention written out: every layer's whole matrix, in autograd's graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from staa_cli.models.families.vjepa2.module import CrossAttention
from staa_cli.models.layers import TapAttention

Key = tuple[str, int]


@contextmanager
def matrices(module: Any) -> Iterator[dict[Key, Tensor]]:
    """The next pass fills this with every layer's whole attention, whose gradient is kept."""
    kept: dict[Key, Tensor] = {}

    def explicit(key: Key, layer: Any) -> Any:
        def forward(x: Tensor, other: Any = None, **_: Any) -> Tensor:
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
            if kept[key].requires_grad:
                kept[key].retain_grad()
            out = (kept[key] @ v).transpose(1, 2).flatten(2)
            written: Tensor = out if isinstance(layer, CrossAttention) else layer.proj(out)
            return written

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


def of_role(kept: dict[Key, Tensor], role: str) -> list[Tensor]:
    """The matrices of a role, block by block."""
    return [kept[key] for key in sorted(kept) if key[0] == role]


def over_all_tokens(
    space: Tensor, time: Tensor | None, batch: int, cls_shares: float
) -> list[Tensor]:
    """A block's steps as matrices over the class token and all patches of all frames.

    Args:
        space: [batch * T, heads, 1 + P, 1 + P].
        time: [batch * P, heads, T, T].
        batch: clips.
        cls_shares: what of each frame's row the class token, which is one for all, takes.

    Returns:
        Each [batch, heads, 1 + T*P, 1 + T*P], space before time; zero for the class token in time.
    """
    frames, heads = len(space) // batch, space.shape[1]
    places = space.shape[-1] - 1
    at = 1 + torch.arange(frames * places).reshape(frames, places)
    size = 1 + frames * places
    over_space = torch.zeros(batch, heads, size, size)
    for clip in range(batch):
        for frame in range(frames):
            tokens = torch.cat([torch.zeros(1, dtype=torch.int64), at[frame]])
            rows = space[clip * frames + frame].clone()
            rows[:, 0] *= cls_shares
            over_space[clip, :, tokens[:, None], tokens[None]] += rows
    if time is None:
        return [over_space]
    over_time = torch.zeros(batch, heads, size, size)
    for clip in range(batch):
        for place in range(places):
            tokens = at[:, place]
            over_time[clip, :, tokens[:, None], tokens[None]] = time[clip * places + place]
    return [over_space, over_time]
