"""Models of the user's own: what is asked of them, and who may name them."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_checks import load
from own_model import OWN

from staa_cli import explain_clip, load_model
from staa_cli.config.settings import load_settings
from staa_cli.errors import ConfigError, UnavailableError, UsageError
from staa_cli.methods import Options, get_method
from staa_cli.methods.run import explain_batch
from staa_cli.models.catalog.manifests import list_models


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "own_video_model.py").write_text(OWN)
    (tmp_path / "own_unfinished_model.py").write_text("def make(:")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "own_video_model"
    sys.modules.pop("own_video_model", None)


def test_a_factory_makes_a_model_that_can_be_explained(own: str) -> None:
    model = load(f"{own}:make")
    assert model.labels == ("left", "right")
    assert (model.info.family, model.info.source) == ("own", f"{own}:make")
    assert model.info.weights_sha256 == load(f"{own}:make").info.weights_sha256
    found = explain_batch(
        model.module, model.layout, torch.randn(1, 4, 3, 16, 16), get_method("staa"), Options()
    )
    assert found.values.shape == (1, 4, 2, 2)
    assert found.values.sum() == pytest.approx(1, rel=1e-5)


def test_other_code_around_the_same_weights_is_another_model(own: str, tmp_path: Path) -> None:
    before = load(f"{own}:make").info.weights_sha256
    for code, same in ((OWN, True), (OWN.replace(".mean(dim=1)", ".amax(dim=1)"), False)):
        (tmp_path / f"{own}.py").write_text(code)
        sys.modules.pop(own)
        assert (load(f"{own}:make").info.weights_sha256 == before) == same


@pytest.mark.parametrize(
    ("name", "lacks"), [("staa-class", "read_out"), ("staa-logit", "read_out"), ("gradcam", None)]
)
def test_what_a_method_would_read_in_vain_is_told(own: str, name: str, lacks: str | None) -> None:
    model: Any = load(f"{own}:make")
    frames = torch.randn(1, 4, 3, 16, 16)
    assert explain_clip(model, frames).attribution.method == "staa"
    if lacks is None:
        assert explain_clip(model, frames, method=name).attribution.method == name
        return
    with pytest.raises(UsageError, match=f"{name} needs the {lacks} layer") as caught:
        explain_clip(model, frames, method=name)
    assert "attention_layers" in str(caught.value.hint)


def test_a_head_of_several_layers_speaks_of_no_class_by_itself() -> None:
    model = load_model("tiny-events")
    module: Any = copy.deepcopy(model.module)
    module.head = torch.nn.Sequential(module.head)
    frames = torch.randn(1, 8, 3, 112, 112)
    assert explain_clip(model, frames).attribution.method == "staa-class"
    model = replace(model, module=module)
    assert explain_clip(model, frames).attribution.method == "staa"
    with pytest.raises(UsageError, match=r"staa-logit needs head\.weight"):
        explain_clip(model, frames, method="staa-logit")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_video_model:absent", "absent"),
        ("no_such_module_here:make", "no_such_module_here"),
        ("own_video_model:number", "is a int"),
        ("own_video_model:greedy", "greedy failed: TypeError: .*'size'"),
        ("own_unfinished_model:make", "cannot import own_unfinished_model:make: "),
        ("own_video_model:bare", "has no layout"),
        ("own_video_model:mistyped", "ModelInput"),
    ],
)
def test_what_is_no_such_factory_is_told(own: str, name: str, words: str) -> None:
    with pytest.raises(UnavailableError, match=words) as caught:
        load(name)
    assert caught.value.hint


def test_only_the_command_line_may_name_code(own: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"model: {own}:make\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml:1.*would run code"):
        load_settings("mine.yaml", {}, {})
    with pytest.raises(ConfigError, match="STAA_MODEL"):
        load_settings(None, {}, {"STAA_MODEL": f"{own}:make"})
    assert load_settings(None, {"model": f"{own}:make"}, {}).settings.model == f"{own}:make"
    assert own not in sys.modules


def test_an_installed_package_brings_names(
    own: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts = tmp_path / "own_video_model-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: own-video-model\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[staa.models]\nmy-model = {own}:make\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    rows: dict[str, Any] = {row["name"]: row for row in list_models()}
    assert rows["my-model"]["origin"] == f"{own}:make"
    assert rows["my-model"]["note"] == "from own-video-model 1.0"
    (tmp_path / "my-model").mkdir()  # which is another model, and is named ./my-model
    model = load("my-model")
    assert (model.info.name, model.info.source) == ("my-model", f"{own}:make")
