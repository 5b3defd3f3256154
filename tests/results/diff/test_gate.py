"""What docs/diff.md shows of measures and expressions is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from staa_cli.results.diff.document import Measures
from staa_cli.results.diff.gate import Condition, Limit
from staa_cli.results.expressions import Expression

PAGE = (Path(__file__).parents[3] / "docs" / "diff.md").read_text(encoding="utf-8")
((EXPRESSIONS,),) = [re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)]
MEASURES = re.findall(
    r"`([\w.]+)`", "".join(re.findall(r"^\| (`[\w.`, ]+) \|", PAGE, re.MULTILINE))
)


@pytest.mark.parametrize("text", EXPRESSIONS.splitlines())
def test_every_expression_of_the_page_is_one(text: str) -> None:
    assert Condition.parse("--fail-if", text).text == f"--fail-if {text}"


@pytest.mark.parametrize("option", ["--max", "--min", "--fail-if"])
def test_every_gate_of_the_page_is_one(option: str) -> None:
    values = re.findall(rf"""{option} (?:"(.*?)"|(\S+))""", PAGE.split("## Gates")[1])
    given = [
        quoted or plain for quoted, plain in values if "EXPR" not in plain and "X" not in plain
    ]
    assert given
    parse = Condition.parse if option == "--fail-if" else Limit.parse
    for value in given:
        assert parse(option, value).allowed == 0


def test_the_page_lists_all_measures() -> None:
    for name in MEASURES:
        Expression.parse(f"{name} == null", Measures, "")
    whole = {"temporal": 3, "spatial": 3}
    names = [name.partition(".")[0] for name in MEASURES]
    for field in Measures.__struct_fields__:
        assert names.count(field) == whole.get(field, 1), field
