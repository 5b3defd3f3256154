"""The files beside report.json read back as what was explained, and fail without leavings."""

from __future__ import annotations

import csv
import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from explanations import explanation, measured
from PIL import Image

from staa_cli.config.settings import OutputSettings, Settings, keys
from staa_cli.errors import OutputError
from staa_cli.registry import Registry
from staa_cli.results.report import load_report
from staa_cli.results.writers import base
from staa_cli.results.writers.base import WRITERS, Writer, wanted_files
from staa_cli.schema import Explanation

STILLS = ("storyboard", "gif")
FROM_VIDEO = ("annotated", "html")
"""Formats that need the video itself."""


def write(name: str, source: Explanation, path: Path) -> None:
    """Writes one format as `save` does; stills from gray pictures."""
    writer = WRITERS.get(name)(source, Settings())
    for index in writer.frames(source) if name in STILLS else ():
        writer.add(index, np.full((90, 160, 3), 90, np.uint8))
    writer.write(path)


def test_csv_reads_back_one_row_a_frame(tmp_path: Path) -> None:
    source = explanation(frames=60)
    write("csv", source, tmp_path / "importance.csv")
    with (tmp_path / "importance.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(60))
    assert [row["seen"] == "true" for row in rows] == source.frames.seen.tolist()
    frames = source.frames
    pairs: dict[str, np.ndarray] = {
        "time_s": frames.times_s,
        "score": frames.score,
        "weighted_score": frames.weighted_score,
    }
    for name, expected in pairs.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], expected, rtol=1e-5)


def test_npz_reads_back_without_pickle(tmp_path: Path) -> None:
    source = explanation(signed=True)
    write("npz", source, tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["attributions"][2], source.attributions[2].values)
        np.testing.assert_array_equal(arrays["clip_times_s"][2], source.clips[2].times_s)
        np.testing.assert_array_equal(arrays["maps"], source.maps.values)
        np.testing.assert_array_equal(arrays["map_times_s"], source.maps.times_s)
        assert arrays["box"].tolist() == list(source.maps.box)


@pytest.mark.parametrize("name", ["csv", "npz", "plot", "storyboard", "gif"])
def test_equal_input_gives_equal_bytes(name: str, tmp_path: Path) -> None:
    for place in ("a", "b"):
        write(name, explanation(size=(160, 90)), tmp_path / place)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_writer_writes_its_file_and_nothing_else(tmp_path: Path) -> None:
    source = replace(explanation(size=(160, 90)), faithfulness=measured())
    for name, writer in WRITERS.items():
        if name not in FROM_VIDEO:
            write(name, source, tmp_path / writer.file)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("importance.csv", "maps.npz", "curve.png", "faithfulness.png", "storyboard.png"),
        *("annotated.gif", "report.json"),
    }
    assert load_report(tmp_path / "report.json").video.width == 160
    with Image.open(tmp_path / "curve.png") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize("name", sorted({*WRITERS.names()} - {*FROM_VIDEO}))
def test_a_writer_that_cannot_write_says_so_and_leaves_no_part(name: str, tmp_path: Path) -> None:
    target = tmp_path / WRITERS.get(name).file
    target.mkdir()
    source = replace(explanation(frames=30, size=(160, 90)), faithfulness=measured())
    with pytest.raises(OutputError, match=WRITERS.get(name).file):
        write(name, source, target)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_writer_that_fails_midway_leaves_no_part(tmp_path: Path) -> None:
    source = explanation(frames=60)
    ragged = (
        *source.attributions[:-1],
        dataclasses.replace(source.attributions[-1], values=np.zeros((1, 2, 2), np.float32)),
    )
    with pytest.raises(ValueError, match="same shape"):
        write("npz", dataclasses.replace(source, attributions=ragged), tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


def test_every_format_has_a_setting_that_asks_for_it() -> None:
    for name, writer in WRITERS.items():
        if name != "json":  # which is always written
            key = keys()[f"output.{name}"]
            on, off = (replace(OutputSettings(), **cast(Any, {name: x})) for x in (True, False))
            assert (writer.is_wanted(on), writer.is_wanted(off)) == (True, False)
            assert key.flag in ("--" + name, "--no-" + name)
    assert WRITERS.get("json").is_wanted(OutputSettings(annotated=False, npz=False))


def test_by_default_the_video_the_page_the_maps_and_the_report() -> None:
    written = ["annotated.mp4", "report.html", "maps.npz", "report.json"]
    assert wanted_files(OutputSettings()) == written
    assert len({writer.file for _, writer in WRITERS.items()}) == len(WRITERS.names())


def test_the_report_stays_the_last_whoever_registers_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Notes(Writer):
        name, file = "notes", "notes.txt"

        @classmethod
        def is_wanted(cls, output: OutputSettings) -> bool:
            return True

        def write(self, path: Path) -> None:
            path.write_text("notes")

    registry = Registry("format", WRITERS.group, lambda name, declared: declared)
    registry.register("notes")(Notes)
    monkeypatch.setattr(base, "WRITERS", registry)
    everything = OutputSettings(annotated=False, html=False, npz=False)
    assert base.wanted_files(everything) == ["notes.txt", "report.json"]


def test_frames_that_are_wanted() -> None:
    source = explanation(part=(10, 60))
    counts = {name: len(writer.frames(source)) for name, writer in WRITERS.items()}
    assert counts.pop("annotated") == 50
    assert 0 < counts.pop("storyboard") <= 6
    assert 0 < counts.pop("html") <= 7
    assert 0 < counts.pop("gif") <= 50
    assert set(counts.values()) == {0}
