"""The names that other programs import, as the documentation shows their use."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from explaining import same
from plugins import PACKAGE
from small_videos import asked, film, pictures

import staa_cli
import staa_cli.errors
from staa_cli.api import Explanation, explain_video
from staa_cli.errors import VideoError
from staa_cli.models.load import LoadedModel, load_model

ROOT = Path(__file__).parent.parent

PUBLIC = {
    *("Explanation", "Settings", "explain_clip", "explain_video", "list_methods", "load_model"),
    *(
        "register_dataset",
        "register_export",
        "register_family",
        "register_method",
        "register_metric",
    ),
    *("register_model", "register_writer", "__version__", "ExitCode"),
}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("test_timesformer", device="cpu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "walk.mp4", 36)


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
    assert done.stdout.splitlines() == ["mine my-model", "a method named 'staa' already exists"]


def test_videos_at_once_give_what_they_give_in_turn(tmp_path: Path, model: LoadedModel) -> None:
    jobs = [
        (film(tmp_path / f"{n}.mp4", 24, seed=n), method)
        for n, method in enumerate(("staa", "rollout", "staa-logit"))
    ]
    alone = [explain_video(path, model, method=name, settings=asked()) for path, name in jobs]
    together: dict[int, Explanation] = {}

    def work(n: int) -> None:
        path, name = jobs[n]
        for _ in range(2):
            together[n] = explain_video(path, model, method=name, settings=asked())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(3):
        same(together[n], alone[n], atol=1e-6)


def test_it_is_silent_and_leaves_nothing(
    video: Path, model: LoadedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    explain_video(video, model, settings=asked())
    threads = torch.get_num_threads()
    gc.collect()
    gc.freeze()  # what is there now is looked at no more
    try:
        for _ in range(2):
            explain_video(video, model, settings=asked())
        gc.collect()
        assert [each for each in gc.get_objects() if type(each) is torch.Tensor] == []
    finally:
        gc.unfreeze()
    assert torch.get_num_threads() == threads
    assert not any(part._forward_hooks for part in model.module.modules())
    assert torch.is_grad_enabled()
    assert capfd.readouterr() == ("", "")


def test_nothing_is_written(tmp_path: Path, model: LoadedModel) -> None:
    film(tmp_path / "walk.mp4", 12)
    explain_video(tmp_path / "walk.mp4", model)
    assert [path.name for path in tmp_path.iterdir()] == ["walk.mp4"]


@pytest.mark.parametrize("content", [None, b"", b"no video"])
def test_what_is_no_video_is_told(
    tmp_path: Path, model: LoadedModel, content: bytes | None
) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError):
        explain_video(path, model)
