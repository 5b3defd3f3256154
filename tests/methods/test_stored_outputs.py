"""One pass serves every class: what it leaves of a clip gives each class's map, at any time."""

from __future__ import annotations

import errno
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from small_models import BY_FRAMES, FRAMES, KINDS, clips, model

from staa_cli.errors import OutputError
from staa_cli.methods import METHODS, Options, get_method
from staa_cli.methods.base import MethodOutput
from staa_cli.methods.run import Explained, explain_batch
from staa_cli.methods.stored_outputs import StoredOutputs

CHOSEN_LATE = ("staa-class", "staa-logit")
CASES = [
    *((name, kind) for name in CHOSEN_LATE for kind in KINDS),
    *((name, kind) for name in sorted(BY_FRAMES) for kind in FRAMES),
]


def explain(name: str, kind: str, **arguments: Any) -> Explained:
    module = model(kind)
    method = get_method(name)
    return explain_batch(
        module, module.layout(), clips(kind), method, Options(), keep=True, **arguments
    )


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("in_memory", [1 << 24, 1], ids=["memory", "disk"])
def test_what_a_pass_leaves_gives_every_class(
    name: str, kind: str, in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("staa_cli.methods.stored_outputs.IN_MEMORY", in_memory)
    left = explain(name, kind, target=0).reading
    assert left is not None
    classes = range(model(kind).head.out_features)
    with StoredOutputs() as kept:
        kept.add((1, 0), left)  # in another order than they were read in
        maps = kept.maps(get_method(name), classes)
    for index in classes:
        alone = explain(name, kind, target=index)
        np.testing.assert_allclose(maps[index][::-1], alone.values, rtol=1e-5, atol=1e-7)
        assert maps[index].base is None  # or all classes would stay in memory for one


def test_of_many_classes_what_tokens_write_is_kept() -> None:
    """With more classes than a token has numbers, the numbers are less."""
    few, width = model("test_timesformer"), 32
    left = explain("staa-class", "test_timesformer").reading
    assert left is not None
    assert left.parts is not None
    assert left.rows is None
    assert left.parts.shape[1] == few.head.out_features < width
    head = few.head
    try:
        few.head = torch.nn.Linear(width, 100)
        many = explain("staa-class", "test_timesformer", target=7).reading
        assert many is not None
        assert many.parts is not None
        assert many.parts.shape[1] == width
        # The same class, now one of few, is explained by the other way of keeping.
        whole = explain("staa-class", "test_timesformer", target=7).values
        some = torch.nn.Linear(width, 8)
        some.weight.data, some.bias.data = few.head.weight[:8].data, few.head.bias[:8].data
        few.head = some
        found = explain("staa-class", "test_timesformer", target=7)
        assert found.reading is not None
        assert found.reading.rows is None
        np.testing.assert_allclose(found.values, whole, rtol=1e-4, atol=1e-8)
    finally:
        few.head = head


@pytest.mark.parametrize("name", METHODS.names())
def test_methods_say_whether_a_pass_serves_every_class(name: str) -> None:
    method = get_method(name)
    assert method.serves_all or (method.class_specific and name not in CHOSEN_LATE)
    if not method.any_class and name != "staa-published" and method.passes_per_clip <= 3:
        assert explain(name, "test_timesformer").reading is None


def test_memory_does_not_grow_with_the_number_of_clips() -> None:
    parts = torch.zeros(1, 100, 8, 14, 14)  # 600 kB
    with StoredOutputs() as kept:
        tracemalloc.start()
        for number in range(200):
            kept.add((number,), MethodOutput(torch.ones(1, 8, 14, 14), parts=parts + number))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 60e6 < 200 * parts.nbytes
        assert kept[150].parts_of(torch.tensor([3])).unique().tolist() == [150]


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def tell(self) -> int:
            return 0

        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("staa_cli.methods.stored_outputs.SpooledTemporaryFile", lambda size: Full())
    with (
        pytest.raises(OutputError, match="no space left on device") as caught,
        StoredOutputs() as kept,
    ):
        kept.add((0,), MethodOutput(torch.ones(1, 2, 2, 2)))
    assert "--class" in str(caught.value.hint)
