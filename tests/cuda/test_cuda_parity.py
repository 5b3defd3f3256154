"""On a CUDA device every model and method says what it says on the CPU, in float32.

Bounds are parts of the largest number. Against float64 the CPU's own float32 is off by some 1e-6 of
it on these models, so that 1e-4 leaves room for another order of additions and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from timm.models import create_model
from torch import Tensor, nn

from staa_cli.benchmark.datasets.events import EventClips
from staa_cli.methods import METHODS, Options, fitting, get_method
from staa_cli.methods.perturbation.base import PerturbedClip
from staa_cli.methods.run import Explained, explain_batch, predict_batch
from staa_cli.models.architectures import ARCHITECTURES
from staa_cli.models.catalog.manifests import read_manifests
from staa_cli.models.families.framewise.module import FrameWise
from staa_cli.models.layers import TapAttention
from staa_cli.models.load import load_model
from staa_cli.models.taps import (
    AttentionTensors,
    Tap,
    cls_row,
    full_map,
    mean_row,
    row_product,
    taps,
)
from staa_cli.schema import AttentionLayout, ModelInput
from staa_cli.statistics import rank_correlation

if not torch.cuda.is_available():
    pytest.skip("no CUDA device here", allow_module_level=True)
pytestmark = pytest.mark.cuda

Agree = Callable[..., None]

BUNDLED = sorted(read_manifests())
KINDS = [*ARCHITECTURES.names("test_*"), "frames", *BUNDLED]
SAMPLES = 66
"""What 64 features need at least."""
SAME = 1e-4
ROUNDED = 5e-3
"""For what TF32 has rounded: patches of 10 bits, where the numbers above move by up to 5e-4."""

every_kind = pytest.mark.parametrize("kind", KINDS)


class Opened(NamedTuple):
    module: Any
    layout: AttentionLayout
    given: ModelInput | None


def opened(kind: str, device: str, precision: str = "fp32") -> Opened:
    return once_opened(kind, device, precision)


@cache
@torch.inference_mode(False)  # whoever asks first: gradients are asked for later
def once_opened(kind: str, device: str, precision: str) -> Opened:
    if kind != "frames":
        model = load_model(kind, device=device, precision=precision)
        return Opened(model.module, model.layout, model.input)
    sizes: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit = create_model("vit_tiny_patch16_224", num_heads=2, num_classes=5, **sizes)
        module = FrameWise(vit, num_frames=4)
        for parameter in module.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    module = module.eval().requires_grad_(False).to(device)
    return Opened(module, module.layout(), None)


@cache
def fitting_methods(kind: str) -> list[str]:
    module, layout, _ = opened(kind, "cpu")
    return fitting(module, layout, Options())


@cache
@torch.inference_mode(False)
def clips(kind: str, count: int = 1) -> Tensor:
    """Normalized [count, T, 3, H, W] on the CPU: events for a model that knows them, else noise."""
    if kind in BUNDLED:
        model, events = load_model(kind, device="cpu"), EventClips("events", 1, "test")
        return torch.cat([model.preprocess(events.sample(n).frames) for n in range(count)])
    layout = opened(kind, "cpu").layout
    frames = layout.grid[0] * layout.tubelet
    return torch.randn(count, frames, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def explain(
    name: str, kind: str, device: str, inputs: Tensor | None = None, precision: str = "fp32"
) -> Explained:
    module, layout, given = opened(kind, device, precision)
    inputs = clips(kind) if inputs is None else inputs
    return explain_batch(
        module,
        layout,
        inputs.to(device, next(module.parameters()).dtype),
        get_method(name),
        Options(samples=SAMPLES),
        target=1,
        clip_indices=range(3, 3 + len(inputs)),
        given=given,
    )


@torch.inference_mode()
def logits(kind: str, device: str) -> Tensor:
    found: Tensor = opened(kind, device).module(clips(kind).to(device))
    return found.cpu()


# Float32


@every_kind
def test_logits(kind: str, gpu: str, exact: None, agree: Agree) -> None:
    agree("logits", logits(kind, gpu), logits(kind, "cpu"), SAME)


@every_kind
def test_logits_as_torch_rounds_by_default(kind: str, gpu: str, agree: Agree) -> None:
    agree("logits", logits(kind, gpu), logits(kind, "cpu"), ROUNDED)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for k in KINDS for n in fitting_methods(k)])
def test_attributions(name: str, kind: str, gpu: str, exact: None, agree: Agree) -> None:
    ours, theirs = explain(name, kind, gpu), explain(name, kind, "cpu")
    agree("values", ours.values, theirs.values, SAME)
    assert ours.targets == theirs.targets
    assert ours.passes_per_clip == theirs.passes_per_clip
    for mine, other in zip(ours.cls_self_mass, theirs.cls_self_mass, strict=True):
        assert mine == (None if other is None else pytest.approx(other, rel=SAME))


@pytest.mark.parametrize("kind", BUNDLED)
@pytest.mark.parametrize("name", ["staa", "staa-class", "rollout", "grad-attention"])
def test_attributions_as_torch_rounds_by_default(
    name: str, kind: str, gpu: str, agree: Agree
) -> None:
    agree("values", explain(name, kind, gpu).values, explain(name, kind, "cpu").values, ROUNDED)


@pytest.mark.parametrize("kind", KINDS)
def test_again_gives_the_same_bits(kind: str, gpu: str) -> None:
    for name in ("staa", "staa-class", "rollout", "rise"):
        first, second = (explain(name, kind, gpu) for _ in range(2))
        assert np.array_equal(first.values, second.values), name
    assert torch.equal(logits(kind, gpu), logits(kind, gpu))


# What is drawn at random


@pytest.mark.parametrize(
    ("name", "kind", "frames"),
    [
        ("rise", "test_videomae", 4),
        ("rise", "tiny-events", 8),
        ("kernel-shap", "test_vivit", 4),
        ("kernel-shap", "tiny-events", 8),
        ("lime", "test_vivit", 4),
        ("lime", "tiny-events", 8),
        ("frame-shapley", "test_timesformer", 12),  # more than are asked about exactly
        ("occlusion", "test_videomae", 4),
    ],
)
def test_the_same_copies_are_asked_about_on_every_device(
    name: str, kind: str, frames: int, gpu: str, exact: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Tensor] = []
    keep = PerturbedClip.keep

    def watched(perturbed: PerturbedClip, asked: Tensor) -> Tensor:
        kept.append(asked.float().cpu())
        return keep(perturbed, asked)

    monkeypatch.setattr(PerturbedClip, "keep", watched)
    inputs = clips(kind, 2)
    if frames > inputs.shape[1]:
        inputs = torch.cat([inputs] * (frames // inputs.shape[1]), dim=1)
    runs = []
    for device in ("cpu", gpu):
        kept.clear()
        explain(name, kind, device, inputs)
        runs.append(torch.cat(kept))
    theirs, ours = runs
    assert len(ours) > SAMPLES // 2
    # Soft masks are scaled up where the model is, which may round them.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 if name == "rise" else 0)


def test_random_numbers_of_the_device_are_left_as_they_were(gpu: str) -> None:
    before = torch.cuda.get_rng_state()
    for name in ("kernel-shap", "lime", "rise"):
        explain(name, "test_videomae", gpu)
    assert torch.equal(torch.cuda.get_rng_state(), before)


# Taps


def everything(seen: AttentionTensors | Tensor, layer: nn.Module) -> Tensor:
    if not isinstance(seen, AttentionTensors):
        return seen.flatten()
    return torch.cat([read(seen, layer).flatten() for read in (cls_row, mean_row, full_map)])


@every_kind
def test_every_layer_shows_the_same(kind: str, gpu: str, exact: None, agree: Agree) -> None:
    found = []
    for device in ("cpu", gpu):
        module = opened(kind, device).module
        wanted = [Tap(role, n, role, everything) for role, n in module.attention_layers()]
        with taps(module, wanted) as seen, torch.inference_mode():
            module(clips(kind).to(device))
        found.append(seen)
    theirs, ours = found
    assert len(theirs) > 2
    for (role, block), reading in theirs.items():
        assert ours[role, block].device.type == torch.device(gpu).type
        agree(f"{role} {block}", ours[role, block].cpu(), reading, SAME)


class OneLayer(nn.Module):
    """A model that is nothing but one attention layer."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.attn = TapAttention(16, num_heads=2, qkv_bias=True).requires_grad_(False)
        self.attn.qkv.weight *= 4  # rows that are far from uniform

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        return {("joint", 0): self.attn}

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x)


def test_rows_in_several_chunks_equal_the_matrix_written_out(gpu: str, agree: Agree) -> None:
    """In float64, on the CPU; the last chunk is shorter than its memory."""
    length, model = 1500, OneLayer()
    x = torch.randn(2, length, 16, generator=torch.Generator().manual_seed(3))
    weights = torch.rand(2, length, generator=torch.Generator().manual_seed(4))
    qkv = model.attn.qkv.double()(x.double()).view(2, length, 3, 2, 8).permute(2, 0, 3, 1, 4)
    matrix = torch.softmax(qkv[0] @ qkv[1].mT / 8**0.5, dim=-1).mean(dim=1)
    model = model.float().to(gpu)
    product = torch.einsum("bi,bij->bj", weights.double(), matrix)
    readers: dict[str, tuple[Any, Tensor]] = {
        "cls": (cls_row, matrix[:, 0]),
        "mean": (mean_row, matrix.mean(dim=1)),
        "product": (row_product(weights.to(gpu)), product),
        "full": (full_map, matrix),
    }
    wanted = [Tap("joint", 0, name, read) for name, (read, _) in readers.items()]
    with taps(model, wanted) as seen, torch.inference_mode():
        model(x.to(gpu))
    for name, (_, expected) in readers.items():
        agree(name, seen[name, 0].cpu(), expected, SAME)


@pytest.mark.parametrize("name", ["staa", "rollout", "grad-attention", "rise"])
def test_a_model_that_breaks_off_is_left_as_it_was(name: str, gpu: str) -> None:
    module = opened("test_videomae", gpu).module
    before = explain(name, "test_videomae", gpu).values

    def broken(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    handle = module.blocks[-1].mlp.register_forward_pre_hook(broken)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        explain(name, "test_videomae", gpu)
    handle.remove()
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not [part for part in module.modules() for kind in kinds if getattr(part, kind)]
    with taps(module, [Tap("joint", 0, "row", cls_row)]) as seen, torch.inference_mode():
        module(clips("test_videomae").to(gpu))
    assert list(seen) == [("row", 0)]
    again = explain(name, "test_videomae", gpu).values
    np.testing.assert_allclose(again, before, rtol=1e-5, atol=1e-8)


# Half precision


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("kind", BUNDLED)
def test_half_precision_ranks_and_answers_as_float32_does(
    kind: str, precision: str, gpu: str, record_property: Any
) -> None:
    inputs = clips(kind, 16)
    for name in ("staa", "staa-class"):
        full, half = (explain(name, kind, gpu, inputs, each) for each in ("fp32", precision))
        assert np.isfinite(half.values).all()
        ranks = [rank_correlation(a, b) for a, b in zip(full.values, half.values, strict=True)]
        record_property(f"{name}, worst rank correlation", f"{min(ranks):.4f}")
        assert min(ranks) > 0.9
    answers = [
        predict_batch(module, inputs.to(gpu, next(module.parameters()).dtype)).argmax(axis=1)
        for module, *_ in (opened(kind, gpu), opened(kind, gpu, precision))
    ]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("kind", BUNDLED)
@pytest.mark.parametrize("name", METHODS.names())
def test_half_precision_stays_finite(name: str, kind: str, precision: str, gpu: str) -> None:
    if name not in fitting_methods(kind):
        pytest.skip("does not fit, and says so")
    values = explain(name, kind, gpu, precision=precision).values
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.std() > 0
