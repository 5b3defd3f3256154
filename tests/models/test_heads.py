"""What a head's logits mean: against transformers, from the folder to what is told and drawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from checkpoint_checks import MakeFolder, assert_refused, edit_json, load
from own_model import OWN
from torch import Tensor, nn

from staa_cli import explain_clip, explain_video
from staa_cli.api import Explanation
from staa_cli.cli.app import run
from staa_cli.config.settings import OutputSettings, RenderSettings, SamplingSettings, Settings
from staa_cli.errors import CheckpointError
from staa_cli.formatting import percent
from staa_cli.models.checkpoints.inspection import inspect_model
from staa_cli.models.families.timesformer.module import TimeSformer
from staa_cli.models.heads import output_of, scores_of
from staa_cli.render.painter import Painter
from staa_cli.results.files import load_schema
from staa_cli.results.report import from_explanation, plain_document
from staa_cli.video.decode import iter_frames

MULTI = {"problem_type": "multi_label_classification"}
ONE = {"id2label": {0: "LABEL_0"}}
THREE = {"id2label": {i: f"LABEL_{i}" for i in range(3)}, "problem_type": "regression"}


@pytest.mark.parametrize(
    ("overrides", "applied"),
    [
        ({}, "softmax"),
        ({"problem_type": "single_label_classification"}, "softmax"),
        (MULTI, "sigmoid"),
        (THREE, "none"),
        ({**ONE, "problem_type": "regression"}, "none"),
        ({**ONE, "problem_type": "multi_label_classification"}, "sigmoid"),
    ],
)
def test_scores_are_those_of_the_references_own_pipeline(
    overrides: dict[str, Any], applied: str, hf_folder: MakeFolder, tiny_clip: Tensor
) -> None:
    from transformers.pipelines.video_classification import VideoClassificationPipeline

    reference, folder = hf_folder(**overrides)
    model = load(folder)
    assert model.info.output == {"none": "identity"}.get(applied, applied)
    with torch.inference_mode():
        told = reference(pixel_values=tiny_clip[:1])

    class Bare:
        """What the pipeline's last step reads of itself."""

    bare: Any = Bare()
    bare.model = reference
    wanted = VideoClassificationPipeline.postprocess(bare, told, top_k=9)
    again = VideoClassificationPipeline.postprocess(bare, told, 9, function_to_apply=applied)
    assert wanted == again  # so that what is expected above is what it does
    found = explain_clip(model, tiny_clip[:1]).prediction
    assert [score for _, _, score in found.top(9)] == pytest.approx(
        [row["score"] for row in wanted], rel=1e-4, abs=1e-6
    )
    names = {str(v): k for k, v in reference.config.id2label.items()}
    assert found.target == names[wanted[0]["label"]]


def test_one_output_is_a_value_as_the_references_loss_has_it(
    hf_folder: MakeFolder, tiny_clip: Tensor
) -> None:
    reference, folder = hf_folder(**ONE)
    assert reference.config.problem_type is None
    target = torch.tensor([[1.0]])
    told = reference(pixel_values=tiny_clip[:1], labels=target)
    assert reference.config.problem_type == "regression"  # the loss has decided
    logit = told.logits.item()
    assert told.loss.item() == pytest.approx((logit - 1) ** 2, rel=1e-5)
    model = load(folder)
    assert (model.info.output, model.labels) == ("identity", ("output",))
    found = explain_clip(model, tiny_clip[:1]).prediction
    assert found.score == pytest.approx(logit, rel=1e-4)
    assert (found.target, found.reason, found.is_probability) == (0, "top-1", False)
    published = TimeSformer(32, 8, num_classes=1, embed_dim=384, depth=1, num_heads=6, num_frames=4)
    torch.save(published.state_dict(), folder / "bare.pth")  # which says nothing but its width
    bare = load(folder / "bare.pth")
    assert (bare.info.output, bare.labels) == ("identity", ("output",))


def test_values_without_names_are_no_classes(hf_folder: MakeFolder) -> None:
    _, folder = hf_folder(**THREE)
    assert load(folder).labels == ("output_0", "output_1", "output_2")
    edit_json(folder / "config.json", id2label={"0": "pace", "1": "effort", "2": "grace"})
    assert load(folder).labels == ("pace", "effort", "grace")


@pytest.mark.parametrize("problem_type", ["ranking", "", 3, ["regression"]])
def test_a_problem_type_that_there_is_not_is_refused(
    problem_type: object, hf_folder: MakeFolder
) -> None:
    _, folder = hf_folder()
    edit_json(folder / "config.json", problem_type=problem_type)
    error = assert_refused(folder, "problem_type", repr(problem_type))
    assert "multi_label_classification" in str(error.hint)


def test_a_softmax_over_one_class_is_refused_as_the_reference_does(hf_folder: MakeFolder) -> None:
    from transformers import AutoConfig

    _, folder = hf_folder(**ONE)
    edit_json(folder / "config.json", problem_type="single_label_classification")
    with pytest.raises(Exception, match="num_labels > 1"):
        AutoConfig.from_pretrained(folder)
    error = assert_refused(folder, "a single class")
    assert "regression" in str(error.hint)


def test_scores_by_hand() -> None:
    logits = torch.tensor([[0.0, np.log(3.0)]])
    assert scores_of(logits, "softmax")[0].tolist() == [pytest.approx(0.25), pytest.approx(0.75)]
    assert scores_of(logits, "sigmoid")[0].tolist() == [0.5, pytest.approx(0.75)]
    raw = scores_of(torch.tensor([[-2.0, 2.0]], dtype=torch.bfloat16), "identity")
    assert (raw.tolist(), raw.dtype) == ([[-2.0, 2.0]], torch.float32)


def test_a_factory_may_say_what_its_logits_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = """

def many():
    model = make()
    model.problem_type = "multi_label_classification"
    return model


def one():
    model = make()
    model.head, model.labels = nn.Linear(8, 1), ("pace",)
    return model


def unknown():
    model = make()
    model.problem_type = "ranking"
    return model
"""
    (tmp_path / "own_heads.py").write_text(OWN + more)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        outputs = [load(f"own_heads:{name}").info.output for name in ("make", "many", "one")]
        assert outputs == ["softmax", "sigmoid", "identity"]
        with pytest.raises(CheckpointError, match="'ranking'"):
            load("own_heads:unknown")
    finally:
        sys.modules.pop("own_heads", None)


def test_inspecting_says_what_the_logits_mean(
    hf_folder: MakeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = hf_folder(**MULTI)
    assert inspect_model(str(folder))["output"] == "sigmoid"
    assert run(["models", "inspect", str(folder)]) == 0
    assert "sigmoid: an independent probability for each class" in capsys.readouterr().out


def reference_logits(reference: nn.Module, model: Any, found: Explanation) -> Tensor:
    """[clips, classes] of transformers' own model, on the frames that the clips name."""
    rows = []
    for clip in found.clips:
        pictures = dict(iter_frames(found.video, clip.frame_indices))
        frames = np.stack([pictures[index] for index in clip.frame_indices])
        with torch.inference_mode():
            rows.append(reference(pixel_values=model.preprocess(frames)).logits[0])
    return torch.stack(rows)


SETTINGS = Settings(
    sampling=SamplingSettings(strategy="segments", clips=3, stride=4),
    output=OutputSettings(annotated=False, faithfulness=True),
)


@pytest.mark.parametrize(
    ("overrides", "answer"),
    [
        (MULTI, torch.sigmoid),
        (ONE, lambda logits: logits),
        (THREE, lambda logits: logits),
        ({}, lambda logits: logits.softmax(dim=1)),
    ],
    ids=["multi-label", "one value", "three values", "one of many"],
)
def test_a_video_is_told_and_drawn_as_the_reference_answers(
    overrides: dict[str, Any],
    answer: Callable[[Tensor], Tensor],
    hf_folder: MakeFolder,
    sample_videos: Path,
) -> None:
    reference, folder = hf_folder(**overrides)
    model = load(folder)
    found = explain_video(sample_videos / "shake.mp4", model, settings=SETTINGS)
    wanted = answer(reference_logits(reference, model, found)).numpy()
    np.testing.assert_allclose(
        [each.scores for each in found.clip_predictions], wanted, rtol=1e-4, atol=1e-6
    )
    mean = wanted.mean(axis=0)
    np.testing.assert_allclose(found.prediction.scores, mean, rtol=1e-4, atol=1e-6)
    assert found.prediction.target == mean.argmax()

    report = plain_document(from_explanation(found))
    jsonschema.validate(report, load_schema())
    target = report["prediction"]["target"]
    raw = model.info.output == "identity"
    assert target["value" if raw else "probability"] == pytest.approx(mean.max(), rel=1e-4)
    assert ("probability" in target) != raw
    painter = Painter(found, RenderSettings())
    assert painter.layout.title is not None
    drawn = painter.layout.title.label_text
    told = f"score {mean.max():.3g}" if raw else f"{100 * mean.max():.0f} %"
    assert drawn == f"{found.prediction.label}  {told}"

    checked = found.faithfulness
    assert checked is not None
    column = wanted[list(checked.clips), found.prediction.target]
    for row in checked.rows:  # the whole clips say what they say, however they are taken away
        assert row.deletion[0] == pytest.approx(column.mean(), rel=1e-3, abs=1e-5)
        assert row.insertion[-1] == pytest.approx(column.mean(), rel=1e-3, abs=1e-5)


def test_of_raw_values_no_clip_weighs_more_than_another(
    hf_folder: MakeFolder, sample_videos: Path
) -> None:
    """Their zero is a matter of units: moved far up or down, all but the value stays as it was."""
    _, folder = hf_folder(**ONE)
    model, moved = load(folder), load(folder)
    moved.module.head.bias.data -= 50
    settings = replace(SETTINGS, output=replace(SETTINGS.output, faithfulness=False))
    video = sample_videos / "shake.mp4"
    for method in ("staa-class", "rise", "occlusion"):
        one, two = (
            explain_video(video, each, method=method, settings=settings) for each in (model, moved)
        )
        assert two.prediction.score == pytest.approx(one.prediction.score - 50, rel=1e-5)
        assert two.prediction.score < 0
        np.testing.assert_array_equal(one.frames.weighted_score, one.frames.score)
        scale = np.abs(one.maps.values).max()
        np.testing.assert_allclose(one.maps.values, two.maps.values, rtol=0, atol=2e-2 * scale)
        assert [m.peak_s for m in one.moments] == [m.peak_s for m in two.moments]
        assert one.attributions[0].units == two.attributions[0].units
        assert one.attributions[0].units in ("value", "weighted attention")
        codes = {warning.code for warning in (*one.warnings, *two.warnings)}
        assert "low-confidence" not in codes


@pytest.mark.parametrize(("logit", "warned"), [(-0.1, True), (0.1, False)])
def test_a_label_that_is_rather_not_there_is_a_low_confidence(
    logit: float, warned: bool, hf_folder: MakeFolder, sample_videos: Path
) -> None:
    _, folder = hf_folder(**MULTI)
    model = load(folder)
    model.module.head.weight.data.zero_()
    model.module.head.bias.data[:] = torch.tensor([logit, -3.0, -3.0, -3.0, -3.0])
    found = explain_video(sample_videos / "shake.mp4", model, method="staa", settings=SETTINGS)
    assert found.prediction.score == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-4)
    assert ("low-confidence" in {warning.code for warning in found.warnings}) == warned


def test_the_command_says_a_score_and_another_meaning_is_another_result(
    hf_folder: MakeFolder,
    sample_videos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same weights, whose folder now says something else: not finished before."""
    _, folder = hf_folder(id2label={0: "pace"})  # the names stay the same
    line = ["explain", str(sample_videos / "shake.mp4"), "--model", str(folder)]
    line += ["--no-annotated", "-o", str(tmp_path / "out")]
    capsys.readouterr()

    def said() -> tuple[str, dict[str, Any]]:
        assert run(line) == 0
        (report,) = (tmp_path / "out").rglob("report.json")
        return capsys.readouterr().err, json.loads(report.read_text())

    words, report = said()
    value = report["prediction"]["target"]["value"]
    assert f"pace score {value:.3g}" in words
    assert "%" not in words.replace("100 % covered", "")
    assert "skipped" in said()[0]
    edit_json(folder / "config.json", problem_type="multi_label_classification")
    words, report = said()
    assert "skipped" not in words
    probability = report["prediction"]["target"]["probability"]
    assert probability == pytest.approx(1 / (1 + np.exp(-value)), rel=1e-4)
    assert f"pace {percent(probability)}" in words


def test_methods_are_compared_on_the_value(
    hf_folder: MakeFolder,
    sample_videos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, folder = hf_folder(id2label={0: "pace"})
    line = ["compare", str(sample_videos / "shake.mp4"), "--model", str(folder)]
    line += ["--no-annotated", "-o", str(tmp_path / "out"), "--methods", "staa,staa-logit"]
    assert run(line) == 0
    table = capsys.readouterr().out
    (path,) = (tmp_path / "out").rglob("compare.json")
    facts = json.loads(path.read_text())
    assert facts["model"]["output"] == "identity"
    row = facts["rows"][0]
    assert "probability" not in row
    assert f"pace score {row['value']:.3g}" in table
    assert f"{row['srg']:.3g}" in table


@pytest.mark.parametrize("where", ["here", "config.json"])
def test_what_nobody_says_follows_from_the_width(where: str) -> None:
    assert output_of(None, 1, where) == "identity"
    assert output_of(None, 2, where) == "softmax"
