"""Generate the JSON Schemas of the package from the types of their documents.

Run `python -m staa_cli.results.generate_schema` after a change of these types or of the settings; a
test compares the two.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import msgspec

from staa_cli.config.settings import Settings, keys
from staa_cli.config.values import Key
from staa_cli.results import document, ground_truth, stream_rows
from staa_cli.results.diff import document as diff_document
from staa_cli.results.diff.document import Diff
from staa_cli.results.document import Report
from staa_cli.results.ground_truth import GroundTruth
from staa_cli.results.index import document as index_document
from staa_cli.results.index.document import Index
from staa_cli.results.stream_rows import StreamRow
from staa_cli.schema import SCHEMA_VERSION

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def report_schema() -> dict[str, Any]:
    """The JSON Schema of report.json: the report itself at the root, its parts under `$defs`."""
    report, parts = _schema_of(Report, document, "staa report")
    report["properties"]["settings"]["$ref"] = "#/$defs/Settings"
    parts["Method"]["properties"]["post"]["$ref"] = "#/$defs/Settings/properties/post"
    return {**report, "$defs": {**parts, "Settings": _settings()}}


def ground_truth_schema() -> dict[str, Any]:
    """The JSON Schema of ground_truth.json, in the same form."""
    root, parts = _schema_of(GroundTruth, ground_truth, "staa ground truth")
    return {**root, "$defs": parts}


def diff_schema() -> dict[str, Any]:
    """The JSON Schema of the output of `staa diff --json`, in the same form."""
    root, parts = _schema_of(Diff, diff_document, "staa diff")
    return {**root, "$defs": parts}


def index_schema() -> dict[str, Any]:
    """The JSON Schema of index.json, in the same form."""
    root, parts = _schema_of(Index, index_document, "staa index")
    return {**root, "$defs": parts}


def stream_schema() -> dict[str, Any]:
    """The JSON Schema of a line of `staa stream --json`, which is of one of several kinds."""
    parts: dict[str, dict[str, Any]] = msgspec.json.schema(StreamRow)["$defs"]
    for name, part in parts.items():
        _describe(part, getattr(stream_rows, name))
    kinds = [{"$ref": f"#/$defs/{kind.__name__}"} for kind in get_args(StreamRow)]
    title = f"staa stream, schema version {SCHEMA_VERSION}"
    return {"$schema": _DIALECT, "title": title, "anyOf": kinds, "$defs": parts}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    f"schema_v{SCHEMA_VERSION}.json": report_schema,
    f"ground_truth_schema_v{SCHEMA_VERSION}.json": ground_truth_schema,
    f"diff_schema_v{SCHEMA_VERSION}.json": diff_schema,
    f"index_schema_v{SCHEMA_VERSION}.json": index_schema,
    f"stream_schema_v{SCHEMA_VERSION}.json": stream_schema,
}
"""Files beside this one, and what is in them."""


def schema_text(name: str) -> str:
    """One of `SCHEMAS` as it stands in its file."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


def _schema_of(
    kind: type[document.Part], module: ModuleType, noun: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The schema of a type at the root, and those of its parts by name."""
    parts: dict[str, dict[str, Any]] = msgspec.json.schema(kind)["$defs"]
    for name, part in parts.items():
        _describe(part, getattr(module, name))
    root = parts.pop(kind.__name__)
    root["title"] = f"{noun}, schema version {SCHEMA_VERSION}"
    return {"$schema": _DIALECT, **root}, parts


def _describe(part: dict[str, Any], kind: type[document.Part]) -> None:
    """Add docstrings of a type and of its fields; a field with a default may be absent."""
    part["description"] = inspect.cleandoc(kind.__doc__ or "")
    fields: dict[str, dict[str, Any]] = part["properties"]
    texts = _field_docs(kind)
    for name, field in fields.items():
        if "default" in field:  # may be absent, but not null
            del field["default"]
            (present,) = (option for option in field.pop("anyOf") if option != {"type": "null"})
            field |= present
        if name in texts:  # otherwise the type is enough
            field["description"] = texts[name]


def _field_docs(kind: type) -> dict[str, str]:
    """The docstring of each field of a class and its bases, as one line each."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        if not issubclass(base, document.Part):
            continue
        (definition,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(definition, ast.ClassDef)
        for field, following in pairwise(definition.body):
            match field, following:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    texts[name] = " ".join(text.split())
    return texts


def _settings() -> dict[str, Any]:
    """The schema of the settings that a result depends on."""
    sections: dict[str, Any] = {}
    root = {
        "type": "object",
        "description": "The settings that the result depends on.",
        "properties": sections,
    }
    kinds = get_type_hints(Settings)
    for key in keys().values():
        section, _, name = key.name.rpartition(".")
        if key.shapes_result and section:
            empty = {"type": "object", "description": kinds[section].__doc__, "properties": {}}
            sections.setdefault(section, empty)["properties"][name] = _setting(key)
        elif key.shapes_result:
            sections[name] = _setting(key)
    return root


def _setting(key: Key) -> dict[str, Any]:
    bounds = {"exclusiveMinimum": key.above, "minimum": key.at_least, "maximum": key.at_most}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    return {**msgspec.json.schema(key.type), **given, "description": key.line}


if __name__ == "__main__":
    for file in SCHEMAS:
        Path(__file__).with_name(file).write_text(schema_text(file), encoding="utf-8")
