"""Gradient methods against whole matrices, autograd's own gradients of them, and Captum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attention_matrices import Key, matrices, of_role
from captum.attr import GradientShap, InputXGradient
from captum.attr import IntegratedGradients as Integrated
from small_models import TARGET, clips, explain, model
from torch import Tensor, nn

from staa_cli.errors import UsageError
from staa_cli.methods import Options, get_method
from staa_cli.methods.perturbation.base import draw_seed, replacement_for
from staa_cli.methods.run import Explained, explain_batch
from staa_cli.schema import ModelInput

JOINT = ["test_videomae", "test_videomae-token", "test_vivit", "test_vjepa2"]


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


@pytest.mark.parametrize("kind", JOINT)
def test_relevance_is_the_product_of_whole_matrices(kind: str) -> None:
    kept, layout = differentiated(kind), model(kind).layout()
    steps = [relevance(a) for a in of_role(kept, "joint") + of_role(kept, "pooler_self")]
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
    slopes = [a.grad.clamp_min(0).mean(dim=1) for a in of_role(kept, role)]
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
    prefix = 0 if kind == "test_timesformer" else layout.prefix_tokens
    patches = tokens[-1]  # alone if attention is divided, after the class token
    values, slopes = (
        each[:, prefix:].reshape(2, -1, each.shape[-1]).detach() for each in (patches, patches.grad)
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


GIVEN = ModelInput(4, (32, 32), 1, 1.0, (0.5,) * 3, (0.25,) * 3, 32)


def expected_gradients(kind: str, given: ModelInput | None, **options: Any) -> Explained:
    module, method = model(kind), get_method("expected-gradients")
    return explain_batch(
        module, module.layout(), clips(kind), method, Options(**options), target=TARGET, given=given
    )


@pytest.mark.parametrize("kind", ["test_videomae", "test_timesformer"])
@pytest.mark.parametrize("given", [None, GIVEN])  # black is known, or not
def test_expected_gradients_are_captums_with_the_same_draws(
    kind: str, given: ModelInput | None
) -> None:
    """And by hand: a replacement and a place on the way to it are drawn, one after the other."""
    module, inputs, seed, draws = model(kind), clips(kind), 5, 12
    names = ("blur", "mean", "black") if given else ("blur", "mean")
    found = expected_gradients(kind, given, samples=draws, seed=seed)
    assert found.passes_per_clip == 1 + 3 * draws
    for index in range(2):
        clip = inputs[index : index + 1]
        ends = torch.cat([replacement_for(clip, name, given) for name in names])
        np.random.seed(draw_seed(seed, index))
        by_captum = [
            GradientShap(module).attribute(clip, ends, n_samples=1, stdevs=0.0, target=TARGET)
            for _ in range(draws)
        ]
        np.random.seed(draw_seed(seed, index))
        total = torch.zeros_like(clip)
        for _ in range(draws):
            end = ends[np.random.choice(len(ends), 1)]
            at = (end + np.random.uniform(0.0, 1.0, 1).item() * (clip - end)).requires_grad_()
            module(at)[0, TARGET].backward()
            total += (clip - end) * at.grad
        for wanted in (torch.stack(by_captum).mean(dim=0), total / draws):
            np.testing.assert_allclose(
                found.values[index], by_tokens(wanted, kind)[0], rtol=1e-3, atol=1e-6
            )


def test_expected_gradients_add_up_over_the_replacements() -> None:
    kind = "test_videomae"
    module, inputs = model(kind), clips(kind)
    with torch.no_grad():
        ends = [module(replacement_for(inputs, name))[:, TARGET] for name in ("blur", "mean")]
        gained = module(inputs)[:, TARGET] - torch.stack(ends).mean(dim=0)
    sums = np.stack(
        [
            expected_gradients(kind, None, samples=16, seed=seed).values.sum(axis=(1, 2, 3))
            for seed in range(12)
        ]
    )
    error = sums.std(axis=0, ddof=1) / len(sums) ** 0.5
    assert (error < abs(gained.numpy()) / 3).all()
    assert (abs(sums.mean(axis=0) - gained.numpy()) < 3 * error).all()


def test_expected_gradients_leave_other_draws_alone_and_differ_from_clip_to_clip() -> None:
    kind = "test_videomae"
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    module, twice = model(kind), clips(kind)[:1].repeat(2, 1, 1, 1, 1)
    first, second = explain_batch(
        module, module.layout(), twice, get_method("expected-gradients"), Options(samples=3),
        target=TARGET, clip_indices=(0, 1),
    ).values  # fmt: skip
    assert not np.array_equal(first, second)
    assert np.array_equal(before, np.random.get_state()[1])


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
