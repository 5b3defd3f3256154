"""The types of `document` and `ground_truth` -> the JSON Schemas that ship with staa.

After a change of those types, or of the settings, `python -m staa_cli.results.generate_schema`
writes them anew; a test compares the two.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import msgspec

from staa_cli.config.settings import Settings, keys
from staa_cli.config.values import Key
from staa_cli.results import document, ground_truth
from staa_cli.results.document import Report
from staa_cli.results.ground_truth import GroundTruth
from staa_cli.schema import SCHEMA_VERSION


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


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    f"schema_v{SCHEMA_VERSION}.json": report_schema,
    f"ground_truth_schema_v{SCHEMA_VERSION}.json": ground_truth_schema,
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
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root}, parts


def _describe(part: dict[str, Any], kind: type[document.Part]) -> None:
    """Add what the source says of a type and of its fields, and what a missing field means."""
    part["description"] = inspect.cleandoc(kind.__doc__ or "")
    fields: dict[str, dict[str, Any]] = part["properties"]
    texts = _field_docs(kind)
    for name, field in fields.items():
        if "default" in field:  # it may be missing, but not null
            del field["default"]
            (present,) = (option for option in field.pop("anyOf") if option != {"type": "null"})
            field |= present
        if name in texts:  # else the type says it all
            field["description"] = texts[name]


def _field_docs(kind: type) -> dict[str, str]:
    """The string under each field of a class, one line each; those of its bases too."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        if not issubclass(base, document.Part):
            continue
        (definition,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in pairwise(definition.body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    texts[name] = " ".join(text.split())
    return texts


def _settings() -> dict[str, Any]:
    """The schema of the settings that shape a result, a map of maps."""
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
    known = {name: bound for name, bound in bounds.items() if bound is not None}
    return {**msgspec.json.schema(key.type), **known, "description": key.line}


if __name__ == "__main__":
    for file in SCHEMAS:
        Path(__file__).with_name(file).write_text(schema_text(file), encoding="utf-8")
