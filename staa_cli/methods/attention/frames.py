"""Time, where a model sees one frame at a time, and a clip's logits are its frames' mean."""

from __future__ import annotations

import torch
from torch import Tensor

from staa_cli.methods.base import MethodInputs
from staa_cli.models.taps import Tap, shown

FRAME_LOGITS = Tap("frames", 0, "frame_logits", shown)
"""[B, T, classes]."""


def frame_shares(method_inputs: MethodInputs) -> Tensor:
    """[B, classes, T] each frame's share of what speaks for a class; a clip's sum is one.

    That is how far its logit lies above what says nothing, or zero where it lies below: above the
    mean of all classes where these share one softmax, above zero where each class is by itself, and
    of a raw value, whose zero means nothing, above the lowest frame's. In a clip of which no frame
    speaks for the class, all frames have the same.
    """
    logits = method_inputs.captured[FRAME_LOGITS.name, 0].float()  # [B, T, classes]
    nothing = {
        "softmax": logits.mean(dim=2, keepdim=True),
        "sigmoid": logits.new_zeros(()),
        "identity": logits.amin(dim=1, keepdim=True),
    }[method_inputs.output]
    speaks = (logits - nothing).clamp_min(0).transpose(1, 2)  # [B, classes, T]
    whole = speaks.sum(dim=2, keepdim=True)
    return torch.where(whole > 0, speaks / whole, 1 / logits.shape[1])
