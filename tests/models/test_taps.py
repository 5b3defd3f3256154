"""Taps: what they read is right, costs little, changes nothing, and is gone afterwards."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from staa_cli.models import linear
from staa_cli.models.layers import TapAttention
from staa_cli.models.load import load_model
from staa_cli.models.taps import (
    AttentionTensors,
    Tap,
    cls_row,
    full_map,
    mean_row,
    row_product,
    rows_by_head,
    several_rows,
    slope_sums,
    taps,
)


class OneLayer(nn.Module):
    """A model that is nothing but one attention layer."""

    def __init__(self, dim: int = 16, heads: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attn = TapAttention(dim, num_heads=heads, qkv_bias=True).requires_grad_(False)
        self.attn.qkv.weight *= 4  # rows that are far from uniform

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        return {("joint", 0): self.attn}

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x)


def materialized(layer: TapAttention, x: Tensor) -> Tensor:
    """Attention [B, heads, N, N], written out."""
    batch, length, dim = x.shape
    q, k, _ = layer.qkv(x).view(batch, length, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    return torch.softmax(q @ k.mT / (dim // layer.num_heads) ** 0.5, dim=-1)


def tokens(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("length", [5, 1500])  # the longer one takes several chunks
def test_readers_equal_the_materialized_matrix(length: int) -> None:
    model, x = OneLayer(), tokens(2, length, 16)
    weights = torch.rand(2, length, generator=torch.Generator().manual_seed(4))
    readers = {
        "cls": cls_row, "mean": mean_row, "product": row_product(weights), "full": full_map
    }  # fmt: skip
    with taps(model, [Tap("joint", 0, name, read) for name, read in readers.items()]) as seen:
        model(x)
    matrix = materialized(model.attn, x).mean(dim=1)  # [B, N, N]
    assert matrix.max() > 3 / length
    expected = {
        "cls": matrix[:, 0],
        "mean": matrix.mean(dim=1),
        "product": torch.einsum("bi,bij->bj", weights, matrix),
        "full": matrix,
    }
    for name, value in expected.items():
        torch.testing.assert_close(seen[name, 0], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("narrow", [True, False], ids=["by convolution", "by matrix"])
@pytest.mark.parametrize(
    ("size", "shift"), [(1.0, 0.0), (27.0, 0.0), (1.0, -150.0)], ids=["small", "large", "far below"]
)
def test_rows_of_a_long_sequence_are_exact_whatever_the_scores(
    monkeypatch: pytest.MonkeyPatch, narrow: bool, size: float, shift: float
) -> None:
    """In several tiles of queries, each head with its own row."""
    monkeypatch.setattr(linear, "NARROW_MKL", narrow)
    layer = OneLayer(64, heads=2).attn
    q, k, v = tokens(3, 2, 2, 1500, 32).unbind(0)
    q, k = q * size, k.clone()
    if shift:  # of every score, which changes no weight
        q[..., 0], k[..., 0] = 1.0, shift / layer.scale
    weights = torch.rand(2, 2, 1500, generator=torch.Generator().manual_seed(4))
    row = rows_by_head(weights)(AttentionTensors(q, k, v), layer)
    scores = (q.double() @ k.double().mT) * layer.scale
    assert (scores.max() > 100) == (size > 1)
    exact = (weights.double()[..., None, :] @ torch.softmax(scores, dim=-1))[..., 0, :]
    # In float32, a score above a hundred is off by 1e-5, and so is its weight, however computed.
    rtol = 1e-5 if size == 1 else 1e-4
    torch.testing.assert_close(row, exact.float(), rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("narrow", [True, False], ids=["by convolution", "by matrix"])
@pytest.mark.parametrize("length", [30, 1500])  # all heads at once, and several tiles of each
def test_positive_gradients_of_attention_are_autograds(
    monkeypatch: pytest.MonkeyPatch, narrow: bool, length: int
) -> None:
    """Of an output that is any function of attention times values, each head with its own row."""
    monkeypatch.setattr(linear, "NARROW_MKL", narrow)
    layer = OneLayer(64, heads=2).attn
    q, k, v, out_gradient = tokens(4, 2, 2, length, 32).unbind(0)
    weights = torch.rand(2, 2, length, generator=torch.Generator().manual_seed(4))
    weights[..., 3:17] = 0  # not computed
    matrix = torch.softmax((q.double() @ k.double().mT) * layer.scale, dim=-1).requires_grad_()
    ((matrix @ v.double()) * out_gradient.double()).sum().backward()
    positive = matrix.grad.clamp_min(0)
    relevance = (weights.double()[..., None, :] @ (matrix.detach() * positive))[..., 0, :]
    row = rows_by_head(weights, out_gradient)(AttentionTensors(q, k, v), layer)
    torch.testing.assert_close(row, relevance.float(), rtol=1e-5, atol=1e-6)
    sums = slope_sums(out_gradient[..., 2:, :], v)
    torch.testing.assert_close(sums, positive[..., 2:, :].sum(dim=-2).float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("length", [30, 1500])  # all heads at once, and several tiles of each
def test_several_rows_are_each_as_if_read_alone(length: int) -> None:
    layer = OneLayer(64, heads=2).attn
    q, k, v = tokens(3, 2, 2, length, 32).unbind(0)
    generator = torch.Generator().manual_seed(4)
    of_each, of_all = torch.rand(2, 2, 3, length, generator=generator), torch.rand(2, 1, 3, length)
    of_each[..., 3:17] = 0  # not computed
    for weights in (of_each, of_all):
        found = several_rows(weights)(AttentionTensors(q, k, v), layer)
        for n, row in enumerate(weights.unbind(dim=2)):
            alone = rows_by_head(row)(AttentionTensors(q, k, v), layer)
            torch.testing.assert_close(found[:, :, n], alone, rtol=1e-5, atol=1e-6)


def test_rows_are_read_the_same_while_gradients_are_recorded() -> None:
    layer = OneLayer(64, heads=2).attn
    q, k, v = tokens(3, 1, 2, 1500, 32).unbind(0)
    expected = mean_row(AttentionTensors(q, k, v), layer)
    row = mean_row(AttentionTensors(q.requires_grad_(), k.requires_grad_(), v), layer)
    assert not row.requires_grad
    assert torch.equal(row, expected)


def test_readings_are_float32_in_a_half_precision_model() -> None:
    model, x = OneLayer().to(torch.bfloat16), tokens(1, 9, 16).bfloat16()
    with taps(model, [Tap("joint", 0, "cls", cls_row), Tap("joint", 0, "mean", mean_row)]) as seen:
        model(x)
    for row in seen.values():
        assert row.dtype == torch.float32
        torch.testing.assert_close(row.sum(dim=-1), torch.ones(1), rtol=0, atol=1e-6)


def every_tap(module: nn.Module) -> list[Tap]:
    roles = [key for key in module.attention_layers() if key[0] not in ("read_out", "block")]
    return [Tap(role, block, role, full_map) for role, block in roles]


def test_logits_are_the_same_bits_with_and_without_taps(tiny_clip: Tensor) -> None:
    module = load_model("test_timesformer", device="cpu").module
    before = module(tiny_clip)
    with taps(module, every_tap(module)) as seen:
        during = module(tiny_clip)
    assert len(seen) == 4
    assert torch.equal(before, during)
    assert torch.equal(before, module(tiny_clip))


def test_nothing_is_read_outside_the_block(tiny_clip: Tensor) -> None:
    module = load_model("test_timesformer", device="cpu").module
    with taps(module, every_tap(module)) as seen:
        module(tiny_clip)
    kept = dict(seen)
    seen.clear()
    module(tiny_clip)
    assert kept
    assert not seen


def test_a_tap_that_caught_nothing_is_an_error() -> None:
    model = OneLayer()
    wanted = [Tap("joint", 0, "cls", cls_row)]
    with pytest.raises(RuntimeError, match="joint attention of block 0"), taps(model, wanted):
        pass


def test_a_layer_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError), taps(OneLayer(), [Tap("temporal", 0, "map", full_map)]):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_inside_comes_through_and_leaves_nothing(error: type[BaseException]) -> None:
    model, x = OneLayer(), tokens(1, 4, 16)
    with pytest.raises(error), taps(model, [Tap("joint", 0, "cls", cls_row)]) as seen:
        raise error
    model(x)
    assert not seen


def test_a_reader_that_raises_leaves_nothing() -> None:
    def broken(*_shown: object) -> Tensor:
        raise ValueError("reader")

    model, x = OneLayer(), tokens(1, 4, 16)
    with pytest.raises(ValueError, match="reader"), taps(model, [Tap("joint", 0, "x", broken)]):
        model(x)
    model(x)  # does not call the reader again


def test_threads_do_not_see_each_others_taps() -> None:
    model = OneLayer()
    barrier = threading.Barrier(3, timeout=30)
    results: dict[str, dict[tuple[str, int], Tensor]] = {}

    def work(name: str, wanted: list[Tap], x: Tensor) -> None:
        with taps(model, wanted) as seen:
            barrier.wait()  # all are inside at once
            model(x)
            barrier.wait()
        results[name] = seen

    clips = {name: tokens(1, 4 + i, 16) for i, name in enumerate(("cls", "mean", "none"))}
    wanted = {
        "cls": [Tap("joint", 0, "cls", cls_row)],
        "mean": [Tap("joint", 0, "mean", mean_row)],
        "none": [],
    }
    threads = [threading.Thread(target=work, args=(n, wanted[n], clips[n])) for n in clips]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: list(seen) for name, seen in results.items()} == {
        "cls": [("cls", 0)],
        "mean": [("mean", 0)],
        "none": [],
    }
    for name, row in (("cls", lambda m: m[:, 0]), ("mean", lambda m: m.mean(dim=1))):
        matrix = materialized(model.attn, clips[name]).mean(dim=1)
        torch.testing.assert_close(results[name][name, 0], row(matrix), rtol=1e-5, atol=1e-6)


class Largest(TorchDispatchMode):
    """Remembers the most numbers that any result had."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.numbers = max(self.numbers, result.numel())
        return result


@pytest.mark.parametrize(("read", "most"), [(cls_row, 2 * 4096 * 8), (mean_row, 1 << 20)])
def test_a_row_never_takes_the_whole_matrix(read: Any, most: int) -> None:
    length = 4096
    layer = OneLayer().attn
    q, k, v = tokens(3, 1, 2, length, 8).unbind(0)
    with Largest() as largest:
        row = read(AttentionTensors(q, k, v), layer)
    assert row.shape == (1, length)
    assert row.untyped_storage().nbytes() == 4 * length  # and does not keep a larger one alive
    assert largest.numbers <= most < length * length


@pytest.mark.parametrize("length", [200, 4096])
def test_queries_without_weight_cost_nothing(length: int) -> None:
    layer = OneLayer().attn
    q, k, v = tokens(3, 1, 2, length, 8).unbind(0)
    weights = torch.zeros(1, 1, length)
    weights[..., 7] = 1.0
    with Largest() as largest:
        rows = rows_by_head(weights, v)(AttentionTensors(q, k, v), layer)
    assert largest.numbers <= 2 * length * 8
    slopes = (v[:, :, 7:8] @ v.mT).clamp_min(0)
    expected = (torch.softmax(q[:, :, 7:8] @ k.mT * layer.scale, dim=-1) * slopes)[:, :, 0]
    torch.testing.assert_close(rows, expected, rtol=1e-5, atol=1e-6)
