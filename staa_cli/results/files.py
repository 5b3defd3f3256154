"""Explanation -> report.json, and a report read back."""

from __future__ import annotations

import json
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from staa_cli.errors import InputError
from staa_cli.files import atomic_path
from staa_cli.paths import textual
from staa_cli.results.document import report_dict
from staa_cli.schema import SCHEMA_VERSION, Explanation


def write_json(
    explanation: Explanation,
    path: Path,
    *,
    reproducible: bool = False,
) -> None:
    """Writes report.json: indented, but an array of numbers on one line.

    Raises:
        OutputError: the file cannot be written, or a number in it is not finite.
    """
    report = report_dict(explanation, reproducible=reproducible)
    with atomic_path(path) as part:
        part.write_text(json_text(report) + "\n", encoding="utf-8")


def json_text(value: Any, depth: int = 0) -> str:
    """JSON values in, text out: maps and lists of maps are spread over lines, the rest is not."""
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


def load_report(path: Path) -> dict[str, Any]:
    """The path of a report.json in, its content out; `paths.path_from` of its `video` is the file.

    Raises:
        InputError: it cannot be read, is no report, or has a schema of another version.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}", "make it anew with --force") from error
    version = report.get("schema_version") if isinstance(report, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError(f"{path} is no report of staa: it has no schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}, this staa reads {SCHEMA_VERSION}",
            "use the version of staa that wrote it, or make it anew with --force",
        )
    return dict(report)


def load_schema() -> dict[str, Any]:
    """The JSON Schema of report.json, as it ships with the package."""
    source = package_files("staa_cli.results") / f"schema_v{SCHEMA_VERSION}.json"
    return dict(json.loads(source.read_text(encoding="utf-8")))
