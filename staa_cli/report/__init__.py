"""Explanation -> files that a person or a program reads."""

from staa_cli.report.document import report_dict
from staa_cli.report.files import (
    WRITERS,
    Writer,
    load_report,
    load_schema,
    write_csv,
    write_json,
    write_npz,
)

__all__ = [
    "WRITERS",
    "Writer",
    "load_report",
    "load_schema",
    "report_dict",
    "write_csv",
    "write_json",
    "write_npz",
]
