"""A resumable store of benchmark scores in an append-only file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from staa_cli.errors import InputError, UsageError
from staa_cli.files import output_errors

Facts = dict[str, Any]


class Store:
    """Facts about clips, and scores of methods on them; kept in a file if a path is given.

    The file begins with a header line, followed by lines with facts about a clip or with scores of
    a method on a clip. A last line that is incomplete after an interruption is dropped, and its
    content is measured again.

    Args:
        path: of the file; None keeps everything in memory.
        header: everything that the scores depend on; a file must have the same.

    Raises:
        UsageError: the file holds another benchmark.
        InputError: the file is not a benchmark store.
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
        """Facts about a clip, or a method's scores on it; None if there are none."""
        return self._rows.get((clip, method))

    def put(self, facts: Facts, clip: int, method: str = "") -> None:
        """Add facts about a clip, or a method's scores on it."""
        self._rows.setdefault((clip, method), {}).update(facts)
        if self._path is not None:
            row = {"clip": clip, "method": method, **facts}
            with output_errors(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _read(self, path: Path, header: Mapping[str, Any]) -> None:
        try:
            complete, _, partial_line = path.read_text(encoding="utf-8").rpartition("\n")
            first, *lines = complete.splitlines()
            expected = json.loads(json.dumps(dict(header)))
            differences = _differences(json.loads(first), expected)
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} is not a staa benchmark file", "choose another folder"
            ) from error
        for number, line in enumerate(lines, 2):
            try:
                row = json.loads(line)
                clip, method = int(row.pop("clip")), str(row.pop("method"))
                if method and not all(isinstance(score, int | float) for score in row.values()):
                    raise TypeError
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                raise InputError(
                    f"{path}: line {number} is damaged",
                    "remove this line: what it held is measured again",
                ) from error
            self._rows.setdefault((clip, method), {}).update(row)
        if differences:
            raise UsageError(
                f"{path.parent} holds a benchmark with {', '.join(differences)}",
                "choose another folder, or use the same settings to continue",
            )
        if partial_line:  # the next line would be appended to it
            path.write_text(complete + "\n", encoding="utf-8")


def _differences(known: Facts, expected: Facts) -> list[str]:
    """Differences of two headers in words: the names, with both values if they are short."""
    values: dict[str, tuple[Any, Any]] = {}
    for name in sorted({*known, *expected}):
        old, new = known.get(name), expected.get(name)
        if old != new and isinstance(old, dict) and isinstance(new, dict):
            values |= {key: (old.get(key), new.get(key)) for key in {*old, *new}}
        else:
            values[name] = (old, new)
    return [
        f"other {name}"
        if isinstance(old, list) or name.endswith("sha256")
        else f"{name} {old} instead of {new}"
        for name, (old, new) in values.items()
        if old != new
    ]
