"""The files beside report.json read back as what was explained, and fail without leavings."""

from __future__ import annotations

import csv
import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from explanations import explanation, measured
from PIL import Image

from staa_cli.errors import OutputError
from staa_cli.results.files import WRITERS
from staa_cli.results.report import load_report


def test_csv_reads_back_one_row_a_frame(tmp_path):
    source = explanation(frames=60)
    WRITERS["csv"].write(source, tmp_path / "importance.csv")
    with (tmp_path / "importance.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(60))
    assert [row["seen"] == "true" for row in rows] == source.frames.seen.tolist()
    frames = source.frames
    pairs = {
        "time_s": frames.times_s,
        "score": frames.score,
        "weighted_score": frames.weighted_score,
    }
    for name, expected in pairs.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], expected, rtol=1e-5)


def test_npz_reads_back_without_pickle(tmp_path):
    source = explanation(signed=True)
    WRITERS["npz"].write(source, tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["attributions"][2], source.attributions[2].values)
        np.testing.assert_array_equal(arrays["clip_times_s"][2], source.clips[2].times_s)
        np.testing.assert_array_equal(arrays["maps"], source.maps.values)
        np.testing.assert_array_equal(arrays["map_times_s"], source.maps.times_s)
        assert arrays["box"].tolist() == list(source.maps.box)


@pytest.mark.parametrize("name", ["csv", "npz", "plot"])
def test_equal_input_gives_equal_bytes(name, tmp_path):
    for place in ("a", "b"):
        WRITERS[name].write(explanation(), tmp_path / place)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_writer_writes_its_file_and_nothing_else(tmp_path):
    for writer in WRITERS.values():
        writer.write(replace(explanation(), faithfulness=measured()), tmp_path / writer.file)
    names = {"importance.csv", "maps.npz", "curve.png", "faithfulness.png", "report.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert load_report(tmp_path / "report.json").video.width == 1280
    with Image.open(tmp_path / "curve.png") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_that_cannot_write_says_so_and_leaves_no_part(name, tmp_path):
    target = tmp_path / WRITERS[name].file
    target.mkdir()
    with pytest.raises(OutputError, match=WRITERS[name].file):
        WRITERS[name].write(explanation(frames=30), target)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_writer_that_fails_midway_leaves_no_part(tmp_path):
    source = explanation(frames=60)
    ragged = (
        *source.attributions[:-1],
        dataclasses.replace(source.attributions[-1], values=np.zeros((1, 2, 2), np.float32)),
    )
    with pytest.raises(ValueError, match="same shape"):
        WRITERS["npz"].write(dataclasses.replace(source, attributions=ragged), tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []
