"""report.html is written again from the files of a result, without its video."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from explanations import explanation
from indexed_results import MEDIA, write_page

from staa_cli.config.settings import Settings
from staa_cli.errors import InputError
from staa_cli.results.files import write_json
from staa_cli.results.index.collect import collect_folder
from staa_cli.results.pages import page as page_module
from staa_cli.results.pages.media import Media
from staa_cli.results.pages.rebuild import rebuild_page, rebuild_pages
from staa_cli.results.pages.stills import stored_media
from staa_cli.results.writers.maps_npz import MapsNpz


def write_result(folder: Path, media: Media = MEDIA) -> Path:
    source = explanation()
    page = write_page(folder, source, media)
    write_json(source, folder / "report.json")
    MapsNpz(source, Settings()).write(folder / "maps.npz")
    return page


def test_the_page_is_the_same_again(tmp_path: Path) -> None:
    page = write_result(tmp_path / "a")
    before = page.read_bytes()
    page.write_bytes(before.replace(b"</title>", b" of an older version</title>"))
    assert rebuild_page(tmp_path / "a") is None
    assert page.read_bytes() == before


def test_a_page_of_another_version_becomes_one_of_this(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "__version__", "9.8.7")
    page = write_result(tmp_path / "a")
    assert "staa 9.8.7" in page.read_text()
    monkeypatch.undo()
    rebuild_page(tmp_path / "a")
    assert "staa 9.8.7" not in page.read_text()


def test_pictures_and_video_are_those_of_the_page(tmp_path: Path) -> None:
    page = write_result(tmp_path / "a")
    stored = stored_media(page, explanation().video.times_s)
    assert stored.media == MEDIA
    assert sorted(stored.stills) == [30, 60]
    assert {still.size for still in stored.stills.values()} == {(640, 360)}


def test_a_linked_video_that_is_gone_is_told(tmp_path: Path) -> None:
    film = tmp_path / "100% #1?.mp4"
    film.write_bytes(b"")
    write_result(tmp_path / "run" / "a", Media("./../../100%25%20%231%3F.mp4", 0.0, "linked"))
    assert rebuild_page(tmp_path / "run" / "a") is None
    film.unlink()
    index = collect_folder(tmp_path / "run")
    rebuilt = rebuild_pages(tmp_path / "run", index)
    ((cause, hint),) = rebuilt.caveats
    assert "run/a/report.html shows a video that is gone: " in cause
    assert "100% #1?.mp4" in cause
    assert "--video" in hint
    assert len(rebuilt.paths) == 1


EDITED = {
    "no page": "hello",
    "no data": '<video a poster="data:image/jpeg;base64,AAAA"></video>',
    "other picture": '<video a poster="https://example.org/x.jpg"></video>'
    '<script type="application/json" id="viewer-data">{}</script>',
    "other data": '<video a poster="data:image/jpeg;base64,AAAA"></video>'
    '<script type="application/json" id="viewer-data">{"offset_s": []}</script>',
    "no json": '<video a poster="data:image/jpeg;base64,AAAA"></video>'
    '<script type="application/json" id="viewer-data">{</script>',
}


@pytest.mark.parametrize("name", EDITED)
def test_what_is_no_page_of_staa_stays(name: str, tmp_path: Path) -> None:
    page = write_result(tmp_path / "a")
    page.write_text(EDITED[name])
    with pytest.raises(InputError, match="is not a page of staa"):
        rebuild_page(tmp_path / "a")
    assert page.read_text() == EDITED[name]


def test_a_script_for_a_video_is_not_taken_over(tmp_path: Path) -> None:
    page = write_result(tmp_path / "a")
    text = page.read_text().replace(' src="data:video', ' src="javascript:alert(1)//data:video')
    page.write_text(text)
    rebuild_page(tmp_path / "a")
    assert "javascript:" not in page.read_text()


def test_the_others_are_written_if_one_cannot_be(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        write_result(tmp_path / name)
    (tmp_path / "a" / "maps.npz").unlink()
    (tmp_path / "b" / "maps.npz").write_bytes(b"PK")
    (tmp_path / "c" / "report.html").unlink()
    shutil.rmtree(tmp_path / "d")
    rebuilt = rebuild_pages(tmp_path, collect_folder(tmp_path))
    assert rebuilt.paths == [tmp_path / "e" / "report.html"]
    assert [error.cause.partition(" ")[0] for error in rebuilt.failures] == [
        str(tmp_path / "b" / "maps.npz")
    ]
    causes = [cause for cause, _ in rebuilt.caveats]
    assert causes == ["1 page stayed as before: maps.npz is missing"]
    assert rebuilt.absent == 1
