"""Conditions over reports: what they say, what they refuse, and what they cannot decide."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from explanations import explanation
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from staa_cli.errors import ExitCode, InputError, UsageError
from staa_cli.results.document import Report
from staa_cli.results.expressions import MAX_CHARACTERS, MAX_DEPTH, Expression
from staa_cli.results.report import from_explanation


class Row(Struct):
    code: str
    share: float = 0.5


class Document(Struct):
    n: int = 3
    x: float = 0.25
    label: str = "hop"
    flat: bool = False
    peak_s: float | None = None
    rows: list[Row] = []
    none: list[float] = []
    settings: dict[str, Any] = {}
    center: tuple[float, float] = (0.25, 0.75)
    part: Row | None = None


DOCUMENT = Document(
    rows=[Row("flat-temporal"), Row("low-confidence", 0.75)],
    settings={"method": {"name": "staa"}, "target": None},
)


def holds(text: str) -> bool:
    return Expression.parse(text, Document, "--fail-if").holds(DOCUMENT)


@pytest.mark.parametrize(
    "text",
    [
        "x < 0.3",
        "x >= 0.25",
        "0.2 < x <= 0.25 < n",
        "n == 3.0",
        "label == 'hop' and not flat",
        'label != "shake"',
        "flat or x > 0.2",
        "not flat",
        "flat == false",
        "peak_s == null",
        "null != label",
        "part == null",
        "rows[1].share == 0.75",
        "center[1] > center[0]",
        "'flat-temporal' in rows.code",
        "'decode-errors' not in rows.code",
        "len(rows) == 2",
        "max(rows.share) == 0.75 and min(rows.share) == 0.5",
        "max(x, n, 1) == 3",
        "abs(x - 1) == 0.75",
        "2 * x + 1 == n / 2",
        "-x < 0",
        "settings.method.name == 'staa'",
        "settings.target == null",
        "len(none) == 0",
        "1 in none or true",
        "n in none or true",
        "  x\n  < 1\n",
        "x\r< 1",
        "label == 'h\u00f6p' or x < 1",
    ],
)
def test_what_is_true(text: str) -> None:
    assert holds(text)
    assert not holds(f"not ({text})")


def test_and_binds_closer_than_or_and_not_closer_than_and() -> None:
    assert holds("true or false and false")
    assert not holds("not true and false")
    assert holds("not flat and true")
    assert holds("1 + 2 * 3 == 7")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("peak_s > 1", "peak_s is null"),
        ("not (peak_s > 1)", "peak_s is null"),
        ("peak_s == peak_s", "peak_s is null"),
        ("part.share > 0.1", "part is null"),
        ("settings.sampling.clips > 1", "settings.sampling is missing"),
        ("settings.method.seed == 0", "settings.method.seed is missing"),
        ("settings.target == 'hop'", "settings.target is null"),
        ("rows[2].share > 0", "rows[2] is missing"),
        ("label > 1", "label is a text, not a number"),
        ("label < 'z'", "label is a text, not a number"),
        ("flat > 0", "flat is true or false, not a number"),
        ("flat == 0", "0 is a number and is compared with true or false"),
        ("label == 1", "compared with a text"),
        ("rows == rows", "compared with a list"),
        ("'x' in rows", "compared with a text"),
        ("1 in rows.code", "compared with a number"),
        ("label in label", "label is a text, not a list"),
        ("x", "x is a number, not true or false"),
        ("label", "label is a text, not true or false"),
        ("x and true", "x is a number, not true or false"),
        ("not x", "x is a number"),
        ("x / (n - 3) > 1", "not a finite number"),
        ("n * 1e308 > 1", "not a finite number"),
        ("label * 3 == 'hophophop'", "label is a text, not a number"),
        ("max(none) > 0", "none is empty"),
        ("max(rows.code) > 0", "has a text in it"),
        ("min(x) > 0", "x is a number, not a list"),
        ("len(label) > 0", "label is a text, not a list"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_and_not_false(text: str, cause: str) -> None:
    expression = Expression.parse(text, Document, "--fail-if")
    with pytest.raises(InputError, match=r".") as caught:
        expression.holds(DOCUMENT)
    assert cause in caught.value.cause
    assert caught.value.exit_code == ExitCode.INPUT_FAILED


def test_parts_are_evaluated_from_left_to_right_as_far_as_needed() -> None:
    assert not holds("peak_s != null and peak_s > 1")
    assert holds("peak_s == null or peak_s > 1")
    with pytest.raises(InputError):
        holds("peak_s > 1 or true")


@pytest.mark.parametrize(
    ("text", "cause", "hint"),
    [
        ("", "expected an expression", "and, or, not"),
        ("x <", "cannot read 'x <' at character 4", "and, or, not"),
        ("x ? 1", "cannot read 'x ? 1' at character 3", ""),
        ("x < 1\0", "cannot read", ""),
        ("flat && true", "cannot read", ""),
        ("y > 1", "unknown field 'y' at character 1", "fields: n, x, label"),
        ("x > 1 and labl == 'hop'", "unknown field 'labl' at character 11", "'label'"),
        ("false and labl == 'hop'", "unknown field 'labl'", "'label'"),  # though not reached
        ("'ö' == label or rows.cod == 1", "unknown field 'rows.cod' at character 22", "'code'"),
        ("x.y > 1", "'x.y' does not exist: it has no fields at character 3", ""),
        ("x[0] > 1", "'x' is not a list", ""),
        (
            "'flat-temporl' in rows.code",
            "no warning has the code 'flat-temporl'",
            "'flat-temporal'",
        ),
        ("x > 1 or 'xyz' not in rows.code", "'xyz' at character 10", "warnings: attention"),
        ("rows[0].code == 'truncatd'", "no warning has the code 'truncatd'", "'truncated'"),
        ("rows[-1].share > 1", "'rows[-1]' is not a field", ""),
        ("rows[0:1] == 1", "is not a field", ""),
        ("rows[true].share > 0", "is not a field", ""),
        ("sum(rows.share) > 1", "'sum(rows.share)' is not allowed at character 1", "abs(a)"),
        ("abs(1, 2) > 1", "not allowed", "abs(a)"),
        ("len() > 1", "not allowed", "abs(a)"),
        ("max(*rows) > 1", "not allowed", "and, or"),
        ("max(rows, key=1) > 1", "not allowed", "abs(a)"),
        ("x ** 2 > 1", "'x ** 2' is not allowed at character 1", "and, or, not"),
        ("x // 2 > 1", "", "and, or, not"),
        ("label % 2 > 1", "", ""),
        ("x is null", "", ""),
        ("x if flat else n", "not allowed", ""),
        ("lambda: x", "not allowed", ""),
        ("[x for x in rows]", "not allowed", ""),
        ("(x := 1) > 0", "not allowed", ""),
        ("f'{x}' == 'a'", "not allowed", ""),
        ("b'hop' == label", "not allowed", ""),
        ("1j == x", "not allowed", ""),
        ("... == x", "not allowed", ""),
        ("{'a': 1} == x", "not allowed", ""),
        ("[1, 2] == x", "not allowed", ""),
        ("x < 1e999", "the number is too large", ""),
        (f"x < {'9' * 400}", "the number is too large", ""),
        ("import os", "cannot read", ""),
        ("x = 1", "cannot read", ""),
        ("__import__('os').system('id')", "not allowed", ""),
        ("label.__class__ == 1", "does not exist", ""),
        ("settings.__class__ == 1 or x.__class__ == 1", "does not exist", ""),
        ("rows.__class__ == 1", "unknown field", ""),
        ("rows.append(1)", "not allowed", ""),
        ("().__class__ == 1", "", ""),
        ("x" + " + x" * 300, "longer than 1,000 characters", ""),
        ("(" * 400 + "x" + ")" * 400, "cannot read", ""),
        ("-" * (MAX_DEPTH + 1) + "x < 1", "nested more than 20 deep", ""),
        ("settings" + ".a" * 400 + " == 1", "nested more than 20 deep", ""),
    ],
)
def test_what_is_not_of_the_language_is_refused_before_anything_is_evaluated(
    text: str, cause: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Expression.parse(text, Document, "--fail-if")
    assert caught.value.cause.startswith("--fail-if: ")
    assert cause in caught.value.cause
    assert hint in (caught.value.hint or "")


def test_no_attribute_of_python_is_reached_where_any_key_may_be() -> None:
    with pytest.raises(InputError, match="is missing"):
        holds("settings.__class__ == 1")
    with pytest.raises(InputError, match="is missing"):
        holds("settings.method.keys == 1")


def test_the_longest_expression_is_read() -> None:
    text = "x < 1" + " or x < 1" * 200
    assert Expression.parse(text[: MAX_CHARACTERS - 1].rpartition(" or ")[0], Document, "").text


def test_a_number_is_read_as_one() -> None:
    expression = Expression.parse("abs(x - 1)", Document, "--max")
    assert expression.number(DOCUMENT) == 0.75
    with pytest.raises(InputError, match="flat is true or false, not a number"):
        Expression.parse("flat", Document, "--max").number(DOCUMENT)


def test_conditions_over_a_whole_report() -> None:
    report = from_explanation(explanation(flat=True))

    def is_true(text: str) -> bool:
        return Expression.parse(text, Report, "--fail-if").holds(report)

    assert is_true("temporal.flat and 'flat-temporal' in warnings.code")
    assert is_true("prediction.target.probability > 0.8 and prediction.top_k[0].label != 'none'")
    assert is_true("video.duration_s == 10 and len(frames.score) == 300 and model.layout.depth > 1")
    assert is_true("settings.post.focus_sigma == 1 and faithfulness == null")
    assert is_true("run.seconds.decode < 1")
    with pytest.raises(InputError, match=r"prediction\.target\.value is null"):
        is_true("prediction.target.value > 1")
    with pytest.raises(InputError, match="faithfulness is null"):
        is_true("faithfulness.rows[0].srg < 0")


WORDS = st.sampled_from(
    ["x", "n", "rows", ".code", "label", "(", ")", "and", "or", "not", "in", "<", "==", "+",
     "[0]", "1", "'a'", "null", "max", ",", "-", "/", ".", "é", "\n", "lambda:", "if", "**"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=30))
def test_anything_at_all_is_read_or_refused_in_words(text: str) -> None:
    with suppress(UsageError, InputError):
        assert holds(text) in (True, False)
