"""Embed a frame once, although it is in several clips.

A model whose layer embeds every frame by itself names it as `frame_embedding`. While
`FrameEmbeddings.of` is active, that layer embeds only frames that it has not embedded before. As
with taps, a context variable tells it so: nothing is left on the module, and other threads do not
notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

Embed = Callable[[Tensor], Tensor]
"""Frames [T, 3, H, W] to tokens [T, P, D]."""


class FrameEmbeddings:
    """Embeddings of the latest frames of a stream; used by one thread at a time.

    The numbers are those of a whole clip, bit for bit: whether a library gives the same for some
    frames as for all of them is tried once for every number of frames.

    Args:
        module: whose frames; one that does not embed them one by one always embeds all.
    """

    def __init__(self, module: nn.Module) -> None:
        self._layer: object = getattr(module, "frame_embedding", None)
        self._known: dict[int, Tensor] = {}
        self._is_same: dict[int, bool] = {}
        """By how many frames are embedded together, whether it is as if all were."""
        self._numbers: Sequence[int] = ()

    @contextmanager
    def of(self, numbers: Sequence[int]) -> Iterator[None]:
        """Within the block, each pass is of one clip with the frames of these numbers [T]."""
        self._numbers = numbers
        token = _ACTIVE.set(self)
        try:
            yield
        finally:
            _ACTIVE.reset(token)

    def forget(self, first: int) -> None:
        """Forget frames with lower numbers."""
        self._known = {number: row for number, row in self._known.items() if number >= first}

    def serves(self, layer: nn.Module, frames: Tensor) -> bool:
        """Whether a layer may be given what is known of these frames [T, 3, H, W].

        Gradients need the whole graph. On a GPU, embedding takes no time that matters.
        """
        return (
            layer is self._layer
            and len(frames) == len(self._numbers)
            and frames.device.type == "cpu"
            and not torch.is_grad_enabled()
        )

    def embed(self, frames: Tensor, embed: Embed) -> Tensor:
        """Tokens of the frames, of which only those that are new go through `embed`."""
        places = {number: place for place, number in enumerate(self._numbers)}
        new = [number for number in places if number not in self._known]
        is_same = self._is_same.get(len(new))
        if is_same is not False:
            if new:
                rows = embed(frames[[places[number] for number in new]])
                self._known |= zip(new, rows, strict=True)
            tokens = torch.stack([self._known[number] for number in self._numbers])
            if is_same or not new:
                return tokens
        whole = embed(frames)
        self._known |= zip(self._numbers, whole, strict=True)
        if is_same is None:
            self._is_same[len(new)] = torch.equal(tokens, whole)
        return whole


_ACTIVE: ContextVar[FrameEmbeddings | None] = ContextVar("staa_frame_embeddings", default=None)


def embed_new(layer: nn.Module, frames: Tensor, embed: Embed) -> Tensor:
    """Tokens [T, P, D] of frames [T, 3, H, W], by `embed` where they are not known yet.

    Called in the forward pass of a layer.
    """
    if torch.compiler.is_compiling():
        return embed(frames)
    active = _ACTIVE.get()
    if active is None or not active.serves(layer, frames):
        return embed(frames)
    return active.embed(frames, embed)
