"""index.html in a browser: it sorts, filters, and scrolls, and what users name stays text."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from indexed_results import (
    failure,
    index_of,
    one_entry,
    poster_of,
    renamed,
    write_page,
    write_poster,
)
from open_pages import Page
from PIL import Image

from staa_cli.results.document import Place, WarningRow
from staa_cli.results.index.document import Entry, FailedInput, Measured
from staa_cli.results.pages.index import index_page

pytestmark = pytest.mark.slow
DOWN, UP, HOME, END, TAB, ENTER, ESCAPE, PAGE_DOWN = (
    *("\ue015", "\ue013", "\ue011", "\ue010", "\ue004", "\ue007", "\ue00c", "\ue00f"),
)
HOSTILE = "<img src=x onerror='window.harm=1'></script><script>window.harm=1</script>"
LABELS = ("archery", "hop", "pouring")
READY = "performance.getEntriesByName('ready').length"
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return one_entry(tmp_path_factory.mktemp("run"))


@pytest.fixture
def opened(page: Page, entry: Entry, tmp_path: Path) -> Open:
    """Write the page of some results, and open it."""

    def open_page(
        entries: Sequence[Entry],
        failed: Sequence[FailedInput] = (),
        width: int = 1000,
        theme: str = "light",
    ) -> Page:
        path = tmp_path / "index.html"
        path.write_text(index_page(index_of(entries, failed), tmp_path), encoding="utf-8")
        page.set_up(width, theme)
        for kind in ("browser", "performance"):
            page.driver.get_log(kind)
        page.driver.get("about:blank")
        page.driver.get(path.as_uri())
        page.wait(READY)
        return page

    return open_page


def results(entry: Entry, count: int) -> list[Entry]:
    """Results whose columns all have different orders."""
    return [_result(entry, number) for number in range(count)]


def _result(entry: Entry, number: int) -> Entry:
    codes = ["low-confidence", "flat-temporal"][: number % 3] if number % 2 else []
    label = LABELS[number % 3]
    probability = (number * 37 % 101) / 101
    return msgspec.structs.replace(
        entry,
        folder=Place(f"clips/clip {number}"),
        video=Place(f"clips/{number % 4}/clip {number}.mp4"),
        label=label,
        target=msgspec.structs.replace(entry.target, label=label, probability=probability),
        peak_s=None if number % 7 == 0 else (number * 53 % 89) / 50,
        curve=[(number * place * 7 % 97) / 96 for place in range(48)],
        warnings=[WarningRow(code, "A caveat.") for code in codes],
        faithfulness=None if number % 5 == 0 else _measured((number * 29 % 61) / 60),
        files=["report.html", "report.json"],
    )


def _measured(gain: float) -> Measured:
    return Measured(gain, None, None, quick=False, beaten_by=["center"] if gain < 0.3 else [])


def names(page: Page) -> list[str]:
    """The videos in the order of the rows that are in the document."""
    found: list[str] = page.run(
        "[...document.querySelectorAll('tbody .video bdi')].map((name) => name.textContent)"
    )
    return found


def name_of(one: Entry) -> str:
    return one.video.path.rpartition("/")[2]


def choose(page: Page, select: str, value: str) -> None:
    page.run(
        "((select, value) => { select.value = value; "
        "select.dispatchEvent(new Event('input')); })"
        f"(document.querySelector('.tools {select}'), arguments[0])",
        value,
    )


def heading(page: Page, column: str) -> Any:
    return page.driver.find_element("css selector", f"[data-sort={column}]")


KEYS: dict[str, tuple[Callable[[Entry], Any], bool]] = {
    "video": (lambda one: int(name_of(one).split()[1].split(".")[0]), False),
    "label": (lambda one: one.label, False),
    "score": (lambda one: one.target.score, True),
    "time": (lambda one: one.peak_s, False),
    "srg": (lambda one: one.faithfulness and round(one.faithfulness.srg, 2), True),
    "warned": (lambda one: len(one.warnings) or None, True),
}


@pytest.mark.parametrize("column", KEYS)
def test_a_click_sorts_and_another_reverses(column: str, opened: Open, entry: Entry) -> None:
    entries = results(entry, 14)
    page = opened(entries)
    if column == "video":  # by number, not by letter, also where folders differ
        entries = [
            msgspec.structs.replace(one, video=Place(name_of(one))) for one in results(entry, 14)
        ]
        page = opened(random.Random(1).sample(entries, 14))
    before = names(page)
    of, falls = KEYS[column]

    def expected(down: bool) -> list[str]:
        by_name = {name_of(one): one for one in entries}
        known = [name for name in before if of(by_name[name]) is not None]
        known.sort(key=lambda name: of(by_name[name]), reverse=down)
        if down:  # equal ones stay in the order of the folder
            known.sort(key=lambda name: of(by_name[name]), reverse=True)
        return known + [name for name in before if name not in known]

    head = page.driver.find_element("css selector", f"th.{column}")
    for down in (falls, not falls):
        heading(page, column).click()
        assert names(page) == expected(down)
        assert head.get_attribute("aria-sort") == ("descending" if down else "ascending")
    heading(page, column).click()
    assert names(page) == before
    assert head.get_attribute("aria-sort") is None
    page.check_quiet(Path(page.driver.current_url.partition("://")[2].partition("#")[0]))


def test_filters_by_text_label_and_warning(opened: Open, entry: Entry, tmp_path: Path) -> None:
    entries = results(entry, 14)
    page = opened(entries, [failure("clips/bad.mp4")])
    count = "document.querySelector('.count').textContent"
    assert page.run(count) == "15 videos"
    text = page.driver.find_element("css selector", ".tools .text")
    text.send_keys("CLIPS/1 hop")  # all words, anywhere
    wanted = [one for one in entries if one.video.path.startswith("clips/1/")]
    assert names(page) == [name_of(one) for one in wanted if one.label == "hop"]
    assert page.run(count) == f"{len(names(page))} of 15 videos"
    text.clear()
    text.send_keys("no video")
    assert names(page) == ["bad.mp4"]
    page.keys(ESCAPE)
    assert len(names(page)) == 15
    choose(page, ".label", "pouring")
    assert names(page) == [name_of(one) for one in entries if one.label == "pouring"]
    choose(page, ".label", "")
    for value, fits in (
        ("any", lambda one: bool(one.warnings)),
        ("no", lambda one: not one.warnings),
        ("code:flat-temporal", lambda one: len(one.warnings) == 2),
    ):
        choose(page, ".warning", value)
        assert names(page) == [name_of(one) for one in entries if fits(one)], value
    choose(page, ".warning", "failed")
    assert names(page) == ["bad.mp4"]
    choose(page, ".label", "hop")
    assert names(page) == []
    assert page.driver.find_element("css selector", ".none").is_displayed()
    page.check_quiet(tmp_path / "index.html")


def test_by_keyboard_alone(opened: Open, entry: Entry, tmp_path: Path) -> None:
    page = opened(results(entry, 400))
    active = "document.activeElement"
    page.keys("/")
    page.keys("clip", DOWN)
    assert page.run(f"{active}.textContent") == "clip 0.mp4"
    page.keys(DOWN, DOWN, UP)
    assert page.run(f"{active}.textContent") == "clip 1.mp4"
    page.keys(END)
    assert page.run(f"{active}.textContent") == "clip 399.mp4"
    assert page.run(f"{active}.closest('tr').ariaRowIndex") == "401"
    assert is_seen(page)
    page.keys(UP, HOME)
    assert page.run(f"{active}.textContent") == "clip 0.mp4"
    page.keys(PAGE_DOWN)
    assert page.run(f"{active}.textContent") == "clip 10.mp4"
    assert is_seen(page)
    page.keys("?")
    assert page.run("document.querySelector('dialog').open")
    page.keys(ESCAPE)
    assert not page.run("document.querySelector('dialog').open")
    assert page.run("document.querySelector('.text').value") == "clip"
    page.run("document.querySelector('.tools .help').focus()")
    page.keys(TAB)
    assert page.run(f"{active}.dataset.sort") == "video"
    page.keys(TAB, TAB, ENTER)
    assert page.run("document.querySelector('th.score').ariaSort") == "descending"
    page.keys(ESCAPE, "/", "clip 12", DOWN)
    page.check_quiet(tmp_path / "index.html")
    write_page(tmp_path / "clips" / names(page)[0].removesuffix(".mp4"))
    page.keys(ENTER)
    page.wait("location.pathname.endsWith('report.html')")
    page.driver.back()
    page.wait(READY)
    assert page.run("document.querySelector('.text').value") == "clip 12"
    assert page.run("document.querySelector('th.score').ariaSort") == "descending"


def is_seen(page: Page) -> bool:
    """Whether the element with the focus is on the screen, below what sticks to its top."""
    return bool(
        page.run(
            "((box) => document.elementFromPoint(box.x + 5, box.y + box.height / 2)"
            "?.closest('a') === document.activeElement)"
            "(document.activeElement.getBoundingClientRect())"
        )
    )


def test_what_users_name_stays_text(opened: Open, entry: Entry, tmp_path: Path) -> None:
    page = opened([renamed(entry, HOSTILE)], [failure(HOSTILE)])
    assert page.run("window.harm") is None
    text = page.run("document.querySelector('tbody').textContent")
    assert text.count(HOSTILE.rpartition("/")[2]) >= 3
    assert page.run("document.querySelector('td.label').textContent") == HOSTILE
    assert HOSTILE in page.run("[...document.querySelector('.tools .label')].map((o) => o.text)")
    link = page.run("document.querySelector('tbody a').href")
    assert link.startswith(tmp_path.as_uri())
    page.driver.find_element("css selector", ".tools .text").send_keys("<IMG SRC=X")
    assert len(names(page)) == 2
    page.check_quiet(tmp_path / "index.html")


def test_ten_thousand_rows_are_ready_in_two_seconds(
    opened: Open, entry: Entry, tmp_path: Path
) -> None:
    poster = poster_of(Image.effect_noise((320, 180), 60).convert("RGB"))
    entries = results(entry, 10_000)
    for one in entries:
        write_poster(tmp_path / one.folder.path, poster)
    page = opened(entries)
    times = []
    for _ in range(3):
        page.driver.refresh()
        page.wait(READY)
        times.append(page.run("performance.getEntriesByName('ready')[0].startTime"))
    assert min(times) < 2000
    assert page.run("document.querySelectorAll('tbody tr').length") < 60
    height = page.run("document.documentElement.scrollHeight")
    assert height > 10_000 * 60
    for share in (0.5, 0.999, 0.0001):
        page.run(f"scrollTo(0, {share * height})")
        page.wait("Math.abs(document.querySelector('tbody').getBoundingClientRect().height"
                  " - 10000 * 68) < 10020")  # fmt: skip
        page.wait(
            "Math.abs(document.querySelector('tbody tr:not(.space)').dataset.place"
            f" - {share * 10_000}) < 40"
        )
        assert page.run("document.querySelectorAll('tbody tr').length") < 60
        page.wait(
            "[...document.querySelectorAll('tbody canvas')].every((canvas) => "
            "canvas.getContext('2d').getImageData(9, 9, 1, 1).data[3])"
        )
    spent = page.run(
        "((start) => (document.querySelector('[data-sort=video]').click(), "
        "performance.now() - start))(performance.now())"
    )
    assert spent < 2000
    page.check_quiet(tmp_path / "index.html")


def test_a_row_has_the_picture_of_its_video(opened: Open, entry: Entry, tmp_path: Path) -> None:
    """They are in two sheets; every third result has none."""
    entries = results(entry, 200)
    colors = {number: (number, 250 - number, 90) for number in range(200) if number % 3}
    for number, color in colors.items():
        write_poster(tmp_path / entries[number].folder.path, color)
    page = opened(entries)
    for number in (1, 100, 199):
        page.run(f"window.index.focus({number})")
        canvas = page.driver.find_element("css selector", f'[data-place="{number}"] canvas')
        for _ in range(100):
            shown = Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("RGB")
            middle = np.array(shown.getpixel((shown.width // 2, shown.height // 2)))
            if np.abs(middle - colors[number]).max() < 8:
                break
        else:
            pytest.fail(f"the picture of {number} is {middle}")
    assert page.run("document.querySelectorAll('[data-place=\"198\"] canvas').length") == 0
    page.check_quiet(tmp_path / "index.html")


def test_the_curve_is_drawn_where_clips_reach(opened: Open, entry: Entry) -> None:
    gap = msgspec.structs.replace(entry, curve=[0.0, 1.0, None, 0.5], peak_s=0.1, flat=False)
    flat = msgspec.structs.replace(entry, flat=True)
    page = opened([gap, flat])
    lines = page.run(
        "[...document.querySelectorAll('.curve .line')].map((p) => p.getAttribute('d'))"
    )
    assert lines[0] == "M60 29L180 2h0M420 15.7h0"  # levels 0, 61, and 30 of 61
    assert lines[1] == "M0 16H480"
    words = page.run("[...document.querySelectorAll('.curve')].map((c) => c.ariaLabel)")
    assert words == ["highest at 0.1 s", "no moment stands out"]


@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_and_has_two_themes(width: int, opened: Open, entry: Entry) -> None:
    colors = set()
    for theme, measured in (("light", True), ("dark", False)):
        entries = results(entry, 30)
        if not measured:
            entries = [msgspec.structs.replace(one, faithfulness=None) for one in entries]
        page = opened(entries, [failure("bad " * 40)], width, theme)
        colors.add(page.run("getComputedStyle(document.body).backgroundColor"))
        assert page.run("document.documentElement.scrollWidth") <= width
        used = page.run("document.querySelector('tbody tr:last-of-type').offsetWidth")
        assert used == page.run("document.querySelector('main').offsetWidth")
        rows = page.run(
            "[...document.querySelectorAll('tbody tr:not(.space)')]"
            ".map((row) => row.getBoundingClientRect().height)"
        )
        assert len({round(height) for height in rows}) == 1  # scrolling relies on it
        needed = float(page.run("getComputedStyle(document.body).getPropertyValue('--row')")[:-2])
        assert rows[0] == pytest.approx(needed, abs=1)
    assert len(colors) == 2


@pytest.fixture
def _no_scripts(page: Page) -> Iterator[None]:
    page.cdp("Emulation.setScriptExecutionDisabled", value=True)
    yield
    page.cdp("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.usefixtures("_no_scripts")
def test_without_scripts_it_can_be_read(page: Page, entry: Entry, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_text(index_page(index_of(results(entry, 3), [failure()]), tmp_path))
    page.set_up(1000)
    page.driver.get(path.as_uri())
    links = page.driver.find_elements("css selector", "noscript a")
    assert [link.text for link in links] == [one.video.path for one in results(entry, 3)]
    assert all(link.is_displayed() for link in links)
    assert not page.driver.find_element("css selector", ".tools").is_displayed()
