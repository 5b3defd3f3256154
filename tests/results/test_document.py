"""report.json: complete, valid, finite, small, and the same for the same input."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from explanations import explanation, measured

from staa_cli.errors import InputError, OutputError
from staa_cli.explain.stitch import center_of_mass
from staa_cli.results.document import Report
from staa_cli.results.files import load_schema, write_json
from staa_cli.results.generate_schema import SCHEMAS, schema_text
from staa_cli.results.report import from_explanation, load_report, plain_document
from staa_cli.schema import Explanation, Moment

SECTIONS = [
    "schema_version",
    "staa_version",
    "fingerprint",
    "video",
    "model",
    "settings",
    "sampling",
    "prediction",
    "method",
    "frames",
    "coverage",
    "moments",
    "temporal",
    "spatial",
    "warnings",
    "run",
]
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "flat": {"flat": True},
    "one frame": {"frames": 1},
    "one cell": {"grid": (1, 1)},
    "signed": {"signed": True},
    "cold": {"strength": lambda t: 0.0},
    "odd label": {"labels": ("</script><b>滑\n\u202e" * 40, "b")},
    "multi-label": {"output": "sigmoid"},
    "value": {"output": "identity", "confidence": -12.5, "labels": ("quality",)},
}


def report_dict(explanation: Explanation, reproducible: bool = False) -> dict[str, Any]:
    return plain_document(from_explanation(explanation, reproducible=reproducible))


def strict(schema: Any) -> Any:
    """The schema with every object closed, so that a misspelled property is an error."""
    if isinstance(schema, dict):
        closed = {"additionalProperties": False} if "properties" in schema else {}
        return {key: strict(value) for key, value in schema.items()} | closed
    return [strict(item) for item in schema] if isinstance(schema, list) else schema


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = load_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(strict(schema))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_report_fits_the_shipped_schema(variant: str, validator: Any, tmp_path: Path) -> None:
    write_json(explanation(**VARIANTS[variant]), tmp_path / "report.json")
    validator.validate(json.loads((tmp_path / "report.json").read_text("utf-8")))


def test_the_strict_schema_catches_a_misspelled_property(validator: Any) -> None:
    report = report_dict(explanation())
    report["temporal"]["minimun"] = report["temporal"].pop("minimum")
    assert not validator.is_valid(report)


def test_every_property_of_the_schema_is_described() -> None:
    schema, bare = load_schema(), []

    def walk(node: dict[str, Any], place: str) -> None:
        for name, child in node.get("properties", {}).items():
            if "description" not in child and "$ref" not in child:
                bare.append(f"{place}.{name}")
            walk(child, f"{place}.{name}")
            walk(child.get("items") or {}, f"{place}.{name}[]")

    for place, part in {"": schema, **schema["$defs"]}.items():
        assert part["description"]
        walk(part, place)
    assert bare == []


def test_sections_stand_in_order_and_nested_keys_are_sorted() -> None:
    report = report_dict(explanation())
    assert list(report) == SECTIONS
    for name in ("video", "model", "method", "frames", "spatial", "settings"):
        assert list(report[name]) == sorted(report[name])


def test_reproducible_reports_of_two_runs_are_equal_bytes(tmp_path: Path) -> None:
    for name, host in (("a", "here"), ("b", "there")):
        write_json(explanation(host=host), tmp_path / name, reproducible=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert load_report(tmp_path / "a").run is None


def test_without_reproducible_the_run_is_told() -> None:
    source = explanation(host="here")
    assert source.run is not None
    assert report_dict(source)["run"] == dataclasses.asdict(source.run)


def test_frames_hold_every_source_frame_with_its_own_numbers() -> None:
    source = explanation(frames=90)
    frames = report_dict(source)["frames"]
    assert frames["index"] == list(range(90))
    assert frames["seen"] == source.frames.seen.tolist()
    np.testing.assert_allclose(frames["score"], source.frames.score, rtol=1e-5)
    assert frames["time_s"][1] == 0.0333333


def test_numbers_have_six_digits_and_late_times_keep_milliseconds() -> None:
    report = report_dict(explanation(frames=3, rate=1 / 5000.0004))
    assert report["frames"]["time_s"] == [0.0, 5000.0, 10000.001]
    assert all(len(f"{x:g}") <= 12 and float(f"{x:.6g}") == x for x in report["frames"]["score"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_an_error_and_names_its_place(bad: float, tmp_path: Path) -> None:
    source = explanation(frames=30)
    source.frames.score[7] = bad
    with pytest.raises(OutputError, match=r"frames\.score") as caught:
        write_json(source, tmp_path / "report.json")
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_ten_minute_report_stays_under_two_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    starts = range(0, 18000 - 96, 48)
    knots = len({start + 12 * i for start in starts for i in range(8)})
    source = explanation(
        frames=18000,
        clip_starts=starts,
        stride=12,
        maps=rng.random((knots, 14, 14)).astype(np.float32),
    )
    source = dataclasses.replace(
        source,
        frames=dataclasses.replace(
            source.frames,
            score=rng.random(18000).astype(np.float32),
            weighted_score=rng.random(18000).astype(np.float32),
        ),
    )
    write_json(source, tmp_path / "report.json")
    assert 0.5e6 < (tmp_path / "report.json").stat().st_size < 2e6


def test_moments_target_and_warnings_are_told_as_they_are() -> None:
    moment = Moment(1.0, 1.5, 2.0, 0.9, 0.4, (0.5, 0.25), (0.1, 0.2, 0.3, 0.4))
    report = report_dict(dataclasses.replace(explanation(flat=True), moments=(moment,)))
    assert report["moments"][0]["center"] == [0.5, 0.25]
    assert report["moments"][0]["share"] == 0.4
    assert report["moments"][0]["peak_score"] == 0.9
    assert report["prediction"]["target"] == {
        "index": 0,
        "label": "windsurfing",
        "probability": 0.87,
        "reason": "top-1",
    }
    assert report["warnings"] == [{"code": "flat-temporal", "text": "The curve is flat."}]


def test_what_was_not_looked_at_has_no_score() -> None:
    source = explanation(frames=600, clip_starts=[120], part=(60, 400))
    report = report_dict(source)
    frames = report["frames"]
    assert frames["index"] == list(range(60, 400))
    known = [n for n, score in enumerate(frames["score"], start=60) if score is not None]
    assert known == list(range(114, 169))
    assert [value is None for value in frames["weighted_score"]] == [
        value is None for value in frames["score"]
    ]
    assert sum(frames["seen"]) == 8
    assert report["coverage"] == {
        "covered_s": pytest.approx(55 / 30, rel=1e-5),
        "covered_share": pytest.approx(55 / 340, rel=1e-5),
        "frames_seen": 8,
        "seen_share": pytest.approx(8 / 340, rel=1e-5),
    }
    jsonschema.validate(report, load_schema())


def test_a_score_that_overflowed_is_not_taken_for_one_that_is_not_known() -> None:
    source = explanation()
    source.frames.score[7] = np.nan
    with pytest.raises(OutputError, match="a report cannot hold"):
        report_dict(source)


@pytest.mark.parametrize(
    ("output", "score", "key", "other"),
    [
        ("softmax", 0.87, "probability", "value"),
        ("sigmoid", 0.87, "probability", "value"),
        ("identity", -12.5, "value", "probability"),
    ],
)
def test_what_is_no_probability_is_not_called_one(
    output: Any, score: float, key: str, other: str, validator: Any
) -> None:
    one: dict[str, Any] = {"labels": ("quality",)} if output == "identity" else {}
    source = explanation(output=output, confidence=score, **one)
    raw = dataclasses.replace(source, faithfulness=measured(times=3.0, above=-15.0))
    report = report_dict(raw if output == "identity" else source)
    validator.validate(report)
    assert report["model"]["output"] == output
    told = report["prediction"]
    for row in (told["target"], told["top_k"][0], told["clips"][0]["top_k"][0]):
        assert (row[key], other in row) == (score, False)
    assert told["clips"][0][f"target_{key}"] == score
    assert f"target_{other}" not in told["clips"][0]
    told["target"][other] = score  # nor can it be both
    assert not validator.is_valid(report)


def test_faithfulness_is_told_only_when_it_was_measured() -> None:
    assert "faithfulness" not in report_dict(explanation())
    told = report_dict(dataclasses.replace(explanation(), faithfulness=measured()))
    found = told["faithfulness"]
    assert (found["replacement"], found["clips"], found["beaten_by"]) == (
        "blur",
        [0, 2],
        ["center"],
    )
    assert [row["method"] for row in found["rows"]] == ["staa", "random", "center"]
    gains = [found["rows"][0][name] for name in ("srg", "srg_low", "srg_high")]
    assert gains == pytest.approx([0.5, 0.4, 0.7])
    assert found["rows"][0]["deletion_curve"] == [1.0, 0.5, 0.0]
    jsonschema.validate(told, load_schema())


def test_the_gain_of_one_clip_has_no_interval() -> None:
    told = report_dict(dataclasses.replace(explanation(), faithfulness=measured(interval=False)))
    row = told["faithfulness"]["rows"][0]
    assert row["srg"] == 0.5
    assert not {"srg_low", "srg_high"} & row.keys()
    jsonschema.validate(told, load_schema())


def test_settings_with_tuples_become_lists() -> None:
    report = report_dict(explanation(settings={"method": {"layers": (1, 2)}, "output": {}}))
    assert report["settings"]["method"] == {"layers": [1, 2]}


def test_centre_of_mass_of_one_hot_cell_is_its_middle_in_the_picture() -> None:
    values = np.zeros((4, 4), np.float32)
    values[0, 3] = 1
    assert center_of_mass(values, (0.0, 0.0, 1.0, 1.0)) == pytest.approx((0.875, 0.125))
    assert center_of_mass(values, (0.5, 0.5, 1.0, 1.0)) == pytest.approx((0.9375, 0.5625))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", r"is not JSON: it ends too early \(line 1, column 2\)"),
        ("", "is not JSON: it is empty"),
        (" \n", "is not JSON: it is empty"),
        ('{\n "a": 1\n "b": 2}', r"expecting ',' delimiter \(line 3, column 2\)"),
        ('{"a": NaN}', "is not JSON: .*malformed"),
        ('{\n"é": 1,, }', r"is not JSON: .* \(line 2, column 8\)"),
        (
            b'{"schema_version": 1,\n\n"staa_version": "\xff"}',
            r"is not JSON: it is not UTF-8 text \(line 3\)",
        ),
        ("[]", "is not a staa report: expected object, got array"),
        ('"x"', "is not a staa report: expected object, got str"),
        ("\ufeff{}", "no schema_version"),
        ("{}", "no schema_version"),
        ('{"schema_version": true}', "no schema_version"),
        ('{"schema_version": 2}', "schema version 2"),
        ('{"a": ' + "[" * 100_000, "is not JSON"),
        (b"\xff", "is not JSON"),
        ('{"schema_version": 1}', "staa_version"),
        (None, "cannot read"),
    ],
)
def test_what_is_no_report_is_refused_with_its_reason(
    text: str | bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words) as caught:
        load_report(path)
    assert "\n" not in caught.value.cause


@pytest.mark.parametrize(
    ("section", "name", "value", "words"),
    [
        ("video", "width", "wide", "video.width: expected int, got str"),
        ("video", "width", 0, "video.width: expected int >= 1"),
        ("frames", "score", [1, "x"], r"frames.score\[...\]: expected float | null, got str"),
        ("spatial", "center", [0.5], "spatial.center: expected array of length 2"),
        ("prediction", "target", {}, "prediction.target: object missing required field index"),
    ],
)
def test_a_report_of_wrong_types_is_refused_with_the_place(
    section: str, name: str, value: object, words: str, tmp_path: Path
) -> None:
    report = report_dict(explanation(frames=12))
    report[section][name] = value
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    with pytest.raises(InputError, match=words) as caught:
        load_report(path)
    assert caught.value.hint


@pytest.mark.parametrize("both", [{}, {"probability": 0.5, "value": 0.5}])
def test_a_score_is_a_probability_or_a_value(both: dict[str, float], tmp_path: Path) -> None:
    report = report_dict(explanation(frames=12))
    report["prediction"]["top_k"][0] = {"index": 0, "label": "a", **both}
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(InputError, match=r"prediction\.top_k.*either a probability or a value"):
        load_report(tmp_path / "report.json")


def test_what_a_later_report_of_the_version_adds_is_passed_over(tmp_path: Path) -> None:
    source = explanation(frames=12)
    report = report_dict(source)
    report["video"]["mood"] = report["mood"] = "blue"
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert load_report(tmp_path / "report.json") == from_explanation(source)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_report_reads_back_as_it_was(variant: str, tmp_path: Path) -> None:
    source = explanation(**VARIANTS[variant])
    source = dataclasses.replace(source, faithfulness=measured())
    write_json(source, tmp_path / "report.json")
    report = load_report(tmp_path / "report.json")
    assert report == from_explanation(source)
    assert type(report) is Report
    assert report.prediction.target.score == pytest.approx(source.prediction.score, rel=1e-5)
    assert report.prediction.clips[0].target_score == report.prediction.target.score


def test_the_layout_of_the_file_is_that_of_the_stored_one(tmp_path: Path) -> None:
    source = explanation(frames=14, grid=(2, 3), clip_starts=[0, 5], clip_frames=2, part=(1, 13))
    source = dataclasses.replace(source, faithfulness=measured())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("staa_cli.results.report.__version__", "0.1.0")
        write_json(source, tmp_path / "report.json")
    stored = Path(__file__).with_name("stored_report.json")
    assert (tmp_path / "report.json").read_text("utf-8") == stored.read_text("utf-8")


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_shipped_schemas_are_those_of_the_types(name: str) -> None:
    shipped = files("staa_cli.results").joinpath(name).read_text("utf-8")
    assert shipped == schema_text(name), "run: python -m staa_cli.results.generate_schema"


def test_the_types_bear_a_collection_of_garbage_while_they_are_prepared() -> None:
    code = (
        "import gc, msgspec; from staa_cli.results.document import Report; gc.set_threshold(1)\n"
        "try: msgspec.convert({}, Report)\n"
        "except msgspec.ValidationError: print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "alive\n"


def test_text_is_plain_json_without_nan(tmp_path: Path) -> None:
    write_json(explanation(), tmp_path / "report.json")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert json.loads(content, parse_constant=refuse)["schema_version"] == 1
    assert content.splitlines()[1].startswith('  "schema_version"')
