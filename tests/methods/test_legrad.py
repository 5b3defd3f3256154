"""LeGrad against whole matrices in a model whose blocks are cut apart, and one backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from attention_matrices import matrices, of_role
from attention_oracles import B, T, h, tiny, w
from attention_oracles import clips as tiny_clips
from attention_oracles import explain as explain_tiny
from small_models import FRAMES, TARGET, clips, explain, model
from torch import Tensor

from staa_cli.errors import UsageError

ReadOut = Callable[[Any, Tensor], Tensor]


def of_frames(module: Any, tokens: Tensor) -> Tensor:
    logits = module.vit.forward_head(module.vit.norm(tokens))
    return logits.reshape(-1, module.num_frames, logits.shape[-1]).mean(dim=1)


READ_OUTS: dict[str, ReadOut] = {
    "test_videomae": lambda module, x: module.head(module.fc_norm(x.mean(dim=1))),
    "test_videomae-scaled": lambda module, x: module.head(module.fc_norm(x.mean(dim=1))),
    "test_videomae-token": lambda module, x: module.head(module.norm(x)[:, 0]),
    "test_vivit": lambda module, x: module.head(module.norm(x)[:, 0]),
    "test_timesformer": lambda module, x: module.head(module.norm(x)[:, 0]),
    **dict.fromkeys(FRAMES, of_frames),
}
"""What the model makes of the tokens of its last block, written out."""


def cut_apart(module: Any, inputs: Tensor, read_out: ReadOut, target: int) -> list[Tensor]:
    """Gradients of every block's own logit by its attention over space, [rows, heads, N, N].

    No gradient leaves a block: its input is cut from the graph, and so all of them come at once.
    """
    logits: list[Tensor] = []

    def cut(_block: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            each.detach().requires_grad_() if isinstance(each, Tensor) else each for each in given
        )

    def read(_block: Any, _given: Any, out: Any) -> None:
        # A divided block leaves the class token and the patches [B, P, T, D].
        tokens = out if isinstance(out, Tensor) else torch.cat([out[0], out[1].flatten(1, 2)], 1)
        logits.append(read_out(module, tokens)[:, target].sum())

    handles = [block.register_forward_pre_hook(cut) for block in module.blocks]
    handles += [block.register_forward_hook(read) for block in module.blocks]
    with matrices(module) as kept:
        module(inputs)
    for handle in handles:
        handle.remove()
    torch.stack(logits).sum().backward()
    role = "joint" if module.layout().kind == "joint" else "spatial"
    return [matrix.grad for matrix in of_role(kept, role)]  # type: ignore[misc]


def expected(gradients: list[Tensor], pooling: str, prefix: int) -> Tensor:
    """Mean over blocks, heads, and queries: the pooled token's, or all patches'."""
    slopes = [gradient.clamp_min(0).mean(dim=1) for gradient in gradients]
    rows = [each[:, prefix:].mean(dim=1) if pooling == "mean" else each[:, 0] for each in slopes]
    return torch.stack(rows).mean(dim=0)[:, prefix:]


@pytest.mark.parametrize("kind", READ_OUTS)
def test_each_block_answers_for_itself(kind: str) -> None:
    module, layout = model(kind), model(kind).layout()
    gradients = cut_apart(module, clips(kind), READ_OUTS[kind], TARGET)
    if layout.pooling != "mean":  # what the method leaves out: other rows say nothing
        assert all((gradient[:, :, 1:] == 0).all() for gradient in gradients)
    wanted = expected(gradients, layout.pooling, layout.prefix_tokens)
    found = explain("legrad", kind)
    np.testing.assert_allclose(
        found.values, wanted.reshape(found.values.shape), rtol=1e-4, atol=1e-8
    )
    assert found.passes_per_clip == 3


def test_where_the_mean_of_the_frames_tokens_is_read() -> None:
    """And where the patches come row by row, time running fastest."""
    module = tiny("space")
    gradients = cut_apart(
        module,
        tiny_clips(),
        lambda module, x: module.head(module.norm(x.reshape(B, T, *x.shape[1:]).mean(dim=1))[:, 0]),
        TARGET,
    )
    wanted = expected(gradients, "cls", 1).reshape(B, T, h, w)
    found = explain_tiny(module, tiny_clips(), "legrad", target=TARGET).values
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-8)
    module = tiny("joint")
    gradients = cut_apart(module, tiny_clips(), READ_OUTS["test_timesformer"], TARGET)
    wanted = expected(gradients, "cls", 1).reshape(B, h, w, T).permute(0, 3, 1, 2)
    found = explain_tiny(module, tiny_clips(), "legrad", target=TARGET).values
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-8)


def test_of_the_last_block_it_is_the_gradient_of_the_models_own_logit() -> None:
    for kind in ("test_videomae", "test_timesformer", "frames", "test_vjepa2"):
        found, own = (
            explain(name, kind, layers="last").values for name in ("legrad", "attention-gradient")
        )
        np.testing.assert_allclose(found, own, rtol=1e-4, atol=1e-9)


def test_a_model_that_does_not_show_its_blocks_is_told() -> None:
    from attention_oracles import Joint

    with pytest.raises(UsageError, match="the block layer of block 0"):
        explain_tiny(Joint("token", "thw"), tiny_clips(), "legrad")
