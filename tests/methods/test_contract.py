"""What every method promises; a new one is held to it as soon as it is registered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attention_oracles import KINDS, B, T, clips, explain, h, layout_of, tiny, w
from small_models import OF_CLASS

from staa_cli.errors import UsageError
from staa_cli.methods import METHODS, Options, get_method, list_methods
from staa_cli.methods.run import predict_batch
from staa_cli.models.taps import Tap, cls_row, taps

MISFITS = {("staa-published", "joint"), ("tis", "divided"), ("tis", "space")}
CASES = [(name, kind) for name in METHODS.names() for kind in KINDS if (name, kind) not in MISFITS]

every_case = pytest.mark.parametrize(("name", "kind"), CASES)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {kind: tiny(kind) for kind in KINDS}


@every_case
def test_one_finite_number_a_token(models: dict[str, Any], name: str, kind: str) -> None:
    method, found = get_method(name), explain(models[kind], clips(), name)
    assert found.values.shape == (B, T, h, w)
    assert found.values.dtype == np.float32
    assert np.isfinite(found.values).all()
    assert found.values.std() > 0
    assert method.signed or found.values.min() >= 0
    assert len(found.targets) == len(found.cls_self_mass) == B
    assert all(mass is None or 0 < mass < 1 for mass in found.cls_self_mass)


@every_case
def test_probabilities_are_the_same_bits_as_without(
    models: dict[str, Any], name: str, kind: str
) -> None:
    plain = predict_batch(models[kind], clips())
    assert np.array_equal(explain(models[kind], clips(), name).scores, plain)


@every_case
def test_a_batch_gives_what_its_clips_give_alone(
    models: dict[str, Any], name: str, kind: str
) -> None:
    inputs, numbers = clips(count=3), (4, 0, 7)
    together = explain(models[kind], inputs, name, clip_indices=numbers)
    for row, number in enumerate(numbers):
        alone = explain(models[kind], inputs[row : row + 1], name, clip_indices=(number,))
        np.testing.assert_allclose(alone.values[0], together.values[row], rtol=1e-4, atol=1e-6)
        assert alone.targets[0] == together.targets[row]


@every_case
def test_again_gives_the_same_bits(models: dict[str, Any], name: str, kind: str) -> None:
    first, second = (explain(models[kind], clips(), name).values for _ in range(2))
    assert np.array_equal(first, second)


@every_case
def test_the_class_matters_where_the_method_says_so(
    models: dict[str, Any], name: str, kind: str
) -> None:
    one, two = (explain(models[kind], clips(), name, target=c) for c in (0, 3))
    assert (one.targets, two.targets) == ((0, 0), (3, 3))
    assert np.array_equal(one.values, two.values) != get_method(name).class_specific


@every_case
def test_a_method_of_one_pass_takes_one_pass(models: dict[str, Any], name: str, kind: str) -> None:
    if get_method(name).passes_per_clip > 1:
        pytest.skip("takes several passes, and says so")
    passes: list[None] = []
    handle = models[kind].register_forward_hook(lambda *_: passes.append(None))
    explain(models[kind], clips(), name)
    handle.remove()
    assert len(passes) == 1


@every_case
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_model_that_breaks_off_is_left_as_it_was(
    models: dict[str, Any], name: str, kind: str, error: type[BaseException]
) -> None:
    def broken(*_: object) -> None:
        raise error

    module = models[kind]
    before = hooks(module)
    handle = module.blocks[-1].mlp.register_forward_pre_hook(broken)
    with pytest.raises(error):
        explain(module, clips(), name)
    handle.remove()
    assert hooks(module) == before == 0
    # Nothing reads any more: a tap that is asked for now sees this pass and no other.
    role = "joint" if kind == "joint" else "spatial"
    with taps(module, [Tap(role, 0, "row", cls_row)]) as seen:
        module(clips())
    assert list(seen) == [("row", 0)]
    again = explain(module, clips(), name).values
    assert np.array_equal(again, explain(tiny(kind), clips(), name).values)


def hooks(module: Any) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, kind)) for part in module.modules() for kind in kinds)


@every_case
def test_reported_blocks_exist(models: dict[str, Any], name: str, kind: str) -> None:
    layout = layout_of(models[kind])
    method = get_method(name)
    read = {tap.block for tap in method.taps(layout, Options()) if tap.role != "read_out"}
    assert set(method.blocks(layout, Options())) == read <= set(range(layout.depth))


@every_case
def test_what_is_called_a_share_is_one(models: dict[str, Any], name: str, kind: str) -> None:
    found = explain(models[kind], clips(), name)
    frames = found.values.sum(axis=(2, 3), dtype=np.float64)  # as the curve sums them
    whole = frames.max() if "within a frame" in get_method(name).units else frames.sum(1).max()
    assert "share" not in get_method(name).units or whole <= 1 + 1e-5


@pytest.mark.parametrize("replacement", ["blur", "noise"])
@pytest.mark.parametrize("name", METHODS.names())
def test_an_option_that_is_not_declared_changes_nothing(
    models: dict[str, Any], name: str, replacement: str
) -> None:
    kind = "joint" if (name, "divided") in MISFITS else "divided"
    options = {"layers": (0,), "combine": "mean", "seed": 5, "samples": 60}
    plain = explain(models[kind], clips(), name, replacement=replacement).values
    used = get_method(name).options_used(Options(replacement=replacement))
    if name == "frame-shapley":  # exact for so few frames
        used -= {"samples", "seed"} if replacement == "blur" else {"samples"}
    for option, value in options.items():
        changed = {"replacement": replacement, option: value}
        other = explain(models[kind], clips(), name, **changed).values
        assert np.array_equal(plain, other) != (option in used), option
    other = explain(models[kind], clips(), name, replacement="mean").values
    assert np.array_equal(plain, other) != ("replacement" in used)


@pytest.mark.parametrize(("name", "kind"), sorted(MISFITS))
def test_a_method_that_does_not_fit_says_so(models: dict[str, Any], name: str, kind: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        explain(models[kind], clips(), name)
    assert caught.value.hint


def test_the_list_has_every_method_with_its_facts() -> None:
    rows = {row["name"]: row for row in list_methods()}
    assert next(iter(rows)) == "staa"
    assert set(rows) >= {
        "staa", "staa-value", "staa-logit", "staa-class", "rollout", "staa-published",
        "random", "center", "frame-difference", *OF_CLASS,
    }  # fmt: skip
    assert {name for name, row in rows.items() if row["class_specific"]} >= OF_CLASS
    for row in rows.values():
        assert row["summary"]
        assert row["source"]
        assert row["units"]


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="rolout") as caught:
        get_method("rolout")
    assert "'rollout'" in str(caught.value.hint)


@pytest.mark.parametrize("layers", [(2,), (-3,), (0, 9), (), "middle"])
@pytest.mark.parametrize("name", ["staa", "staa-value", "rollout"])
def test_blocks_that_are_not_there(models: dict[str, Any], name: str, layers: Any) -> None:
    with pytest.raises(UsageError) as caught:
        explain(models["divided"], clips(), name, layers=layers)
    assert caught.value.hint


def test_each_clip_can_have_its_own_class(models: dict[str, Any]) -> None:
    module, inputs = models["divided"], clips()
    both = explain(module, inputs, "staa-logit", target=[4, 1])
    assert both.targets == (4, 1)
    for row, target in enumerate((4, 1)):
        alone = explain(module, inputs, "staa-logit", target=target).values[row]
        np.testing.assert_array_equal(both.values[row], alone)


def test_half_precision_is_read_in_float32(models: dict[str, Any]) -> None:
    module = tiny("divided").to(torch.bfloat16)
    for name in METHODS.names():
        if (name, "divided") in MISFITS:
            continue
        values = explain(module, clips().bfloat16(), name).values
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
