"""Export a folder of results: load them one by one, and write the files of a format together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staa_cli import __version__
from staa_cli.errors import InputError, NothingMatched
from staa_cli.files import REPORT, atomic_path
from staa_cli.results.exports.base import EXPORTS, ExportOptions, Result
from staa_cli.results.folder import ResultFolder
from staa_cli.results.stored import report_paths
from staa_cli.schema import SCHEMA_VERSION

OnResult = Callable[[str, int, int], None]
"""Called with a result's name, the number of results before it, and the number of all."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has written."""

    paths: tuple[Path, ...]
    """What is opened in the tool: files, or a folder; empty if no result could be exported."""
    count: int
    """Number of exported results."""
    failures: tuple[InputError, ...]
    """Why others are missing."""
    caveats: tuple[str, ...]
    """What people should know about the files."""


def export(
    place: Path,
    name: str,
    folder: Path,
    options: ExportOptions | None = None,
    on_result: OnResult = lambda name, done, total: None,
) -> Exported:
    """Export the results in a folder, or one of them.

    Reports are loaded one after the other, so that memory does not depend on their number. Files
    replace those of an earlier export together; nothing is replaced if no result can be exported.

    Args:
        place: a folder with results at any depth, or a report.
        name: of the format.
        folder: to write to; created if needed.
        options: of the format.
        on_result: called before every result.

    Raises:
        UsageError: there is no such format.
        UnavailableError: the format needs a package that is missing.
        NothingMatched: there is no result.
        OutputError: a file cannot be written, or is in the way.
    """
    kind, options = EXPORTS.get(name), options or ExportOptions()
    paths = _found(place)
    document = f"export-{name}.json"
    names = [*kind.files(options), document]
    target = ResultFolder(folder, document)
    earlier = _listed(target.document())
    count, failures = 0, list[InputError]()
    try:
        with target.writing(names), ExitStack() as files:
            # The last to be entered is the first to be renamed, and the document is the done mark.
            parts = {file: files.enter_context(atomic_path(folder / file)) for file in names[::-1]}
            writer = files.enter_context(closing(kind(parts, options)))
            for done, path in enumerate(paths):
                result_name = _name(path, place)
                on_result(result_name, done, len(paths))
                try:
                    writer.add(Result.load(result_name, path))
                    count += 1
                except InputError as error:
                    failures.append(error)
            if not count:
                raise _NothingToWrite
            writer.finish()
            content = {
                "schema_version": SCHEMA_VERSION,
                "staa_version": __version__,
                "format": name,
                "results": count,
                "failures": [error.cause for error in failures],
                "files": sorted({*earlier, *names}),
            }
            parts[document].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except _NothingToWrite:
        return Exported((), 0, tuple(failures), ())
    opened = (folder,) if kind.opens_folder else tuple(folder / file for file in names[:-1])
    return Exported(opened, count, tuple(failures), tuple(writer.caveats))


class _NothingToWrite(Exception):
    """Leaves the files of an earlier export as they are."""


def _listed(document: Mapping[str, Any] | None) -> list[str]:
    """The files of earlier exports, which stay those of staa."""
    files = (document or {}).get("files")
    return list(map(str, files)) if isinstance(files, list) else []


def _found(place: Path) -> list[Path]:
    hint = "give a folder that `staa explain` has written, or one above"
    if not place.exists():
        raise NothingMatched(f"no such file or folder: {place}", hint)
    paths = report_paths(place)
    if not paths:
        raise NothingMatched(f"{place} has no {REPORT} in it", hint)
    return paths


def _name(path: Path, place: Path) -> str:
    """The folder of a report relative to that of all, or its own name if it is the only one."""
    name = path.parent.relative_to(place) if place.is_dir() else Path()
    return name.as_posix() if name != Path() else path.parent.resolve().name
