"""The benchmark: what it counts, on a model that is right for a known reason."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_videos import film
from torch import Tensor

from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.datasets.events import EventClips
from staa_cli.benchmark.quality import Benchmark, measure_quality, result_rows
from staa_cli.benchmark.requirements import fitting_metrics
from staa_cli.cli.app import run
from staa_cli.config.settings import PostSettings
from staa_cli.errors import UsageError
from staa_cli.evaluation import faithfulness
from staa_cli.evaluation.base import BASELINES, METRICS
from staa_cli.methods import Options, fitting, listed, named
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.schema import RandomMasks
from staa_cli.synthetic.events import LABELS


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("tiny-events")


def benchmark(model: LoadedModel, dataset: str = "events", seed: int = 0, **wanted: Any) -> Any:
    """Localization of `staa` and the baselines, unless something else is wanted."""
    chosen = {
        "methods": ("staa", *BASELINES),
        "metrics": ("pointing", "energy", "temporal_auc", "iou"),
        "options": Options(),
        "seed": seed,
    }
    return Benchmark(model, open_dataset(dataset, model, seed), **{**chosen, **wanted})


def test_the_table_has_every_method_and_metric_and_its_numbers_are_in_range(
    model: LoadedModel,
) -> None:
    result = measure_quality(benchmark(model, seed=5), 12)
    assert (result["dataset"], result["seed"], result["clips"]) == ("events", 5, 12)
    assert 0 < result["correct"] <= 12
    assert result["accuracy"] == result["correct"] / 12
    assert 0.02 < result["mask_share"] < 0.06
    pairs = {(row["method"], row["metric"]) for row in result["results"]}
    metrics = ("pointing", "energy", "temporal_auc", "iou")
    assert pairs == {(m, s) for m in ("staa", *BASELINES) for s in metrics}
    for row in result["results"]:
        assert 0 <= row["low"] <= row["mean"] <= row["high"] <= 1
        assert row["n"] <= result["correct"]


class Always(torch.nn.Module):
    """Answers the third event, or else the fourth, whatever it sees."""

    def forward(self, clips: Tensor) -> Tensor:
        logits = torch.eye(len(LABELS))[3] + torch.eye(len(LABELS))[4] / 2
        return logits.expand(len(clips), -1)

    def attention_layers(self) -> dict[tuple[str, int], torch.nn.Module]:
        return {}


@pytest.mark.slow
def test_only_clips_that_are_classified_correctly_are_scored(model: LoadedModel) -> None:
    blind = replace(model, module=Always())
    wanted: dict[str, Any] = {"methods": ("random",), "metrics": ("pointing",)}
    result = measure_quality(benchmark(blind, seed=1, **wanted), 32)
    assert result["correct"] == 4  # of eight labels, four clips each
    assert result["results"][0]["n"] == 4
    # Of 56 ordered pairs of labels, in two arrangements, both must be found.
    twins = measure_quality(benchmark(blind, "twins", **wanted), 112)
    assert twins["correct"] == 4


@pytest.mark.slow
def test_random_scores_what_chance_gives(model: LoadedModel) -> None:
    result = measure_quality(benchmark(model, seed=2, methods=("random",)), 64)
    means = {row["metric"]: row["mean"] for row in result["results"]}
    assert means["energy"] == pytest.approx(result["mask_share"], abs=0.01)
    assert means["temporal_auc"] == pytest.approx(0.5, abs=0.12)


def test_of_twins_only_a_method_that_speaks_of_a_class_finds_the_one_that_is_asked_for(
    model: LoadedModel,
) -> None:
    wanted = benchmark(
        model, "twins", 3, methods=("staa", "staa-logit"), metrics=("twin_share", "pointing")
    )
    found = measure_quality(wanted, 12)
    means = {(row["method"], row["metric"]): row["mean"] for row in found["results"]}
    assert means["staa", "twin_share"] == pytest.approx(0.5)
    assert means["staa", "pointing"] <= 0.5
    assert means["staa-logit", "twin_share"] > 0.7


def test_maps_are_scored_as_they_would_be_drawn(model: LoadedModel) -> None:
    """What is weak goes to zero, so more of what is left lies on the actor."""
    plain, cut = (
        measure_quality(benchmark(model, methods=("staa",), metrics=("energy",), post=post), 8)
        for post in (PostSettings(), PostSettings(threshold="otsu"))
    )
    assert cut["post"]["threshold"] == "otsu"
    assert cut["results"][0]["mean"] > plain["results"][0]["mean"]


def test_unknown_names_and_other_models_are_refused(model: LoadedModel) -> None:
    with pytest.raises(UsageError, match="unknown data set 'event'"):
        benchmark(model, "event")
    with pytest.raises(UsageError, match="unknown metric 'point'"):
        benchmark(model, metrics=("point",))
    with pytest.raises(UsageError, match="was not trained on the clips of events"):
        benchmark(load_model("test_timesformer"))


def test_a_metric_of_masked_clips_asks_only_a_model_that_was_trained_with_them(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faithfulness, "MASKS", 2)
    wanted: dict[str, Any] = {"methods": ("staa",), "metrics": ("f_fidelity",)}
    with pytest.raises(UsageError, match="f_fidelity requires a model that was trained") as caught:
        benchmark(model, **wanted)
    assert '"random_masks": {"share"' in caught.value.hint
    assert caught.value.hint.endswith("without --metrics: pointing, energy, temporal_auc, iou")
    trained = replace(model, info=replace(model.info, random_masks=RandomMasks(0.2, "blur")))
    (row,) = measure_quality(benchmark(trained, **wanted), 1)["results"]
    assert row["mean"] > 0
    data = open_dataset("events", model, 0)
    assert "f_fidelity" not in fitting_metrics(data, model)
    assert "f_fidelity" in fitting_metrics(data, trained)


def test_what_does_not_beat_the_baselines_is_red_on_a_terminal_that_has_colors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = "benchmark quality --methods gradcam,random,frame-difference --clips 2"
    line += " --metrics pointing,frozen"
    assert run([*line.split(), "--color", "always"]) == 0
    colored = capsys.readouterr().out
    assert run(line.split()) == 0
    plain = capsys.readouterr().out
    assert re.sub(r"\x1b\[\d+m", "", colored) == plain
    (red,) = re.findall(r"\x1b\[31m(.+?)\x1b\[0m", colored)
    losing = next(row for row in plain.splitlines() if row.startswith("gradcam"))
    assert red in losing
    assert red.endswith(" !")


def test_a_folder_of_videos_is_scored_and_what_does_not_decode_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, frames in (("a.mp4", 20), ("jump/b [x].mp4", 3), ("staa-out/a/annotated.mp4", 3)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        film(tmp_path / name, frames)
    (tmp_path / "c.mp4").write_bytes(b"no video")
    line = ["benchmark", "quality", "--dataset", str(tmp_path), "--methods", "rollout,random"]
    line += ["--model", "test_timesformer", "--json"]
    assert run([*line, "--metrics", "polarity_violations"]) == 3
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (result["clips"], result["scored"], result["correct"]) == (3, 2, None)
    assert "c.mp4" in printed.err
    assert "b [x].mp4" not in printed.err
    assert [row["n"] for row in result["results"]] == [2, 2]
    assert run([*line, "--metrics", "pointing"]) == 2
    told = capsys.readouterr().err
    assert f"{tmp_path} has no boxes or masks, which is needed for pointing\n" in told
    assert "hint: boxes or masks come from a ground_truth.json in the folder, " in told
    assert "twins" not in told
    assert run([*line, "--metrics", "twin_share,temporal_auc"]) == 2
    told = capsys.readouterr().err
    assert "and no actors of a second class, which is needed for twin_share, temporal_auc" in told
    assert "hint: --dataset twins has them; without --metrics: srg\n" in told
    few = [*line[:-1], "--metrics", "polarity_violations", "--clips", "1"]
    assert run(few) == 0
    assert "1 of 3 videos" in capsys.readouterr().out
    (tmp_path / "a.mp4").unlink()
    (tmp_path / "jump" / "b [x].mp4").unlink()
    assert run(line) == 3
    assert "can be read" in capsys.readouterr().err
    (tmp_path / "c.mp4").unlink()
    assert run(line) == 4


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("b,x", ["b", "x"]), ("all", ["a", "b", "c"]), ("b,all", ["b", "a", "c"]), ("b,b", ["b"])],
)
def test_all_stands_for_the_rest(given: str, wanted: list[str]) -> None:
    assert listed(given, {"all": ["a", "b", "c"]}) == wanted


def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    line = "benchmark quality --methods staa,random --metrics pointing --clips 8 --seed 1 --json"
    assert run(line.split()) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema_version"] == 1
    assert [row["method"] for row in result["results"]] == ["staa", "random"]
    assert set(result["results"][0]) == {"method", "metric", "mean", "low", "high", "n"}


@pytest.mark.parametrize("part", ["quality --clips 4 --metrics pointing", "cost --no-memory"])
def test_a_method_that_memory_is_too_small_for_is_named(
    part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("staa_cli.methods.gradient.gradcam.GradCam.attribute", full)
    assert run(["benchmark", *part.split(), "--methods", "gradcam"]) == 5
    told = capsys.readouterr().err
    assert "gradcam" in told
    assert "does not fit into the memory of cpu" in told


def test_metrics_are_listed_with_what_they_need(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # at which a list would be wrapped
    assert run(["benchmark", "metrics"]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert lines["pointing"][1:3] == ["higher", "yes"]
    assert lines["deletion"][1:3] == ["lower", "no"]
    assert all(len(line) > 3 for line in lines.values())
    assert run(["benchmark", "metrics", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == METRICS.names()
    assert "1608.00507" in {row["name"]: row for row in rows}["pointing"]["source"]


def test_no_line_of_the_table_is_broken_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    line = "benchmark quality --methods staa-published,frame-difference --clips 8 --seed 1"
    assert run(line.split()) == 0
    _, *parts = capsys.readouterr().out.split("\n\n")
    tables = [part.splitlines() for part in parts if part.startswith("METHOD")]
    assert len(tables) == 2
    for lines in tables:
        assert [row.split()[0] for row in lines] == ["METHOD", "staa-published", "frame-difference"]
        assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("quality --methods staa,random --metrics pointing --clips 2", "benchmark.md"),
        ("cost --model test_timesformer --methods staa --rounds 1 --no-memory", "cost.json"),
    ],
)
def test_results_replace_earlier_ones_and_nothing_of_anybody_elses(
    line: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / name
    theirs.write_text("mine")
    command = ["benchmark", *line.split(), "--into", str(tmp_path), "-q"]
    assert run(command) == 3
    assert f"{name} is in the way" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert theirs.read_text() == "mine"
    theirs.unlink()
    assert [run(command), run(command)] == [0, 0]


def test_the_picture_is_of_the_metric_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "benchmark quality --methods staa,random --metrics pointing,iou,energy --clips 2 -q"
    drawn: list[tuple[str, str]] = []

    def scatter(result: object, metric: str, better: str, path: Path) -> None:
        drawn.append((metric, better))
        path.touch()

    monkeypatch.setattr("staa_cli.render.scatter.scatter", scatter)
    for more in ([], ["--plot", "energy"]):
        assert run([*line.split(), "--into", str(tmp_path), *more]) == 0
    assert drawn == [("pointing", "higher"), ("energy", "higher")]
    capsys.readouterr()
    for more, words in (
        (["--plot", "energy"], "no folder to write the plot to"),
        (["--plot", "deletion", "--into", str(tmp_path)], "'deletion' is not measured"),
    ):
        assert run([*line.split(), *more]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("into", "words"), [("kept", "continues from there"), ("", "nothing was saved")]
)
def test_an_interrupt_tells_what_is_kept(
    into: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("staa_cli.benchmark.quality.measure_quality", stop)
    line = ["benchmark", "quality", "--methods", "staa", "--metrics", "pointing", "--clips", "8"]
    assert run([*line, "--into", str(tmp_path / into)] if into else line) == 130
    assert words in capsys.readouterr().err


def test_a_method_that_does_not_fit_is_told_before_any_clip_is_explained() -> None:
    own = load_model("test_videomae")
    with pytest.raises(UsageError, match="staa-published needs a class token"):
        Benchmark(own, EventClips("events", 0, "test"), ("staa", "staa-published"), (), Options())
    names = fitting(own.module, own.layout, Options())
    assert "staa-published" not in names
    assert {"staa", "staa-class", "rollout", "kernel-shap", "random"} <= set(names)
    asked = named("rollout, auto,staa-class,all", own.module, own.layout, Options())
    assert asked[:2] == ["rollout", "staa-class"]
    assert named("all", own.module, own.layout, Options())[:2] == ["staa-class", "staa"]
    assert named("staa,baselines", own.module, own.layout, Options()) == ["staa", *BASELINES]
    assert sorted(asked) == sorted(names)


@pytest.mark.parametrize("command", ["quality", "cost"])
@pytest.mark.parametrize(
    ("method", "samples"), [("kernel-shap", 16), ("integrated-gradients", 1001)]
)
def test_too_few_or_too_many_samples_are_told_before_any_clip_is_explained(
    command: str,
    method: str,
    samples: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def explain(*_: object, **__: object) -> None:
        raise AssertionError("a clip is explained")

    monkeypatch.setattr("staa_cli.benchmark.quality.explain_batch", explain)
    monkeypatch.setattr("staa_cli.benchmark.cost.explain_batch", explain)
    line = ["benchmark", command, "--model", "tiny-events-joint", "--samples", str(samples)]
    assert run([*line, "--methods", f"staa,{method}"]) == 2
    told = capsys.readouterr().err
    assert method in told
    assert "use --samples" in told


@pytest.mark.parametrize("form", ["csv", "latex", "markdown", None])
def test_where_no_clip_is_classified_correctly_it_is_said_what_the_model_says(
    form: str | None, sample_videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes((sample_videos / "shake.mp4").read_bytes())
    stated = {"schema_version": 1, "videos": [{"file": "a.mp4", "label": "hop"}]}
    (tmp_path / "ground_truth.json").write_text(json.dumps(stated))
    line = ["benchmark", "quality", "--dataset", str(tmp_path), "--methods", "random"]
    assert run([*line, *(["--format", form] if form else [])]) == 3
    out, err = capsys.readouterr()
    assert (
        "nothing was scored, since the model classifies no clip correctly, 0 of 1; it says" in err
    )
    assert re.search(r"it says \w+ \(1\)\nhint: check the labels", err)
    assert out.count("\n") == 1  # a header, or a headline
    assert out.startswith("method,metric," if form == "csv" else "tiny")


def test_a_metric_that_says_nothing_about_any_clip_has_no_mean_and_one_clip_no_interval() -> None:
    scores = {("random", "iou"): [float("nan")], ("random", "energy"): [0.5]}
    assert result_rows(scores, "random", 0) == [
        {"method": "random", "metric": "iou", "mean": None, "low": None, "high": None, "n": 0},
        {"method": "random", "metric": "energy", "mean": 0.5, "low": None, "high": None, "n": 1},
    ]
