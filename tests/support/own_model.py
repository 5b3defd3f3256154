"""Source code of a user-defined model, and of factories that are invalid."""

OWN = """
import torch
from torch import nn
from staa_cli.models.layers import TapAttention
from staa_cli.schema import AttentionLayout, ModelInput

HALF = (0.5, 0.5, 0.5)


class Own(nn.Module):
    input = ModelInput(4, (16, 16), stride=2, rate=8.0, mean=HALF, std=HALF, resize=16)
    labels = ("left", "right")

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 8, stride=8)
        self.attn = TapAttention(8, num_heads=2, qkv_bias=True)
        self.head = nn.Linear(8, 2)

    def layout(self):
        return AttentionLayout("joint", "mean", (4, 2, 2), 1, 1, 0)

    def attention_layers(self):
        return {("joint", 0): self.attn}

    def forward(self, x):
        tokens = self.embed(x.flatten(0, 1)).flatten(2).transpose(1, 2)
        return self.head(self.attn(tokens.reshape(len(x), -1, 8)).mean(dim=1))


def make():
    torch.manual_seed(0)
    return Own()


def bare():
    return nn.Linear(2, 2)


def number():
    return 3


def greedy(size):
    return make()


def mistyped():
    model = make()
    model.input = {"frames": 4}
    return model
"""
