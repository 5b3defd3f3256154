"""Every method on every family: what fits, fits; what does not says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_models import (
    BY_FRAMES,
    FRAMES,
    KINDS,
    OF_CLASS,
    TARGET,
    build,
    clips,
    explain,
    model,
)
from timm.models import create_model
from torch import Tensor, nn

from staa_cli.errors import UsageError
from staa_cli.methods import METHODS, Options, get_method
from staa_cli.methods.run import explain_batch, predict_batch
from staa_cli.models.taps import AttentionTensors, Tap, cls_row, full_map, full_maps, taps

MISFITS = {
    ("staa-published", kind)
    for kind in KINDS
    if kind not in ("test_timesformer", "frames", "frames-registers")
} | {("tis", kind) for kind in ("test_timesformer", *FRAMES)}
CASES = [(name, kind) for name in METHODS.names() for kind in KINDS if (name, kind) not in MISFITS]
every_case = pytest.mark.parametrize(("name", "kind"), CASES)


@every_case
def test_one_finite_number_a_token_from_one_undisturbed_pass(name: str, kind: str) -> None:
    method, found, module = get_method(name), explain(name, kind, None), model(kind)
    assert found.values.shape == (2, *module.layout().grid)
    assert np.isfinite(found.values).all()
    assert found.values.std() > 0
    assert method.signed or found.values.min() >= 0
    assert all(mass is None or 0 < mass < 1 for mass in found.cls_self_mass)
    assert np.array_equal(found.scores, predict_batch(module, clips(kind)))


@every_case
def test_the_class_matters_where_the_method_says_so(name: str, kind: str) -> None:
    one, two = explain(name, kind, 0), explain(name, kind, TARGET)
    layout = model(kind).layout()
    speaks = get_method(name).is_class_specific(layout, Options())
    assert np.array_equal(one.values, two.values) != speaks
    assert speaks or not (name in OF_CLASS or (name in BY_FRAMES and kind in FRAMES))


@pytest.mark.parametrize(("name", "kind"), sorted(MISFITS))
def test_a_method_that_does_not_fit_says_so(name: str, kind: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        explain(name, kind)
    assert caught.value.hint


def seen(kind: str, *wanted: Tap) -> tuple[dict[tuple[str, int], Tensor], Tensor]:
    with taps(model(kind), wanted) as captured, torch.inference_mode():
        logits = model(kind)(clips(kind))
    return captured, logits


def maps_of(kind: str, role: str) -> list[Tensor]:
    """Every whole attention matrix of a role, [rows, N, N], block by block."""
    blocks = sorted(block for each, block in model(kind).attention_layers() if each == role)
    captured, _ = seen(kind, *(Tap(role, block, role, full_map) for block in blocks))
    return [captured[role, block] for block in blocks]


READ_BY_MEAN = ("test_videomae", "test_videomae-scaled", "frames-mean")


@pytest.mark.parametrize("kind", READ_BY_MEAN)
def test_parts_of_a_mean_add_up_to_what_the_last_layer_writes(kind: str) -> None:
    """The parts and the projection's bias are the mean of what it writes, along the class."""
    module = model(kind)
    layer, direction, scale = _last_layer_of_a_mean(kind)
    written: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _m, _g, out: written.append(out.mean(dim=1)))
    with torch.inference_mode():
        module(clips(kind))
    handle.remove()
    whole = (scale * (written[0] - layer.proj.bias) * direction).sum(dim=1)  # [B] or [B*T]
    parts = explain("staa-logit", kind).values
    np.testing.assert_allclose(
        parts.sum(axis=(1, 2, 3)), whole.reshape(2, -1).mean(dim=1), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("kind", READ_BY_MEAN)
def test_the_part_of_a_token_is_what_all_others_take_from_it(kind: str) -> None:
    """Without the token's values, the layer writes that much less along the class."""
    layer, direction, scale = _last_layer_of_a_mean(kind)
    n = 7
    maps, values = _attention_and_values(kind)  # [rows, heads, N, N], [rows, heads, N, d]
    taken = maps[..., n].mean(dim=-1)[..., None] * values[..., n, :]  # [rows, heads, d]
    written = scale * (taken.flatten(1) @ layer.proj.weight.T)
    part = (written * direction).sum(dim=1).reshape(2, -1)  # [B, 1 or T]
    parts = explain("staa-logit", kind).values.reshape(2, part.shape[1], -1)
    np.testing.assert_allclose(parts[:, :, n], part / part.shape[1], rtol=1e-3, atol=1e-7)


def _last_layer_of_a_mean(kind: str) -> tuple[Any, Tensor, Tensor]:
    """The last attention layer, the class's direction [B or B*T, D], the block's own scale."""
    module = model(kind)
    owner, norm = (module.vit, module.vit.norm) if kind in FRAMES else (module, module.fc_norm)
    taken: list[Tensor] = []
    handle = norm.register_forward_pre_hook(lambda _m, given: taken.append(given[0]))
    with torch.inference_mode():
        module(clips(kind))
    handle.remove()
    tokens = taken[0] if taken[0].ndim == 3 else taken[0][:, None]  # [rows, 1 or N, D]
    weights = module.head.weight[TARGET] * norm.weight
    sigma = (tokens.var(dim=2, correction=0) + norm.eps).sqrt()
    direction = (weights - weights.mean()) * (1 / sigma).mean(dim=1, keepdim=True)
    block = owner.blocks[-1]
    return block.attn, direction, getattr(getattr(block, "ls1", None), "gamma", torch.ones(1))


def _attention_and_values(kind: str) -> tuple[Tensor, Tensor]:
    """Those of the last layer: [rows, heads, N, N] and [rows, heads, N, d]."""
    role = "spatial" if kind in FRAMES else "joint"
    last = model(kind).layout().depth - 1
    captured, _ = seen(
        kind,
        Tap(role, last, "maps", full_maps),
        Tap(role, last, "values", lambda recorded, layer: recorded.v),
    )
    return captured["maps", last], captured["values", last]


@pytest.mark.parametrize("kind", ["frames", "frames-registers"])
def test_parts_of_frames_add_up_to_what_the_last_layer_writes(kind: str) -> None:
    """The patches' parts, the prefix tokens' and the projection's bias are what it writes."""
    module = model(kind)
    vit, batch = module.vit, clips(kind)
    written: list[Tensor] = []
    taken: list[Tensor] = []
    handles = [
        vit.blocks[-1].attn.register_forward_hook(lambda _m, _g, out: written.append(out[:, 0])),
        vit.norm.register_forward_pre_hook(lambda _m, given: taken.append(given[0][:, 0])),
    ]
    with torch.inference_mode():
        module(batch)
    layer, prefix = vit.blocks[-1].attn, module.layout().prefix_tokens
    for handle in handles:
        handle.remove()
    direction = _direction(module, taken[0])
    from_patches = torch.as_tensor(explain("staa-logit", kind).values).flatten(2).sum(2)  # [B, T]
    captured, _ = seen(kind, Tap("spatial", 1, "v", _prefix_part(prefix)))
    scale = getattr(vit.blocks[-1].ls1, "gamma", torch.ones(1))
    rest = (captured["v", 1] @ layer.proj.weight.T + layer.proj.bias) * scale
    whole = (scale * written[0] * direction).sum(1) / module.num_frames
    kept = (rest * direction).sum(1) / module.num_frames
    np.testing.assert_allclose(from_patches.flatten(), whole - kept, rtol=1e-3, atol=1e-5)


def _prefix_part(prefix: int) -> Any:
    """What the class token takes from the tokens before the patches, [rows, heads * d]."""

    def read(shown: AttentionTensors, layer: Any) -> Tensor:
        q, k, v = shown[:3]
        weights = torch.softmax(q[:, :, :1] @ k.transpose(-1, -2) * layer.scale, dim=-1)
        return (weights[..., :prefix] @ v[..., :prefix, :])[:, :, 0].flatten(1)

    return read


def _direction(module: Any, token: Tensor) -> Tensor:
    norm = module.vit.norm
    weights = module.head.weight[TARGET] * norm.weight
    sigma = (token.var(dim=1, correction=0, keepdim=True) + norm.eps).sqrt()
    return (weights - weights.mean()) / sigma


def test_a_poolers_query_reads_what_its_values_say() -> None:
    """All parts together are what the query reads, along the class's row of the head."""
    kind = "test_vjepa2"
    module = model(kind)
    block = module.pooler.cross_attention_block
    written: list[Tensor] = []
    handle = block.xattn.register_forward_hook(lambda _m, _g, out: written.append(out[:, 0]))
    parts = explain("staa-logit", kind).values
    handle.remove()
    np.testing.assert_allclose(
        parts.sum(axis=(1, 2, 3)), written[0] @ module.head.weight[TARGET], rtol=1e-4, atol=1e-5
    )
    sizes = explain("staa-value", kind).values.reshape(2, -1)
    captured, _ = seen(kind, Tap("pooler", 0, "moved", _moved))
    np.testing.assert_allclose(sizes, captured["moved", 0].norm(dim=2), rtol=1e-4)


def _moved(shown: AttentionTensors, layer: Any) -> Tensor:
    """[B, N, heads * d] by a loop over heads."""
    q, k, v = shown[:3]
    heads = []
    for head in range(q.shape[1]):
        row = torch.softmax(q[:, head, 0, None] @ k[:, head].transpose(1, 2) * layer.scale, dim=2)
        heads.append(row.transpose(1, 2) * v[:, head])
    return torch.cat(heads, dim=2)


def test_all_queries_together_take_the_mean() -> None:
    kind = "test_videomae"
    layer = model(kind).blocks[1].attn

    def read(shown: AttentionTensors, _: Any) -> Tensor:
        q, k, v = shown[:3]
        weights = torch.softmax(q @ k.transpose(-1, -2) * layer.scale, dim=-1).mean(dim=2)
        taken = torch.cat([weights[:, n, :, None] * v[:, n] for n in range(v.shape[1])], dim=2)
        return (taken @ layer.proj.weight.T).norm(dim=2)

    captured, _ = seen(kind, Tap("joint", 1, "size", read))
    found = explain("staa-value", kind).values.reshape(2, -1)
    np.testing.assert_allclose(found, captured["size", 1], rtol=1e-4)


@pytest.mark.parametrize("kind", ["test_videomae", "test_videomae-token", "test_vivit"])
def test_rollout_is_the_product_of_matrices(kind: str) -> None:
    whole = _rolled(maps_of(kind, "joint"))
    rows = whole.mean(dim=1) if kind == "test_videomae" else whole[:, 0]
    prefix = model(kind).layout().prefix_tokens
    found = explain("rollout", kind).values.reshape(2, -1)
    np.testing.assert_allclose(found, rows[:, prefix:], rtol=1e-3, atol=1e-7)


def test_rollout_goes_through_a_pooler() -> None:
    kind = "test_vjepa2"
    captured, _ = seen(kind, Tap("pooler", 0, "row", cls_row))
    layers = [*maps_of(kind, "joint"), *maps_of(kind, "pooler_self")]
    assert len(layers) > model(kind).layout().depth
    rows = (captured["row", 0][:, None] @ _rolled(layers))[:, 0]
    found = explain("rollout", kind).values.reshape(2, -1)
    np.testing.assert_allclose(found, rows, rtol=1e-3, atol=1e-7)


def _rolled(layers: list[Tensor]) -> Tensor:
    whole = torch.eye(layers[0].shape[-1]).expand_as(layers[0])
    for layer in layers:
        whole = (0.5 * layer + 0.5 * torch.eye(layer.shape[-1])) @ whole
    return whole


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_count_by_what_they_say_for_the_class(kind: str) -> None:
    module = model(kind)
    with torch.inference_mode():
        alone = module.vit(clips(kind).flatten(0, 1)).reshape(2, 4, -1)
        together = module(clips(kind))
    torch.testing.assert_close(together, alone.mean(dim=1))
    speaks = (alone[..., TARGET] - alone.mean(dim=2)).clamp_min(0)
    share = speaks / speaks.sum(dim=1, keepdim=True)
    assert ((share > 0) & (share < 1)).any()
    found = explain("staa", kind)
    rows = maps_of(kind, "spatial")[-1].unflatten(0, (2, 4))  # [B, T, N, N]
    prefix = module.layout().prefix_tokens
    read = rows[:, :, prefix:].mean(dim=2) if module.pooling == "mean" else rows[:, :, 0]
    expected = (share[..., None] * read[..., prefix:]).reshape(found.values.shape)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-8)
    rolled = _rolled(maps_of(kind, "spatial")).unflatten(0, (2, 4))
    read = rolled[:, :, prefix:].mean(dim=2) if module.pooling == "mean" else rolled[:, :, 0]
    expected = (share[..., None] * read[..., prefix:]).reshape(found.values.shape)
    np.testing.assert_allclose(explain("rollout", kind).values, expected, rtol=1e-3, atol=1e-8)


def test_where_a_mean_is_read_after_divided_attention_the_path_begins_at_all_patches() -> None:
    """As a model of somebody's own may have it."""
    kind = "test_timesformer"
    layout = replace(model(kind).layout(), pooling="mean")
    frames, height, width = layout.grid
    space, time = (maps_of(kind, role)[-1] for role in ("spatial", "temporal"))
    rows = space[:, 1:, 1:].mean(dim=1).reshape(2, frames, -1)  # [B, T, P]
    maps = time.reshape(2, height * width, frames, frames)  # [B, P, T, T']
    path = torch.einsum("btp,bpts->bsp", rows, maps).reshape(2, *layout.grid) / frames
    options = Options(combine="mean")
    found = explain_batch(model(kind), layout, clips(kind), get_method("staa"), options)
    np.testing.assert_allclose(found.values, path, rtol=1e-4)


def test_frames_that_say_nothing_for_the_class_count_alike() -> None:
    from staa_cli.methods.base import MethodInputs
    from staa_cli.methods.readout import FRAME_LOGITS, frame_shares

    logits = torch.tensor([[[0.0, 3.0], [0.0, 1.0]]])  # [1, T, classes]
    nothing = torch.zeros(1)
    layout = model("frames").layout()
    method_inputs = MethodInputs(
        layout, Options(), {(FRAME_LOGITS.name, 0): logits}, nothing, nothing,
        torch.tensor([0]), nn.Identity(),
    )  # fmt: skip
    shares = frame_shares(method_inputs)
    assert shares is not None
    first, second = shares[0].tolist()
    assert first == pytest.approx([0.5, 0.5])
    assert second == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize(
    ("output", "logits", "share"),
    [
        ("sigmoid", [[2.0, 9.0], [1.0, 9.0], [-4.0, 9.0]], [2 / 3, 1 / 3, 0]),  # by itself
        ("sigmoid", [[-2.0, -9.0], [-1.0, -9.0], [-4.0, -9.0]], [1 / 3, 1 / 3, 1 / 3]),
        ("identity", [[-5.0], [-6.0], [-8.0]], [3 / 5, 2 / 5, 0]),  # above the lowest
        ("identity", [[105.0], [104.0], [102.0]], [3 / 5, 2 / 5, 0]),
        ("identity", [[2.0], [2.0], [2.0]], [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_what_a_frame_says_follows_from_what_logits_mean(
    output: Any, logits: list[list[float]], share: list[float]
) -> None:
    from staa_cli.methods.base import MethodInputs
    from staa_cli.methods.readout import FRAME_LOGITS, frame_shares

    nothing = torch.zeros(1)
    method_inputs = MethodInputs(
        model("frames").layout(), Options(), {(FRAME_LOGITS.name, 0): torch.tensor([logits])},
        nothing, nothing, torch.tensor([0]), nn.Identity(), output=output,
    )  # fmt: skip
    shares = frame_shares(method_inputs)
    assert shares is not None
    assert shares[0, 0].tolist() == pytest.approx(share)


def test_a_tapped_image_model_says_what_it_said() -> None:
    for kind in FRAMES:
        torch.manual_seed(3)
        vit = build(kind).vit  # tapped
        torch.manual_seed(3)
        sizes: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2}
        plain = create_model(
            "vit_tiny_patch16_224", num_heads=2, num_classes=5, **sizes, **FRAMES[kind]
        )
        frames = clips(kind).flatten(0, 1)
        torch.testing.assert_close(vit.eval()(frames), plain.eval()(frames), atol=1e-6, rtol=0)
