"""A benchmark that was stopped goes on where it stopped, and mixes nothing that does not belong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from staa_cli.benchmark import quality
from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.quality import Benchmark, measure_quality, store_header
from staa_cli.benchmark.store import Store
from staa_cli.errors import InputError, UsageError
from staa_cli.methods import Options
from staa_cli.models.load import LoadedModel, load_model

HEADER = {"seed": 1, "options": {"layers": (1, 2)}}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("tiny-events")


def test_what_was_put_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.ndjson"
    first = Store(path, HEADER)
    first.put({"correct": True}, 3)
    first.put({"iou": float("nan"), "energy": 0.25}, 3, "staa")
    again = Store(path, HEADER)
    assert again.get(3) == {"correct": True}
    assert again.get(3, "staa")["energy"] == 0.25
    assert again.get(4) is None
    assert again.get(3, "rollout") is None


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "scores.ndjson"
    store = Store(path, HEADER)
    store.put({"correct": True}, 0)
    store.put({"correct": False}, 1)
    path.write_text(path.read_text()[:-9])
    cut = Store(path, HEADER)
    assert cut.get(0) == {"correct": True}
    assert cut.get(1) is None
    cut.put({"correct": False}, 1)
    assert Store(path, HEADER).get(1) == {"correct": False}


def test_another_benchmark_is_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "scores.ndjson"
    Store(path, HEADER)
    with pytest.raises(UsageError, match="seed 1 instead of 2"):
        Store(path, {**HEADER, "seed": 2})
    videos = tmp_path / "videos.ndjson"
    Store(videos, {**HEADER, "videos": [["a.mp4", 1]]})
    with pytest.raises(UsageError, match="with other videos"):
        Store(videos, {**HEADER, "videos": [["a.mp4", 1], ["b.mp4", 1]]})
    for damaged in (b"something else\n", b"\xff\xfe\n", b"[]\n"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a staa benchmark"):
            Store(path, HEADER)


@pytest.mark.parametrize(
    "damaged",
    [
        "{}",
        "[]",
        '{"clip": 1, "meth',
        '{"clip": 1, "method": "staa", "srg": "high"}',
        '{"clip": 1, "method": "staa", "srg": null}',
        '{"clip": "one", "method": "staa", "srg": 0.5}',
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, damaged: str) -> None:
    path = tmp_path / "scores.ndjson"
    good = '{"clip": 0, "method": "staa", "srg": 0.5}'
    path.write_text("\n".join([json.dumps(HEADER), good, damaged, good, ""]))
    with pytest.raises(InputError, match=r"scores\.ndjson: line 3 is damaged"):
        Store(path, HEADER)
    path.write_text("\n".join([json.dumps(HEADER), good, good, ""]))
    assert Store(path, HEADER).get(0, "staa") == {"srg": 0.5}


@pytest.mark.parametrize("differs", [{"precision": "bf16"}, {"device": "cuda"}])
def test_scores_of_another_precision_or_device_are_not_mixed_in(
    model: LoadedModel, tmp_path: Path, differs: dict[str, str]
) -> None:
    data = open_dataset("events", model, 2)
    header = store_header(Benchmark(model, data, ("staa",), ("pointing",), Options()))
    Store(tmp_path / "scores.ndjson", header)
    with pytest.raises(UsageError, match=f"{next(iter(differs))} "):
        Store(tmp_path / "scores.ndjson", header | differs)


def test_a_stopped_benchmark_goes_on_and_ends_the_same(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, options = open_dataset("events", model, 2), Options(seed=2)
    path, explained = tmp_path / "scores.ndjson", list[object]()
    real = quality.explain_one

    def benchmark(*metrics: str, kept: bool = True) -> Benchmark:
        found = Benchmark(model, data, ("staa", "random"), metrics, options, 2)
        return replace(found, store=Store(path, store_header(found))) if kept else found

    def stop(*words: Any) -> object:
        if len(explained) == 3:
            raise KeyboardInterrupt
        explained.append(words)
        return real(*words)

    whole = measure_quality(benchmark("pointing", "iou", kept=False), 4)
    monkeypatch.setattr(quality, "explain_one", stop)
    with pytest.raises(KeyboardInterrupt):
        measure_quality(benchmark("pointing", "iou"), 4)

    def go_on(*words: Any) -> object:
        explained.append(words)
        return real(*words)

    monkeypatch.setattr(quality, "explain_one", go_on)
    assert measure_quality(benchmark("pointing", "iou"), 4) == whole
    assert len(explained) == 2 * whole["correct"]  # none of them twice
    # A finished one asks nothing more, and a longer one only about what is new.
    asked: list[None] = []
    handle = model.module.register_forward_hook(lambda *_: asked.append(None))
    assert measure_quality(benchmark("pointing", "iou"), 4) == whole
    assert not asked
    longer = measure_quality(benchmark("pointing", "iou"), 6)
    handle.remove()
    assert longer["per_clip"][:4] == whole["per_clip"]
    # Another metric is measured beside those that are there, not in their place.
    measure_quality(benchmark("energy"), 4)
    count = len(explained)
    assert measure_quality(benchmark("pointing", "iou"), 4) == whole
    assert len(explained) == count


def test_differences_are_clip_by_clip(model: LoadedModel) -> None:
    data = open_dataset("events", model, 0)
    found = measure_quality(Benchmark(model, data, ("staa", "center"), ("energy",), Options()), 8)
    staa, center = found["results"]
    assert "difference" not in staa
    gap = center["difference"]
    assert gap["mean"] == pytest.approx(center["mean"] - staa["mean"])
    assert gap["high"] < 0  # paired, far narrower than either interval
    assert gap["high"] - gap["low"] < 0.2
