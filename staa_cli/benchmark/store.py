"""Scores of a benchmark as they come, in a file that an interrupted run goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from staa_cli.errors import InputError, UsageError
from staa_cli.files import output_errors

Facts = dict[str, Any]


class Store:
    """What is known of each clip, and each method's scores on it; kept in a file where one is.

    The file has a line that says what is measured, then one a clip, then one a clip and method. A
    line that a kill has cut off is dropped, and what it held is measured again.

    Args:
        path: of the file; None keeps everything in memory.
        header: what the scores depend on; scores of another header are not mixed in.

    Raises:
        UsageError: the file holds another benchmark.
        InputError: it is none of staa's.
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any]) -> None:
        self._path = path
        self._rows: dict[tuple[int, str], Facts] = {}
        if path is None:
            return
        if path.is_file():
            self._read(path, header)
        else:
            with output_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(dict(header)) + "\n", encoding="utf-8")

    def get(self, clip: int, method: str = "") -> Facts | None:
        """What is known of a clip, or a method's scores on it; None where nothing is."""
        return self._rows.get((clip, method))

    def put(self, facts: Facts, clip: int, method: str = "") -> None:
        """Keep what is known of a clip, or a method's scores on it, beside what is already."""
        self._rows.setdefault((clip, method), {}).update(facts)
        if self._path is not None:
            row = {"clip": clip, "method": method, **facts}
            with output_errors(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _read(self, path: Path, header: Mapping[str, Any]) -> None:
        try:
            whole, _, cut = path.read_text(encoding="utf-8").rpartition("\n")
            known, *rows = (json.loads(line) for line in whole.splitlines())
            told = json.loads(json.dumps(dict(header)))
            other = _differences(known, told)
            for row in rows:
                self._rows.setdefault((row.pop("clip"), row.pop("method")), {}).update(row)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise InputError(
                f"{path} is not a staa benchmark file", "choose another folder"
            ) from error
        if other:
            raise UsageError(
                f"{path.parent} holds a benchmark with {', '.join(other)}",
                "choose another folder, or use the same settings to continue",
            )
        if cut:  # or the next line would be glued to it
            path.write_text(whole + "\n", encoding="utf-8")


def _differences(known: Facts, told: Facts) -> list[str]:
    """What is not as it was, in words: its name, and where they are short, both values."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in sorted({*known, *told}):
        old, new = known.get(name), told.get(name)
        if old != new and isinstance(old, dict) and isinstance(new, dict):
            found |= {each: (old.get(each), new.get(each)) for each in {*old, *new}}
        else:
            found[name] = (old, new)
    return [
        f"other {name}"
        if isinstance(old, list) or name.endswith("sha256")
        else f"{name} {old} instead of {new}"
        for name, (old, new) in found.items()
        if old != new
    ]
