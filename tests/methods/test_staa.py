"""The attention path against loops over whole attention matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attention_oracles import (
    KINDS,
    Array,
    B,
    Joint,
    Layer,
    P,
    T,
    clips,
    explain,
    h,
    moved,
    tiny,
    w,
    watch,
    written_out,
)
from torch import Tensor

from staa_cli.errors import UsageError
from staa_cli.methods import Options, get_method
from staa_cli.methods.attention.staa import UNLIKE_FLOOR, contrast, geometric_mean
from staa_cli.methods.readout import to_grid
from staa_cli.methods.run import explain_batch
from staa_cli.schema import AttentionLayout


def path(seen: dict[tuple[str, int], Layer], kind: str, block: int) -> Array:
    """J [B, T, h, w] by the definition, one token after the other."""
    role = "joint" if kind == "joint" else "spatial"
    space = seen[role, block].attention.mean(axis=1)
    out = np.zeros((B, T, h, w))
    for b, s, p in np.ndindex(B, T, P):
        at = b, s, p // w, p % w
        if kind == "joint":
            out[at] = space[b, 0, 1 + p * T + s]  # patches with time fastest
        elif kind == "space":
            out[at] = space[b * T + s, 0, 1 + p] / T
        else:
            time = seen["temporal", block].attention.mean(axis=1)
            for t in range(T):
                out[at] += space[b * T + t, 0, 1 + p] * time[b * P + p, t, s] / T
    return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("layers", "blocks"), [("last", [1]), ("all", [0, 1]), ((0,), [0]), ((-1, 1), [1])]
)
def test_staa_is_the_path_by_its_definition(kind: str, layers: Any, blocks: list[int]) -> None:
    module = tiny(kind)
    seen, _, _ = watch(module, clips())
    expected = np.mean([path(seen, kind, block) for block in blocks], axis=0)
    found = explain(module, clips(), "staa", layers=layers, combine="mean")
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-7)
    assert expected.max() > 5 / (T * P)  # far from uniform, or any order would do


def contrasted(seen: dict[tuple[str, int], Layer], blocks: list[int]) -> Array:
    """The contrast [B, T, h, w] by its definition, one token after the other."""
    maps = {key: layer.attention.mean(axis=1) for key, layer in seen.items()}
    space = [maps["spatial", n][:, 0, 1:].reshape(B, T, h, w) for n in blocks]
    time = maps["temporal", blocks[-1]].reshape(B, h, w, T, T)
    values = np.prod(space, axis=0) ** (1 / len(blocks))
    for b, t, y, x in np.ndindex(values.shape):
        rows = time[b, y, x]  # [T, T']
        usual = np.sort(rows, axis=0)[(T - 1) // 2]
        values[b, t, y, x] *= np.abs(rows[t] - usual).sum() + UNLIKE_FLOOR
    return np.asarray(values / values.sum(axis=(1, 2, 3), keepdims=True))


@pytest.mark.parametrize(("layers", "blocks"), [("all", [0, 1]), ("last", [1])])
def test_contrast_is_what_its_definition_says(layers: str, blocks: list[int]) -> None:
    module = tiny("divided")
    seen, _, _ = watch(module, clips())
    found = explain(module, clips(), "staa", layers=layers, combine="contrast")
    np.testing.assert_allclose(found.values, contrasted(seen, blocks), rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found.values.sum(axis=(1, 2, 3)), 1.0, rtol=1e-5)
    frames = found.values.sum(axis=(2, 3))
    assert frames.max() > 1.02 * frames.min()  # time is in it


def test_contrast_of_frames_that_attend_alike_is_where_they_look() -> None:
    """Not even rounding in the last digit ranks one of them."""
    maps = torch.full((1, P, T, T), 1 / T) + 1e-8 * torch.rand(1, P, T, T)
    rows = torch.rand(2, 1, T, h, w)
    looked = (rows[0] * rows[1]).sqrt()
    torch.testing.assert_close(
        contrast(geometric_mean(rows), maps), looked / looked.sum(), rtol=1e-3, atol=0
    )


def test_the_default_contrasts_all_blocks_of_divided_attention_and_reads_the_last_of_others() -> (
    None
):
    for kind, layers, combine in (("divided", "all", "contrast"), ("joint", "last", "mean")):
        shipped = explain(tiny(kind), clips(), "staa")
        named = explain(tiny(kind), clips(), "staa", layers=layers, combine=combine)
        np.testing.assert_array_equal(shipped.values, named.values)


def test_a_combination_that_is_unknown_or_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="divided"):
        explain(tiny("joint"), clips(), "staa", combine="contrast")
    with pytest.raises(UsageError, match="'sum'"):
        explain(tiny("divided"), clips(), "staa", combine="sum")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_in_the_map_stays_on_the_class_token(kind: str) -> None:
    module = tiny(kind)
    seen, _, _ = watch(module, clips())
    own = seen["joint" if kind == "joint" else "spatial", 1].attention[:, :, 0, 0].mean(axis=1)
    found = explain(module, clips(), "staa", layers="last", combine="mean")
    np.testing.assert_allclose(
        np.array(found.cls_self_mass, float), own.reshape(B, -1).mean(axis=1), rtol=1e-4
    )
    whole = found.values.sum(axis=(1, 2, 3)) + np.array(found.cls_self_mass)
    np.testing.assert_allclose(whole, 1.0, rtol=1e-5)


def looks_for(module: Any, base: Tensor, other: Tensor) -> None:
    """Make a model look, always and only, for patches [3, 8, 8] such as `other`, not `base`."""
    for name, parameter in module.named_parameters():
        if name in ("pos_embed", "time_embed") or "attn.qkv" in name or "norm" in name:
            parameter.fill_(1.0 if "norm" in name and "weight" in name else 0.0)
    tokens = [module.patch_embed(patch.repeat(1, 1, 4, 4))[0, 0] for patch in (base, other)]
    width = len(tokens[0])
    normed = [F.layer_norm(token, (width,), eps=1e-6) for token in tokens]
    away = normed[1] - normed[0]
    for key, layer in module.attention_layers().items():
        if key[0] not in ("read_out", "block"):
            # One number a head: how much the key is like `other`; queries all want that.
            for head in range(layer.num_heads):
                layer.qkv.bias[head * layer.head_dim] = 1.0
                layer.qkv.weight[width + head * layer.head_dim] = 20 * away / away.square().sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [(0, 0, 5), (1, 3, 0), (2, 1, 4)])
@pytest.mark.parametrize("name", ["staa", "rollout"])
def test_a_token_that_changes_shows_where_it_is(
    name: str, kind: str, place: tuple[int, int, int]
) -> None:
    module = tiny(kind)
    base, other = clips()[:, 0, :, :8, :8].split(1)
    looks_for(module, base, other)
    before = base.repeat(1, 1, h, w)[:, None].repeat(1, T, 1, 1, 1)
    after = before.clone()
    t, row, column = place
    after[0, t, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = other[0]
    uniform, found = (
        explain(module, x, name, layers=(0,), combine="mean").values[0].astype(np.float64)
        for x in (before, after)
    )
    np.testing.assert_allclose(uniform, uniform.mean(), rtol=1e-4)
    assert found[place] > 2 * uniform[place]
    change = np.abs(found - uniform)
    assert np.unravel_index(change.argmax(), change.shape) == place
    change[place] = 0
    assert change.max() < 0.7 * np.abs(found - uniform).max()


@pytest.mark.parametrize("order", ["thw", "hwt"])
@pytest.mark.parametrize("pooling", ["mean", "token"])
def test_models_without_a_class_token(pooling: str, order: str) -> None:
    module = Joint(pooling, order)
    inputs = torch.randn(B, 2 * T, 3, 8 * h, 8 * w, generator=torch.Generator().manual_seed(5))
    seen: list[Layer] = []
    handle = module.attn.register_forward_hook(
        lambda layer, given, written: seen.append(written_out(layer, given[0], written))
    )
    found = explain_batch(module, module.layout(), inputs, get_method("staa"), Options())
    handle.remove()
    attention = seen[0].attention.mean(axis=1)  # [B, N, N]
    rows = attention.mean(axis=1) if pooling == "mean" else attention[:, 0]
    for b, t, y, x in np.ndindex(B, T, h, w):
        token = (t * h + y) * w + x if order == "thw" else (y * w + x) * T + t
        assert found.values[b, t, y, x] == pytest.approx(rows[b, token], rel=1e-4)
    assert found.cls_self_mass == (None, None)


def test_tokens_go_back_to_their_places() -> None:
    numbers = torch.arange(T * h * w)[None, None]  # [B, S, n]
    thw = AttentionLayout("joint", "cls", (T, h, w), 1, 1, 1, "thw")
    hwt = AttentionLayout("joint", "cls", (T, h, w), 1, 1, 1, "hwt")
    assert to_grid(numbers, thw)[0, 2, 1, 5] == (2 * h + 1) * w + 5
    assert to_grid(numbers, hwt)[0, 2, 1, 5] == (1 * w + 5) * T + 2
    frame_by_frame = numbers.reshape(1, T, h * w)  # which have rows and columns alone
    assert to_grid(frame_by_frame, hwt)[0, 2, 1, 5] == (2 * h + 1) * w + 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layers", "blocks"), [("last", [1]), ("all", [0, 1])])
def test_staa_value_takes_the_norm_of_what_is_moved(
    kind: str, layers: str, blocks: list[int]
) -> None:
    module = tiny(kind)
    seen, _, _ = watch(module, clips())
    expected = np.zeros((B, T, h, w))
    for block, (b, s, p) in ((n, i) for n in blocks for i in np.ndindex(B, T, P)):
        at = b, s, p // w, p % w
        if kind == "joint":
            size = np.linalg.norm(moved(seen["joint", block], b, 1 + p * T + s))
        elif kind == "space":
            size = np.linalg.norm(moved(seen["spatial", block], b * T + s, 1 + p)) / T
        else:
            time = seen["temporal", block].attention.mean(axis=1)[b * P + p]  # [T, T']
            rows = [moved(seen["spatial", block], b * T + t, 1 + p) for t in range(T)]
            size = sum(np.linalg.norm(rows[t]) * time[t, s] for t in range(T)) / T
        expected[at] += size / len(blocks)
    found = explain(module, clips(), "staa-value", layers=layers)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["divided", "space"])
def test_the_published_variant_ranks_no_frame(kind: str) -> None:
    module = tiny(kind)
    seen, _, _ = watch(module, clips())
    rows = seen["spatial", 1].attention.mean(axis=1)[:, 0]  # [B*T, 1+P]
    found = explain(module, clips(), "staa-published", layers="all")  # the last one all the same
    np.testing.assert_allclose(found.values, rows[:, 1:].reshape(B, T, h, w), rtol=1e-4)
    own = rows[:, 0].reshape(B, T)
    np.testing.assert_allclose(found.values.sum(axis=(2, 3)), 1 - own, rtol=1e-5)
    assert own.max() < 0.5
    np.testing.assert_allclose(np.array(found.cls_self_mass, float), own.mean(axis=1), rtol=1e-4)
