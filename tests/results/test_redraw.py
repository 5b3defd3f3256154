"""Drawn again from a result folder: the same pictures, or what somebody asks for instead."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_videos import asked, film

from staa_cli.api import Explanation, explain_video
from staa_cli.config.settings import Loaded, RenderSettings, Settings, load_settings
from staa_cli.errors import InputError, OutputError
from staa_cli.files import MARK
from staa_cli.models.load import load_model
from staa_cli.results.arrays import load_explanation
from staa_cli.results.redraw import redraw
from staa_cli.results.save import save
from staa_cli.results.stored import explanation_beside

OUTPUT = dict.fromkeys(("annotated", "html", "npz", "storyboard", "gif", "plot"), True)


def flags(**values: Any) -> Loaded:
    """Settings as the command line gives them: `view="map"` is `--view map`."""
    sections = dict.fromkeys(("view", "opacity", "strip"), "render")
    named = {f"{sections.get(name, 'output')}.{name}": value for name, value in values.items()}
    return load_settings(None, named, {})


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def report_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "report.json").read_text()))


def explained(settings: Settings) -> Explanation:
    """The explanation that the folder is of."""
    model = load_model("test_timesformer", device="cpu")
    return explain_video("walk.mp4", model, settings=settings)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video and the folder of its explanation, of which each test has a copy."""
    made = tmp_path_factory.mktemp("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        film(Path("walk.mp4"), 24)
        save(explained(asked(OUTPUT)), made / "out", asked(OUTPUT), reproducible=True)
    return made


@pytest.fixture
def folder(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def test_what_is_loaded_is_what_was_saved(folder: Path) -> None:
    source, again = explained(asked(OUTPUT)), load_explanation(folder)
    for one, other in zip(source.attributions, again.attributions, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(source.maps.values, again.maps.values)
    np.testing.assert_array_equal(source.frames.weighted_score, again.frames.weighted_score)
    assert again.frames.end_s == pytest.approx(source.frames.end_s)
    assert again.clips == source.clips
    assert again.prediction.label == source.prediction.label
    assert again.model.layout == source.model.layout


def test_drawn_again_everything_is_equal(folder: Path) -> None:
    before = content(folder)
    (folder / "curve.png").write_bytes(b"old")
    redraw(folder, flags())
    after = content(folder)
    assert after.keys() == before.keys()
    for name in before:
        assert after[name] == before[name], name


def test_another_view_is_what_explaining_with_it_draws(folder: Path, tmp_path: Path) -> None:
    render = RenderSettings("contour", opacity=0.5, preset="ultrafast")
    settings = asked(OUTPUT, render=render)
    save(explained(settings), tmp_path / "wanted", settings, reproducible=True)
    redraw(folder, flags(view="contour", opacity="0.5"))
    after, wanted = content(folder), content(tmp_path / "wanted")
    assert after.keys() == wanted.keys()
    for name in wanted:  # the fingerprint in the report, too
        assert after[name] == wanted[name], name


def test_the_fingerprint_is_never_that_of_another_look(folder: Path) -> None:
    before = report_of(folder)["fingerprint"]
    redraw(folder, flags(view="map"))
    changed = report_of(folder)["fingerprint"]
    assert changed != before
    redraw(folder, flags(view="heat"))
    assert report_of(folder)["fingerprint"] not in (changed, "")


def test_elsewhere_and_the_result_itself_stays(folder: Path, tmp_path: Path) -> None:
    before = content(folder)
    saved = redraw(
        folder, flags(annotated=False, html=False, csv=True, gif=False), into=tmp_path / "new"
    )
    assert content(folder) == before
    assert set(content(tmp_path / "new")) == {
        *("maps.npz", "report.json", "storyboard.png", "curve.png", "importance.csv"),
    }
    assert saved.report.settings["output"]["annotated"] is False
    again = load_explanation(tmp_path / "new")  # a whole result
    assert again.fingerprint == saved.report.fingerprint


def test_files_of_other_people_stay(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "importance.csv").unlink(missing_ok=True)
    redraw(folder, flags(csv=True))
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "new").mkdir()
    (folder / "new" / "report.json").write_text("mine")
    with pytest.raises(OutputError, match="was not written by staa"):
        redraw(folder, flags(), into=folder / "new")


def test_a_video_that_has_moved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("walk.mp4").rename("moved.mp4")
    with pytest.raises(InputError, match="its video is missing") as caught:
        redraw(folder, flags())
    assert "--video" in (caught.value.hint or "")
    film(Path("walk.mp4"), 24, seed=1)
    with pytest.raises(InputError, match="not the video that was explained"):
        redraw(folder, flags())
    with pytest.raises(InputError, match="not the video that was explained"):
        redraw(folder, flags(), video=Path("walk.mp4"))
    redraw(folder, flags(), video=Path("moved.mp4"))
    assert report_of(folder)["video"]["path"] == "moved.mp4"


def test_from_another_folder_a_relative_path_still_leads_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film(Path("walk.mp4"), 12)
    explain_video("walk.mp4", "test_timesformer", settings=asked({"npz": True})).save("out")
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir("deeper")
    saved = redraw(Path("../out"), flags())
    assert saved.report.video.path == str(tmp_path / "walk.mp4")


@pytest.mark.parametrize("name", ["report.json", "maps.npz"])
@pytest.mark.parametrize("content", [None, b"", b"mine", b'{"schema_version": 1}', b"PK\x03\x04"])
def test_what_is_missing_or_broken_is_said(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        redraw(folder, flags())
    assert name in caught.value.cause or "schema_version" in caught.value.cause
    assert "\n" not in caught.value.cause


@pytest.mark.parametrize("into", [None, Path("again")])
def test_an_interrupted_result_is_not_drawn(folder: Path, into: Path | None) -> None:
    """Its files may be of two runs, and its marker is what says so."""
    (folder / MARK).write_text("{}")
    before = content(folder)
    with pytest.raises(InputError, match="is of an interrupted run") as caught:
        redraw(folder, flags(), into=into)
    assert "--force" in (caught.value.hint or "")
    assert content(folder) == before
    assert into is None or not into.exists()


def test_no_picture_of_another_look_stays_beside_a_report_of_this_one(folder: Path) -> None:
    redraw(folder, flags(view="contour"))
    assert {"storyboard.png", "annotated.gif", "curve.png"} < content(folder).keys()
    save(explained(asked()), folder, asked())
    assert content(folder).keys() == {"curve.png", "report.json"}  # no look in it
    assert explanation_beside(folder / "report.json") is None  # maps of before are refused
    save(explained(asked({"gif": True})), folder, asked({"gif": True}))
    save(explained(asked()), folder, asked())
    assert "annotated.gif" in content(folder)  # which is as the report says
