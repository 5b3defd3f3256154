from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from staa_cli.models.families.base import Family
from staa_cli.models.layers import TapAttention
from staa_cli.schema import AttentionLayout, ModelInput

HALF = (0.5, 0.5, 0.5)
INPUT = ModelInput(4, (16, 16), stride=1, rate=8.0, mean=HALF, std=HALF, resize=16)


class Small(nn.Module):
    """Joint attention over 4 x 2 x 2 tokens, of which the head reads the mean."""

    input = INPUT
    labels = ("left", "right")

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embed = nn.Conv2d(3, 8, 8, stride=8)
        self.attn = TapAttention(8, num_heads=2, qkv_bias=True)
        self.head = nn.Linear(8, num_classes)

    def layout(self) -> AttentionLayout:
        return AttentionLayout("joint", "mean", (4, 2, 2), 1, 1, 0)

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        return {("joint", 0): self.attn}

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.flatten(0, 1)).flatten(2).transpose(1, 2)
        read: Tensor = self.head(self.attn(tokens.reshape(len(x), -1, 8)).mean(dim=1))
        return read


def build() -> Small:
    torch.manual_seed(0)
    return Small()


def classes_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"num_classes": len(state["head.weight"])}


FAMILY = Family(
    model_types=("their-family",),
    license="MIT",
    convert=dict,
    recognize=lambda state: "embed.weight" in state and "attn.qkv.weight" in state,
    from_config=lambda config: {},
    from_state=classes_of,
    measured=classes_of,
    build=Small,
    input=lambda module: INPUT,
    marks=("embed.",),
)
