"""Projections are torch's, by whichever library."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from staa_cli.models import linear

SHAPES = [(3, 197, 96), (2, 5, 61, 96), (1024, 96), (1, 1569, 24), (5, 96), (0, 96)]
"""Tokens of which some are many, and their numbers no multiple of anything."""


@pytest.fixture(params=[True, False], ids=["by convolution", "by matrix"])
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(linear, "NARROW_MKL", request.param)
    return bool(request.param)


def pair(width: int, out: int, bias: bool = True) -> tuple[nn.Linear, nn.Linear]:
    """Ours, and torch's in float64, of the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        ours = linear.Linear(width, out, bias=bias)
    exact = nn.Linear(width, out, bias=bias).double()
    exact.load_state_dict(ours.state_dict())
    return ours, exact


def tokens(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_projection_is_the_exact_one_but_for_rounding(
    narrow: bool, shape: tuple[int, ...], bias: bool
) -> None:
    ours, exact = pair(shape[-1], 33, bias)
    x = tokens(shape)
    out = ours(x)
    assert out.shape == (*shape[:-1], 33)
    assert out.is_contiguous()
    torch.testing.assert_close(out, exact(x.double()).float(), rtol=1e-5, atol=1e-5)


def test_tokens_may_lie_in_memory_in_another_order(narrow: bool) -> None:
    ours, exact = pair(96, 40)
    x = tokens((197, 96, 4)).permute(2, 0, 1)  # [4, 197, 96]
    torch.testing.assert_close(ours(x), exact(x.double()).float(), rtol=1e-5, atol=1e-5)


def test_gradients_are_the_exact_ones_but_for_rounding(narrow: bool) -> None:
    ours, exact = pair(96, 40)
    x = tokens((4, 197, 96))
    found = []
    for layer, given in ((ours, x.clone()), (exact, x.double())):
        given.requires_grad_()
        layer(given).square().mean().backward()
        found.append((given.grad, layer.weight.grad, layer.bias.grad))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs.float(), rtol=1e-4, atol=1e-7)


def test_many_tokens_go_by_convolution_where_matrices_are_slow(narrow: bool) -> None:
    ours, _ = pair(96, 40)
    few, many = tokens((7, 96)), tokens((4, 197, 96))
    assert _operations(ours, few) == {"aten::addmm"}
    assert _operations(ours, many) == {"aten::convolution" if narrow else "aten::addmm"}


def _operations(layer: nn.Module, x: Tensor) -> set[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        layer(x)
    names = {event.key for event in profile.key_averages()}
    return names & {"aten::addmm", "aten::convolution"}


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_other_precisions_are_torchs(narrow: bool, kind: torch.dtype) -> None:
    ours = pair(96, 40)[0].to(kind)
    torchs = nn.Linear(96, 40).to(kind)
    torchs.load_state_dict(copy.deepcopy(ours.state_dict()))
    x = tokens((4, 197, 96)).to(kind)
    assert torch.equal(ours(x), torchs(x))
