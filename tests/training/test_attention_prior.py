"""Leading heads: who sees what, and that nothing of it stays."""

from __future__ import annotations

import pytest
import torch

from staa_cli.models.families.videomae import module as videomae
from staa_cli.models.families.videomae.module import VideoMAE
from staa_cli.models.families.vjepa2 import module as vjepa2
from staa_cli.training.attention_prior import PriorAttention, lead, led_to
from staa_cli.training.recipes import default_recipe

GRID = (2, 2, 2)


def model() -> VideoMAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return videomae.test_videomae(
            num_frames=4, img_size=16, num_heads=2, attn_layer=PriorAttention
        )


def test_the_first_heads_see_their_place_some_their_frame_and_the_last_everything() -> None:
    places, frames, everything = led_to(GRID, 3, torch.device("cpu"))
    assert places[1].nonzero()[:, 0].tolist() == [1, 5]  # the second place, in both frames
    assert frames[1].nonzero()[:, 0].tolist() == [0, 1, 2, 3]
    assert everything.all()
    six = led_to(GRID, 6, torch.device("cpu"))
    assert [torch.equal(six[head], six[head + 1]) for head in (0, 2, 4)] == [True] * 3


def test_a_class_token_sees_all_and_is_seen_by_all() -> None:
    seen = led_to(GRID, 3, torch.device("cpu"), prefix=1)
    assert seen.shape == (3, 9, 9)
    assert seen[:, 0].all()
    assert seen[:, :, 0].all()
    assert torch.equal(seen[:, 1:, 1:], led_to(GRID, 3, torch.device("cpu")))


def test_without_a_lead_positions_turn_queries_and_keys_as_ever() -> None:
    torch.manual_seed(0)
    module = vjepa2.test_vjepa2(attn_layer=PriorAttention).eval()
    clip = torch.rand(1, module.num_frames, 3, *module.img_size)
    plain = module(clip)
    lead(module.attention_layers().values(), module.grid_size, 1e-9)
    torch.testing.assert_close(module(clip), plain)


def test_a_whole_lead_hides_what_is_not_to_be_seen_and_none_changes_nothing() -> None:
    module = model()
    clip = torch.rand(1, 4, 3, 16, 16)
    plain = module(clip)
    lead(module.attention_layers().values(), GRID, 1e4)
    tokens = torch.rand(1, 8, module.embed_dim, requires_grad=True)
    seen = module.blocks[0].attn(tokens)[0, 1].sum()
    (gradient,) = torch.autograd.grad(seen, tokens)
    # Two heads: the first sees its own place, 1 and 5, the second its own frame, 0 to 3.
    assert gradient[0].abs().sum(dim=1).nonzero()[:, 0].tolist() == [0, 1, 2, 3, 5]
    assert not torch.allclose(module(clip), plain)
    lead(module.attention_layers().values(), GRID, 1e-9)
    torch.testing.assert_close(module(clip), plain)
    lead(module.attention_layers().values(), GRID, 0.0)
    assert torch.equal(module(clip), plain)


def test_a_recipe_takes_its_lead_back() -> None:
    recipe = default_recipe(1000, "videomae_tiny_events")
    assert [recipe.lead_at(step) for step in (0, 100, 200, 300, 999)] == [1, 1, 0.5, 0, 0]
    divided = default_recipe(600, "timesformer_tiny_events")
    assert not any(divided.lead_at(step) for step in range(600))


def test_axes_need_a_width_that_divides() -> None:
    with pytest.raises(ValueError, match="multiple of 6"):
        videomae.test_videomae(positions="axes")(torch.rand(1, 4, 3, 32, 32))
