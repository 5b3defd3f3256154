"""Rollout against products of whole matrices over all 1 + T*P tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_oracles import KINDS, Array, B, Layer, P, T, clips, explain, h, tiny, w, watch

from staa_cli.methods.attention.rollout import Rollout


def token(t: int, p: int) -> int:
    return 1 + t * P + p


def steps(
    seen: dict[tuple[str, int], Layer], kind: str, block: int, b: int, identity: float = 0.5
) -> list[Array]:
    """A block's steps, the last one first: each a matrix [1 + T*P, 1 + T*P] whose rows sum to one.

    Of the class token there is one; in every frame it has a copy, of which the mean is kept.
    """
    if kind == "joint":
        model_order = [0] + [1 + p * T + t for t in range(T) for p in range(P)]
        attention = seen["joint", block].attention.mean(axis=1)[b]
        return [mixed(attention[np.ix_(model_order, model_order)], identity)]
    space = np.zeros((1 + T * P, 1 + T * P))
    time = np.eye(1 + T * P)
    for t in range(T):
        rows = seen["spatial", block].attention.mean(axis=1)[b * T + t]  # [1+P, 1+P]
        frame = [0] + [token(t, p) for p in range(P)]
        space[0, frame] += rows[0] / T
        for p in range(P):
            space[token(t, p), frame] = rows[1 + p]
    if kind == "space":
        return [mixed(space, identity)]
    for p, t, s in np.ndindex(P, T, T):
        maps = seen["temporal", block].attention.mean(axis=1)
        time[token(t, p), token(s, p)] = maps[b * P + p, t, s]
    return [mixed(space, identity), mixed(time, identity)]


def mixed(attention: Array, identity: float = 0.5) -> Array:
    np.testing.assert_allclose(attention.sum(axis=1), 1.0, rtol=1e-9)
    return (1 - identity) * attention + identity * np.eye(len(attention))


@pytest.mark.parametrize("kind", ["divided", "joint"])
@pytest.mark.parametrize(("layers", "blocks"), [("default", [1, 0]), ((1,), [1])])
@pytest.mark.parametrize("identity", [None, 0.7])
def test_rollout_is_the_product_of_the_steps(
    kind: str,
    layers: Any,
    blocks: list[int],
    identity: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if identity is not None:
        monkeypatch.setattr(Rollout, "identity", identity)
    module = tiny(kind)
    seen, _, _ = watch(module, clips())
    found = explain(module, clips(), "rollout", layers=layers)
    for b in range(B):
        product = np.eye(1 + T * P)
        for block in blocks:
            for step in steps(seen, kind, block, b, identity or 0.5):
                product = product @ step
        row = product[0]  # of the class token
        np.testing.assert_allclose(found.values[b].ravel(), row[1:], rtol=1e-4)
        assert found.cls_self_mass[b] == pytest.approx(row[0], rel=1e-4)


def test_space_only_keeps_a_class_token_a_frame() -> None:
    module = tiny("space")
    seen, _, _ = watch(module, clips())
    found = explain(module, clips(), "rollout")
    for b, t in np.ndindex(B, T):
        first, second = (
            mixed(seen["spatial", block].attention.mean(axis=1)[b * T + t]) for block in (0, 1)
        )
        row = (second @ first)[0]
        np.testing.assert_allclose(found.values[b, t].ravel(), row[1:] / T, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_on_the_way(kind: str) -> None:
    found = explain(tiny(kind), clips(), "rollout")
    assert found.values.shape == (B, T, h, w)
    whole = found.values.sum(axis=(1, 2, 3)) + np.array(found.cls_self_mass)
    np.testing.assert_allclose(whole, 1.0, rtol=1e-5)
