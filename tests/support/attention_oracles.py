"""Reference computation of attention layers in float64, with explicit matrices."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from staa_cli.methods import Options, get_method
from staa_cli.methods.run import Explained, explain_batch
from staa_cli.models.families.timesformer.module import test_timesformer as build
from staa_cli.models.layers import TapAttention, TapNorm
from staa_cli.schema import AttentionLayout

Array = NDArray[np.float64]

KINDS = {"divided": "divided_space_time", "joint": "joint_space_time", "space": "space_only"}

# All axes have different lengths, so that confusing two of them is an error.
B, T, h, w = 2, 3, 4, 6
P = h * w


def tiny(kind: str) -> Any:
    """A TimeSformer of that kind without zero parameters or uniform attention."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build(attention_type=KINDS[kind])
        for name, parameter in module.named_parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
            if "qkv.weight" in name:
                parameter.data *= 1.5
    return module.eval().requires_grad_(False)


def layout_of(module: Any) -> AttentionLayout:
    """The layout for clips of (T, h, w) tokens."""
    layout: AttentionLayout = module.layout()
    return AttentionLayout(
        layout.kind, layout.pooling, (T, h, w), 1, layout.depth, layout.prefix_tokens, layout.order
    )


def clips(seed: int = 1, count: int = B) -> Tensor:
    """Normalized float [B, T, 3, 8h, 8w]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, T, 3, 8 * h, 8 * w, generator=generator)


def explain(module: Any, inputs: Tensor, name: str, **arguments: Any) -> Explained:
    names = {field.name for field in fields(Options)} & arguments.keys()
    few = 4 if name.endswith("-gradients") else 40  # each of these takes a backward pass
    options = Options(**{"samples": few, **{field: arguments.pop(field) for field in names}})
    return explain_batch(module, layout_of(module), inputs, get_method(name), options, **arguments)


@dataclass
class Layer:
    """Inputs and outputs of an attention layer; rows are those of its batch."""

    attention: Array
    """[rows, heads, N, N]."""
    values: Array
    """[rows, heads, N, d]."""
    written: Array
    """[rows, N, D] its output."""
    projection: Array
    """[D, heads * d]."""
    bias: Array
    """[D]."""


def watch(module: Any, inputs: Tensor) -> tuple[dict[tuple[str, int], Layer], Array, Array]:
    """All layers by (role, block), the final norm's input [B, N, D], and the logits [B, classes].

    Hooks record the inputs and outputs of the layers; the rest is recomputed from these.
    """
    layers: dict[tuple[str, int], Layer] = {}
    final: list[Tensor] = []
    handles = [module.norm.register_forward_pre_hook(lambda _, inputs: final.append(inputs[0]))]

    def record(key: tuple[str, int]) -> Any:
        def hook(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            layers[key] = written_out(layer, inputs[0], output)

        return hook

    for key, layer in module.attention_layers().items():
        if key[0] not in ("read_out", "block"):
            handles.append(layer.register_forward_hook(record(key)))
    logits = module(inputs)
    for handle in handles:
        handle.remove()
    return layers, final[0].double().numpy(), logits.double().numpy()


def written_out(layer: Any, inputs: Tensor, output: Tensor) -> Layer:
    rows, length, width = inputs.shape
    heads = layer.num_heads
    qkv = F.linear(inputs.double(), layer.qkv.weight.double(), layer.qkv.bias.double())
    q, k, v = qkv.reshape(rows, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    scores = torch.einsum("rhid,rhjd->rhij", q, k) / (width // heads) ** 0.5
    return Layer(
        torch.softmax(scores, dim=-1).numpy(),
        v.numpy(),
        output.double().numpy(),
        layer.proj.weight.double().numpy(),
        layer.proj.bias.double().numpy(),
    )


def moved(layer: Layer, row: int, token: int) -> Array:
    """[D] contribution of a token to query 0: all heads, after the output projection."""
    heads = range(layer.attention.shape[1])
    weighted = [
        layer.attention[row, head, 0, token] * layer.values[row, head, token] for head in heads
    ]
    return np.asarray(layer.projection @ np.concatenate(weighted))


class Joint(nn.Module):
    """Joint attention over the means of tubelets of two frames, with no class token."""

    def __init__(self, pooling: str, order: str) -> None:
        super().__init__()
        self.pooling, self.order = pooling, order
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.embed = nn.Linear(3, 8)
            self.attn = TapAttention(8, num_heads=2, qkv_bias=True)
            self.norm, self.head = TapNorm(8), nn.Linear(8, 5)
        self.attn.qkv.weight.data *= 8
        self.eval().requires_grad_(False)

    def layout(self) -> AttentionLayout:
        return AttentionLayout("joint", self.pooling, (T, h, w), 2, 1, 0, self.order)  # type: ignore[arg-type]

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        return {("joint", 0): self.attn, ("read_out", 0): self.norm}

    def forward(self, x: Tensor) -> Tensor:
        grid = F.adaptive_avg_pool3d(x.transpose(1, 2), (x.shape[1] // 2, h, w))  # [B, 3, T', h, w]
        axes = (0, 2, 3, 4, 1) if self.order == "thw" else (0, 3, 4, 2, 1)
        tokens = self.attn(self.embed(grid.permute(*axes).reshape(len(x), -1, 3)))
        pooled = tokens.mean(dim=1) if self.pooling == "mean" else tokens[:, 0]
        return self.head(self.norm(pooled))  # type: ignore[no-any-return]
