"""`staa compare`: a table for people, JSON for programs, one clear line for mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_videos import wandering_square

from staa_cli.errors import ExitCode


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAA_THREADS", "1")
    monkeypatch.setenv("STAA_MODEL", "test_timesformer")


def test_a_table_and_its_files(run: Any) -> None:
    wandering_square("walk.mkv", frames=12)
    done = run("compare", "walk.mkv", "--methods", "staa,staa-logit")
    assert done.code == ExitCode.OK
    assert "a quick check: a fifth of the passes of --full-faithfulness" in done.out
    assert " explain, up to " in done.err.splitlines()[0]
    for word in (" SRG ", "AGREEMENT", "staa-logit", "random", "center", "frame-difference"):
        assert word in done.out
    assert Path("staa-out/walk/compare.mp4").stat().st_size > 0
    assert Path("staa-out/walk/compare.json").is_file()
    assert "staa-out/walk/compare.png" in done.out + done.err
    with Image.open("staa-out/walk/compare.png") as still:
        width, height = still.size  # two rows: the source, two methods, their difference
    done = run("compare", "walk.mkv", "--methods", "staa,staa-logit", "--scale", "panel")
    assert done.code == ExitCode.OK
    with Image.open("staa-out/walk/compare.png") as still:
        assert still.size == (width, height // 2)  # on scales of their own they have none


def test_a_method_that_does_not_beat_the_baselines_is_marked(run: Any) -> None:
    wandering_square("walk.mkv", frames=12)
    line = "compare walk.mkv --methods rollout,staa,gradcam,random --no-annotated"
    table = run(*line.split()).out
    rows = json.loads(Path("staa-out/walk/compare.json").read_text())["rows"]
    beaten = {row["name"] for row in rows if row.get("beaten_by")}
    assert beaten
    above = table.split("\n\n")[0].splitlines()
    assert {row.split()[0] for row in above if " ! " in row} == beaten
    assert "\n! does not beat every baseline\n" in table
    done = run(*line.split(), "--no-faithfulness")
    assert "!" not in done.out


def test_json_is_what_the_file_has(run: Any) -> None:
    wandering_square("walk.mkv", frames=12)
    done = run("compare", "walk.mkv", "--methods", "rollout", "--no-annotated", "--json")
    assert done.code == ExitCode.OK
    told = json.loads(done.out)
    assert next(row["name"] for row in told["rows"]) == "rollout"
    assert (
        json.loads(Path("staa-out/walk/compare.json").read_text())["replacement"]
        == told["replacement"]
    )
    assert not Path("staa-out/walk/compare.mp4").exists()


def test_classes_by_a_method_of_classes(run: Any) -> None:
    wandering_square("walk.mkv", frames=12)
    line = "compare walk.mkv --class 0 --class 2 --method staa-logit --no-annotated "
    line += "--full-faithfulness"
    done = run(*line.split())
    assert done.code == ExitCode.OK
    assert "quick" not in done.out
    costs = "walk.mkv: 2 clips, 1,578 passes (2 explain, up to 1,576 measure faithfulness)"
    assert done.err.count(costs) == 1
    told = json.loads(Path("staa-out/walk/compare.json").read_text())
    assert (told["quick"], told["steps"]) == (False, 50)
    assert "AGREEMENT" in done.out
    rows = json.loads(Path("staa-out/walk/compare.json").read_text())["rows"]
    baselines = ("random", "center", "frame-difference")
    assert len(rows) == 2 * (1 + len(baselines))
    for number in (0, 2):
        (own,) = {row["name"] for row in rows if row["name"].endswith(str(number))} - {
            f"{name}, {number}" for name in baselines
        }
        assert own == str(number)


def test_the_method_of_the_settings_is_compared_where_no_list_is_given(run: Any) -> None:
    wandering_square("walk.mkv", frames=12)
    done = run("compare", "walk.mkv", "--method", "rollout", "--no-annotated", "--no-faithfulness")
    assert done.code == ExitCode.OK
    names = [line.split()[0] for line in done.out.splitlines() if line]
    assert names[1:4] == ["rollout", "staa", "grad-attention"]
    assert "random" not in names  # nothing was checked
    assert "removed by" not in done.out
    assert "FAITHFULNESS" not in done.out


def test_v_says_what_was_done_and_vv_what_with(run: Any) -> None:
    wandering_square("walk.mkv", frames=12)
    line = "compare walk.mkv --methods staa,rollout --no-faithfulness --no-annotated"
    plain, more, most = (run(*line.split(), *flags).err for flags in ((), ("-v",), ("-vv",)))
    for name in ("staa", "rollout"):
        assert f"  {name}: " not in plain
        assert re.search(rf"^  {name}: \d+ clips? of 4 frames, dense,", more, re.MULTILINE)
    assert "h264 in matroska" not in more
    assert "h264 in matroska" in most


def test_one_class_is_what_the_methods_explain(run: Any) -> None:
    wandering_square("walk.mkv", frames=12)
    line = "compare walk.mkv --methods staa,staa-logit --class 2 --no-annotated --json"
    done = run(*line.split())
    assert done.code == ExitCode.OK
    told = json.loads(done.out)
    assert [row["name"] for row in told["rows"][:2]] == ["staa", "staa-logit"]
    assert len({row["label"] for row in told["rows"][:2]}) == 1
    (warning,) = [each for each in told["warnings"] if each["code"] == "class-blind-method"]
    assert "staa is class-blind" in warning["text"]
    assert told["options"]["replacement"] == "blur"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compare walk.mkv --class 0 --class 1 --method staa", "class-blind"),
        ("compare walk.mkv --class 0 --class 1 --methods staa,rollout", "at the same time"),
        ("compare walk.mkv --methods staa,nonsense", "nonsense"),
        ("compare . --methods staa", "is not a single video"),
        ("compare walk.mkv --full-faithfulness --no-faithfulness", "contradict"),
        ("compare walk.mkv --methods staa --method rollout", "leave out --method"),
        ("compare walk.mkv --scale video", "expected shared, panel, clip, frame"),
    ],
)
def test_mistakes_are_one_line(run: Any, line: str, words: str) -> None:
    wandering_square("walk.mkv", frames=12)
    wandering_square("other.mkv", frames=12)
    done = run(*line.split())
    assert done.code == ExitCode.USAGE
    assert words in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", ["nope.mp4", "text.mp4"])
def test_a_video_that_cannot_be_read_is_named(run: Any, name: str) -> None:
    Path("text.mp4").write_text("no video")
    done = run("compare", name, "--methods", "staa,rollout")
    assert done.code == ExitCode.INPUT_FAILED
    assert done.err.startswith(f"error: {name}: ")
    assert len(done.err.splitlines()) <= 2


def test_pictures_of_another_comparison_do_not_stay_beside_new_numbers(run: Any) -> None:
    wandering_square("walk.mkv", frames=12)
    folder = Path("staa-out/walk")
    run("compare", "walk.mkv", "--methods", "staa,rollout", "--no-faithfulness")
    assert {path.name for path in folder.iterdir()} == {
        *("compare.json", "compare.mp4", "compare.png"),
    }
    (folder / "compare.txt").write_text("mine")
    run("compare", "walk.mkv", "--methods", "staa,rollout", "--no-faithfulness", "--no-annotated")
    assert (folder / "compare.mp4").exists()  # of the same comparison
    run(
        "compare", "walk.mkv", "--methods", "staa,staa-value", "--no-faithfulness", "--no-annotated"
    )
    assert {path.name for path in folder.iterdir()} == {"compare.json", "compare.txt"}
