"""Methods of the user's own: ``module:Class`` wherever a method has a name."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_videos import film

from staa_cli import explain_clip, explain_video, load_model
from staa_cli.cli.app import run
from staa_cli.config.settings import config_errors, load_settings
from staa_cli.errors import ConfigError, UnavailableError
from staa_cli.evaluation.comparison import compare_video
from staa_cli.methods import get_method
from staa_cli.models.load import LoadedModel

PAGE = Path(__file__).parents[2] / "docs" / "own-method.md"

OWN = """
import torch
from staa_cli.errors import UsageError
from staa_cli.methods import Method, MethodOutput

SCALE = 1.0


class Brightness(Method):
    units = "mean brightness"

    def attribute(self, method_inputs):
        _, h, w = method_inputs.layout.grid
        frames = method_inputs.inputs.mean(dim=2)  # [B, T, H, W]
        return MethodOutput(SCALE * torch.nn.functional.adaptive_avg_pool2d(frames, (h, w)))


class Greedy(Brightness):
    def __init__(self, scale): ...


class Empty(Method):
    units = "nothing"


class Unitless(Method):
    def attribute(self, method_inputs): ...


class Tensors(Brightness):
    def attribute(self, method_inputs):
        return super().attribute(method_inputs).values


class Wrong(Brightness):
    def attribute(self, method_inputs):
        return MethodOutput(super().attribute(method_inputs).values[:, 0])


class Broken(Brightness):
    def attribute(self, method_inputs):
        return {}["nothing"]


class Picky(Brightness):
    def attribute(self, method_inputs):
        raise UsageError("not on a Tuesday")


class Full(Brightness):
    def attribute(self, method_inputs):
        raise MemoryError


def brightness():
    return Brightness()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "own_method.py").write_text(OWN)
    (tmp_path / "own_script.py").write_text("raise SystemExit('usage: own_script FILE')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("own_method", None)
    yield "own_method"
    sys.modules.pop("own_method", None)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


def test_a_class_of_ones_own_explains_a_clip(own: str, model: LoadedModel) -> None:
    frames = torch.randn(1, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    found = explain_clip(model, frames, method=f"{own}:Brightness").attribution
    side = 32 // model.layout.grid[1]
    blocks = frames[0].reshape(4, 3, *model.layout.grid[1:2], side, model.layout.grid[2], side)
    wanted = blocks.mean(dim=(1, 3, 5)).numpy()
    np.testing.assert_allclose(found.values, wanted, atol=1e-6)
    assert (found.method, found.units) == (f"{own}:Brightness", "mean brightness")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module_here:Mine", "cannot import no_such_module_here:Mine: No module named"),
        ("own_method:Absent", "cannot import own_method:Absent: .* has no attribute 'Absent'"),
        ("own_script:Mine", "cannot import own_script:Mine: usage: own_script FILE"),
        ("own_method:SCALE", "own_method:SCALE is not a class derived from .*Method"),
        ("own_method:brightness", "own_method:brightness is not a class"),
        ("own_method:Empty", r"own_method:Empty has no attribute\(inputs\)"),
        ("own_method:Unitless", "own_method:Unitless has no units"),
        ("own_method:Greedy", "own_method:Greedy failed: TypeError: .*'scale'"),
    ],
)
def test_what_is_no_such_method_is_told(own: str, name: str, words: str) -> None:
    with pytest.raises(UnavailableError, match=words) as caught:
        get_method(name)
    assert caught.value.hint
    assert "\n" not in caught.value.cause


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Tensors", "Tensors returned a Tensor, not a staa_cli.methods.MethodOutput"),
        (
            "Wrong",
            re.escape(
                "Wrong returned values of shape [1, 4, 4], expected [B, T', h, w] = [1, 4, 4, 4]"
            ),
        ),
        ("Broken", "Broken failed: KeyError: 'nothing'"),
    ],
)
def test_what_it_does_wrong_is_told_as_its_own(
    own: str, model: LoadedModel, name: str, words: str
) -> None:
    with pytest.raises(UnavailableError, match=words) as caught:
        explain_clip(model, torch.zeros(1, 4, 3, 32, 32), method=f"{own}:{name}")
    assert caught.value.hint


def test_what_it_says_itself_and_a_lack_of_memory_go_through(own: str, model: LoadedModel) -> None:
    with pytest.raises(Exception, match="not on a Tuesday"):
        explain_clip(model, torch.zeros(1, 4, 3, 32, 32), method=f"{own}:Picky")
    with pytest.raises(MemoryError):
        explain_clip(model, torch.zeros(1, 4, 3, 32, 32), method=f"{own}:Full")


def test_its_results_are_finished_until_its_file_is_changed(
    own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "v.mp4", 12)

    def explain() -> str:
        sys.modules.pop(own, None)  # a command is a process of its own
        line = ["explain", "v.mp4", "--model", "test_timesformer", "--method", f"{own}:Brightness"]
        assert run([*line, "--no-annotated"]) == 0
        return capsys.readouterr().err

    assert "skipped" not in explain()
    report = json.loads((tmp_path / "staa-out" / "v" / "report.json").read_text())
    assert report["method"]["name"] == f"{own}:Brightness"
    assert report["method"]["units"] == "mean brightness"
    assert "skipped" in explain()
    (tmp_path / "own_method.py").write_text(OWN.replace("SCALE = 1.0", "SCALE = 2.00"))
    assert "skipped" not in explain()
    assert "skipped" in explain()


def test_it_is_compared_beside_others(own: str, tmp_path: Path, model: LoadedModel) -> None:
    video = film(tmp_path / "v.mp4", 12)
    names = (f"{own}:Brightness", "staa")
    found = compare_video(video, model, methods=names)
    assert found.names == names
    assert found.faithfulness[0].rows[0].method == names[0]
    alone = explain_video(video, model, method=names[0])
    for one, two in zip(alone.attributions, found.explanations[0].attributions, strict=True):
        np.testing.assert_array_equal(one.values, two.values)


def test_a_benchmark_measures_again_what_other_code_made(
    own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows() -> list[str]:
        sys.modules.pop(own, None)
        line = ["benchmark", "quality", "--methods", f"{own}:Brightness,random", "--clips", "1"]
        assert run([*line, "--metrics", "energy", "--into", "b"]) == 0
        stored = [
            json.loads(x) for x in (tmp_path / "b" / "scores.ndjson").read_text().split("\n") if x
        ]
        return [row["method"].split(" ")[0] for row in stored[1:] if row["method"]]

    assert rows() == [f"{own}:Brightness", "random"]
    assert rows() == [f"{own}:Brightness", "random"]
    (tmp_path / "own_method.py").write_text(OWN.replace("SCALE = 1.0", "SCALE = 2.00"))
    assert rows() == [f"{own}:Brightness", "random", f"{own}:Brightness"]
    told = json.loads((tmp_path / "b" / "benchmark.json").read_text())
    assert {row["method"] for row in told["results"]} == {f"{own}:Brightness", "random"}


def test_only_the_command_line_may_name_it(own: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"method:\n  name: {own}:Brightness\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml:2.*would run code, which only --method may"):
        load_settings("mine.yaml", {}, {})
    assert [error.cause for error in config_errors("mine.yaml")] == [
        f"mine.yaml:2: {own}:Brightness would run code, which only --method may request"
    ]
    with pytest.raises(ConfigError, match="STAA_METHOD_NAME"):
        load_settings(None, {}, {"STAA_METHOD_NAME": f"{own}:Brightness"})
    told = load_settings(None, {"method.name": f"{own}:Brightness"}, {})
    assert told.settings.method.name == f"{own}:Brightness"
    assert own not in sys.modules


def test_a_file_that_names_it_is_told_once(
    own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(f"method:\n  name: {own}:Brightness\n")
    assert run(["config", "validate", "mine.yaml"]) == 2
    assert capsys.readouterr().err.count("error:") == 1
    assert own not in sys.modules


@pytest.mark.parametrize("model", ["tiny-events", "tiny-events-joint"])
def test_the_page_shows_one_that_works(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "my_method.py").write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    video = film(tmp_path / "video.mp4", 24)
    try:
        found = explain_video(video, model, method="my_method:LastRow").attributions[0]
    finally:
        sys.modules.pop("my_method", None)
    assert found.units == "share of the attention"
    frames = found.values.sum(axis=(1, 2))
    if model == "tiny-events-joint":
        assert frames.sum() == pytest.approx(1, abs=1e-5)
    else:  # a row for every frame, of which the class token keeps a part
        assert ((frames > 0.3) & (frames < 1)).all()
