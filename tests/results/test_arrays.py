"""What is saved comes back whole: every array and every number, without the video or the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explanations import explanation, measured
from small_videos import asked, film

from staa_cli import Explanation, explain_video, load_model
from staa_cli import schema as nouns
from staa_cli.config.settings import MethodSettings, PostSettings, Settings
from staa_cli.errors import InputError
from staa_cli.results.arrays import load_explanation
from staa_cli.results.files import write_json
from staa_cli.results.writers.maps_npz import MapsNpz

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "flat": {"flat": True},
    "part": {"frames": 600, "clip_starts": [120], "part": (60, 400)},
    "one frame": {"frames": 1},
    "signed": {"signed": True},
    "odd label": {"labels": ("</script><b>滑\n\u202e" * 40, "b\0")},
    "value": {"output": "identity", "confidence": -12.5, "labels": ("quality",)},
    "settings": {"settings": {"method": {"name": "staa", "layers": (1, 2)}, "target": None}},
}


def same(left: object, right: object, place: str = "") -> None:
    """See that two values are equal through and through, in type and in every bit."""
    if isinstance(left, np.ndarray):
        assert isinstance(right, np.ndarray), place
        assert left.dtype == right.dtype, place
        np.testing.assert_array_equal(left, right, place, strict=True)
    elif is_dataclass(left):
        for field in fields(left):
            name = field.name
            same(getattr(left, name), getattr(right, name), f"{place}.{name}")
    elif isinstance(left, tuple):
        assert isinstance(right, tuple), place
        assert len(left) == len(right), place
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            same(one, other, f"{place}[{index}]")
    else:
        assert left == right, place


def saved(source: nouns.Explanation, folder: Path, *, reproducible: bool = False) -> Path:
    MapsNpz(source, Settings()).write(folder / "maps.npz")
    write_json(source, folder / "report.json", reproducible=reproducible)
    return folder


def exact(source: nouns.Explanation) -> nouns.Explanation:
    """With numbers that six digits do not tell."""
    row, *others = measured().rows
    third = np.array([1, 1 / 3, 0], np.float32)
    row = replace(row, deletion_area=1 / 3, insertion_area=1 / 3 + 1e-9, insertion=third)
    return replace(
        source,
        fingerprint="ab",
        faithfulness=replace(measured(), rows=(row, *others)),
        spatial=replace(source.spatial, coefficient_of_variation=1 / 3),
        moments=tuple(replace(moment, share=2 / 3) for moment in source.moments),
        attributions=tuple(
            replace(attribution, passes=n / 7, cls_self_mass=n / 3, space_variation=None)
            for n, attribution in enumerate(source.attributions)
        ),
        clip_predictions=tuple(
            replace(prediction, scores=prediction.scores * np.float32(1 - n / 100))
            for n, prediction in enumerate(source.clip_predictions)
        ),
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_comes_back(variant: str, tmp_path: Path) -> None:
    source = exact(explanation(**VARIANTS[variant]))
    same(load_explanation(saved(source, tmp_path)), source)


def test_a_path_that_is_no_text_comes_back(tmp_path: Path) -> None:
    source = explanation(frames=12)
    source = replace(source, video=replace(source.video, path="a\udcff.mp4"))
    assert os.fsencode(load_explanation(saved(source, tmp_path)).video.path) == b"a\xff.mp4"


@pytest.mark.parametrize("reproducible", [True, False])
def test_saved_again_it_is_the_same_bytes(reproducible: bool, tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    saved(exact(explanation()), first, reproducible=reproducible)
    loaded = load_explanation(first)
    assert (loaded.run is None) == reproducible
    saved(loaded, again, reproducible=reproducible)
    for name in ("report.json", "maps.npz"):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_what_drawing_met_is_there_though_it_came_after_the_maps(tmp_path: Path) -> None:
    source = explanation(frames=12)
    saved(source, tmp_path)
    warning = nouns.ReportWarning("decode-errors", "Two packets are bad.")
    later = replace(source, warnings=(warning,), video=replace(source.video, packets_bad=2))
    write_json(later, tmp_path / "report.json")
    same(load_explanation(tmp_path), later)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", 16)


@pytest.mark.parametrize("method", ["staa", "staa-class", "attention-gradient"])
def test_what_a_model_gave_comes_back(method: str, video: Path, tmp_path: Path) -> None:
    settings = asked(
        {"npz": True, "quick_faithfulness": True},
        post=PostSettings(threshold="otsu", focus_sigma=0.7, smooth="average"),
        method=MethodSettings(name=method, layers=(0,) if method == "staa" else "default"),
    )
    source = explain_video(video, load_model("test_timesformer"), settings=settings)
    source.save(tmp_path)
    again = Explanation.load(tmp_path)
    assert isinstance(again, Explanation)
    assert (again.by_class is not None) == (method == "staa-class")
    assert again.asked.method == source.asked.method
    report = json.loads((tmp_path / "report.json").read_text())
    assert again.run is not None
    assert again.run.seconds == report["run"]["seconds"]
    same(replace(again, run=source.run, asked=source.asked), source)


def test_a_loaded_one_is_drawn_where_the_video_is_and_told_where_it_is_not(
    video: Path, tmp_path: Path
) -> None:
    source = explain_video(video, load_model("test_timesformer"), settings=asked({"npz": True}))
    source.save(tmp_path / "a")
    everything = asked(dict.fromkeys(("annotated", "plot", "storyboard", "gif", "csv"), True))
    drawn = source.save(tmp_path / "b", everything)
    again = Explanation.load(tmp_path / "a").save(tmp_path / "c", everything)
    for one, other in zip(drawn[:-1], again[:-1], strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    video.rename(video.with_name("gone.mp4"))
    try:
        loaded = Explanation.load(str(tmp_path / "a"))
        assert "walk.mp4" in repr(loaded)
        loaded.save(tmp_path / "d", asked({"plot": True, "csv": True}))
    finally:
        video.with_name("gone.mp4").rename(video)


def truncated(folder: Path) -> None:
    content = (folder / "maps.npz").read_bytes()
    (folder / "maps.npz").write_bytes(content[: len(content) // 2])


def without(*names: str, **others: Any) -> Callable[[Path], None]:
    """The maps without some arrays, or with others in their place."""

    def change(folder: Path) -> None:
        arrays = dict(np.load(folder / "maps.npz"))
        kept = {name: array for name, array in arrays.items() if name not in names}
        np.savez(folder / "maps.npz", **{**kept, **others})

    return change


def of_another(folder: Path) -> None:
    MapsNpz(replace(explanation(frames=12), fingerprint="cd"), Settings()).write(
        folder / "maps.npz"
    )


def written(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


DANGEROUS = np.array([Path("pickle")], object)
WRONG = {
    "no report": (lambda folder: (folder / "report.json").unlink(), "cannot read .*report.json"),
    "no maps": (lambda folder: (folder / "maps.npz").unlink(), "has no maps.npz"),
    "empty": (written("maps.npz", b""), "maps.npz is not an explanation"),
    "text": (written("maps.npz", b"no archive"), "maps.npz is not an explanation"),
    "pickle": (written("maps.npz", b"\x80\x04N."), "maps.npz is not an explanation"),
    "half a head": (written("maps.npz", b"PK\x03\x04"), "maps.npz is not an explanation"),
    "half": (truncated, "maps.npz is not an explanation"),
    "foreign": (lambda folder: np.savez(folder / "maps.npz", x=np.ones(3)), "no 'attributions'"),
    "one array missing": (without("covered"), "no 'covered'"),
    "other shape": (without(seen=np.ones(3, bool)), "'seen' is bool"),
    "other numbers": (without(maps=np.ones((2, 2, 2))), "'maps' is float64"),
    "pickled array": (without(explanation_json=DANGEROUS), "maps.npz is not an explanation"),
    "no JSON": (without(explanation_json=np.arange(9, dtype=np.uint8)), "is not an explanation"),
    "other JSON": (
        without(explanation_json=np.frombuffer(b"[]", np.uint8)),
        "is not an explanation",
    ),
    "of another": (of_another, "belong to different results"),
    "newer": (written("report.json", b'{"schema_version": 2}'), "schema version 2"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_saved_explanation_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    change, words = WRONG[case]
    saved(replace(explanation(frames=12), fingerprint="ab"), tmp_path)
    change(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        Explanation.load(tmp_path)
    assert "\n" not in caught.value.cause
    assert caught.value.hint or case == "no report"


def test_maps_that_lost_some_bytes_are_refused(tmp_path: Path) -> None:
    saved(explanation(frames=12, grid=(2, 2)), tmp_path)
    content = (tmp_path / "maps.npz").read_bytes()
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(content) - 22, 60):
        (tmp_path / "maps.npz").write_bytes(content[:length])
        with pytest.raises(InputError):
            load_explanation(tmp_path)


def test_maps_with_other_bytes_are_refused_or_read(tmp_path: Path) -> None:
    source = explanation(frames=12, grid=(2, 2))
    saved(source, tmp_path)
    content = (tmp_path / "maps.npz").read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 400):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        (tmp_path / "maps.npz").write_bytes(changed)
        with suppress(InputError):
            same(load_explanation(tmp_path), source)  # a time in the archive's head, say


def test_loading_needs_no_torch(tmp_path: Path) -> None:
    saved(explanation(frames=12), tmp_path)
    code = (
        "import sys, gc; from pathlib import Path; gc.set_threshold(1)\n"
        "from staa_cli.results.arrays import load_explanation\n"
        "print(load_explanation(Path(sys.argv[1])).video.frames, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["12", "False"]
