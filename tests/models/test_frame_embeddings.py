"""Frames that several clips share are embedded once, and no number changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from staa_cli.methods import Options, get_method
from staa_cli.methods.run import Explained, explain_batch
from staa_cli.models.frame_embeddings import FrameEmbeddings, embed_new
from staa_cli.models.load import LoadedModel, load_model


class Counting(nn.Module):
    """A model that is nothing but an embedding, and notes how many frames that gets.

    Args:
        unlike: number of frames for which the last bits are others, as a library's may be.
    """

    def __init__(self, unlike: int = 0) -> None:
        super().__init__()
        self.unlike = unlike
        self.sizes: list[int] = []

    @property
    def frame_embedding(self) -> nn.Module:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return embed_new(self, x, self.embed)

    def embed(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        return x * (1.0 + 2e-7 * (len(x) == self.unlike))


def passes(module: Counting, known: FrameEmbeddings, *clips: Sequence[int]) -> list[list[int]]:
    """Sizes that are embedded in a pass of each clip, given by the numbers of its frames."""
    sizes, frames = [], torch.arange(120.0).reshape(20, 2, 3)
    for numbers in clips:
        module.sizes.clear()
        with torch.inference_mode(), known.of(numbers):
            assert torch.equal(module(frames[list(numbers)]), frames[list(numbers)])
        sizes.append(module.sizes.copy())
    return sizes


def test_each_frame_is_embedded_once() -> None:
    module = Counting()
    known = FrameEmbeddings(module)
    clips = [range(4), range(1, 5), range(2, 6), range(4, 8), range(6, 10), range(3, 7)]
    # A number of frames that is new is compared with all of them, once.
    assert passes(module, known, *clips) == [[4, 4], [1, 4], [1], [2, 4], [2], []]
    known.forget(5)
    assert passes(module, known, range(4, 8)) == [[1]]


def test_a_clip_may_repeat_its_last_frame() -> None:
    module = Counting()
    assert passes(module, FrameEmbeddings(module), [0, 1, 2, 2], [1, 2, 3, 3]) == [[3, 4], [1, 4]]


def test_where_few_frames_give_other_bits_all_are_embedded() -> None:
    module = Counting(unlike=1)
    known = FrameEmbeddings(module)
    clips = [range(4), range(1, 5), range(2, 6), range(4, 8), range(6, 10), range(7, 11)]
    assert passes(module, known, *clips) == [[4, 4], [1, 4], [4], [2, 4], [2], [4]]


def test_clips_of_another_length_and_other_layers_are_not_served() -> None:
    module, other = Counting(), Counting()
    frames, known = torch.randn(4, 2, 3), FrameEmbeddings(module)
    with torch.inference_mode():
        with known.of(range(4)):
            module(frames)
            module.sizes.clear()
            module(torch.cat([frames, frames]))  # two clips
            other(frames)
        module(frames)  # after the block
    assert (module.sizes, other.sizes) == ([8, 4], [4])


def frames_of(model: LoadedModel, count: int) -> Tensor:
    """Frames [count, 3, h, w]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, *model.input.size, generator=generator)


@pytest.mark.parametrize("name", ["tiny-events", "test_timesformer", "zoo:framewise-cls"])
def test_logits_are_the_same_bit_for_bit(name: str) -> None:
    model = load_model(name)
    length, known = model.input.frames, FrameEmbeddings(model.module)
    frames = frames_of(model, length + 6)
    with torch.inference_mode():
        for first in (0, 1, 2, 4, 6, 5):
            clip = frames[first : first + length][None]
            with known.of(range(first, first + length)):
                found = model.module(clip)
            assert torch.equal(found, model.module(clip))


def explained(model: LoadedModel, name: str, clip: Tensor, known: object = None) -> Explained:
    return explain_batch(
        model.module,
        model.layout,
        clip,
        get_method(name),
        Options(samples=6),
        target=1,
        given=model.input,
        first_pass=known,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", ["staa-class", "occlusion", "frame-drop", "input-x-gradient"])
def test_altered_copies_and_gradients_are_embedded_anew(name: str) -> None:
    model = load_model("test_timesformer")
    length, known = model.input.frames, FrameEmbeddings(model.module)
    frames = frames_of(model, length + 2)
    for first in (0, 2):
        clip = frames[first : first + length][None]
        found = explained(model, name, clip, known.of(range(first, first + length)))
        plain = explained(model, name, clip)
        assert (found.values == plain.values).all()
        assert (found.scores == plain.scores).all()


def test_a_model_of_tubelets_embeds_whole_clips() -> None:
    model = load_model("tiny-events-joint")
    frames, known = frames_of(model, model.input.frames)[None], FrameEmbeddings(model.module)
    with torch.inference_mode():
        plain = model.module(frames)
        for _ in range(2):
            with known.of(range(model.input.frames)):
                assert torch.equal(model.module(frames), plain)
