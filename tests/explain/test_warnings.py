"""What the reader of a result should know, and is told."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from explanations import measured
from small_videos import asked, film, pictures

from staa_cli.api import Explanation, explain_video
from staa_cli.config.settings import MethodSettings, PostSettings, SamplingSettings
from staa_cli.explain.warnings import faithfulness_warnings
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.schema import WARNINGS, Faithfulness
from staa_cli.training.train import make_uniform
from staa_cli.video.encode import write_video


def test_what_is_not_looked_at_is_said_with_what_would_look_at_it(
    tmp_path: Path, model: LoadedModel
) -> None:
    long = film(tmp_path / "long.mp4", 400)
    sampling = SamplingSettings(strategy="segments", clips=2)
    found = explain_video(long, model, settings=asked(sampling=sampling))
    assert found.coverage.covered_share < 0.5
    for moment in found.moments:
        rows = (found.frames.times_s >= moment.start_s) & (found.frames.times_s < moment.end_s)
        assert found.frames.covered[rows].all()
        assert found.frames.seen[rows].any()
    (warning,) = [w for w in found.warnings if w.code == "sparse-sampling"]
    dense = explain_video(long, model, settings=asked(sampling=SamplingSettings("dense")))
    assert f"--sampling dense covers all of it with {len(dense.clips)} clips" in warning.text
    assert dense.coverage.covered_share == 1
    assert "sparse-sampling" not in {w.code for w in dense.warnings}
    wide = explain_video(long, model, settings=asked(sampling=SamplingSettings("dense", hop=3.0)))
    assert "--hop 1 covers all" in {w.code: w.text for w in wide.warnings}["sparse-sampling"]
    ends = explain_video(long, model, settings=asked(sampling=SamplingSettings("dense", hop=1.0)))
    assert ends.coverage.covered_share == 1


def test_a_setting_that_a_method_has_no_use_for_is_told(video: Path, model: LoadedModel) -> None:
    method = MethodSettings(name="center", layers="all", combine="mean")
    found = explain_video(video, model, settings=asked(method=method))
    texts = [w.text for w in found.warnings if w.code == "setting-without-effect"]
    assert len(texts) == 2
    assert "center does not use layers: 'all'" in texts[0]
    method = MethodSettings(name="staa", layers="all", combine="mean")
    found = explain_video(video, model, settings=asked(method=method))
    assert "setting-without-effect" not in {w.code for w in found.warnings}


@pytest.mark.parametrize(
    ("method", "others", "warned"),
    [
        ({"name": "staa"}, {}, True),
        ({"name": "staa"}, {"sampling": SamplingSettings("random", seed=5)}, False),
        ({"name": "staa"}, {"output": {"quick_faithfulness": True}}, False),
        ({"name": "random"}, {}, False),
        ({"name": "frame-drop"}, {}, True),
        ({"name": "frame-drop", "replacement": "noise"}, {}, False),
    ],
)
def test_a_seed_without_effect_is_told(
    video: Path, model: LoadedModel, method: dict[str, Any], others: dict[str, Any], warned: bool
) -> None:
    settings = asked(method=MethodSettings(**method, seed=5), **others)
    texts = [w.text for w in explain_video(video, model, settings=settings).warnings]
    assert (f"{method['name']} does not use seed: 5 has no effect" in texts) == warned


@pytest.mark.parametrize(
    ("group", "idle", "heeded", "text"),
    [
        ("post", {"threshold_value": 9.0}, {"threshold": "percentile"}, "--threshold-value"),
        ("post", {"threshold_value": 9.0, "threshold": "otsu"}, {"threshold": "mean_std"}, "--thr"),
        ("post", {"smooth_s": 2.0}, {"smooth": "average"}, "--smooth-s has no effect"),
        ("sampling", {"hop": 0.9, "strategy": "segments"}, {"strategy": "auto"}, "--hop"),
        (
            "sampling",
            {"clips": 3},
            {"strategy": "random"},
            "--clips has no effect: it applies only to",
        ),
        ("sampling", {"stride": 2, "strategy": "uniform"}, {"strategy": "dense"}, "--stride"),
        ("sampling", {"keep_rest": True}, {"end": 1.0}, "--keep-rest"),
    ],
)
def test_a_setting_that_another_leaves_nothing_to_do_is_told(
    video: Path,
    model: LoadedModel,
    group: str,
    idle: dict[str, Any],
    heeded: dict[str, Any],
    text: str,
) -> None:
    kind: Any = {"post": PostSettings, "sampling": SamplingSettings}[group]

    def told(values: dict[str, Any]) -> list[str]:
        found = explain_video(video, model, settings=asked(**{group: kind(**values)}))
        return [w.text for w in found.warnings if w.code == "setting-without-effect"]

    (found,) = told(idle)
    assert found.startswith(text)
    assert told(idle | heeded) == []


@pytest.mark.parametrize(("deviations", "left"), [(1.0, True), (1e6, False)])
def test_a_threshold_that_leaves_nothing_is_told(
    video: Path, model: LoadedModel, deviations: float, left: bool
) -> None:
    post = PostSettings(threshold="mean_std", threshold_value=deviations)
    found = explain_video(video, model, settings=asked(post=post))
    assert bool(found.maps.values.any()) == left
    assert ("nothing-left" not in {w.code for w in found.warnings}) == left


def test_what_a_reader_should_know_is_said(explained: Explanation, tmp_path: Path) -> None:
    codes = {w.code for w in explained.warnings}
    assert "model-note" in codes
    assert codes.isdisjoint({"upsampled-input", "decode-errors", "truncated"})
    write_video(tmp_path / "tiny.mp4", [p[:24, :32] for p in pictures(24)], rate=12)
    small = explain_video(tmp_path / "tiny.mp4", settings=asked())
    assert "upsampled-input" in {w.code for w in small.warnings}


def test_a_picture_that_is_padded_has_its_moments_in_the_picture(tmp_path: Path) -> None:
    write_video(tmp_path / "tiny.mp4", [p[:16, :48] for p in pictures(24)], rate=12)
    model = load_model("test_timesformer", device="cpu")
    info = replace(model.info, input=replace(model.input, resize=None))
    found = explain_video(tmp_path / "tiny.mp4", replace(model, info=info), settings=asked())
    assert found.maps.box == pytest.approx((8 / 48, -8 / 16, 40 / 48, 24 / 16))
    for moment in found.moments:
        assert min(*moment.box, *moment.center) >= 0
        assert max(*moment.box, *moment.center) <= 1
    (told,) = [w.text for w in found.warnings if w.code == "upsampled-input"]
    assert "padded with black" in told


@pytest.mark.parametrize("name", ["tiny-events", "tiny-events-joint"])
def test_attention_that_is_uniform_is_said_to_tell_nothing(name: str, sample_videos: Path) -> None:
    model = load_model(name)
    settings = asked(model=name, sampling=SamplingSettings("segments", clips=2))
    fine = explain_video(sample_videos / "hop.mp4", model, settings=settings)
    assert "attention-uninformative" not in {w.code for w in fine.warnings}
    assert fine.spatial.attention_variation is not None
    assert fine.spatial.attention_variation > 0.3
    make_uniform(model.module)
    found = explain_video(sample_videos / "hop.mp4", model, settings=settings)
    (warning,) = [w for w in found.warnings if w.code == "attention-uninformative"]
    assert "--method occlusion" in warning.text
    assert found.spatial.attention_variation == pytest.approx(0, abs=1e-3)
    method = MethodSettings(name="input-x-gradient")
    other = explain_video(
        sample_videos / "hop.mp4", model, settings=replace(settings, method=method)
    )
    assert "attention-uninformative" not in {w.code for w in other.warnings}
    assert other.spatial.attention_variation is None


def of_gains(*gains: float) -> Faithfulness:
    """Faithfulness of `staa`, and of baselines, with these gains."""
    full = measured()
    rows = [
        replace(row, insertion_area=row.deletion_area + gain, srg_low=gain, srg_high=gain)
        for row, gain in zip(full.rows, gains, strict=True)
    ]
    return replace(full, rows=tuple(rows))


@pytest.mark.parametrize(
    ("gains", "beaten_by", "told"),
    [
        ((0.3, 0.0, 0.2), (), None),
        ((0.3, 0.0, 0.3), ("center",), "what a baseline highlights"),
        ((1.3e-7, 3.6e-8, 6.6e-8), ("random", "center"), "what a baseline highlights"),  # rounding
        ((-0.02, -0.05, -0.04), (), "the rest"),
        ((1e-7, -0.05, -0.04), (), "the rest"),
    ],
)
def test_a_gain_that_is_none_is_not_faithful(
    gains: tuple[float, ...], beaten_by: tuple[str, ...], told: str | None
) -> None:
    faithfulness = of_gains(*gains)
    assert faithfulness.beaten_by == beaten_by
    found = faithfulness_warnings(faithfulness, "softmax")
    assert [warning.code for warning in found] == ["not-faithful"] * (told is not None)
    assert told is None or f"no more than removing {told}: " in found[0].text


def test_every_code_is_listed() -> None:
    """An expression is checked against the list: one that was missing could not be asked about."""
    found = set()
    for path in (Path(__file__).parents[2] / "staa_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ReportWarning":
                first = node.args[0]
                found |= {first.value} if isinstance(first, ast.Constant) else set()
    assert found == WARNINGS
