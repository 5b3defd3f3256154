"""Parts of a logit against what the last attention layer writes, written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_oracles import Array, B, P, T, clips, explain, h, moved, tiny, w, watch

KINDS = ("divided", "joint")
TARGET = 3


def part_of_logit(module: Any, token: Array, written: Array) -> float:
    """What a vector that is added to `token` adds to the logit, were the norm's scale to stay."""
    gamma, row = module.norm.weight.double().numpy(), module.head.weight[TARGET].double().numpy()
    scale = np.sqrt(token.var() + module.norm.eps)
    return float(row @ (gamma * (written - written.mean()) / scale))


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_itself_gives_the_whole_logit(kind: str) -> None:
    module = tiny(kind)
    _, final, logits = watch(module, clips())
    for b in range(B):
        constant = module.head.weight[TARGET] @ module.norm.bias + module.head.bias[TARGET]
        whole = part_of_logit(module, final[b, 0], final[b, 0]) + float(constant)
        assert whole == pytest.approx(logits[b, TARGET], rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layers", "blocks"), [("default", [1]), ("all", [0, 1]), ((0,), [0])])
def test_every_token_has_its_part(kind: str, layers: Any, blocks: list[int]) -> None:
    module = tiny(kind)
    seen, final, _ = watch(module, clips())
    found = explain(module, clips(), "staa-logit", target=TARGET, layers=layers)
    for b, t, p in np.ndindex(B, T, P):
        if kind == "joint":
            written: Any = sum(moved(seen["joint", n], b, 1 + p * T + t) for n in blocks)
        else:
            written = sum(moved(seen["spatial", n], b * T + t, 1 + p) for n in blocks) / T
        part = part_of_logit(module, final[b, 0], np.asarray(written))
        assert found.values[b, t, p // w, p % w] == pytest.approx(part, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_add_up_to_what_the_layer_writes(kind: str) -> None:
    module = tiny(kind)
    seen, final, _ = watch(module, clips())
    layer = seen["joint" if kind == "joint" else "spatial", 1]
    rows = len(layer.written) // B  # one a clip, or one a frame
    found = explain(module, clips(), "staa-logit", target=TARGET)
    for b in range(B):
        mine = range(b * rows, (b + 1) * rows)
        written = np.mean([layer.written[row, 0] for row in mine], axis=0)
        own = np.mean([moved(layer, row, 0) for row in mine], axis=0)
        whole, kept, bias = (
            part_of_logit(module, final[b, 0], x) for x in (written, own, layer.bias)
        )
        assert found.values[b].sum() == pytest.approx(whole - kept - bias, rel=1e-3, abs=1e-5)
        assert min(abs(kept), abs(bias)) > 1e-4  # or leaving them out would not show


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_speaks_against_has_the_other_sign(kind: str) -> None:
    module = tiny(kind)
    before = explain(module, clips(), "staa-logit", target=TARGET).values
    module.head.weight[TARGET] *= -1
    after = explain(module, clips(), "staa-logit", target=TARGET).values
    np.testing.assert_array_equal(after, -before)
    assert (before > 0).any()
    assert (before < 0).any()
    assert before.shape == (B, T, h, w)
