"""Write the overview of a folder: index.json first, which says what belongs to staa."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from staa_cli.files import INDEX, JUNIT, OVERVIEW, SUMMARY, atomic_path
from staa_cli.results.files import json_text
from staa_cli.results.folder import ResultFolder
from staa_cli.results.index.collect import OnResult, stored_index
from staa_cli.results.index.document import Index
from staa_cli.results.index.junit import junit
from staa_cli.results.index.summary import markdown
from staa_cli.results.markdown import within
from staa_cli.results.report import plain_document


def write_index(
    index: Index,
    folder: Path,
    files: Sequence[str] = (OVERVIEW,),
    on_result: OnResult = lambda name, done, total: None,
    *,
    option: str = "",
) -> list[Path]:
    """Write index.json and other files of an overview into its folder.

    Args:
        index: of the results in the folder.
        folder: with the results.
        files: some of index.html, summary.md, and junit.xml.
        on_result: called before every result of index.html.
        option: command-line option that selects another folder, for errors.

    Returns:
        The paths, index.json last.

    Raises:
        OutputError: a file cannot be written, or one that is not from staa is in the way.
    """
    ResultFolder(folder, INDEX, option).check([*files, INDEX])
    earlier = stored_index(folder)
    owned = {INDEX, *files, *(earlier.files if earlier is not None else ())}
    contents = {
        OVERVIEW: lambda: _page(index, folder, on_result),
        SUMMARY: lambda: within(markdown(index))[0].encode(),
        JUNIT: lambda: junit(index),
    }
    content = {name: contents[name]() for name in files}
    document = plain_document(msgspec.structs.replace(index, files=sorted(owned)))
    content = {INDEX: (json_text(document) + "\n").encode(), **content}
    for name, written in content.items():
        with atomic_path(folder / name) as part:
            part.write_bytes(written)
    return [folder / name for name in (*files, INDEX)]


def _page(index: Index, folder: Path, on_result: OnResult) -> bytes:
    from staa_cli.results.pages.index import index_page

    return index_page(index, folder, on_result).encode()
