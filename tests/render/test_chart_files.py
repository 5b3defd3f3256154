"""Charts as PNG, SVG, and PDF, by the ending: equal bytes, and no harm from a hostile name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from explanations import explanation, measured

from staa_cli.errors import OutputError
from staa_cli.render.faithfulness import faithfulness_plot
from staa_cli.render.plot import plot
from staa_cli.render.scatter import scatter
from staa_cli.schema import Explanation

HOSTILE = ("</svg><script>alert(1)</script>", "a--><b $\\frac{1}{0}$ & ) Tj (", "]]> \\) ' \" é 動")
RESULT = {
    "model": HOSTILE[0],
    "dataset": HOSTILE[1],
    "forwards": {HOSTILE[2]: 1.0, "random": 0.0},
    "results": [
        {"method": name, "metric": "pointing", "mean": 0.5, "low": 0.4, "high": 0.6, "n": 8}
        for name in (HOSTILE[2], "random")
    ],
}


def hostile() -> Explanation:
    return replace(explanation(labels=(*HOSTILE, "rest")), faithfulness=measured())


CHARTS: dict[str, Callable[[Path], None]] = {
    "curve": lambda path: plot(hostile(), path),
    "faithfulness": lambda path: faithfulness_plot(hostile(), path),
    "scatter": lambda path: scatter(RESULT, "pointing", "higher", path),
}
HEADS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF-1."}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("chart", CHARTS)
def test_the_ending_says_what_is_written_and_bytes_repeat(
    chart: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CHARTS[chart](tmp_path / f"a.{kind}")
    first = (tmp_path / f"a.{kind}").read_bytes()
    assert first.startswith(HEADS[kind])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    mine: Any = {"svg.fonttype": "none", "pdf.use14corefonts": True, "svg.hashsalt": None}
    with matplotlib.rc_context(mine):
        CHARTS[chart](tmp_path / f"b.{kind.upper()}")
        assert {name: matplotlib.rcParams[name] for name in mine} == mine
    assert (tmp_path / f"b.{kind.upper()}").read_bytes() == first
    assert not re.search(
        rb"CreationDate|<dc:date>|matplotlib v|matplotlib pdf", first, re.IGNORECASE
    )


@pytest.mark.parametrize("chart", CHARTS)
def test_a_name_is_never_markup(chart: str, tmp_path: Path) -> None:
    CHARTS[chart](tmp_path / "a.svg")
    tree = ElementTree.parse(tmp_path / "a.svg")
    tags = {str(element.tag).rpartition("}")[2] for element in tree.iter()}
    assert "path" in tags
    assert not tags & {"script", "b", "foreignObject"}
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]
    text = (tmp_path / "a.svg").read_text("utf-8")
    assert text.count("</svg>") == 1
    assert text.count("<script") == 0


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"not a PNG, SVG, or PDF file") as caught:
        plot(explanation(), tmp_path / "curve.xlsx")
    assert ".svg" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []
