"""The page of a folder: nothing in it runs or is loaded but its own script and style."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
from indexed_results import (
    broken_report,
    failure,
    index_of,
    one_entry,
    renamed,
    write_page,
    write_poster,
)
from parsed_page import HOSTILE, Parsed
from PIL import Image

from staa_cli.results.document import Place
from staa_cli.results.index.document import Entry
from staa_cli.results.pages.index import SCRIPTS, STYLES, index_page
from staa_cli.results.pages.page import assets
from staa_cli.results.pages.thumbnails import Thumbnails


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return one_entry(tmp_path_factory.mktemp("run"))


def page_of(entry: Entry, text: str, folder: Path) -> str:
    index = index_of([entry, renamed(entry, text, "a/b")], [failure(text)], [broken_report(text)])
    return index_page(index, folder)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_users_name_stays_text(entry: Entry, text: str, tmp_path: Path) -> None:
    plain, page = (Parsed(page_of(entry, name, tmp_path)) for name in ("plain", text))
    assert [(tag, list(attrs)) for tag, attrs in page.elements] == [
        (tag, list(attrs)) for tag, attrs in plain.elements
    ]
    assert page.text.count(" ".join(text.split())) >= 4  # without scripts
    data = json.loads(page.by_id["index-data"])
    assert text in data["labels"]
    assert data["video"][1] == f"clips/{text}"
    assert data["failed"][0] == [text, f"{text}: no video", text]


def test_no_handler_no_style_attribute_and_nothing_from_elsewhere(
    entry: Entry, tmp_path: Path
) -> None:
    page = Parsed(page_of(entry, HOSTILE[0], tmp_path))
    for tag, name, value in page.attributes():
        assert not name.startswith("on"), (tag, name)
        assert name not in ("style", "src")
        if name == "href":
            assert value is not None
            assert value.startswith("./")
    assert page.of("link") == []
    assert re.search(r"@import|https?:|//\w", "".join(page.raw["style"])) is None


def test_the_policy_allows_exactly_the_script_and_the_style(entry: Entry, tmp_path: Path) -> None:
    page = Parsed(page_of(entry, "a", tmp_path))
    policy = next(attrs["content"] for attrs in page.of("meta") if "http-equiv" in attrs)
    (script,) = (text for text in page.raw["script"] if '"use strict"' in text)
    (style,) = page.raw["style"]
    for name, text in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}';" in str(policy)
    assert str(policy).startswith("default-src 'none'; ")


def test_the_code_is_small(entry: Entry, tmp_path: Path) -> None:
    assert len(assets((*STYLES, *SCRIPTS)).encode()) < 40_000
    page = page_of(entry, "a", tmp_path)
    data = Parsed(page).by_id
    assert len(page.encode()) - sum(len(text) for text in data.values()) < 100_000


def test_a_row_is_compact(entry: Entry, tmp_path: Path) -> None:
    entries = [renamed(entry, "pouring", f"clips/{number}") for number in range(2000)]
    (small, large) = (len(index_page(index_of(entries[:n]), tmp_path)) for n in (1000, 2000))
    assert (large - small) / 1000 < 200


def test_a_row_links_to_what_there_is(entry: Entry, tmp_path: Path) -> None:
    def linked(*files: str) -> str:
        one = msgspec.structs.replace(entry, files=list(files), folder=Place("a #1?/b:c"))
        page = Parsed(index_page(index_of([one]), tmp_path))
        data = json.loads(page.by_id["index-data"])
        (link,) = page.of("a")
        assert str(link["href"]).endswith(data["files"][data["file"][0]])
        return str(link["href"])

    assert linked("annotated.mp4", "report.html") == "./a%20%231%3F/b%3Ac/report.html"
    assert linked("maps.npz", "annotated.mp4").endswith("/annotated.mp4")
    assert linked("report.json").endswith("/report.json")


def test_pictures_are_those_of_the_results(entry: Entry, tmp_path: Path) -> None:
    """Colors tell whose picture is at which place of the sheets."""
    colors = [(30 * (n % 8), 255 - 20 * (n % 12), 2 * n) for n in range(105)]
    thumbnails, slots = Thumbnails(105), []
    for number, color in enumerate(colors):
        folder = tmp_path / str(number)
        folder.mkdir()
        if number == 3:  # a result without a picture
            pass
        elif number == 4:
            Image.new("RGB", (300, 300), color).save(folder / "storyboard.png")
        elif number in (0, 104):
            write_page(folder, color=color, size=(360, 640) if number else (640, 360))
        else:
            write_poster(folder, color)
        slots.append(thumbnails.add(folder, entry))
    thumbnails.finish()
    assert slots == [0, 1, 2, -1, *range(3, 104)]
    sheets = [Image.open(io.BytesIO(sheet)).convert("RGB") for sheet in thumbnails.sheets]
    assert [sheet.size for sheet in sheets] == [(1440, 810), (1440, 81)]
    for number, slot in enumerate(slots):
        if slot < 0:
            continue
        width, height = thumbnails.sizes[2 * slot : 2 * slot + 2]
        assert (width, height) == {4: (81, 81), 104: (46, 81)}.get(number, (144, 81))
        sheet, place = sheets[slot // 100], slot % 100
        x, y = place % 10 * 144, place // 10 * 81
        part = np.asarray(sheet.crop((x + 8, y + 8, x + width - 8, y + height - 8)), int)
        assert np.abs(part.reshape(-1, 3).mean(axis=0) - colors[number]).max() < 6


@pytest.mark.parametrize("content", ["", "<video poster=x>", "poster data", "PNG"])
def test_a_damaged_page_has_no_picture(content: str, entry: Entry, tmp_path: Path) -> None:
    broken = f'<video a poster="data:image/jpeg;base64,{base64.b64encode(b"x").decode()}" src="">'
    (tmp_path / "report.html").write_text(content or broken)
    (tmp_path / "storyboard.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "annotated.mp4").write_bytes(b"broken")
    assert Thumbnails(1).add(tmp_path, entry) == -1


def test_without_a_page_it_is_from_the_annotated_video_without_its_strip(
    entry: Entry, tmp_path: Path
) -> None:
    """Its pictures are red, then green; the strip below is white."""
    with av.open(tmp_path / "annotated.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 260, "yuv420p"
        stream.gop_size = 10
        for number in range(20):
            picture = Image.new("RGB", (320, 260), (255, 255, 255))
            color = (220, 20, 20) if number < 10 else (20, 200, 20)
            picture.paste(color, (0, 0, 320, 180))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    for peak_s, color in ((0.4, (220, 20, 20)), (1.6, (20, 200, 20)), (None, (220, 20, 20))):
        thumbnails = Thumbnails(1)
        assert thumbnails.add(tmp_path, msgspec.structs.replace(entry, peak_s=peak_s)) == 0
        thumbnails.finish()
        assert thumbnails.sizes == [144, 81]
        sheet = np.asarray(Image.open(io.BytesIO(thumbnails.sheets[0])).convert("RGB"), int)
        assert np.abs(sheet[4:77, 4:140] - color).max() < 20


def test_many_rows_without_scripts_are_cut(entry: Entry, tmp_path: Path) -> None:
    page = Parsed(index_page(index_of([entry] * 1503), tmp_path))
    assert len(page.of("a")) == 500
    assert "1,003 more rows in index.json" in page.text
    assert page.text.startswith("1,503 videos · staa") or "1,503 videos" in page.text
