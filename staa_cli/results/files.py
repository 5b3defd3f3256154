"""JSON formatting of staa's files, and the schema of the report."""

from __future__ import annotations

import json
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from staa_cli.files import atomic_path
from staa_cli.paths import textual
from staa_cli.results.document import Report
from staa_cli.results.report import from_explanation, plain_document
from staa_cli.schema import SCHEMA_VERSION, Explanation


def write_json(
    explanation: Explanation,
    path: Path,
    *,
    reproducible: bool = False,
) -> Report:
    """Write report.json, indented, with arrays of numbers on one line; returns its content.

    Raises:
        OutputError: the file cannot be written, or a number in it is not finite.
    """
    report = from_explanation(explanation, reproducible=reproducible)
    with atomic_path(path) as part:
        part.write_text(json_text(plain_document(report)) + "\n", encoding="utf-8")
    return report


def json_text(value: Any, depth: int = 0) -> str:
    """Format JSON values: only objects and lists of objects are spread over lines."""
    if isinstance(value, dict) and value and depth < 3:
        rows = [f"{_compact(key)}: {json_text(item, depth + 1)}" for key, item in value.items()]
        return _spread("{", rows, "}", depth)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return _spread("[", [_compact(item) for item in value], "]", depth)
    return _compact(value)


def _spread(opening: str, rows: list[str], closing: str, depth: int) -> str:
    inner = "\n" + "  " * (depth + 1)
    return opening + inner + ("," + inner).join(rows) + "\n" + "  " * depth + closing


def _compact(value: Any) -> str:
    return json.dumps(textual(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def load_schema() -> dict[str, Any]:
    """The JSON Schema of report.json, from the package."""
    source = package_files("staa_cli.results") / f"schema_v{SCHEMA_VERSION}.json"
    return dict(json.loads(source.read_text(encoding="utf-8")))
