"""Write report.html again from what is stored in a result folder, without the video."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from staa_cli.errors import StaaError
from staa_cli.failures import understood
from staa_cli.files import MAPS, PAGE, REPORT, atomic_path
from staa_cli.formatting import counted
from staa_cli.results.arrays import load_explanation
from staa_cli.results.index.collect import OnResult, folder_of
from staa_cli.results.index.document import Index
from staa_cli.results.pages.explanation import explanation_page
from staa_cli.results.pages.media import linked
from staa_cli.results.pages.stills import stored_media
from staa_cli.results.report import EXPLAIN_AGAIN, typed_settings
from staa_cli.results.writers.base import WRITERS


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of the pages of a folder."""

    paths: list[Path]
    """Pages that were written again."""
    caveats: list[tuple[str, str]]
    """What people should know about the others, each with a hint."""
    failures: list[StaaError]
    """Why others could not be written again."""
    absent: int
    """Number of results that have no page."""


def rebuild_pages(
    folder: Path, index: Index, on_result: OnResult = lambda name, done, total: None
) -> Rebuilt:
    """Write the pages of results again where the stored files suffice; see `rebuild_page`.

    Whatever happens to one page is its failure; the others are written.
    """
    paths, caveats, failures = list[Path](), list[tuple[str, str]](), list[StaaError]()
    absent = without_maps = 0
    for done, entry in enumerate(index.results):
        result = folder_of(entry, folder)
        on_result(entry.folder.path, done, len(index.results))
        if PAGE not in entry.files:
            absent += 1
        elif MAPS not in entry.files:
            without_maps += 1
        else:
            try:
                missing = rebuild_page(result)
            except Exception as error:
                failures.append(understood(error))
                continue
            paths.append(result / PAGE)
            if missing is not None:
                cause = f"{result / PAGE} shows a video that is gone: {missing}"
                caveats.append((cause, f"`staa render {result} --video ITS-NEW-PLACE`"))
    if without_maps:
        cause = f"{counted(without_maps, 'page')} stayed as before: {MAPS} is missing"
        caveats.append((cause, EXPLAIN_AGAIN))
    return Rebuilt(paths, caveats, failures, absent)


def rebuild_page(folder: Path) -> Path | None:
    """Write the page of a result again: the maps are in maps.npz, the video in the page itself.

    Returns:
        The video that the page links to, if it is not where it was.

    Raises:
        InputError: the maps are missing or broken, or the page is not one of staa.
        OutputError: the page cannot be written.
    """
    page = folder / PAGE
    explanation = load_explanation(folder)
    stored = stored_media(page, explanation.video.times_s)
    names = [writer.file for _, writer in WRITERS.items() if (folder / writer.file).is_file()]
    html = explanation_page(
        [explanation],
        stored.media,
        stored.poster,
        stored.stills,
        typed_settings(explanation.settings).render,
        files=[name for name in names if name not in (PAGE, REPORT)] + [REPORT],
    )
    with atomic_path(page) as part:
        part.write_text(html, encoding="utf-8")
    return _missing(stored.media.address, folder)


def _missing(address: str, folder: Path) -> Path | None:
    """The linked file, if it is not there."""
    path = linked(address, folder)
    return None if path is None or path.is_file() else Path(os.path.normpath(path))
