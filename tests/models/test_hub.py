"""Names on the hub: what is fetched, what is said first, and what needs no network at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoint_checks import MakeFolder
from hub_server import COMMIT, Hub

from staa_cli.errors import StaaError
from staa_cli.models.load import load_model


@pytest.fixture
def hub(tmp_path: Path, hf_folder: MakeFolder) -> Iterator[Hub]:
    _, folder = hf_folder()
    (folder / "README.md").write_text("not wanted")
    (folder / "tf_model.h5").write_text("not wanted")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "README.md").write_text("nothing")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).write_text("{}")
    folders = {"org/tiny": folder, "org/empty": empty, "org/adapter": adapter}
    with Hub(folders).running() as server:
        yield server


@pytest.fixture
def load(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens a name with the test's own hub and cache, and tells what came of it."""
    from huggingface_hub import constants

    for name in [name for name in os.environ if name.startswith(("HF_", "STAA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + template[template.index("/{") :]
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)

    def run(name: str, mode: str = "online") -> dict[str, Any]:
        said: list[str] = []
        try:
            model = load_model(name, device="cpu", offline=mode == "offline", announce=said.append)
        except StaaError as error:
            found: dict[str, Any] = {
                "cause": error.cause,
                "hint": error.hint,
                "code": int(error.exit_code),
            }
        else:
            info = model.info
            found = {"name": info.name, "source": info.source, "labels": [*info.labels]}
        return {**found, "said": said}

    return run


def test_a_name_is_announced_fetched_and_never_fetched_again(hub: Hub, load: Any) -> None:
    found = load("hf-hub:org/tiny")
    assert found["name"] == "tiny"
    assert found["source"] == f"hf-hub:org/tiny@{COMMIT}"
    assert found["labels"] == ["jump", "fall", "spin", "rest", "wave"]
    (line,) = found["said"]
    assert "org/tiny" in line
    assert "kB" in line
    assert hub.url in line
    fetched = [asked for asked in hub.asked if asked.startswith("GET") and "/resolve/" in asked]
    assert sorted({asked.rsplit("/", 1)[1] for asked in fetched}) == [
        "config.json",
        "model.safetensors",
    ]
    hub.asked.clear()
    again = load("hf-hub:org/tiny")
    assert again == {**found, "said": []}
    assert hub.asked == []
    assert load("hf-hub:org/tiny", "offline") == again


@pytest.mark.parametrize("variable", [None, "STAA_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_asks_nobody(
    hub: Hub, load: Any, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv(variable, "1")
    found = load("hf-hub:org/tiny", "online" if variable else "offline")
    assert "org/tiny is not in the cache" in found["cause"]
    assert "hf download org/tiny" in found["hint"]
    assert found["code"] == 5
    assert hub.asked == []


def test_a_revision_is_pinned(hub: Hub, load: Any) -> None:
    assert load("hf-hub:org/tiny@v1")["source"].endswith(COMMIT)
    assert any("v1" in asked for asked in hub.asked)
    gone = load("hf-hub:org/tiny@v9")
    assert "no revision 'v9'" in gone["cause"]
    assert gone["code"] == 5


@pytest.mark.parametrize(
    ("name", "words", "code"),
    [
        ("hf-hub:org/absent", "no public model 'org/absent'", 5),
        ("hf-hub:org/empty", "no config.json", 5),
        ("hf-hub:tiny", "not a valid hub name", 2),
        ("hf-hub:org/../x", "not a valid hub name", 2),
    ],
)
def test_a_name_that_is_none_says_so(load: Any, name: str, words: str, code: int) -> None:
    found = load(name)
    assert words in found["cause"]
    assert "\n" not in found["cause"]
    assert found["code"] == code


def test_without_a_network_the_reason_is_told(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    found = load("hf-hub:org/tiny")
    assert "cannot download org/tiny" in found["cause"]
    assert "\n" not in found["cause"]
    assert found["code"] == 5


def test_a_cache_without_its_weights_is_not_taken_for_whole(
    hub: Hub, load: Any, tmp_path: Path
) -> None:
    load("hf-hub:org/tiny")
    for path in (tmp_path / "cache").rglob("model.safetensors"):
        path.unlink()
    for path in (tmp_path / "cache").rglob("blobs"):
        shutil.rmtree(path)
        path.mkdir()
    assert "not in the cache" in load("hf-hub:org/tiny", "offline")["cause"]
    assert load("hf-hub:org/tiny")["name"] == "tiny"


def test_a_download_that_breaks_off_goes_on(hub: Hub, load: Any) -> None:
    hub.breaks_after = 1000
    assert load("hf-hub:org/tiny")["labels"][0] == "jump"
    assert hub.breaks_after is None  # it did break


@pytest.mark.slow
def test_the_command_announces_and_inspects(hub: Hub, tmp_path: Path) -> None:
    """In a process of its own, as a user runs it: the hub is named by its variable."""
    environ = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "STAA_"))}
    code = "from staa_cli.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "models", "inspect", "hf-hub:org/tiny", "--json"],
        capture_output=True,
        text=True,
        env=clean | environ,
        check=True,
    )
    assert done.stderr.strip() == f"downloading org/tiny (130 kB) from {hub.url}"
    found = json.loads(done.stdout)
    assert (found["family"], found["fits"], found["classes"]) == ("timesformer", True, 5)


def test_an_adapter_is_named_before_anything_is_downloaded(load: Any) -> None:
    found = load("hf-hub:org/adapter")
    assert "org/adapter is a PEFT adapter (adapter_config.json)" in found["cause"]
    assert found["said"] == []
