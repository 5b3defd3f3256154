"""CSV: a table that everything opens.

The format is RFC 4180, "Common Format and MIME Type for Comma-Separated Values (CSV) Files", in
UTF-8 and with line feeds. A spreadsheet takes a text for a formula that begins with one of the
characters in OWASP's "CSV Injection"; such a cell gets an apostrophe before it, and a caveat says
so. Numbers are left alone: a negative score is a number.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from staa_cli.formatting import counted
from staa_cli.results.exports.base import Export, ExportOptions, Result
from staa_cli.results.exports.tables import COLUMNS, Value, rows_of

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


class _LineFeeds:
    """Ends rows with a line feed; the writer quotes both characters of its own line end."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> None:
        """Write a row."""
        self._file.write(row.removesuffix("\r\n") + "\n")


class CsvTable(Export):
    """A table as CSV."""

    summary = "a CSV table with a row per frame, per video, or per moment"
    options = frozenset({"rows"})

    @classmethod
    def files(cls, chosen: ExportOptions) -> Sequence[str]:
        """Name of the table."""
        return [f"{chosen.rows}.csv"]

    def __init__(self, paths: Mapping[str, Path], chosen: ExportOptions) -> None:
        super().__init__(paths, chosen)
        (name,) = self.files(chosen)
        self._columns = COLUMNS[chosen.rows]
        self._file = paths[name].open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(_LineFeeds(self._file))
        self._writer.writerow(self._columns)
        self._formulas = 0

    def add(self, result: Result) -> None:
        """Write the rows of a result."""
        for row in list(rows_of(result, self.chosen.rows)):
            self._writer.writerow([self._cell(row[name]) for name in self._columns])

    def finish(self) -> None:
        """Close the file, and say which cells differ from the reports."""
        self.close()
        if self._formulas:
            self.caveats.append(
                f"{counted(self._formulas, 'text cell')} would have been a formula in a "
                "spreadsheet, so there is an apostrophe before the text"
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cell(self, value: Value) -> str | float | None:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list):
            value = " ".join(value)
        if isinstance(value, str) and value.startswith(_FORMULA):
            self._formulas += 1
            return f"'{value}"
        return value
