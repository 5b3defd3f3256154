"""The attention path, its places weighted by what they contribute to a logit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attention_oracles import KINDS, clips, explain, tiny

from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.quality import Benchmark, measure_quality
from staa_cli.methods import Options, get_method
from staa_cli.methods.attention.staa_class import StaaClass
from staa_cli.methods.run import explain_batch
from staa_cli.models.architectures import ARCHITECTURES
from staa_cli.models.load import load_model

TARGET = 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layers", "read"), [("default", "all"), ("last", "last"), ((0,), (0,))])
def test_attention_tells_the_time_and_the_class_weighs_places(
    kind: str, layers: Any, read: Any
) -> None:
    """Of a model of two blocks, the last four are all; divided, the path has its own default."""
    module = tiny(kind)
    divided = kind == "divided"
    looked = "staa" if divided else "rollout"
    path = explain(module, clips(), looked, layers=layers if divided else read)
    said = explain(module, clips(), "staa-logit", target=TARGET, layers=read)
    found = explain(module, clips(), "staa-class", target=TARGET, layers=layers)
    assert {*np.sign(said.values).ravel()} == {-1, 1}
    np.testing.assert_allclose(found.values, weighted(path.values, said.values), rtol=1e-4)
    assert found.cls_self_mass == path.cls_self_mass
    assert found.attention_variation == path.attention_variation
    assert found.passes_per_clip == 1


@pytest.mark.parametrize(
    ("arch", "arguments"),
    [
        ("videomae_tiny_events", {"num_frames": 8, "tubelet_size": 2}),
        ("framewise_tiny_events", {"global_pool": "avg", "fc_norm": False}),
    ],
)
@pytest.mark.parametrize("layers", ["default", "last", (0, 1)])
def test_both_factors_are_read_together_if_the_head_reads_a_mean(
    arch: str, arguments: dict[str, Any], layers: Any
) -> None:
    """As if each was read alone."""
    torch.manual_seed(0)
    build = ARCHITECTURES.get(arch).build
    module = build(num_classes=5, img_size=32, depth=5, **arguments).eval()
    inputs, layout, last = torch.randn(2, 8, 3, 32, 32), module.layout(), range(1, 5)
    found, path, said = (
        explain_batch(
            module,
            layout,
            inputs,
            get_method(name),
            Options(layers=tuple(last) if layers == "default" and name != "staa-class" else layers),
            target=TARGET,
        )
        for name in ("staa-class", "rollout", "staa-logit")
    )
    np.testing.assert_allclose(found.values, weighted(path.values, said.values), rtol=1e-4)


def test_a_combination_of_blocks_that_the_user_names_is_that_of_staa() -> None:
    module = tiny("joint")
    path = explain(module, clips(), "staa", layers="all", combine="mean")
    said = explain(module, clips(), "staa-logit", target=TARGET, layers="all")
    found = explain(module, clips(), "staa-class", target=TARGET, layers="all", combine="mean")
    np.testing.assert_allclose(found.values, weighted(path.values, said.values), rtol=1e-4)


def weighted(path: Any, parts: Any) -> Any:
    """A path [B, T', h, w], every place as its positive parts are to those of the mean place."""
    result = np.empty(path.shape)
    for clip, of_clip in enumerate(np.maximum(parts.astype(np.float64), 0)):
        evidence = sum(of_clip)
        for frame in range(len(of_clip)):
            result[clip, frame] = path[clip, frame] * evidence / evidence.mean()
    return result


def test_a_clip_without_evidence_keeps_its_attention() -> None:
    """And the other clips of its batch do not matter to it."""
    parts = -torch.rand(2, 3, 4, 5)
    assert torch.equal(StaaClass().weigh(parts).expand_as(parts), torch.ones_like(parts))
    parts[1, 2, 0, 0] = 0.5
    weights = StaaClass().weigh(parts)
    assert torch.equal(weights[0], torch.ones(1, 4, 5))
    assert weights[1, 0, 0, 0] == 20
    assert weights[1].sum() == 20


@pytest.mark.parametrize(
    "name", ["tiny-events", pytest.param("tiny-events-joint", marks=pytest.mark.slow)]
)
def test_more_of_it_is_on_the_actor_than_of_either_factor(name: str) -> None:
    model = load_model(name)
    data = open_dataset("events", model, 6, "development")
    methods = ("staa-class", "staa", "staa-logit", "rollout")
    found = measure_quality(Benchmark(model, data, methods, ("energy",), Options()), 12)
    both, *others = (row["mean"] for row in found["results"])
    assert both > 1.1 * max(others)
