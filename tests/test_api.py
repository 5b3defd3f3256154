"""The names that other programs import, as the documentation shows their use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from plugins import PACKAGE
from small_videos import asked, film, pictures

import staa_cli
import staa_cli.errors

ROOT = Path(__file__).parent.parent

PUBLIC = {
    *("Explanation", "Settings", "explain_clip", "explain_video", "list_methods", "load_model"),
    *("register_dataset", "register_family", "register_method", "register_metric"),
    *("register_model", "__version__", "ExitCode"),
}


def test_every_public_name_is_there() -> None:
    errors = {name for name, error in vars(staa_cli.errors).items() if is_error(error)}
    assert set(staa_cli.__all__) == PUBLIC | errors
    assert len(staa_cli.__all__) == len(set(staa_cli.__all__))
    for name in staa_cli.__all__:
        assert getattr(staa_cli, name) is not None
    with pytest.raises(AttributeError, match="explain_picture"):
        staa_cli.explain_picture  # noqa: B018


def is_error(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, staa_cli.StaaError)


def test_a_prompt_completes_the_public_names_and_no_others() -> None:
    assert dir(staa_cli) == sorted(staa_cli.__all__)


def test_importing_costs_nothing() -> None:
    code = "import sys, staa_cli; print(*({'torch', 'timm', 'av', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_clip_as_the_documentation_shows_it() -> None:
    from staa_cli import explain_clip, load_model

    model = load_model("test_timesformer")
    frames = np.stack(pictures(model.input.frames))
    result = explain_clip(model, frames, target=None, method="staa")
    assert result.attribution.values.shape == model.layout.grid
    assert result.attribution.values.dtype == np.float32
    assert result.prediction.label == model.labels[result.prediction.target]
    assert sum(p for _, _, p in result.prediction.top(len(model.labels))) == pytest.approx(1)
    logits = model.module(model.place(model.preprocess(frames)))
    assert int(logits.argmax()) == result.prediction.target


def test_a_video_as_the_documentation_shows_it(tmp_path: Path) -> None:
    from staa_cli import Explanation, explain_video

    film(tmp_path / "video.mp4", 12)
    explanation = explain_video(tmp_path / "video.mp4", model="test_timesformer")
    assert isinstance(explanation, Explanation)
    assert "\n" not in repr(explanation)
    assert "video.mp4" in repr(explanation)
    assert explanation.prediction.label in repr(explanation)
    assert len(repr(explanation)) < 300
    assert explanation.model.name == "test_timesformer"
    assert explanation.settings["model"] == "test_timesformer"
    paths = explanation.save(tmp_path / "out", asked())
    assert paths == (tmp_path / "out" / "report.json",)
    again = explain_video(str(tmp_path / "video.mp4"), settings=asked(), method="rollout")
    assert again.attributions[0].method == "rollout"


def test_methods_are_listed() -> None:
    assert "staa" in [row["name"] for row in staa_cli.list_methods()]


PROGRAM = """
import numpy as np
from their_staa.datasets import Ramps
from their_staa.metrics import peak_share
from their_staa.methods import Brightness
from their_staa.models import FAMILY, build

from staa_cli import (
    explain_clip, list_methods, load_model,
    register_dataset, register_family, register_method, register_metric, register_model,
)
from staa_cli.benchmark.datasets import open_dataset
from staa_cli.benchmark.quality import Benchmark, measure_quality
from staa_cli.methods import Options
from staa_cli.models.catalog.manifests import list_models

@register_method("mine")
class Mine(Brightness):
    pass

register_dataset("my-data")(Ramps)
register_family("my-family")(FAMILY)
register_metric("my_metric")(peak_share)
register_model("my-model")(build)

model = load_model("my-model")
frames = np.stack([np.full((16, 16, 3), 60 * n, np.uint8) for n in range(4)])
assert explain_clip(model, frames, method="mine").attribution.method == "mine"
benchmark = Benchmark(model, open_dataset("my-data", model, 0), ["mine"], ["my_metric"], Options())
assert measure_quality(benchmark, 2)["scored"] == 2
print(list_methods()[-1]["name"], list_models()[-1]["name"])
try:
    register_method("staa")(Mine)
except ValueError as error:
    print(error)
"""


def test_a_program_registers_what_is_its_own() -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(PACKAGE)))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environ, check=False
    )
    assert done.stdout.splitlines() == ["mine my-model", "there is a method 'staa' already"]
