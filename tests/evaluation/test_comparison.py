"""Methods and classes side by side: the same clips, the same class, and numbers that add up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explaining import CountedReads
from small_videos import asked, film

from staa_cli.api import explain_video
from staa_cli.config.settings import Depth, MethodSettings
from staa_cli.errors import UsageError
from staa_cli.evaluation.base import BASELINES
from staa_cli.evaluation.comparison import Comparison, agreement, compare_video
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.results.comparison import document
from staa_cli.schema import VideoInfo
from staa_cli.statistics import rank_correlation
from staa_cli.video import frame_source
from staa_cli.video.probe import probe

METHODS = ("rollout", "staa-logit", "random")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", 24)


@pytest.fixture(scope="module")
def compared(video: Path, model: LoadedModel) -> Comparison:
    return compare_video(video, model, methods=METHODS, settings=asked())


def test_each_explanation_is_what_explaining_alone_gives(
    compared: Comparison, video: Path, model: LoadedModel
) -> None:
    assert compared.names == METHODS
    for name, found in zip(METHODS, compared.explanations, strict=True):
        alone = explain_video(video, model, method=name, settings=asked())
        for a, b in zip(found.attributions, alone.attributions, strict=True):
            np.testing.assert_array_equal(a.values, b.values)
    assert len({each.prediction.target for each in compared.explanations}) == 1


def test_the_replacement_and_the_seed_have_an_effect_if_faithfulness_is_measured(
    video: Path, model: LoadedModel
) -> None:
    settings = asked(method=MethodSettings(replacement="mean", seed=5))
    cases: tuple[tuple[Depth | None, int], ...] = (("quick", 0), (None, 2))
    for depth, warned in cases:
        found = compare_video(video, model, methods=("rollout",), settings=settings, depth=depth)
        codes = [warning["code"] for warning in document(found)["warnings"]]
        assert codes.count("setting-without-effect") == warned


def test_one_check_has_every_method_and_the_baselines(compared: Comparison) -> None:
    (checked,) = compared.faithfulness
    names = [row.method for row in checked.rows]
    assert names == [*METHODS, "center", "frame-difference"]
    facts = document(compared)
    assert [row["name"] for row in facts["rows"]] == names
    for row, told in zip(checked.rows, facts["rows"], strict=True):
        assert told["srg"] == pytest.approx(row.srg, rel=1e-5)
    assert (facts["quick"], facts["steps"]) == (True, 10)  # unless somebody asks for more
    assert facts["rows"][0]["passes"] == len(compared.explanations[0].clips)


def test_what_a_baseline_beats_is_marked_and_a_baseline_is_not(compared: Comparison) -> None:
    (checked,) = compared.faithfulness
    gains = {row.method: row.srg for row in checked.rows}
    for row in compared.rows:
        at_least = {name for name in BASELINES if gains[name] >= gains[row.method]}
        assert set(row.beaten_by) == (set() if row.method in BASELINES else at_least)
    worst = replace(checked.rows[0], insertion_area=-2.0)
    losing = replace(compared, faithfulness=(replace(checked, rows=(worst, *checked.rows[1:])),))
    first, second, *others = document(losing)["rows"]
    assert first["beaten_by"] == ["random", "center", "frame-difference"]  # one of them a panel
    assert second["beaten_by"] == list(compared.rows[1].beaten_by)
    assert others[0]["beaten_by"] == []
    assert "beaten_by" not in others[1]


def test_agreement_is_the_mean_rank_correlation_over_clips(compared: Comparison) -> None:
    rollout, logit, _ = (each.attributions for each in compared.explanations)
    wanted = [rank_correlation(a.values, b.values) for a, b in zip(rollout, logit, strict=True)]
    assert compared.agreement[0, 1] == compared.agreement[1, 0] == pytest.approx(np.mean(wanted))
    assert np.diag(compared.agreement).tolist() == [1, 1, 1]
    assert abs(compared.agreement[0, 2]) < 0.3  # noise agrees with nothing
    blank = replace(logit[0], values=np.zeros_like(logit[0].values))  # has no order
    one, two = (
        replace(compared.explanations[index], attributions=(first, *rest))
        for index, first, rest in ((0, rollout[0], rollout[1:]), (1, blank, logit[1:]))
    )
    assert agreement([one, two])[0, 1] == pytest.approx(np.mean(wanted[1:]))


@pytest.mark.parametrize("methods", [("staa-class", "staa"), ("staa", "staa-class")])
def test_the_class_is_found_once_and_at_nobodys_cost(
    methods: tuple[str, ...], video: Path, model: LoadedModel
) -> None:
    settings = asked(output={"faithfulness": True})
    found = compare_video(video, model, methods=methods, settings=settings, depth=None)
    rows = document(found)["rows"]
    clips = len(found.explanations[0].clips)
    assert [row["passes"] for row in rows] == 2 * [clips]
    assert document(found)["passes"] == 2 * clips  # staa finds the class, or staa-class
    assert [each.prediction.reason for each in found.explanations] == ["top-1", "top-1"]
    codes = [warning.code for each in found.explanations for warning in each.warnings]
    assert not {"class-blind-method", "not-faithful"} & set(codes)  # nobody asked for either
    assert all("srg" not in row for row in rows)
    assert document(found)["replacement"] is None


def test_classes_are_compared_by_a_method_that_speaks_of_them(
    video: Path, model: LoadedModel
) -> None:
    settings = asked(method=MethodSettings("staa-logit"))
    found = compare_video(video, model, classes=("0", "3"), settings=settings)
    assert [each.prediction.target for each in found.explanations] == [0, 3]
    assert len(found.faithfulness) == 2
    assert found.agreement[0, 1] < 0.999
    rows = document(found)["rows"]
    assert [row["name"] for row in rows if "label" in row] == ["0", "3"]
    assert {"random, 0", "center, 3"} < {row["name"] for row in rows}
    best = compare_video(video, model, classes=("0", "3"), settings=asked())
    assert {each.attributions[0].method for each in best.explanations} == {"staa-class"}


@pytest.mark.parametrize(("method", "a_pass"), [("auto", 1), ("attention-gradient", 3)])
def test_classes_cost_what_one_costs_where_one_pass_serves_them_all(
    video: Path, model: LoadedModel, method: str, a_pass: int
) -> None:
    passed: list[int] = []
    handle = model.module.register_forward_hook(lambda _, given, out: passed.append(len(out)))
    classes, settings = ("0", "3", "class_1"), asked(method=MethodSettings(method))
    found = compare_video(video, model, classes=classes, settings=settings, depth=None)
    handle.remove()
    clips = len(found.explanations[0].clips)
    times = 1 if a_pass == 1 else len(classes)
    assert sum(passed) == times * clips
    assert document(found)["passes"] == times * a_pass * clips
    for name, each in zip(classes, found.explanations, strict=True):
        alone = explain_video(video, model, target=name, settings=settings)
        assert each.prediction.target == alone.prediction.target
        assert each.prediction.reason == alone.prediction.reason
        assert np.array_equal(each.frames.score, alone.frames.score)
        assert each.fingerprint == alone.fingerprint
        for a, b in zip(each.attributions, alone.attributions, strict=True):
            assert np.array_equal(a.values, b.values)


def test_methods_that_must_know_the_class_take_it_from_one_that_need_not(
    video: Path, model: LoadedModel
) -> None:
    clips = len(explain_video(video, model, settings=asked()).clips)
    for methods, passes in (
        (("attention-gradient", "staa-class"), 3 + 1),
        (("attention-gradient", "gradcam"), 1 + 3 + 3),  # one to find it
    ):
        found = compare_video(video, model, methods=methods, settings=asked(), depth=None)
        assert found.names == methods
        assert [each.attributions[0].method for each in found.explanations] == list(methods)
        assert len({each.prediction.target for each in found.explanations}) == 1
        assert found.passes == passes * clips


@pytest.mark.parametrize(
    ("asked_for", "words", "hint"),
    [
        ({}, "nothing to compare", "--methods"),
        ({"classes": ("0",)}, "nothing to compare", "--class"),
        ({"classes": ("0", "1"), "method": "staa"}, "staa is class-blind", "staa-class"),
        ({"classes": ("0", "nine")}, "no class 'nine'", ""),
        ({"methods": ("staa", "stab")}, "unknown method 'stab'", "staa"),
    ],
)
def test_what_cannot_be_compared_is_told_before_anything_is_computed(
    video: Path, model: LoadedModel, asked_for: dict[str, Any], words: str, hint: str
) -> None:
    def never(*step: object) -> None:
        raise AssertionError(step)

    settings = asked(method=MethodSettings(str(asked_for.pop("method", "auto"))))
    with pytest.raises(UsageError, match=words) as caught:
        compare_video(video, model, settings=settings, on_progress=never, **asked_for)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "methods", [("staa-class", "rollout", "random"), ("gradcam", "staa-logit")]
)
def test_the_video_is_probed_planned_and_decoded_once(
    video: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch, methods: tuple[str, ...]
) -> None:
    probed, stages = list[object](), list[str]()

    def probing(path: Path) -> VideoInfo:
        probed.append(path)
        return probe(path)

    monkeypatch.setattr(frame_source, "probe", probing)
    compared = compare_video(
        video,
        model,
        methods=methods,
        settings=asked(),
        on_progress=lambda stage, done, total: stages.append(stage),
    )
    assert probed == [video]
    assert stages.count("planning") == 1
    clips = compared.explanations[0].clips
    assert all(explanation.clips is clips for explanation in compared.explanations)

    source = CountedReads(video)
    compare_video(source, model, methods=methods, settings=asked())
    assert source.reads == [len({index for clip in clips for index in clip.frame_indices})]
