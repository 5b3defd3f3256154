"""Overviews of artificial results, for what is made from them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import msgspec
from compared_runs import result
from explanations import explanation
from PIL import Image

from staa_cli.config.settings import RenderSettings
from staa_cli.results.document import Place, WarningRow
from staa_cli.results.index.collect import collect_folder
from staa_cli.results.index.document import BrokenReport, Entry, FailedInput, Index, Measured
from staa_cli.results.pages.explanation import explanation_page
from staa_cli.results.pages.media import Media
from staa_cli.results.pages.stills import Still
from staa_cli.schema import Explanation

MEDIA = Media("data:video/mp4;base64," + base64.b64encode(b"a video").decode(), 0.25, "its bytes")


def one_entry(folder: Path) -> Entry:
    """The entry of a result, which is written into a folder."""
    result(folder, "walk.mp4")
    (entry,) = collect_folder(folder).results
    return entry


def renamed(entry: Entry, text: str, folder: str = "") -> Entry:
    """An entry in which everything that a user can name is that text."""
    target = msgspec.structs.replace(entry.target, label=text)
    return msgspec.structs.replace(
        entry,
        folder=Place(folder or text),
        video=Place(f"clips/{text}"),
        model=text,
        method=text,
        label=text,
        target=target,
        warnings=[WarningRow("low-confidence", text)],
        faithfulness=Measured(0.5, None, None, quick=True, beaten_by=[text]),
    )


def index_of(
    entries: Sequence[Entry],
    failed: Sequence[FailedInput] = (),
    broken: Sequence[BrokenReport] = (),
) -> Index:
    return Index(
        schema_version=1,
        staa_version="0.1.0",
        files=[],
        results=list(entries),
        failed_inputs=list(failed),
        broken_reports=list(broken),
    )


def failure(text: str = "bad.mp4", **fields: object) -> FailedInput:
    given = {"folder": None, "kind": "VideoError", "cause": f"{text}: no video", "hint": text}
    return msgspec.convert({"input": {"path": text}, **given, **fields}, FailedInput)


def broken_report(text: str = "cut") -> BrokenReport:
    place = Place(f"{text}/report.json")
    return BrokenReport(f"{text}/report.json is not JSON", text, report=place)


def write_page(
    folder: Path,
    source: Explanation | None = None,
    media: Media = MEDIA,
    color: tuple[int, int, int] = (200, 40, 40),
    size: tuple[int, int] = (640, 360),
) -> Path:
    """A report.html with plain pictures of a color."""
    source = source or explanation()
    still = Still.of(Image.new("RGB", size, color))
    stills = {30: still, 60: Still.of(Image.new("RGB", size, (0, 0, 200)))}
    html = explanation_page(
        [source], media, still, stills, RenderSettings(), files=["maps.npz", "report.json"]
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(html, encoding="utf-8")
    return folder / "report.html"


def poster_of(picture: Image.Image) -> str:
    """The part of a page that has its first picture."""
    return f'<video controls poster="{Still.of(picture).address}" src=""></video>'


def write_poster(folder: Path, poster: str | tuple[int, int, int]) -> None:
    """A report.html that has nothing but its first picture, which may be of one color."""
    if not isinstance(poster, str):
        poster = poster_of(Image.new("RGB", (320, 180), poster))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text(poster)
