"""Parquet: a typed, compressed table for pandas, Polars, DuckDB, and Spark.

Written by pyarrow as its documentation describes in "Reading and Writing the Apache Parquet
Format": row groups of bounded size, so that memory does not depend on the number of results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from staa_cli import __version__
from staa_cli.errors import UnavailableError
from staa_cli.results.exports.base import Export, ExportOptions, Result
from staa_cli.results.exports.tables import COLUMNS, Row, rows_of

_ROW_GROUP = 1 << 16


class Parquet(Export):
    """A table as Parquet."""

    summary = "the same table as Parquet; needs pyarrow"
    options = frozenset({"rows"})

    @classmethod
    def files(cls, chosen: ExportOptions) -> Sequence[str]:
        """Name of the table."""
        return [f"{chosen.rows}.parquet"]

    def __init__(self, paths: Mapping[str, Path], chosen: ExportOptions) -> None:
        super().__init__(paths, chosen)
        self._arrow, parquet = _pyarrow()
        (name,) = self.files(chosen)
        types = {
            "text": self._arrow.string(),
            "number": self._arrow.float64(),
            "count": self._arrow.int64(),
            "truth": self._arrow.bool_(),
            "texts": self._arrow.list_(self._arrow.string()),
        }
        columns = {column: types[kind] for column, kind in COLUMNS[chosen.rows].items()}
        self._schema = self._arrow.schema(columns, metadata={"staa_version": __version__})
        self._writer = parquet.ParquetWriter(paths[name], self._schema)
        self._rows: list[Row] = []

    def add(self, result: Result) -> None:
        """Collect the rows of a result, and write a row group when there are enough."""
        self._rows += list(rows_of(result, self.chosen.rows))
        if len(self._rows) >= _ROW_GROUP:
            self._write()

    def finish(self) -> None:
        """Write the last row group and the footer."""
        self._write()
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, self._schema))
        self._rows = []


def _pyarrow() -> tuple[Any, Any]:
    """The modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        UnavailableError: they are not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UnavailableError(
            f"this format needs {error.name or 'pyarrow'}, which is not installed",
            "pip install 'staa[parquet]'",
        ) from error
    return pyarrow, pyarrow.parquet
