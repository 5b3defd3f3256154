"""TIS against models written out that are given the kept tokens and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attention_oracles import Joint, tiny
from attention_oracles import clips as tiny_clips
from attention_oracles import explain as explain_tiny
from sklearn.cluster import KMeans
from small_models import TARGET, clips, explain, model
from torch import Tensor

from staa_cli.errors import UsageError
from staa_cli.methods import Options, get_method
from staa_cli.methods.perturbation.base import draw_seed
from staa_cli.methods.perturbation.tis import k_means
from staa_cli.methods.run import explain_batch
from staa_cli.models.load import load_model

KINDS = [
    "test_videomae",
    "test_videomae-token",
    "test_videomae-scaled",
    "test_vivit",
    "test_vjepa2",
]


def embedded(module: Any, kind: str, clip: Tensor) -> Tensor:
    """Tokens [1, N, D] before the first block."""
    tokens = module.patch_embed(clip)
    if kind == "test_vivit":
        return torch.cat([module.cls_token, tokens], dim=1) + module.pos_embed
    if kind == "test_vjepa2":
        return tokens
    length, dim = tokens.shape[1:]
    rate = 10000 ** (-2 * (np.arange(dim) // 2) / dim)
    angle = np.arange(length)[:, None] * rate
    table = np.where(np.arange(dim) % 2 == 0, np.sin(angle), np.cos(angle))
    return tokens + torch.as_tensor(table, dtype=torch.float32)


def places(module: Any) -> list[tuple[int, int, int]]:
    """(time, row, column) of every token."""
    return list(np.ndindex(*module.layout().grid))


def turned(module: Any, kept: list[int]) -> tuple[Tensor, Tensor]:
    """Sine and cosine for the tokens that are kept, by their places in the whole clip."""
    size = 2 * (module.head_dim // 3 // 2)
    rate = [10000 ** -(k / (size / 2)) for k in range(size // 2)]
    angles = torch.zeros(len(kept), module.head_dim)
    for n, token in enumerate(kept):
        row = [place * r for place in places(module)[token] for r in rate * 2]
        angles[n, : 3 * size] = torch.tensor(row)
    return angles.sin(), angles.cos()


def answer(kind: str, clip: Tensor, kept: list[int]) -> Tensor:
    """Probabilities [classes] of a model that is given these patches [T, 3, H, W] and no others."""
    module = model(kind)
    prefix = module.layout().prefix_tokens
    tokens = embedded(module, kind, clip[None])
    tokens = tokens[:, [*range(prefix), *(prefix + n for n in kept)]]
    more = (turned(module, kept),) if kind == "test_vjepa2" else ()
    for block in module.blocks:
        tokens = block(tokens, *more)
    if kind == "test_vjepa2":
        pooled = module.pooler(module.norm(tokens))
    elif module.layout().pooling == "mean":
        pooled = module.fc_norm(tokens.mean(dim=1))
    else:
        pooled = module.norm(tokens)[:, 0]
    return torch.softmax(module.head(pooled)[0], dim=0)


def masks_of(kind: str, clip: Tensor, count: int, seed: int) -> list[list[int]]:
    """Halves of the patches by scikit-learn's clusters of what the blocks leave, and the others."""
    module = model(kind)
    prefix = module.layout().prefix_tokens
    left: list[Tensor] = []
    handles = [
        block.register_forward_hook(lambda _block, _given, out: left.append(out[0, prefix:]))
        for block in module.blocks
    ]
    module(clip[None])
    for handle in handles:
        handle.remove()
    channels = torch.cat(left, dim=1).T.double().numpy()
    means = lloyd(channels, count, torch.Generator().manual_seed(draw_seed(seed, 0)))
    length = channels.shape[1]
    halves = []
    for mean in means:
        half = sorted(np.argsort(-mean)[: length // 2].tolist())
        halves += [half, sorted(set(range(length)) - set(half))]
    if module.layout().pooling == "token":  # which the head reads
        halves = [sorted({0, *half}) for half in halves]
    return halves


def lloyd(points: Any, count: int, generator: torch.Generator) -> Any:
    first = torch.randperm(len(points), generator=generator)[:count].numpy()
    found = KMeans(count, init=points[first], n_init=1, max_iter=20, tol=0, algorithm="lloyd")
    return found.fit(points).cluster_centers_


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_tokens_value_is_the_mean_score_of_the_halves_that_keep_it(kind: str) -> None:
    clip = clips(kind)[0]
    total, times = np.zeros((2, len(places(model(kind)))))
    for kept in masks_of(kind, clip, count=6, seed=3):
        total[kept] += answer(kind, clip, kept)[TARGET].item()
        times[kept] += 1
    assert set(times[1:]) == {6}
    found = explain("tis", kind, samples=12, seed=3)
    np.testing.assert_allclose(found.values[0].ravel(), total / times, rtol=1e-4)
    assert found.passes_per_clip == 1 + 1 + 12


@torch.no_grad()
def test_where_time_runs_fastest_and_with_a_class_token() -> None:
    """TimeSformer's joint kind: the values lie where the tokens are."""
    module, inputs = tiny("joint"), tiny_clips(count=1)
    kept_of_copies: list[Tensor] = []
    layer = module.blocks[0].norm1
    whole: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _norm, given, _out: kept_of_copies.append(given[0]))
    found = explain_tiny(module, inputs, "tis", samples=8, target=TARGET).values[0]
    handle.remove()
    handle = layer.register_forward_hook(lambda _norm, given, _out: whole.append(given[0]))
    module(inputs)
    handle.remove()
    tokens = whole[0][0, 1:]
    total, times = np.zeros((2, len(tokens)))
    for copy in torch.cat(kept_of_copies[2:]):  # after the pass itself, and the one that is read
        torch.testing.assert_close(copy[0], whole[0][0, 0])  # the class token stays
        kept = [int((tokens == token).all(dim=1).nonzero()) for token in copy[1:]]
        x = whole[0][:, [0, *(1 + n for n in kept)]]
        for block in module.blocks:
            x = block(x)
        score = torch.softmax(module.head(module.norm(x)[0, 0]), dim=0)[TARGET].item()
        total[kept] += score
        times[kept] += 1
    frames, height, width = found.shape
    wanted = (total / times).reshape(height, width, frames).transpose(2, 0, 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize(("points", "count"), [(40, 7), (12, 12), (30, 1)])
def test_clusters_are_scikit_learns(points: int, count: int) -> None:
    data = torch.randn(points, 5, generator=torch.Generator().manual_seed(points))
    found = k_means(data, count, torch.Generator().manual_seed(1))
    wanted = lloyd(data.double().numpy(), count, torch.Generator().manual_seed(1))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_more_masks_than_channels_are_drawn() -> None:
    found = explain("tis", "test_videomae", samples=2 * (64 + 5))
    assert found.passes_per_clip == 2 + 2 * (64 + 5)
    assert np.isfinite(found.values).all()


def test_seeds_and_nothing_else_change_it() -> None:
    first, again, other = (
        explain("tis", "test_vivit", samples=20, seed=seed).values for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_numbers_do_not_depend_on_how_many_copies_go_into_a_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from staa_cli.methods.perturbation import base

    together = explain("tis", "test_videomae", samples=20).values
    monkeypatch.setattr(base, "TOKENS_A_PASS", 1)
    alone = explain("tis", "test_videomae", samples=20).values
    np.testing.assert_allclose(alone, together, rtol=1e-5)


def test_of_a_raw_value_it_is_told_how_far_it_lies_over_the_mean() -> None:
    method, module = get_method("tis"), model("test_vivit")
    assert method.is_signed("identity")
    assert not method.is_signed("softmax")
    before = module.head.bias.data.clone()
    found = []
    for constant in (0.0, -100.0):
        module.head.bias.data = before + constant
        found.append(
            explain_batch(
                module, module.layout(), clips("test_vivit"), method, Options(samples=20),
                target=TARGET, output="identity",
            ).values
        )  # fmt: skip
    module.head.bias.data = before
    assert (found[0] < 0).any()
    assert (found[0] > 0).any()
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_the_model_stays_as_it_is() -> None:
    module = model("test_vjepa2")
    blocks, modules = module.blocks, list(module.modules())
    explain("tis", "test_vjepa2", samples=4)
    assert module.blocks is blocks
    assert list(module.modules()) == modules


def test_a_model_that_does_not_show_its_blocks_is_told() -> None:
    with pytest.raises(UsageError, match="needs the model's blocks") as caught:
        explain_tiny(Joint("mean", "thw"), tiny_clips(), "tis")
    assert "attention_layers" in (caught.value.hint or "")


def test_one_sample_makes_no_mask() -> None:
    with pytest.raises(UsageError, match="two samples"):
        explain("tis", "test_vivit", samples=1)


def test_the_hint_for_divided_attention_names_no_option_and_a_model_that_works() -> None:
    """Commands name methods by different options."""
    with pytest.raises(UsageError, match="only joint attention") as caught:
        explain("tis", "test_timesformer")
    hint = caught.value.hint or ""
    assert "--method" not in hint
    joint = load_model("tiny-events-joint")
    assert joint.info.name in hint
    get_method("tis").check(joint.module, joint.layout, Options())
