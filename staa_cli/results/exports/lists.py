"""JSON files that contain one long list, written item by item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from staa_cli.paths import textual


class JsonList:
    """A file with a list, a line per item: valid Unicode, and never NaN.

    Args:
        path: of the file.
        key: for a list inside of an object.
    """

    def __init__(self, path: Path, key: str | None = None) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._end = "\n]\n" if key is None else "\n]}\n"
        self._file.write("[" if key is None else f"{{{json.dumps(key)}: [")
        self._separator = "\n"

    def add(self, item: Any) -> None:
        """Write an item."""
        text = json.dumps(textual(item), ensure_ascii=False, allow_nan=False)
        self._file.write(self._separator + text)
        self._separator = ",\n"

    def close(self) -> None:
        """Complete the list and close the file, once."""
        if not self._file.closed:
            self._file.write(self._end)
            self._file.close()
