"""Perturbation methods against Captum, brute force, and models whose answer is known."""

from __future__ import annotations

import builtins
import gc
import weakref
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, Occlusion, ShapleyValues
from captum.attr import KernelShap as CaptumKernelShap
from small_models import TARGET, clips, explain, model
from torch import Tensor, nn

from staa_cli.errors import UnavailableError, UsageError
from staa_cli.methods import Options, get_method
from staa_cli.methods.perturbation.base import (
    PerturbedClip,
    draw_seed,
    feature_mask,
    gaussian_blur,
    over_pixels,
    over_tokens,
    perturbations_per_pass,
    replacement_for,
)
from staa_cli.methods.perturbation.captum import over_features
from staa_cli.methods.perturbation.rise import draw, soft_masks
from staa_cli.methods.perturbation.shapley import coalitions, exact_shapley
from staa_cli.methods.perturbation.surrogates import CELLS, nearness
from staa_cli.methods.run import Explained, explain_batch
from staa_cli.schema import AttentionLayout, ModelInput

GRID = (4, 4, 4)
CLIP = torch.zeros(1)


class Additive(nn.Module):
    """Probability of class 1 is the sum of what each token of a clip adds, if it is white."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights, self.most = weights, 0
        frames, height, width = weights.shape
        self.grid = frames, height, width

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        return {}

    def forward(self, x: Tensor) -> Tensor:
        self.most = max(self.most, len(x))
        white = over_tokens(x[:, :, 0], self.grid) / (2 * 4 * 4)
        p = (white * self.weights).sum(dim=(1, 2, 3)).clamp(1e-6, 1 - 1e-6)
        return torch.stack([torch.log1p(-p), torch.log(p)], dim=1)


LAYOUT = AttentionLayout("joint", "mean", GRID, tubelet=2, depth=1, prefix_tokens=0)
HALF = (0.5, 0.5, 0.5)
GIVEN = ModelInput(8, (16, 16), stride=1, rate=4.0, mean=HALF, std=HALF, resize=16)


def ask(name: str, weights: Tensor, count: int = 1, **options: Any) -> Explained:
    """What a method says of a white clip, where black counts for nothing."""
    frames, height, width = weights.shape
    white = torch.ones(count, 2 * frames, 3, 4 * height, 4 * width)
    layout = replace(LAYOUT, grid=(frames, height, width))
    given = ModelInput(8, (16, 16), 1, 4.0, mean=(0.0,) * 3, std=(1.0,) * 3, resize=16)
    method = get_method(name)
    chosen = Options(**{"replacement": "black", **options})
    return explain_batch(Additive(weights), layout, white, method, chosen, target=1, given=given)


def spots(seed: int = 0) -> Tensor:
    """What tokens add; half of it is at one token, and most add nothing."""
    weights = torch.zeros(GRID)
    generator = torch.Generator().manual_seed(seed)
    weights.view(-1)[torch.randperm(64, generator=generator)[:6]] = 0.06
    weights[2, 1, 3] = 0.45
    return weights


@pytest.mark.parametrize(("size", "kernel"), [((32, 40), 13), ((33, 15), 29), ((6, 8), 3)])
def test_the_blur_is_torchvisions(size: tuple[int, int], kernel: int) -> None:
    from torchvision.transforms.functional import gaussian_blur as theirs

    pictures = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(4))
    wanted = theirs(pictures, [kernel, kernel], [2.1, 2.1])
    assert torch.equal(gaussian_blur(pictures, kernel, 2.1), wanted)


def test_removed_is_a_still_blur_a_mean_color_or_black() -> None:
    clip = torch.randn(2, 4, 3, 32, 32)
    blurred = replacement_for(clip, "blur")
    assert blurred.shape == clip.shape
    assert torch.equal(blurred[:, 0], blurred[:, 3])
    assert blurred.std() < 0.1 * clip.std()
    torch.testing.assert_close(blurred.mean(), clip.mean(), rtol=0, atol=0.01)
    flat = replacement_for(clip, "mean")
    assert flat[1, :, 2].unique().item() == pytest.approx(clip[1, :, 2].mean().item(), abs=1e-6)
    assert replacement_for(clip, "black", GIVEN).unique().tolist() == [-1.0]
    with pytest.raises(UsageError, match="black"):
        replacement_for(clip, "black")
    with pytest.raises(UsageError, match="'hole'") as caught:
        replacement_for(clip, "hole")
    assert "blur, mean, black, noise" in str(caught.value.hint)


def test_noise_has_the_colors_of_its_clip_and_depends_on_its_seed_alone() -> None:
    spread = torch.tensor([0.5, 1.0, 2.0])[:, None, None]
    clips = 3.0 + spread * torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    noise = replacement_for(clips, "noise", seeds=(7, 8))
    for dims in ((1, 3, 4),):
        torch.testing.assert_close(noise.mean(dims), clips.mean(dims), rtol=0, atol=0.1)
        torch.testing.assert_close(noise.std(dims), clips.std(dims), rtol=0.05, atol=0)
    both = torch.stack([noise[0].flatten(), clips[0].flatten()])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.6  # of the channels' spread alone
    assert torch.equal(replacement_for(clips[1:], "noise", seeds=(8,)), noise[1:])
    assert not torch.equal(replacement_for(clips[1:], "noise", seeds=(7,)), noise[1:])


def test_a_clip_under_the_replacement_that_it_has_is_the_clip_itself() -> None:
    clip = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    perturbed = PerturbedClip(
        Additive(spots()), clip, replacement_for(clip[None], "mean")[0], GRID, target=1, seed=5
    )
    assert perturbed.under("mean") is perturbed
    noisy = perturbed.under("noise")
    assert noisy is perturbed.under("noise")
    assert torch.equal(noisy.replacement, replacement_for(clip[None], "noise", seeds=[5])[0])


def test_tokens_and_their_pixels() -> None:
    values = torch.arange(8.0).reshape(1, 2, 2, 2)
    pixels = over_pixels(values, torch.zeros(4, 3, 6, 4))
    assert pixels.shape == (1, 4, 1, 6, 4)
    assert pixels[0, 3, 0, 5, 0] == values[0, 1, 1, 0]
    assert torch.equal(over_tokens(pixels[:, :, 0], (2, 2, 2)), values * 2 * 3 * 2)


@pytest.mark.parametrize("grid", [(8, 14, 14), (3, 4, 7), (1, 16, 5), (5, 5, 5)])
def test_features_part_the_grid(grid: tuple[int, int, int]) -> None:
    numbers = feature_mask(grid, (4, 4, 4))
    assert numbers.shape == grid
    assert sorted(numbers.unique().tolist()) == list(range(int(numbers.max()) + 1))
    for number in numbers.unique():
        places = (numbers == number).nonzero()
        extent = places.max(dim=0).values - places.min(dim=0).values + 1
        assert extent.prod() == len(places)  # a box
    for axis in range(3):
        line = numbers.movedim(axis, 0)[:, 0, 0]
        assert len(line.unique()) <= 4


def test_shapley_values_are_the_mean_over_all_orders() -> None:
    worth = torch.rand(16, dtype=torch.float64)
    index = {tuple(row): n for n, row in enumerate(coalitions(4).tolist())}
    wanted = np.zeros(4)
    for order in permutations(range(4)):
        members = [0, 0, 0, 0]
        for player in order:
            before = worth[index[tuple(members)]]
            members[player] = 1
            wanted[player] += float(worth[index[tuple(members)]] - before) / 24
    np.testing.assert_allclose(exact_shapley(worth), wanted, rtol=1e-9)


def by_frame(kind: str) -> Tensor:
    frames = clips(kind).shape[1]
    tubelet = model(kind).layout().tubelet
    return (torch.arange(frames) // tubelet)[None, :, None, None, None]


@pytest.mark.parametrize("kind", ["test_timesformer", "test_videomae"])
@pytest.mark.parametrize(
    ("name", "captums"), [("frame-drop", FeatureAblation), ("frame-shapley", ShapleyValues)]
)
def test_values_of_frames_are_captums(kind: str, name: str, captums: Any) -> None:
    module, inputs = model(kind), clips(kind)

    def probability(x: Tensor) -> Tensor:
        return module(x).softmax(dim=1)[:, TARGET]

    with torch.no_grad():
        wanted = captums(probability).attribute(
            inputs, baselines=replacement_for(inputs, "blur"), feature_mask=by_frame(kind)
        )
    found = explain(name, kind)
    frames, _height, _width = model(kind).layout().grid
    np.testing.assert_allclose(
        found.values.sum(axis=(2, 3)),
        wanted[:, :: inputs.shape[1] // frames, 0, 0, 0],
        rtol=1e-3,
        atol=1e-6,
    )
    assert np.ptp(found.values, axis=(2, 3)).max() < 1e-9
    copies = 2**frames if name == "frame-shapley" else 1 + frames
    assert found.passes_per_clip == 1 + copies


def test_sampled_shapley_values_come_near_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from staa_cli.methods.perturbation import frame_removal

    exact = ask("frame-shapley", spots()).values
    monkeypatch.setattr(frame_removal, "EXACT", 2)
    found = ask("frame-shapley", spots(), samples=80)
    np.testing.assert_allclose(found.values, exact, atol=1e-4)  # it is additive: any order will do
    np.testing.assert_allclose(found.values.sum(), float(spots().sum()), rtol=1e-3)
    assert found.passes_per_clip == 1 + 80


def test_occlusion_is_what_each_tube_adds() -> None:
    found = ask("occlusion", spots(), count=2)
    np.testing.assert_allclose(found.values[1], spots(), atol=1e-5)
    assert found.passes_per_clip == 1 + 1 + 64


@pytest.mark.parametrize("kind", ["test_timesformer", "test_videomae"])
def test_occlusion_is_captums_over_pixels(kind: str) -> None:
    module, inputs = model(kind), clips(kind)
    frames, height, width = module.layout().grid
    window = (len(inputs[0]) // frames, 3, inputs.shape[3] // height, inputs.shape[4] // width)
    with torch.no_grad():
        pixels = Occlusion(lambda x: module(x).softmax(dim=1)[:, TARGET]).attribute(
            inputs, window, strides=window, baselines=replacement_for(inputs, "blur")
        )
    wanted = pixels[:, :: window[0], 0, :: window[2], :: window[3]]
    np.testing.assert_allclose(explain("occlusion", kind).values, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["test_timesformer", "test_videomae"])
def test_kernel_shap_is_captums_over_pixels_with_the_same_draw(kind: str) -> None:
    module, (clip, *_) = model(kind), clips(kind)
    numbers = feature_mask(module.layout().grid, CELLS)
    torch.manual_seed(draw_seed(7, 0))
    weights = CaptumKernelShap(lambda x: module(x).softmax(dim=1)[:, TARGET]).attribute(
        clip[None],
        baselines=replacement_for(clip[None], "blur"),
        feature_mask=over_pixels(numbers[None].float(), clip).long(),
        n_samples=200,
        return_input_shape=False,
    )
    wanted = (weights[0] / numbers.flatten().bincount())[numbers]
    found = explain("kernel-shap", kind, samples=200, seed=7).values[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def test_occlusion_shares_a_tubes_value_among_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    from staa_cli.methods.perturbation import occlusion

    monkeypatch.setattr(occlusion, "CELLS", 2)
    found = ask("occlusion", spots()).values[0]
    wanted = spots().reshape(4, 2, 2, 2, 2).mean(dim=(2, 4))
    np.testing.assert_allclose(found[:, ::2, ::2], wanted, atol=1e-5)


def test_a_tube_that_the_edge_cuts_shares_its_value_among_the_tokens_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from staa_cli.methods.perturbation import occlusion

    monkeypatch.setattr(occlusion, "CELLS", 2)
    weights = torch.full((2, 5, 5), 0.016)  # features of three places and of two
    np.testing.assert_allclose(ask("occlusion", weights).values[0], weights, atol=1e-6)


def test_a_copy_counts_less_the_more_it_lacks_as_in_lime_image() -> None:
    from sklearn.metrics import pairwise_distances

    kept = (np.random.default_rng(0).random((20, 64)) < np.linspace(0, 1, 20)[:, None]) * 1
    kept[-1] = 1
    distances = pairwise_distances(kept, kept[-1:], metric="cosine").ravel()
    wanted = np.sqrt(np.exp(-(distances**2) / 0.25**2))
    found = [float(nearness(CLIP, CLIP, torch.from_numpy(row)[None])) for row in kept]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert found[0] < 0.01 < 0.999 < found[-1]


@pytest.mark.parametrize("name", ["kernel-shap", "lime"])
def test_samples_that_cannot_tell_the_tubes_apart_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="64 features with 65 samples") as caught:
        ask(name, spots(), samples=65)
    assert "at least 66" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["rise", "kernel-shap", "lime"])
def test_every_clip_has_its_own_draw(name: str) -> None:
    first, second = ask(name, spots(), count=2, samples=80).values
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["kernel-shap", "lime"])
def test_surrogates_find_what_each_tube_adds(name: str) -> None:
    found = ask(name, spots(), samples=400).values[0]
    near = {"kernel-shap": 0.01, "lime": 0.05}[name]  # ridge shrinks
    np.testing.assert_allclose(found, spots(), atol=near)
    assert found.argmax() == spots().argmax()


class Worth(nn.Module):
    """Two raw outputs; the second is a constant and what each white token adds to it."""

    def __init__(self, weights: Tensor, constant: float) -> None:
        super().__init__()
        self.weights, self.constant = weights, constant

    def attention_layers(self) -> dict[tuple[str, int], nn.Module]:
        return {}

    def forward(self, x: Tensor) -> Tensor:
        white = over_tokens(x[:, :, 0], GRID) / (2 * 4 * 4)
        value = self.constant + (white * self.weights).sum(dim=(1, 2, 3))
        return torch.stack([torch.full_like(value, 1e3), value], dim=1)


def ask_value(name: str, weights: Tensor, constant: float) -> Explained:
    """What a method says of a white clip's value, where black counts for nothing."""
    given = ModelInput(8, (16, 16), 1, 4.0, mean=(0.0,) * 3, std=(1.0,) * 3, resize=16)
    return explain_batch(
        Worth(weights, constant), LAYOUT, torch.ones(1, 8, 3, 16, 16), get_method(name),
        Options(replacement="black", samples=600), target=1, given=given, output="identity",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["occlusion", "frame-drop", "frame-shapley"])
@pytest.mark.parametrize("constant", [-40.0, 7.5])
def test_of_a_raw_value_each_part_gets_what_it_adds(name: str, constant: float) -> None:
    """To values of any size and sign; what the other output says has no part in it."""
    weights = 3 * torch.randn(GRID, generator=torch.Generator().manual_seed(2))
    found = ask_value(name, weights, constant)
    assert found.scores[0].tolist() == [1e3, pytest.approx(constant + float(weights.sum()))]
    values = torch.from_numpy(found.values[0])
    if name.startswith("frame"):
        weights, values = (each.sum(dim=(1, 2)) for each in (weights, values))
    torch.testing.assert_close(values, weights, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["rise", "kernel-shap", "lime"])
def test_what_is_said_of_a_raw_value_does_not_know_where_its_zero_lies(name: str) -> None:
    low, high = (ask_value(name, spots() * 9, c).values[0] for c in (-100.0, 100.0))
    np.testing.assert_allclose(low, high, atol=1e-3)
    assert np.unravel_index(low.argmax(), GRID) == (2, 1, 3)


def test_rise_of_a_raw_value_is_signed() -> None:
    found = ask_value("rise", spots() * 9, 0.0).values[0]
    assert found.min() < 0 < found.max()
    assert not get_method("rise").is_signed("softmax")
    assert get_method("rise").is_signed("identity")


def test_of_each_class_by_itself_the_sigmoid_is_asked_for() -> None:
    perturbed = PerturbedClip(
        Worth(spots(), -1.0), torch.ones(8, 3, 16, 16), torch.zeros(1), GRID, target=1
    )
    logit = -1.0 + float(spots().sum())
    wanted = {"sigmoid": 1 / (1 + np.exp(-logit)), "identity": logit, "softmax": 0.0}
    for output, score in wanted.items():
        asked = replace(perturbed, output=output).ask(perturbed.clip[None])  # type: ignore[arg-type]
        assert asked.item() == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "probable", "raw"),
    [
        ("occlusion", "probability", "value"),
        ("staa-logit", "logit", "value"),
        ("attention-gradient", "logit per attention", "value per attention"),
        ("staa", "share of attention", "share of attention"),
    ],
)
def test_units_are_those_of_the_answer(name: str, probable: str, raw: str) -> None:
    method = get_method(name)
    assert method.units_of("softmax") == method.units_of("sigmoid") == probable
    assert method.units_of("identity") == raw


def test_rise_finds_the_token_and_is_the_mean_of_masks_where_all_are_worth_the_same() -> None:
    found = ask("rise", spots(), samples=2000).values[0]
    assert found.argmax() == spots().argmax()
    masks = soft_masks(*draw(50, GRID, torch.Generator().manual_seed(draw_seed(3, 0))), GRID)
    flat = ask("rise", torch.zeros(GRID), samples=50, seed=3).values[0]
    np.testing.assert_allclose(flat, masks.mean(dim=0) / 0.5 * 1e-6, rtol=0.05)


def test_soft_masks_are_shifted_everywhere_and_keep_a_half() -> None:
    grid = (8, 14, 14)
    masks = soft_masks(*draw(3000, grid, torch.Generator().manual_seed(0)), grid)
    assert masks.shape == (3000, 8, 14, 14)
    assert 0 <= masks.min() < 0.01
    assert 0.99 < masks.max() <= 1
    assert (masks.mean(dim=0) - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("name", ["rise", "kernel-shap", "lime", "frame-shapley"])
def test_equal_seeds_give_equal_numbers_and_leave_others_alone(name: str) -> None:
    kind = "test_videomae"
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1]
    one, two = (explain(name, kind, samples=80, seed=4).values for _ in range(2))
    assert np.array_equal(one, two)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    if name != "frame-shapley":  # which is exact for so few frames
        assert not np.array_equal(one, explain(name, kind, samples=80, seed=6).values)


@pytest.mark.parametrize("name", ["rise", "kernel-shap", "lime", "frame-shapley"])
def test_numbers_do_not_depend_on_how_many_copies_go_into_a_pass(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from staa_cli.methods.perturbation import base as perturbation

    whole = ask(name, spots(), samples=80, seed=4).values
    monkeypatch.setattr(perturbation, "TOKENS_A_PASS", 64 * 5)
    few = ask(name, spots(), samples=80, seed=4).values
    np.testing.assert_allclose(few, whole, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ["occlusion", "rise", "kernel-shap", "lime", "frame-shapley"])
def test_memory_does_not_grow_with_the_copies(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from staa_cli.methods.perturbation import base as perturbation

    monkeypatch.setattr(perturbation, "TOKENS_A_PASS", 64 * 5)
    module = Additive(spots())
    explain_batch(
        module, LAYOUT, torch.ones(1, 8, 3, 16, 16), get_method(name), Options(samples=80), target=1
    )
    assert module.most == 5


@pytest.mark.parametrize("name", ["occlusion", "kernel-shap", "lime"])
def test_a_clip_is_let_go_without_the_collector(name: str) -> None:
    """It does not know how much of a GPU a cycle of references keeps, and Captum has cycles."""
    clip = torch.ones(8, 3, 16, 16)
    alive = weakref.ref(clip)
    perturbed = PerturbedClip(Additive(spots()), clip, torch.zeros_like(clip), GRID, target=1)
    method: Any = get_method(name)
    gc.disable()
    try:
        over_features(getattr(method, "explainer", occlusion_of), perturbed, (2, 2, 2))
        del clip, perturbed
        assert alive() is None
    finally:
        gc.enable()


def occlusion_of(attr: Any, ask: Any) -> Any:
    return attr.FeatureAblation(ask)


def test_a_pass_holds_a_copy_at_least_and_more_on_a_gpu() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert perturbations_per_pass((16, 64, 64), cpu) == 1
    assert 1 < perturbations_per_pass((8, 14, 14), cpu) < perturbations_per_pass((8, 14, 14), gpu)


class Cramped(Additive):
    """Has memory for two copies at once."""

    def forward(self, clips: Tensor) -> Tensor:
        if len(clips) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate more than there is")
        return super().forward(clips)


@pytest.mark.parametrize(
    "name", ["occlusion", "rise", "kernel-shap", "frame-shapley", "integrated-gradients"]
)
def test_copies_that_do_not_fit_into_memory_are_asked_about_in_smaller_passes(name: str) -> None:
    roomy, cramped = (
        explain_batch(
            module(spots()),
            LAYOUT,
            torch.ones(1, 8, 3, 16, 16),
            get_method(name),
            Options(samples=80),
            target=1,
        )
        for module in (Additive, Cramped)
    )
    np.testing.assert_allclose(cramped.values, roomy.values, atol=1e-6)
    assert cramped.passes_per_clip == roomy.passes_per_clip

    class Broken(Additive):
        def forward(self, clips: Tensor) -> Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    perturbed = PerturbedClip(
        Broken(spots()), torch.ones(8, 3, 16, 16), torch.zeros(1), GRID, target=1
    )
    with pytest.raises(RuntimeError, match="mat1"):
        perturbed.ask(torch.ones(4, 8, 3, 16, 16))


def test_copies_keep_what_they_are_told_to() -> None:
    clip, replacement = torch.ones(8, 3, 16, 16), torch.zeros(8, 3, 16, 16)
    perturbed = PerturbedClip(Additive(spots()), clip, replacement, GRID, target=1)
    kept = torch.zeros(3, *GRID)
    kept[1, 2, 1, 3] = 1
    kept[2] = 1
    found = perturbed.keep(kept)
    np.testing.assert_allclose(found, [1e-6, 0.45, float(spots().sum())], atol=1e-5)
    assert perturbed.asked == 3


def test_a_method_of_captums_without_captum(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("captum"):
            raise ImportError("no captum here", name="captum")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UnavailableError, match="needs captum") as caught:
        explain("occlusion", "test_videomae")
    assert caught.value.hint == "pip install 'staa[compare]'"
