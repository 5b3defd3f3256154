"""The results of a folder as JUnit XML, which CI services show as tests.

A video is a test: explained is passed, also with warnings, which are its output; an input that
failed, or a report that cannot be read, is an error; a result of an earlier run is skipped. The
elements and attributes are those of Jenkins' junit-10.xsd, which GitLab, CircleCI, Azure, and the
usual actions for GitHub read, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from xml.etree import ElementTree as ET

from staa_cli.paths import as_text, shown
from staa_cli.results.document import Place
from staa_cli.results.index.document import Entry, Index
from staa_cli.results.index.summary import answer_of, faithfulness_of, peak_of

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that XML 1.0 cannot contain, not even escaped (section 2.2)."""


def junit(
    index: Index, seconds: Mapping[Place, float] | None = None, unchanged: Collection[Place] = ()
) -> bytes:
    """JUnit XML.

    Args:
        index: of the results.
        seconds: time that a result took, by its folder.
        unchanged: folders of results that are of an earlier run.
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
    totals = {
        "tests": str(len(cases)),
        "failures": "0",
        "errors": str(len(index.failed_inputs) + len(index.broken_reports)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": f"{sum(took.values()):.3f}",
    }
    suite = ET.Element("testsuite", {"name": "staa explain", **totals})
    suite.extend(cases)
    del totals["skipped"]  # not an attribute of all suites together
    suites = ET.Element("testsuites", {"name": "staa", **totals})
    suites.append(suite)
    ET.indent(suites)
    return f"{_HEAD}{ET.tostring(suites, encoding='unicode')}\n".encode()


def _case(name: str, seconds: float = 0.0) -> ET.Element:
    given = {"classname": "staa.explain", "name": _line(name), "time": f"{seconds:.3f}"}
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


def _error(name: str, kind: str, cause: str, hint: str | None) -> ET.Element:
    case = _case(name)
    error = ET.SubElement(case, "error", {"type": _line(kind), "message": _line(cause)})
    if hint:
        error.text = _line(f"hint: {hint}")
    return case


def _line(text: str) -> str:
    return _NO_XML.sub("\ufffd", shown(as_text(text)))
