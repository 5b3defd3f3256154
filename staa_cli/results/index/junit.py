"""The results of a folder as JUnit XML, which CI services show as tests.

A video is a test: explained is passed, also with warnings, which are its output; an input that
failed, or a report that cannot be read, is an error; a result of an earlier run is skipped. A gate
is a test, too: a failed one is a failure, one that cannot be evaluated is an error. The elements
and attributes are those of Jenkins' junit-10.xsd, which GitLab, CircleCI, Azure, and the usual
actions for GitHub read, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from xml.etree import ElementTree as ET

from staa_cli.paths import as_text, shown
from staa_cli.results.diff.document import GateResult
from staa_cli.results.document import Place
from staa_cli.results.index.document import Entry, Index
from staa_cli.results.index.summary import answer_of, faithfulness_of, peak_of

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that XML 1.0 cannot contain, not even escaped (section 2.2)."""


def junit(
    index: Index,
    seconds: Mapping[Place, float] | None = None,
    unchanged: Collection[Place] = (),
    gates: Sequence[tuple[GateResult, str]] = (),
) -> bytes:
    """JUnit XML.

    Args:
        index: of the results.
        seconds: time that a result took, by its folder.
        unchanged: folders of results that are of an earlier run.
        gates: that have judged the results, each with its outcome in a line.
    """
    took = seconds or {}
    names = Counter(entry.video.path for entry in index.results)
    cases = [
        _passed(
            entry,
            names[entry.video.path] == 1,
            took.get(entry.folder, 0.0),
            entry.folder in unchanged,
        )
        for entry in index.results
    ]
    cases += [
        _error(failed.input.path, failed.kind, failed.cause, failed.hint)
        for failed in index.failed_inputs
    ]
    cases += [
        _error(broken.report.path, "InputError", broken.cause, broken.hint)
        for broken in index.broken_reports
    ]
    cases += [_gate(result, line) for result, line in gates]
    totals = {
        "tests": str(len(cases)),
        **{
            name: str(sum(case.find(element) is not None for case in cases))
            for name, element in (
                ("failures", "failure"),
                ("errors", "error"),
                ("skipped", "skipped"),
            )
        },
        "time": f"{sum(took.values()):.3f}",
    }
    suite = ET.Element("testsuite", {"name": "staa explain", **totals})
    suite.extend(cases)
    del totals["skipped"]  # not an attribute of all suites together
    suites = ET.Element("testsuites", {"name": "staa", **totals})
    suites.append(suite)
    ET.indent(suites)
    return f"{_HEAD}{ET.tostring(suites, encoding='unicode')}\n".encode()


def _case(name: str, seconds: float = 0.0, of: str = "staa.explain") -> ET.Element:
    given = {"classname": of, "name": _line(name), "time": f"{seconds:.3f}"}
    return ET.Element("testcase", given)


def _passed(entry: Entry, is_unique: bool, seconds: float, unchanged: bool) -> ET.Element:
    name = entry.video.path if is_unique else f"{entry.video.path} ({entry.folder.path})"
    case = _case(name, seconds)
    if unchanged:
        ET.SubElement(case, "skipped", {"message": "already finished"})
    lines = [answer_of(entry), f"highest at {peak_of(entry)}"]
    if entry.faithfulness is not None:
        lines.append(f"SRG {faithfulness_of(entry)}")
    lines += [f"warning: {warning.code}: {warning.text}" for warning in entry.warnings]
    ET.SubElement(case, "system-out").text = "\n".join(map(_line, lines))
    return case


def _gate(result: GateResult, line: str) -> ET.Element:
    case = _case(result.gate, of="staa.gate")
    if result.status != "passed":
        element = "failure" if result.status == "failed" else "error"
        ET.SubElement(case, element, {"type": "gate", "message": _line(line)})
    return case


def _error(name: str, kind: str, cause: str, hint: str | None) -> ET.Element:
    case = _case(name)
    error = ET.SubElement(case, "error", {"type": _line(kind), "message": _line(cause)})
    if hint:
        error.text = _line(f"hint: {hint}")
    return case


def _line(text: str) -> str:
    return _NO_XML.sub("\ufffd", shown(as_text(text)))
