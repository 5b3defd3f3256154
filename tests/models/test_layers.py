"""Layers that timm has as well: the same parameters, the same start, the same numbers."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import timm.layers as theirs
import torch
from timm.layers.activations import GELUTanh
from timm.models import create_model
from torch import Tensor, nn

from staa_cli.models import layers as ours
from staa_cli.models.families.framewise.module import FrameAttention, FrameWise

Make = Callable[[], nn.Module]

WITH_NORMS: dict[str, Any] = {"num_heads": 3, "qk_norm": True, "norm_layer": nn.LayerNorm}
PAIRS: dict[str, tuple[Make, Make]] = {
    "attention": (
        lambda: ours.TapAttention(24, num_heads=3, qkv_bias=True),
        lambda: theirs.Attention(24, num_heads=3, qkv_bias=True),
    ),
    "attention without a bias, dropped out": (
        lambda: ours.TapAttention(24, num_heads=2, attn_drop=0.3),
        lambda: theirs.Attention(24, num_heads=2, attn_drop=0.3),
    ),
    "attention with norms": (
        lambda: ours.TapAttention(24, **WITH_NORMS),
        lambda: theirs.Attention(24, **WITH_NORMS),
    ),
    "attention with wide heads": (
        lambda: ours.TapAttention(24, num_heads=5, attn_head_dim=12),
        lambda: theirs.Attention(24, num_heads=5, attn_head_dim=12),
    ),
    "mlp": (lambda: ours.Mlp(24, 50), lambda: theirs.Mlp(24, 50)),
    "mlp with the other gelu": (
        lambda: ours.Mlp(24, 50, partial(nn.GELU, approximate="tanh")),
        lambda: theirs.Mlp(24, 50, act_layer=GELUTanh),
    ),
    "layer scale": (lambda: ours.LayerScale(24, 0.3), lambda: theirs.LayerScale(24, 0.3)),
    "patches": (
        lambda: ours.PatchEmbed(8, 20),
        lambda: theirs.PatchEmbed((16, 24), 8, embed_dim=20, strict_img_size=False),
    ),
}


def seeded(make: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return make()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("own", "other"), PAIRS.values(), ids=PAIRS)
def test_a_layer_is_timms(own: Make, other: Make, fused: bool, training: bool) -> None:
    pair: list[nn.Module] = [seeded(own).train(training), seeded(other).train(training)]
    mine, timms = (layer.state_dict() for layer in pair)
    assert list(mine) == list(timms)
    assert all(torch.equal(mine[name], timms[name]) for name in mine)
    shape = (2, 3, 16, 24) if isinstance(pair[0], ours.PatchEmbed) else (2, 7, 24)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    for layer in pair:
        vars(layer)["fused_attn"] = fused
    outs: list[Tensor] = [seeded(partial(layer, x)) for layer in pair]
    assert torch.equal(*outs)
    gradients = [torch.autograd.grad(out.square().sum(), x)[0] for out in outs]
    assert torch.equal(*gradients)
    assert gradients[0].any()


def test_what_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="5 heads do not divide a width of 24"):
        ours.TapAttention(24, num_heads=5)
    with pytest.raises(ValueError, match="20 x 16 do not divide into patches of 8"):
        ours.PatchEmbed(8, 4)(torch.zeros(1, 3, 16, 20))


@pytest.mark.parametrize("options", [{}, {"qk_norm": True, "scale_attn_norm": True}])
def test_an_image_model_keeps_its_parameters_and_says_the_same(options: dict[str, Any]) -> None:
    sizes: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2}
    vit = create_model("vit_tiny_patch16_224", num_heads=2, num_classes=5, **sizes, **options)
    vit = vit.eval()
    plain, before = copy.deepcopy(vit), dict(vit.named_parameters())
    wrapped = FrameWise(vit)
    assert [type(block.attn) for block in wrapped.blocks] == [FrameAttention] * 2
    after = dict(vit.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    frames = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert torch.equal(wrapped.vit(frames), plain(frames))


@pytest.mark.slow
def test_timm_creates_our_architectures_once_it_is_told_of_them() -> None:
    code = """
import sys
from staa_cli import load_model
module = load_model("tiny-events").module
assert "timm" not in sys.modules
import timm
from staa_cli.models.architectures import register_with_timm
register_with_timm()
register_with_timm()
made = timm.create_model("timesformer_tiny_events")
assert type(made) is type(module) and list(made.state_dict()) == list(module.state_dict())
print(*timm.list_models("*_tiny_events"), timm.is_model("vjepa2_large_patch16_256"))
"""
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    families = ("framewise", "timesformer", "videomae", "vivit", "vjepa2")
    names = [f"{family}_tiny_events" for family in families]
    assert done.stdout.split() == [*names, "True"], done.stderr
