"""The fingerprint, and what is said of a run."""

from __future__ import annotations

from dataclasses import replace

from small_videos import asked

from staa_cli.api import Explanation
from staa_cli.config.settings import MethodSettings
from staa_cli.explain import provenance
from staa_cli.models.load import LoadedModel


def test_the_fingerprint_is_of_what_matters(model: LoadedModel) -> None:
    base = asked()
    one = provenance.fingerprint("video", "weights", "softmax", model.labels, base)
    for same_result in (
        replace(base, batch_size=7, threads=3, device="cpu"),
        replace(base, output=replace(base.output, dir="elsewhere")),
    ):
        assert (
            provenance.fingerprint("video", "weights", "softmax", model.labels, same_result) == one
        )
    others = [
        provenance.fingerprint("other", "weights", "softmax", model.labels, base),
        provenance.fingerprint("video", "other", "softmax", model.labels, base),
        provenance.fingerprint("video", "weights", "sigmoid", model.labels, base),
        provenance.fingerprint("video", "weights", "softmax", ("a", *model.labels[1:]), base),
        provenance.fingerprint(
            "video", "weights", "softmax", model.labels, replace(base, target="1")
        ),
        provenance.fingerprint(
            "video",
            "weights",
            "softmax",
            model.labels,
            replace(base, method=MethodSettings(seed=1)),
        ),
    ]
    assert len({one, *others}) == 1 + len(others)


def test_the_run_is_described(explained: Explanation) -> None:
    assert explained.run is not None
    assert explained.run.peak_memory_bytes is not None
    assert explained.run.device == "cpu"
    assert explained.run.seconds.keys() == {"probe", "decode", "forward", "stitch"}
    assert all(seconds > 0 for seconds in explained.run.seconds.values())
    assert explained.run.peak_memory_bytes > 50e6
