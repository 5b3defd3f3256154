"""Held-out clips, splices, and mosaics of a folder with classes, and what little tells a class."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.datasets.classes import HeldOut, Mosaics, Splices, _sequences
from staa_cli.benchmark.held_out import fit_and_predict, held_out_lines
from staa_cli.benchmark.quality import Benchmark, measure_quality
from staa_cli.cli.app import run
from staa_cli.errors import UsageError
from staa_cli.methods import Options
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.video.encode import write_video

LEVELS = {"class_0": 200, "class_1": 100, "class_2": 20}
"""How bright a video of each class is."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of three classes and twelve sources; those of class_0 have far larger files.

    Those of seven sources are held out, which are enough to say that the set leaks.
    """
    made = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    rows = ["file,class,source,split"]
    for number in range(36):
        label = f"class_{number % 3}"
        noise = 25 if label == "class_0" else 1
        grain = random.integers(-noise, noise + 1, (15, 48, 64, 3))
        pictures = np.clip(LEVELS[label] + grain, 0, 255).astype(np.uint8)
        path = made / label / f"{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        write_video(path, list(pictures), rate=12, preset="ultrafast")
        rows.append(
            f"{label}/{number}.mp4,{label},{number // 3},{'test' if number < 21 else 'train'}"
        )
    (made / "clips.csv").write_text("\n".join(rows))
    return made


class ByBrightness(torch.nn.Module):
    """Tells the three classes by how bright they are, but for one that it may be wrong about."""

    def __init__(self, wrong: int | None = None) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, clips: Tensor) -> Tensor:
        mean = (clips.flatten(1).mean(dim=1) * 0.225 + 0.45) * 255
        label = (mean < 150).long() + (mean < 60).long()
        if self.wrong is not None:
            label = torch.where(label == self.wrong, 4, label)
        return torch.nn.functional.one_hot(label, 5).float() * 9

    def attention_layers(self) -> dict[tuple[str, int], torch.nn.Module]:
        return {}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return replace(load_model("test_timesformer"), module=ByBrightness())


def level_of(label: int) -> int:
    return LEVELS[f"class_{label}"]


def test_held_out_clips_are_those_of_the_test_split_with_their_class(
    folder: Path, model: LoadedModel
) -> None:
    data = open_dataset(f"classes:{folder}", model, 0)
    assert isinstance(data, HeldOut)
    assert data.count == len(data.videos) == 21
    labels = {str(video.path): video.label for video in data.videos}
    described = [data.describe(number) for number in range(21)]
    assert sorted(described) == sorted(labels)
    for number in range(data.count or 0):
        sample = data.sample(number)
        (question,) = sample.questions
        assert question.target == labels[described[number]]
        assert (question.mask, question.event) == (None, None)
        assert abs(sample.frames.mean() - level_of(question.target)) < 10


def test_the_first_held_out_clips_are_of_every_class_and_drawn_by_the_seed(
    folder: Path, model: LoadedModel
) -> None:
    orders = []
    for seed in (0, 0, 1):
        data = open_dataset(f"classes:{folder}", model, seed)
        assert isinstance(data, HeldOut)
        labels = {str(video.path): video.label for video in data.videos}
        orders.append([data.describe(number) for number in range(21)])
        kinds = len(set(labels.values()))
        assert len({labels[path] for path in orders[-1][:kinds]}) == kinds
        assert [entry[0] for entry in data.fingerprint()[:21]] == [
            Path(path).relative_to(folder).as_posix() for path in orders[-1]
        ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_of_a_splice_it_is_known_when_each_class_is(folder: Path, model: LoadedModel) -> None:
    data = open_dataset(f"splices:{folder}", model, 0)
    assert isinstance(data, Splices)
    asked: Counter[tuple[int | None, ...]] = Counter()
    tested = {str(video.path) for video in data.videos}
    for number in range(12):
        sample = data.sample(number)
        assert sample.correct
        assert set(data.describe(number).split(" + ")) <= tested
        first, second = sample.questions
        assert first.event is not None
        assert second.event is not None
        assert first.event.tolist() == [True, True, False, False]
        assert np.array_equal(second.event, ~first.event)
        for question in sample.questions:
            shown = sample.frames[question.event].mean()
            assert abs(shown - level_of(question.target or 0)) < 10
        asked[first.target, second.target] += 1
    assert set(asked.values()) == {2}  # all pairs in all orders
    assert len(asked) == 6


def test_of_a_mosaic_it_is_known_where_the_class_is(folder: Path, model: LoadedModel) -> None:
    data = open_dataset(f"mosaics:{folder}", model, 0)
    assert isinstance(data, Mosaics)
    places, asked = set(), set()
    for number in range(12):
        sample = data.sample(number)
        (question,) = sample.questions
        assert question.mask is not None
        assert question.mask.mean() == 0.25
        assert (question.mask == question.mask[0]).all()
        level = level_of(question.target or 0)
        assert abs(sample.frames[question.mask].mean() - level) < 10
        off = np.abs(sample.frames[~question.mask].astype(float).mean(axis=1) - level)
        assert off.min() > 15  # none of the others has the class
        asked.add(question.target)
        places.add(tuple(np.argwhere(question.mask[0])[0]))
        assert len(set(data.describe(number).split(" + "))) == 4
    assert places == {(0, 0), (0, 16), (16, 0), (16, 16)}
    assert asked == {0, 1, 2}
    again = open_dataset(f"mosaics:{folder}", model, 0).sample(3)
    other = open_dataset(f"mosaics:{folder}", model, 1)
    assert np.array_equal(again.frames, data.sample(3).frames)
    assert [other.describe(n) for n in range(6)] != [data.describe(n) for n in range(6)]


@pytest.mark.parametrize("kind", ["splices", "mosaics"])
def test_one_is_scored_where_the_model_is_right_about_each_part_alone(
    kind: str, folder: Path, model: LoadedModel
) -> None:
    blind = replace(model, module=ByBrightness(wrong=2))
    data = open_dataset(f"{kind}:{folder}", blind, 0)
    assert isinstance(data, Splices | Mosaics)
    verdicts = set()
    for number in range(40):
        has_it = any(data.videos[part].label == 2 for part in data.parts(number))
        assert data.sample(number).correct == (not has_it)
        verdicts.add(has_it)
    assert verdicts == {True, False}


@pytest.fixture
def few(folder: Path, tmp_path: Path) -> Path:
    """Of three classes one test clip each."""
    rows = ["file,class,source,split"]
    for number, label in ((n, f"class_{n % 3}") for n in range(6)):
        copy = tmp_path / "few" / label / f"{number}.mp4"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((folder / label / f"{number}.mp4").read_bytes())
        split = "test" if number < 3 else "train"
        rows.append(f"{label}/{number}.mp4,{label},{split},{split}")
    (tmp_path / "few" / "clips.csv").write_text("\n".join(rows))
    return tmp_path / "few"


def test_there_are_as_many_as_can_be_made_and_none_twice(
    folder: Path, few: Path, model: LoadedModel
) -> None:
    # Three classes of seven clips each in pairs; of one each, two of them at three places of four.
    made = {
        ("splices", folder): 6 * 7 * 7,
        ("splices", few): 6,
        ("mosaics", few): 4 * 3 * 2**3,
    }
    for (kind, place), count in made.items():
        data: Any = open_dataset(f"{kind}:{place}", model, 0)
        assert data.count == count
        asked = getattr(data, "place", lambda number: None)
        assert len({(data.parts(n), asked(n)) for n in range(count)}) == count


@pytest.mark.parametrize("sizes", [(1,), (2,), (1, 2), (2, 3, 1)])
def test_mosaics_are_counted_as_they_are_drawn(sizes: tuple[int, ...]) -> None:
    videos = [(label, number) for label, size in enumerate(sizes) for number in range(size)]

    def allowed(drawn: tuple[tuple[int, int], ...]) -> bool:
        """A clip comes again only after all of its class."""
        return all(
            one not in drawn[:n] or {v for v in videos if v[0] == one[0]} <= {*drawn[:n]}
            for n, one in enumerate(drawn)
        )

    assert _sequences(sizes, 3) == sum(map(allowed, product(videos, repeat=3)))


def test_more_than_there_are_is_said(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["benchmark", "quality", "--dataset", f"splices:{few}", "--model", "test_timesformer"]
    run([*line, "--methods", "random", "--clips", "60", "--json"])
    printed = capsys.readouterr()
    assert f"warning: --clips 60: splices:{few} has only 6 clips" in printed.err
    assert json.loads(printed.out)["clips"] == 6


def test_the_result_tells_how_good_the_model_is_and_that_the_set_leaks(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["benchmark", "quality", "--dataset", f"mosaics:{folder}", "--model", "test_timesformer"]
    line += ["--methods", "random", "--clips", "4", "--into", str(tmp_path)]
    assert run(line) == 3  # it says the same of all, so no mosaic is scored
    out, err = capsys.readouterr()
    printed = out
    assert "nothing was scored, since the model classifies no clip correctly, 0 of 4\n" in err
    assert "hint: the model must be right about every part" in err
    assert "METHOD" not in printed
    assert "this set leaks: trivial predictors" in printed
    assert "are right about: file size and frame rate" in printed
    assert "the model is right about" in printed
    assert "This set leaks" in (tmp_path / "benchmark.md").read_text()
    held_out = json.loads((tmp_path / "benchmark.json").read_text())["held_out"]
    assert "file size and frame rate" in held_out["leaks"]
    assert held_out["classes"] == list(LEVELS)
    # CSV has no place for what the set says of itself, so it stands beside it.
    assert run([*line, "--format", "csv"]) == 3
    table, notes = capsys.readouterr()
    assert table.startswith("method,metric,better,mean")
    assert table.count("\n") == 1
    assert "this set leaks: trivial predictors" in notes
    assert "the model is right about" in notes
    # What is known of it already is not measured again.
    stored = (tmp_path / "scores.ndjson").read_text()
    assert stored.count("held_out") == 1
    assert run([*line, "-q"]) == 3
    assert (tmp_path / "scores.ndjson").read_text() == stored


def test_held_out_accuracy_is_the_models_own(folder: Path, model: LoadedModel) -> None:
    shown: list[tuple[int, int]] = []
    for wrong, expected in ((None, 1.0), (1, 2 / 3)):
        again = replace(model, module=ByBrightness(wrong))
        data = open_dataset(f"classes:{folder}", again, 0)
        found = data.held_out(lambda done, total: shown.append((done, total)))
        assert found is not None
        assert found["accuracy"] == pytest.approx(expected)
        assert found["majority"] == pytest.approx(1 / 3)
        assert found["clips"] == data.count
        rows = {row["predictor"]: row["accuracy"] for row in found["trivial"]}
        assert rows["file size and frame rate"] >= 0.6  # class_0 by its size, and half of the rest
        assert held_out_lines(found).count("\n") == 1
        assert found["leaks"]
    assert shown[35] == (36, 36)


def test_a_handful_of_clips_does_not_tell_whether_the_set_leaks(
    folder: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("staa_cli.benchmark.held_out.ENOUGH", 22)
    found = open_dataset(f"classes:{folder}", model, 0).held_out(lambda done, total: None)
    assert found is not None
    assert found["leaks"] is None
    told = held_out_lines(found)
    assert "this set leaks" not in told
    assert "too few held-out clips to say whether the set leaks (at least 22): trivial" in told
    assert "the model is right about 100 % (85 % to 100 %)" in told


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, 300)
    centers = np.array([[0.0, 0.0, 5.0], [2.0, 0.0, 4.0], [1.0, 30.0, 5.0]])
    points = centers[labels] + random.normal(0, 1, (300, 3)) * [1.0, 15.0, 2.0]
    known, asked = points[:200], points[200:]
    mean, scale = known.mean(axis=0), known.std(axis=0)
    oracle = LogisticRegression(C=1 / (1e-3 * 200), max_iter=1000)
    oracle.fit((known - mean) / scale, labels[:200])
    expected = oracle.predict((asked - mean) / scale)
    said = fit_and_predict(known, labels[:200], asked)
    assert (said == expected).mean() >= 0.99
    assert 0.5 < (said == labels[200:]).mean() < 0.95
    constant = fit_and_predict(np.ones((4, 1)), np.array([0, 1, 1, 1]), np.zeros((2, 1)))
    assert constant.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("splices", "unknown data set 'splices'", "'splices:'"),
        ("splices:", "splices: names no folder", "splices:DIR"),
        ("events:nowhere", "unknown data set 'events:nowhere'", ""),
        ("nowhere", "unknown data set 'nowhere'", "mosaics:DIR"),
        (__file__, "is a file", "the folder that it is in"),
        (f"classes:{__file__}", "is a file", "classes:DIR"),
    ],
)
def test_names_that_are_none_are_refused(
    name: str, words: str, hint: str, model: LoadedModel
) -> None:
    with pytest.raises(UsageError) as caught:
        open_dataset(name, model, 0)
    assert words in caught.value.cause
    assert hint in (caught.value.hint or "")


def test_a_model_must_know_the_classes_and_the_split_is_the_test(
    folder: Path, model: LoadedModel
) -> None:
    with pytest.raises(UsageError, match="the model has no class 'class_0'"):
        open_dataset(f"classes:{folder}", load_model("tiny-events"), 0)
    with pytest.raises(UsageError, match="has no development split"):
        open_dataset(f"mosaics:{folder}", model, 0, "development")


def test_a_folder_that_is_none_ends_with_the_right_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["benchmark", "quality", "--model", "test_timesformer", "--methods", "random"]
    assert run([*line, "--dataset", f"mosaics:{tmp_path}"]) == 4
    assert "no video in a class folder of" in capsys.readouterr().err
    assert run([*line, "--dataset", f"mosaics:{tmp_path / 'nowhere'}"]) == 3
    assert "nowhere: no such file or directory\n" in capsys.readouterr().err
    (tmp_path / "class_0").mkdir()
    (tmp_path / "class_0" / "a.mp4").touch()
    assert run([*line, "--dataset", f"mosaics:{tmp_path}"]) == 3
    assert "only one class" in capsys.readouterr().err


def test_what_cannot_be_read_is_named_and_the_others_go_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.rglob("*.*"):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    data: Any = open_dataset(f"classes:{tmp_path}", load_model("test_timesformer"), 0)
    broken = data.videos[0].path
    broken.write_bytes(b"no video")
    line = ["benchmark", "quality", "--dataset", f"classes:{tmp_path}", "--methods", "random"]
    assert run([*line, "--model", "test_timesformer", "--metrics", "deletion", "--json"]) == 3
    printed = capsys.readouterr()
    assert broken.name in printed.err
    result = json.loads(printed.out)
    assert result["held_out"]["clips"] == data.count - 1
    assert (result["labeled"], result["clips"]) == (data.count - 1, data.count)


def test_they_are_scored_and_what_says_nothing_scores_chance(
    folder: Path, model: LoadedModel
) -> None:
    found = {}
    for kind, metric in (("mosaics", "energy"), ("splices", "temporal_auc")):
        data = open_dataset(f"{kind}:{folder}", model, 0)
        result = measure_quality(Benchmark(model, data, ("random",), (metric,), Options()), 6)
        assert (result["scored"], result["correct"], result["accuracy"]) == (6, 6, 1.0)
        (row,) = result["results"]
        assert row["n"] == 6
        found[kind] = row["mean"]
        assert result["held_out"]["accuracy"] == 1.0
    assert found["mosaics"] == pytest.approx(0.25, abs=0.05)
    assert found["splices"] == 0.5  # what one class gains, the other loses
