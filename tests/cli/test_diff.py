"""`staa diff`: what has moved, and gates that block."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from compared_runs import edited, result
from scipy import stats

from staa_cli.errors import ExitCode

OLD, NEW = Path("old"), Path("new")
SAME = ("walk.mp4", "run.mp4", "jump.mp4")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def drifted() -> None:
    """Three videos; in one of them the new model looks elsewhere and says something else."""
    for video in SAME:
        result(OLD, video)
    result(NEW, "walk.mp4", weights="new")
    result(NEW, "run.mp4", weights="new", confidence=0.8)
    result(
        NEW,
        "jump.mp4",
        weights="new",
        peak_s=1.5,
        label="sailing",
        confidence=0.4,
        codes=("low-confidence",),
        grid=(7, 7),
    )


PASSING = [
    ("--max-shift", "1.5"),
    ("--max-label-changes", "1"),
    ("--max", "spatial.energy_moved=0.99"),
    ("--max", "spatial.center_shift=0.5"),
    ("--max", "spatial.energy_moved_by_time=1"),
    ("--max", "temporal.shift_share=0.9"),
    ("--max", "abs(confidence_change)=0.5"),
    ("--max", "len(warnings_added)=1"),
    ("--min", "temporal.rank_correlation=-1"),
    ("--min", "confidence_change=-0.5"),
    ("--fail-if", "new.prediction.target.probability < 0.3"),
    ("--fail-if", "'decode-errors' in warnings_added"),
    ("--fail-if", "label_changed and new.model.name != old.model.name"),
]
FAILING = [
    ("--max-shift", "0.2"),
    ("--max-label-changes", "0"),
    ("--max", "spatial.energy_moved=0.01"),
    ("--max", "spatial.center_shift=0.001"),
    ("--max", "spatial.energy_moved_by_time=0.01"),
    ("--max", "temporal.shift_share=0.1"),
    ("--max", "abs(confidence_change)=0.4"),
    ("--max", "len(warnings_added)=0"),
    ("--min", "temporal.rank_correlation=0.9"),
    ("--min", "confidence_change=-0.4"),
    ("--fail-if", "new.prediction.target.probability < 0.5"),
    ("--fail-if", "'low-confidence' in warnings_added"),
    ("--fail-if", "label_changed and confidence_change < 0"),
    ("--fail-if", "temporal.shift_s > 0.2 and abs(new.temporal.mean - old.temporal.mean) < 1"),
]


@pytest.mark.usefixtures("drifted")
@pytest.mark.parametrize("gate", PASSING)
def test_a_gate_that_holds_passes(run: Any, gate: tuple[str, str]) -> None:
    done = run("diff", "old", "new", *gate)
    assert done.code == ExitCode.OK
    assert re.search(f"{re.escape(' '.join(gate))} passed(:| for) ", done.err)
    assert "error: " not in done.err


@pytest.mark.usefixtures("drifted")
@pytest.mark.parametrize("gate", FAILING)
def test_a_gate_that_does_not_hold_blocks_with_1(run: Any, gate: tuple[str, str]) -> None:
    done = run("diff", "old", "new", *gate)
    assert done.code == ExitCode.GATE_FAILED
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {' '.join(gate)} failed for 1 of 3 videos: jump.mp4")
    json_text = run("diff", "old", "new", *gate, "--json", "-q").out
    told = json.loads(json_text)
    ((gate_told,), pairs) = told["gates"], told["pairs"]
    assert (told["status"], gate_told["status"]) == ("failed", "failed")
    (finding,) = gate_told["findings"]
    assert pairs[finding["pair"]]["video"] == {"path": "jump.mp4"}
    done = run("diff", "old", "old", *gate)  # nothing differs: what blocked is the difference
    if "new." not in gate[1]:
        assert done.code == ExitCode.OK


@pytest.mark.usefixtures("drifted")
def test_one_gate_of_several_is_enough_to_block(run: Any) -> None:
    gates = [word for gate in (PASSING[0], FAILING[1], PASSING[2]) for word in gate]
    done = run("diff", "old", "new", *gates)
    assert done.code == ExitCode.GATE_FAILED
    assert done.err.count(" passed for ") == 2
    assert done.err.count(" failed for ") == 1


def broken(change: Callable[[dict[str, Any]], object]) -> Callable[[], object]:
    return lambda: edited(Path("new/jump/report.json"), change)


def newer(report: dict[str, Any]) -> None:
    report["schema_version"] = 2


def of_a_value(report: dict[str, Any]) -> None:
    target = report["prediction"]["target"]
    target["value"] = target.pop("probability")
    report["model"]["output"] = "identity"


DAMAGE: dict[str, tuple[Callable[[], object], str]] = {
    "no video": (lambda: shutil.rmtree("new/jump"), "jump.mp4: missing in the new run"),
    "no baseline": (lambda: shutil.rmtree("old/jump"), "jump.mp4: no baseline in the old run"),
    "no report": (lambda: Path("new/jump/report.json").unlink(), "missing in the new run"),
    "another video": (
        broken(lambda report: report["video"].update(sha256="0" * 64)),
        "jump.mp4: missing in the new run; jump.mp4: no baseline",
    ),
    "newer schema": (broken(newer), "has schema version 2, but this version of staa reads 1"),
    "no hash": (broken(lambda r: r["video"].update(sha256="")), "does not say which video"),
    "bad path": (broken(lambda r: r["video"].update(path_bytes="x")), "does not say which video"),
    "no JSON": (lambda: Path("new/jump/report.json").write_text("{"), "is not JSON"),
    "empty": (lambda: Path("new/jump/report.json").write_text(""), "it is empty"),
    "no prediction": (broken(lambda r: r.pop("prediction")), "prediction"),
    "columns": (broken(lambda r: r["frames"]["score"].pop()), "its columns differ in length"),
    "order": (broken(lambda r: r["frames"]["time_s"].reverse()), "not in the order of time"),
    "twice": (broken(lambda r: r["frames"]["index"].__setitem__(1, 0)), "not in the order"),
    "no score": (
        broken(lambda r: r["frames"].update(score=[None] * 60)),
        "no frame has a score",
    ),
    "map": (broken(lambda r: r["spatial"]["mean_map"].pop()), "not of the size of spatial.grid"),
    "box": (broken(lambda r: r["spatial"].update(box=[0.5, 0, 0.5, 1])), "spatial.box"),
    "aspect": (
        broken(lambda r: r["video"].update(sample_aspect_ratio=[0, 0])),
        "sample_aspect_ratio",
    ),
    "no answer": (broken(lambda r: r["prediction"].update(top_k=[])), "top_k: it is empty"),
    "maps": (lambda: Path("new/jump/maps.npz").write_bytes(b"PK"), "maps.npz"),
    "maps of another": (
        lambda: shutil.copy("old/walk/maps.npz", "new/jump/maps.npz") and broken(
            lambda r: r.update(fingerprint="other"))(),
        "belong to different results",
    ),
    "interrupted": (lambda: Path("new/jump/.staa-writing").write_text("{}"), "interrupted run"),
}  # fmt: skip


@pytest.mark.usefixtures("drifted")
@pytest.mark.parametrize("gate", [PASSING[0], PASSING[1], FAILING[0], PASSING[-1]])
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_there_or_broken_is_3_for_every_gate(
    run: Any, gate: tuple[str, str], damage: str
) -> None:
    damaged, words = DAMAGE[damage]
    damaged()
    done = run("diff", "old", "new", *gate)
    assert done.code == ExitCode.INPUT_FAILED
    (line,) = [line for line in done.err.splitlines() if f"{' '.join(gate)} " in line]
    assert line.startswith(f"error: {' '.join(gate)} could not be evaluated: ")
    assert words in line
    assert "Traceback" not in done.err
    told = json.loads(run("diff", "old", "new", *gate, "--json", "-q").out)
    assert (told["status"], told["gates"][0]["status"]) == ("unevaluated", "unevaluated")


UNEVALUABLE: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "no maps": (
        {"npz": False}, ("--max", "spatial.energy_moved_by_time=1"), "energy_moved_by_time is null"
    ),
    "flat": ({"flat": True}, ("--min", "temporal.rank_correlation=-1"), "correlation is null"),
    "few frames": (
        {"clip_starts": [0], "clip_frames": 2},
        ("--min", "temporal.rank_correlation=-1"), "correlation is null",
    ),
    "another kind of answer": (
        {"output": "identity"}, ("--min", "confidence_change=-9"), "confidence_change is null"
    ),
    "no probability": (
        {"output": "identity"},
        ("--fail-if", "new.prediction.target.probability < 0"),
        "new.prediction.target.probability is null",
    ),
    "no peak": ({}, ("--fail-if", "new.temporal.peak_s > 99"), "new.temporal.peak_s is null"),
    "not asked for": ({}, ("--fail-if", "len(new.faithfulness.beaten_by) > 9"), "is null"),
    "no such setting": ({}, ("--fail-if", "new.settings.sampling.hop > 9"), "hop is missing"),
    "a text": ({}, ("--fail-if", "new.model.name > 9"), "is a text, not a number"),
    "a number": ({}, ("--fail-if", "new.model.layout.depth"), "is a number, not true or false"),
    "not a number": ({}, ("--max", "label_changed=9"), "is true or false, not a number"),
    "no noise": ({}, ("--fail-if", "temporal.shift_s > 9 * max(noise.temporal.shift_s)"), "empty"),
    "no division": ({}, ("--max", "1 / confidence_change=9"), "not a finite number"),
}  # fmt: skip


@pytest.mark.parametrize("reason", UNEVALUABLE)
def test_a_gate_over_what_a_pair_does_not_have_is_3(run: Any, reason: str) -> None:
    options, gate, words = UNEVALUABLE[reason]
    result(OLD)
    result(NEW, weights="new", **options)
    assert run("diff", "old", "new").code == ExitCode.OK  # the reports are valid
    done = run("diff", "old", "new", *gate)
    assert done.code == ExitCode.INPUT_FAILED
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert f"{' '.join(gate)} could not be evaluated: walk.mp4: " in line
    assert words in line


@pytest.mark.usefixtures("drifted")
def test_3_where_one_gate_fails_and_another_cannot_be_evaluated(run: Any) -> None:
    gates = (*FAILING[0], "--fail-if", "new.faithfulness.quick")
    done = run("diff", "old", "new", *gates)
    assert done.code == ExitCode.INPUT_FAILED
    assert "--max-shift 0.2 failed for 1 of 3 videos: jump.mp4 " in done.err


@pytest.mark.parametrize("sides", [("nowhere", "new"), ("old", "nowhere"), ("empty", "new")])
def test_a_run_that_is_not_there_is_3(run: Any, sides: tuple[str, str]) -> None:
    result(OLD)
    result(NEW)
    Path("empty").mkdir()
    done = run("diff", *sides, "--max-shift", "9")
    assert done.code == ExitCode.INPUT_FAILED
    assert done.err.startswith("error: ")
    assert sides[0] in done.err or sides[1] in done.err


def test_two_runs_of_nothing_in_common_pass_no_gate(run: Any) -> None:
    result(OLD, "a.mp4")
    result(NEW, "b.mp4")
    for line in ([], ["--allow-added"]):
        done = run("diff", "old", "new", "--max-label-changes", "9", *line)
        assert done.code == ExitCode.INPUT_FAILED
        assert done.out == ""
        assert "no video was compared" in done.err or "missing in the new run" in done.err


def test_a_video_without_baseline_is_accepted_on_request_and_a_lost_one_never(run: Any) -> None:
    result(OLD)
    result(NEW)
    result(NEW, "added.mp4")
    gate = ("--max-shift", "0.1", "--allow-added")
    done = run("diff", "old", "new", *gate)
    assert done.code == ExitCode.OK
    assert "1 video only in the new run: added.mp4" in done.err
    result(OLD, "lost.mp4")
    assert run("diff", "old", "new", *gate).code == ExitCode.INPUT_FAILED


@pytest.mark.parametrize("damage", ["newer", "empty", "interrupted"])
def test_a_damaged_baseline_is_not_a_video_without_one(run: Any, damage: str) -> None:
    for video in SAME:
        result(OLD, video)
        result(NEW, video, weights="new")
    report = OLD / "jump" / "report.json"
    if damage == "newer":
        edited(report, newer)
    elif damage == "empty":
        report.write_bytes(b"")
    else:
        (report.parent / ".staa-writing").write_text("{}")
    done = run("diff", "old", "new", "--max-shift", "9", "--allow-added")
    assert done.code == ExitCode.INPUT_FAILED
    assert "--max-shift 9 could not be evaluated: " in done.err


def test_without_a_gate_a_difference_is_no_failure_but_a_broken_report_is(run: Any) -> None:
    result(OLD)
    result(NEW, peak_s=1.5)
    result(NEW, "added.mp4")
    done = run("diff", "old", "new")
    assert done.code == ExitCode.OK
    edited(NEW / "walk/report.json", newer)
    done = run("diff", "old", "new")
    assert done.code == ExitCode.INPUT_FAILED
    assert "error: new/walk/report.json has schema version 2" in done.err
    assert "hint: use the version of staa that wrote it" in done.err


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        (("--max-shift", "nan"), "--max-shift: expected a number, not 'nan'"),
        (("--max-shift", "inf"), "--max-shift: expected a number, not 'inf'"),
        (("--max-shift", "-1"), "--max-shift: at least 0, not -1"),
        (("--max-shift", "much"), "--max-shift: expected a number, not 'much'"),
        (("--max-label-changes", "-1"), "--max-label-changes: at least 0, not -1"),
        (("--max-label-changes", "0.5"), "--max-label-changes"),
        (("--max", "temporal.shift_s"), "--max: expected MEASURE=LIMIT, not 'temporal.shift_s'"),
        (("--max", "temporal.shift_s=nan"), "--max: expected a number, not 'nan'"),
        (("--max", "temporal.shift=1"), "--max: unknown field 'temporal.shift' at character 10"),
        (("--max", "old.temporal.mean=1"), "--max: unknown field 'old'"),
        (("--min", "=1"), "--min: expected an expression, not ''"),
        (("--min", "temporal.shift_s="), "--min: expected a number, not ''"),
        (("--fail-if", "temporal.shft_s > 1"), "unknown field 'temporal.shft_s' at character 10"),
        (("--fail-if", "new.temporal.pek_s > 1"), "--fail-if: unknown field"),
        (("--fail-if", "__import__('os')"), "not allowed"),
    ],
)
def test_a_gate_that_is_misspelled_is_2_and_named(
    run: Any, gate: tuple[str, str], words: str
) -> None:
    result(OLD)
    result(NEW)
    done = run("diff", "old", "new", *gate)
    assert done.code == ExitCode.USAGE
    assert words in done.err
    assert done.out == ""


SEED: dict[str, Any] = {"settings": {"sampling": {"seed": 1}, "method": {"seed": 1}}}


class TestNoise:
    """Further runs of the old checkpoint say which differences are noise."""

    @pytest.mark.parametrize(
        ("gate", "noisy", "noisier"),
        [
            (("--max-shift", "0.05"), {"peak_s": 0.7}, {"peak_s": 1.2}),
            (("--max", "spatial.energy_moved=0.01"), {"grid": (7, 7), "peak_s": 0.6},
             {"grid": (2, 2), "peak_s": 1.6}),
            (("--min", "confidence_change=-0.05"), {"confidence": 0.7}, {"confidence": 0.5}),
            (("--min", "temporal.rank_correlation=0.99"), {"peak_s": 0.6}, {"peak_s": 1.2}),
            (("--max-label-changes", "0"), {}, {"label": "sailing"}),
        ],
    )  # fmt: skip
    def test_what_is_beyond_the_limit_but_not_beyond_the_noise_is_accepted(
        self, run: Any, gate: tuple[str, str], noisy: dict[str, Any], noisier: dict[str, Any]
    ) -> None:
        result(OLD)
        result(NEW, weights="new", **(noisy or noisier))
        result(Path("loud"), **SEED, **noisier)
        result(Path("quiet"), **SEED)
        assert run("diff", "old", "new", *gate).code == ExitCode.GATE_FAILED
        quiet = run("diff", "old", "new", *gate, "--noise", "quiet")
        assert quiet.code == ExitCode.GATE_FAILED
        loud = run("diff", "old", "new", *gate, "--noise", "loud")
        assert loud.code == ExitCode.OK
        both = run("diff", "old", "new", *gate, "--noise", "quiet", "--noise", "loud")
        assert both.code == ExitCode.OK
        if "label" not in gate[0]:
            assert "not beyond noise: walk.mp4 " in loud.err

    def test_noise_never_makes_a_gate_fail(self, run: Any) -> None:
        result(OLD)
        result(NEW, peak_s=0.6, weights="new")
        result(Path("same"), **SEED)
        for gate in (PASSING[0], PASSING[2], PASSING[8]):
            assert run("diff", "old", "new", *gate, "--noise", "same").code == ExitCode.OK

    def test_expressions_see_the_noise(self, run: Any) -> None:
        result(OLD)
        result(NEW, peak_s=1.0, weights="new")
        result(Path("seed1"), peak_s=0.6, **SEED)
        result(Path("seed2"), peak_s=0.7, **SEED)
        noise = ("--noise", "seed1", "--noise", "seed2")
        text = "temporal.shift_s > {} * max(noise.temporal.shift_s)"
        found = run("diff", "old", "new", *noise, "--fail-if", text.format(1.5))
        assert found.code == ExitCode.GATE_FAILED
        found = run("diff", "old", "new", *noise, "--fail-if", text.format(9))
        assert found.code == ExitCode.OK

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"weights": "new"}, "is of other weights than old/walk/report.json"),
            ({"settings": {"sampling": {"strategy": "random"}}}, "sampling.strategy"),
            ({"settings": {"method": {"name": "rollout"}}}, "method.name"),
            ({"settings": {"post": {"smooth": "average"}}}, "post.smooth"),
            ({"video": "other.mp4"}, "noise has no report of walk.mp4"),
        ],
    )
    def test_a_run_that_is_no_noise_run_is_3(
        self, run: Any, options: dict[str, Any], words: str
    ) -> None:
        result(OLD)
        result(NEW, weights="new")
        result(Path("noise"), **options)
        done = run("diff", "old", "new", "--max-shift", "9", "--noise", "noise")
        assert done.code == ExitCode.INPUT_FAILED
        assert words in done.err
        assert "could not be evaluated" in done.err

    def test_a_broken_noise_run_is_3(self, run: Any) -> None:
        result(OLD)
        result(NEW, weights="new")
        edited(result(Path("noise")), newer)
        line = ("diff", "old", "new", "--max-shift", "9", "--noise")
        assert run(*line, "noise").code == ExitCode.INPUT_FAILED
        assert run(*line, "nowhere").code == ExitCode.INPUT_FAILED


@pytest.mark.usefixtures("drifted")
def test_the_table_fits_and_standard_output_has_it_alone(run: Any) -> None:
    for width in (60, 80, 120):
        done = run("diff", "old", "new", COLUMNS=str(width))
        assert max(map(len, done.out.splitlines())) <= width
        assert "\x1b" not in done.out
    head, *rows = done.out.splitlines()
    assert head.split() == ["SHIFT", "RANK", "MOVED", "CENTER", "VIDEO"]
    assert rows[0].endswith("jump.mp4: windsurfing 87 % -> sailing 40 %, + low-confidence")
    assert rows[1].endswith("run.mp4: windsurfing 87 % -> 80 %")
    assert "\n".join(rows[2].split()[:2]) == "0.00\ns"
    for code in ("different-grid", "different-settings", "same-weights"):
        assert (f"warning: {code}: " in done.err) is (code == "different-grid")
    assert run("diff", "old", "new", "-q") == type(done)(ExitCode.OK, "", "")


@pytest.mark.usefixtures("drifted")
def test_pairs_beyond_a_gate_are_red(run: Any) -> None:
    colored = run("diff", "old", "new", "--max-shift", "0.2", "--color", "always").out
    assert [line.count("\x1b[31m") for line in colored.splitlines()[:4]] == [0, 4, 0, 0]


@pytest.mark.usefixtures("drifted")
def test_json_is_one_object_that_fits_its_schema(run: Any) -> None:
    line = ("diff", "old", "new", "--json", "--max-shift", "0.2", "--noise", "old")
    done = run(*line)
    told = json.loads(done.out)
    assert next(iter(told)) == "schema_version"
    assert done.out.count("\n") == 1
    jsonschema.validate(told, json.loads(run("schema", "diff").out))
    assert run(*line, "-q").err.startswith("error: --max-shift 0.2 failed")
    pair = told["pairs"][0]
    old, new = (json.loads(Path(pair[side]["path"]).read_text()) for side in ("old", "new"))
    weights = [report["frames"]["score"] for report in (old, new)]
    times = old["frames"]["time_s"]
    assert pair["temporal"]["shift_s"] == pytest.approx(
        stats.wasserstein_distance(times, times, *weights), rel=0.01
    )
    assert pair["temporal"]["rank_correlation"] == pytest.approx(
        stats.spearmanr(*weights).statistic, abs=1e-5
    )
    assert pair["label_changed"]
    assert pair["confidence_change"] == pytest.approx(-0.47)
    assert (pair["old"]["label"], pair["new"]["label"]) == ("windsurfing", "sailing")
    assert pair["warnings_added"] == ["low-confidence"]
    assert told["pairs"][2]["temporal"]["shift_s"] == 0
    assert told["pairs"][2]["spatial"] == {
        "center_shift": 0, "energy_moved": 0, "energy_moved_by_time": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"settings": {"method": {"seed": 1}}}, "different-settings"),
        ({"clip_starts": [6, 12]}, "different-sampling"),
        ({"grid": (7, 7)}, "different-grid"),
        ({"box": (0.1, 0.0, 0.9, 1.0)}, "different-crop"),
        ({"signed": True, "label": "sailing"}, "different-class"),
        ({"weights": "old"}, "same-weights"),
        ({"npz": False}, "no-maps"),
        ({"strength": lambda time: 0.0}, "no-evidence"),
    ],
)
def test_what_makes_a_comparison_less_meaningful_is_a_warning(
    run: Any, options: dict[str, Any], code: str
) -> None:
    result(OLD)
    result(NEW, **({"weights": "new"} | options))
    done = run("diff", "old", "new")
    assert done.code == ExitCode.OK
    assert done.err.count(f"warning: {code}: ") == 1


def test_another_method_or_version_is_a_warning(run: Any) -> None:
    result(OLD)
    edited(result(NEW), lambda report: report["method"].update(name="rollout"))
    assert "warning: different-method: explained by staa and by rollout" in (
        run("diff", "old/walk/report.json", "new/walk/report.json").err
    )
    edited(NEW / "walk/report.json", lambda report: report.update(staa_version="9.9"))
    assert "different-version: explained by staa 0.1.0 and 9.9" in run("diff", "old", "new").err


def test_any_name_of_a_video_stays_one_line(run: Any) -> None:
    names = [b"not_utf8_\xff.mp4", b"new\nline.mp4", b"esc\x1b[31m.mp4", b"--help.mp4"]
    for name in names:
        result(OLD, os.fsdecode(name))
        result(NEW, os.fsdecode(name), peak_s=1.5)
    done = run("diff", "old", "new", "--max-shift", "0.1", COLUMNS="200")
    assert len(done.out.splitlines()) == 1 + len(names)
    assert "\x1b" not in done.out + done.err
    assert r"not_utf8_\xff.mp4" in done.out
    told = json.loads(run("diff", "old", "new", "--json").out)
    assert any("path_bytes" in pair["video"] for pair in told["pairs"])


@pytest.mark.usefixtures("drifted")
@pytest.mark.parametrize(
    ("gate", "word"),
    [((), "no gate"), (PASSING[0], "passed"), (FAILING[0], "failed"),
     (("--fail-if", "new.faithfulness.quick"), "could not be evaluated")],
)  # fmt: skip
def test_the_summary_tells_the_outcome_first(run: Any, gate: tuple[str, ...], word: str) -> None:
    Path("summary.md").write_text("# Before\n")
    done = run("diff", "old", "new", *gate, "--summary-md", "summary.md")
    head, _, title, *rest = Path("summary.md").read_text().splitlines()
    assert (head, title) == ("# Before", f"## staa diff: {word}")
    rows = [line for line in rest if line.startswith("| ")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [6] * 5
    assert "summary.md" not in done.out + done.err


def test_a_large_summary_is_cut_and_said_to_be(run: Any) -> None:
    result(OLD)
    result(NEW)
    Path("summary.md").write_bytes(b"-" * 899_950)
    done = run("diff", "old", "new", "--summary-md", "summary.md")
    assert done.code == ExitCode.OK
    assert "warning: summary.md was cut below 900 kB" in done.err
    assert Path("summary.md").stat().st_size < 900_000


def test_a_summary_that_cannot_be_written_is_3_though_the_gate_has_failed(run: Any) -> None:
    result(OLD)
    result(NEW, peak_s=1.5)
    done = run("diff", "old", "new", "--max-shift", "0.1", "--summary-md", ".")
    assert done.code == ExitCode.INPUT_FAILED
    assert "error: cannot write ." in done.err


@pytest.mark.usefixtures("drifted")
def test_the_page_is_written_beside_what_else_is_told(run: Any) -> None:
    plain = run("diff", "old", "new", *FAILING[0])
    done = run("diff", "old", "new", *FAILING[0], "--html", "pages/diff.html")
    assert (done.code, done.out) == (plain.code, plain.out) == (ExitCode.GATE_FAILED, plain.out)
    assert done.err == plain.err + "pages/diff.html is written\n"
    first = Path("pages/diff.html").read_text()
    assert "Failed: 3 videos, 1 beyond a limit" in first
    assert "./../new/jump/report.json" in first
    assert run("diff", "old", "old", "--html", "pages/diff.html").code == ExitCode.OK
    assert Path("pages/diff.html").read_text() != first
    assert [path.name for path in Path("pages").iterdir()] == ["diff.html"]


@pytest.mark.usefixtures("drifted")
def test_the_page_replaces_only_a_page_of_its_own(run: Any) -> None:
    own = Path("old/walk/report.html")  # of staa, but of another kind
    own.write_text('<!doctype html><meta name="generator" content="staa 0.1.0">')
    for path in (own, Path("old/walk/report.json"), Path("note.txt")):
        path.touch()
        before = path.read_bytes()
        done = run("diff", "old", "new", "--html", str(path))
        assert done.code == ExitCode.INPUT_FAILED
        assert done.out == ""  # before anything is compared
        assert done.err.startswith(f"error: {path} is in the way and was not written by staa diff")
        assert path.read_bytes() == before
    os.mkfifo("pipe")
    done = run("diff", "old", "new", "--html", "pipe")
    assert done.code == ExitCode.INPUT_FAILED
    assert "pipe is in the way" in done.err
    done = run("diff", "old", "new", "--html", "-")
    assert done.code == ExitCode.USAGE
    assert not Path("-").exists()
    done = run("diff", "old", "new", "--html", "old")
    assert done.code == ExitCode.USAGE
    assert "error: --html: old is a folder" in done.err


@pytest.mark.usefixtures("drifted")
def test_the_page_tells_of_what_cannot_be_compared(run: Any) -> None:
    shutil.rmtree("new/jump")
    Path("new/run/report.json").write_text("{")
    done = run("diff", "old", "new", "--max-shift", "1", "--html", "diff.html")
    assert done.code == ExitCode.INPUT_FAILED
    page = Path("diff.html").read_text()
    assert "Could not be evaluated" in page
    assert "only in the old run" in page
    assert "is not JSON" in page
