"""diff.html in a browser: a list of pairs, and old, new, and their difference on one clock."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from compared_runs import edited, result
from diffed_runs import compared, write_diff
from indexed_results import write_poster
from open_pages import VIEWER, Page, alpha_of
from PIL import Image
from stamped import read, write_stamped

from staa_cli.config.settings import RenderSettings
from staa_cli.render.heat import HeatField
from staa_cli.results.diff.gate import Gate, label_changes, shift_limit
from staa_cli.results.diff.measures import maps_at
from staa_cli.results.diff.moved import map_gain
from staa_cli.results.diff.pairs import Result
from staa_cli.results.document import Place
from staa_cli.results.pages import diff as diff_pages
from staa_cli.results.pages import media
from staa_cli.results.pages.diff import diff_page
from staa_cli.schema import Float32

pytestmark = pytest.mark.slow
DOWN, LEFT, RIGHT, HOME, END, TAB, ENTER, ESCAPE = (
    *("\ue015", "\ue012", "\ue014", "\ue011", "\ue010", "\ue004", "\ue007", "\ue00c"),
)
HOSTILE = "<img src=x onerror='window.harm=1'></script><script>window.harm=1</script>"
READY = "performance.getEntriesByName('ready').length"
OPACITY = RenderSettings().opacity
OLD, NEW, MOVED = range(3)
Show = Callable[..., Page]


class Film:
    """A video whose frames contain their number, and two results of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = write_stamped(folder / "film.mp4", 60)
        content = self.path.read_bytes().decode("utf-8", "surrogateescape")
        options: dict[str, Any] = {"content": content, "size": (320, 240)}
        old = result(folder / "old", str(self.path), peak_s=0.5, **options)
        new = result(folder / "new", str(self.path), peak_s=1.2, grid=(10, 10), **options)
        self.results = [Result.load(path) for path in (old, new)]
        self.page = write_diff(folder)

    def levels(self, number: int, time_s: float) -> Float32 | None:
        """Levels of the heat of one of the pictures."""
        if number != MOVED:
            explanation = self.results[number].explanation
            assert explanation is not None
            return HeatField(explanation, "video").at(time_s)
        gain = map_gain(*self.results)
        ceiling = np.quantile(np.abs(gain.values), 0.99, axis=(1, 2)).max()
        signed = (gain.values / ceiling).clip(-1, 1).astype(np.float64)
        (levels,) = maps_at(np.array([time_s]), gain.times_s, signed)
        return levels.astype(np.float32)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return Film(tmp_path_factory.mktemp("film"))


def check_pictures(page: Page, film: Film, frame: int) -> None:
    """All three pictures are of a frame, each with its heat."""
    for number in (OLD, NEW, MOVED):
        levels = film.levels(number, frame / 30)
        assert levels is not None
        shown = page.heat(number)[..., 3].astype(int)
        size = (shown.shape[0], shown.shape[1])
        expected = alpha_of(levels, OPACITY, size, signed=number == MOVED)
        assert np.abs(shown - expected).max() <= 8, number
    page.keys("h")
    for number in (OLD, NEW, MOVED):
        picture = Image.fromarray(page.picture(number)).resize((320, 240))
        assert read(np.asarray(picture)) == frame, number
    page.keys("h")


def test_old_new_and_their_difference_follow_one_clock(page: Page, film: Film) -> None:
    page.open(film.page, width=1200)
    heats = []
    for frame in (9, 31, 50):
        page.viewer(f"seekTime({frame / 30 * 1e6 + 100})")
        page.wait_for_frame(frame)
        check_pictures(page, film, frame)
        heats.append([page.heat(number) for number in (OLD, NEW, MOVED)])
    for number in (OLD, NEW, MOVED):
        assert not np.array_equal(heats[0][number], heats[1][number])
    # Early the old one is hotter, late the new one: blue, then red.
    assert (coolest(heats[0][MOVED]), coolest(heats[1][MOVED])) == ("blue", "red")
    page.check_quiet(film.page)


def coolest(heat: np.ndarray) -> str:
    """The hue where the heat is most opaque."""
    row, column = np.unravel_index(heat[..., 3].argmax(), heat.shape[:2])
    red, _, blue, _ = heat[row, column].astype(int)
    return "red" if red > blue else "blue"


def test_it_plays_to_the_end(page: Page, film: Film) -> None:
    page.open(film.page, width=1200)
    page.viewer(
        "player.onframe = function () {"
        f"  const viewer = {VIEWER}, {{ shown }} = viewer.player;"
        "  viewer.draw();"
        "  if (viewer.player.playing) (viewer.played ??= []).push(shown);"
        "  if (shown >= 15 && !viewer.goesOn) viewer.video.pause();"
        "}"
    )
    page.keys(" ")
    page.wait(f"{VIEWER}.played && {VIEWER}.video.paused")
    page.wait_to_settle()
    check_pictures(page, film, page.viewer("player.shown"))
    page.viewer("goesOn = true")
    page.keys(" ")
    page.wait_for_frame(59)
    page.wait("document.querySelector('video').paused")
    assert (np.diff(page.viewer("played")) >= 0).all()
    page.check_quiet(film.page)


def test_click_and_drag_in_the_chart_seek(page: Page, film: Film) -> None:
    page.open(film.page, width=1200)
    for shares in ((0.1,), (0.9,), (0.2, 0.4, 0.75)):
        page.point(".lanes", *shares)
        frame = int(shares[-1] * 60)
        page.wait(f"Math.abs({VIEWER}.player.shown - {frame}) < 2 && !{VIEWER}.video.seeking")
    words = page.run("document.querySelector('.lanes').ariaValueText")
    assert words.startswith("1.")
    old, new = (float(words.partition(name)[2].partition(" ")[0]) for name in (": old ", ", new "))
    assert new > old  # late, the new one looks more
    page.check_quiet(film.page)


def test_by_keyboard_alone(page: Page, film: Film) -> None:
    page.open(film.page)
    page.keys(HOME)
    page.wait_for_frame(0)
    page.keys(RIGHT, RIGHT, RIGHT, LEFT)
    page.wait_for_frame(2)
    page.keys(END)
    page.wait_for_frame(59)
    full = page.heat(NEW)[..., 3].max()
    page.keys("[", "[")
    assert page.heat(NEW)[..., 3].max() == pytest.approx(full * 0.65 / 0.75, abs=3)
    page.keys("?")
    assert page.run("document.querySelector('dialog').open")
    page.keys(ESCAPE)
    page.run("document.querySelector('a[href]').focus()")
    page.keys(" ")  # which links do not use
    page.wait(f"{VIEWER}.player.playing")
    page.check_quiet(film.page)


def test_without_the_video_the_heat_is_shown_alone(page: Page, tmp_path: Path) -> None:
    film = Film(tmp_path)
    film.path.unlink()
    page.open(write_diff(tmp_path))
    assert "heat alone" in page.run("document.querySelector('.problem').textContent")
    page.keys(HOME, *[RIGHT] * 12)
    assert page.viewer("player.shown") == 12
    levels = film.levels(OLD, 12 / 30)
    assert levels is not None
    shown = page.heat(OLD)[..., 3].astype(int)
    expected = alpha_of(levels, OPACITY, (shown.shape[0], shown.shape[1]))
    assert np.abs(shown - expected).max() <= 8
    page.check_quiet(film.page)


def test_a_large_video_is_linked(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "EMBEDDED_BYTES", 1000)
    film = Film(tmp_path)
    page.open(film.page)
    assert page.run("document.querySelector('video').getAttribute('src')") == "./film.mp4"
    page.viewer("seekTime(1e6 + 100)")
    page.wait_for_frame(30)
    check_pictures(page, film, 30)
    page.check_quiet(film.page, film.path)


def test_a_mean_map_is_shown_at_all_times(page: Page, tmp_path: Path) -> None:
    result(tmp_path / "old", npz=False)
    result(tmp_path / "new", peak_s=1.5)
    page.open(write_diff(tmp_path))
    page.keys(HOME)
    first = [page.heat(number) for number in (OLD, NEW, MOVED)]
    page.keys(*[RIGHT] * 40)
    for number, same in ((OLD, True), (NEW, False), (MOVED, True)):
        assert np.array_equal(first[number], page.heat(number)) == same
    assert first[OLD][..., 3].max() > 100
    page.check_quiet(tmp_path / "diff.html")


@pytest.mark.parametrize("width", [400, 1600])
def test_a_pair_fits_and_has_two_themes(width: int, page: Page, film: Film) -> None:
    page.open(film.page, width=width)
    colors = set()
    for theme in ("light", "dark"):
        page.set_up(width, theme)
        colors.add(page.run("getComputedStyle(document.body).backgroundColor"))
        assert page.run("document.documentElement.scrollWidth") <= width
        lines = page.run(
            "['.old-line', '.new-line'].map((line) => getComputedStyle("
            "document.querySelector(`.both .curve ${line}`)).strokeDasharray)"
        )
        assert lines[0] != lines[1] == "none"  # not by color alone
        tops = page.run(
            "[...document.querySelectorAll('.picture')].map((p) => p.getBoundingClientRect().top)"
        )
        assert tops[0] == pytest.approx(tops[1], abs=1)
    assert len(colors) == 2


@pytest.fixture
def shown(page: Page) -> Show:
    """Open a page with a list, and wait for it."""

    def show(path: Path, width: int = 1500, theme: str = "light", part: str = "") -> Page:
        page.set_up(width, theme)
        for kind in ("browser", "performance"):
            page.driver.get_log(kind)
        page.driver.get("about:blank")
        page.driver.get(path.as_uri() + part)
        page.wait(READY)
        return page

    return show


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of five pairs, a video that is lost, and one that is added."""
    folder = tmp_path_factory.mktemp("listed")
    for number in range(5):
        codes = ("low-confidence",) if number == 2 else ()
        label = "sailing" if number == 1 else "windsurfing"
        write_poster(result(folder / "old", f"clips/{number}.mp4").parent, (200, 40, 40))
        new = result(
            folder / "new",
            f"clips/{number}.mp4",
            peak_s=0.5 + number / 5,
            codes=codes,
            label=label,
            grid=(14 - 2 * number, 14),
        )
        write_poster(new.parent, (40, 40, 200))
    result(folder / "old", "lost.mp4")
    result(folder / "new", "added.mp4")
    gates: list[Gate] = [shift_limit("--max-shift", "0.5"), label_changes("--max-label-changes", 0)]
    return write_diff(folder, gates)


def names(page: Page) -> list[str]:
    """The videos in the order of the rows that are in the document."""
    found: list[str] = page.run(
        "[...document.querySelectorAll('tbody .video bdi')].map((name) => name.textContent)"
    )
    return found


def choose(page: Page, control: str, value: str) -> None:
    page.run(
        "((control, value) => { control.value = value; "
        "control.dispatchEvent(new Event('input')); })"
        f"(document.querySelector('.tools {control}'), arguments[0])",
        value,
    )


def test_the_list_begins_with_what_changed_most(shown: Show, listed: Path) -> None:
    page = shown(listed)
    assert names(page)[:2] == ["lost.mp4", "added.mp4"]
    assert names(page)[2:] == ["1.mp4", "4.mp4", "3.mp4", "2.mp4", "0.mp4"]
    states = page.run(
        "[...document.querySelectorAll('td.gates .state')].map((state) => state.textContent)"
    )
    assert states == ["beyond", "beyond", "beyond", "within", "within"]
    assert page.run("document.querySelector('td.label').textContent").startswith(
        "windsurfing → sailing"
    )
    pictures = page.driver.find_elements("css selector", "td.picture canvas")
    assert len(pictures) == 10
    for picture, color in zip(pictures[:2], ((200, 40, 40), (40, 40, 200)), strict=True):
        middle = Image.open(io.BytesIO(picture.screenshot_as_png)).convert("RGB").getpixel((20, 20))
        assert np.abs(np.array(middle) - color).max() < 12
    page.check_quiet(listed)


@pytest.mark.parametrize(
    ("column", "falls"), [("video", False), ("shift", True), ("moved", True), ("rank", False)]
)
def test_a_click_sorts_and_another_reverses(
    column: str, falls: bool, shown: Show, listed: Path
) -> None:
    page = shown(listed)
    head = page.driver.find_element("css selector", f"th.{column}")
    for down in (falls, not falls):
        page.driver.find_element("css selector", f"[data-sort={column}]").click()
        texts = page.run(
            f"[...document.querySelectorAll('tr:not(.failed) td.{column}')]"
            ".map((cell) => cell.firstChild.textContent)"
        )
        values = [float(text.split()[0].removesuffix(".mp4")) for text in texts]
        assert values == sorted(values, reverse=down)
        assert len(set(values)) > 3
        assert head.get_attribute("aria-sort") == ("descending" if down else "ascending")


@pytest.mark.parametrize(("column", "order"), [("label", "1"), ("warned", "2"), ("gates", "143")])
def test_what_changed_comes_first(column: str, order: str, shown: Show, listed: Path) -> None:
    page = shown(listed)
    page.driver.find_element("css selector", f"[data-sort={column}]").click()
    assert [name[0] for name in names(page)[: len(order)]] == list(order)


def test_filters_by_change_measure_and_text(shown: Show, listed: Path) -> None:
    page = shown(listed)
    for value, expected in (
        ("beyond", "143"),
        ("gate:0", "43"),
        ("label", "1"),
        ("warned", "2"),
        ("added:0", "2"),
        ("lost", "l"),
        ("added", "a"),
    ):
        choose(page, ".show", value)
        assert [name[0] for name in names(page)] == list(expected), value
    choose(page, ".show", "")
    for measure, limit, expected in (
        ("shift", "0.3", "432"),
        ("rank", "-1.1", ""),
        ("rank", "1", "14320"),
        ("moved", "101", ""),
        ("moved", "0", "14320"),
    ):
        choose(page, ".measure", measure)
        assert page.driver.find_element("css selector", ".limit").is_displayed()
        choose(page, ".limit", limit)
        assert [name[0] for name in names(page)] == list(expected), (measure, limit)
    page.keys(ESCAPE)
    assert len(names(page)) == 7
    text = page.driver.find_element("css selector", ".tools .text")
    text.send_keys("sailing CLIPS")
    assert names(page) == ["1.mp4"]
    page.check_quiet(listed)


def test_a_row_opens_its_viewer_and_leads_back(shown: Show, listed: Path) -> None:
    page = shown(listed)
    detail = "document.querySelector('main.detail')"
    page.keys("/")
    page.keys("clips", DOWN, DOWN, ENTER)
    page.wait(f"{VIEWER.replace('.viewer', '?.viewer')}")
    assert page.run(f"{detail}.querySelector('h2').textContent").startswith("4.mp4")
    assert not page.driver.find_element("css selector", "main.overview").is_displayed()
    page.keys(HOME, RIGHT)  # of the viewer, not of the list
    assert page.viewer("player.shown") == 1
    page.keys("n")
    page.wait(f"{detail}.querySelector('h2').textContent.startsWith('3.mp4')")
    page.wait(f"{VIEWER.replace('.viewer', '?.viewer')}")
    page.keys("p", "p")
    page.wait(f"{detail}.querySelector('h2').textContent.startsWith('1.mp4')")
    page.keys("p")  # there is none before the first
    page.keys(ESCAPE)
    page.wait(f"{detail}.hidden")
    assert page.run("document.activeElement.textContent") == "1.mp4"
    assert len(names(page)) == 5  # the filter is still there
    page.driver.back()
    page.wait(f"!{detail}.hidden")
    page.check_quiet(listed)


def test_an_address_leads_to_a_pair(shown: Show, listed: Path) -> None:
    page = shown(listed, part="#pair=2")
    page.wait(f"{VIEWER.replace('.viewer', '?.viewer')}")
    assert page.run("document.querySelector('.detail h2').textContent").startswith("3.mp4")
    page = shown(listed, part="#pair=99")
    assert page.driver.find_element("css selector", "main.overview").is_displayed()


def test_runs_without_a_pair_are_listed(shown: Show, tmp_path: Path) -> None:
    result(tmp_path / "old", "lost.mp4")
    result(tmp_path / "new", "added.mp4")
    page = shown(write_diff(tmp_path), part="#pair=0")
    assert names(page) == ["lost.mp4", "added.mp4"]
    page.check_quiet(tmp_path / "diff.html")


def test_what_is_left_out_is_said_and_linked(
    shown: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        result(tmp_path / "old", f"{number}.mp4")
        result(tmp_path / "new", f"{number}.mp4", peak_s=0.5 + number / 5)
    monkeypatch.setattr(diff_pages, "EMBEDDED_BYTES", 1000)
    page = shown(write_diff(tmp_path), part="#pair=2")
    detail = page.run("document.querySelector('.detail').textContent")
    assert "0.mp4" in detail
    assert "cannot be played here" in detail
    links = page.run("[...document.querySelectorAll('.links a')].map((link) => link.href)")
    assert links == [(tmp_path / name / "0" / "report.json").as_uri() for name in ("old", "new")]
    page.check_quiet(tmp_path / "diff.html")


def test_what_users_name_stays_text(shown: Show, tmp_path: Path) -> None:
    for name in ("old", "new"):
        for video in ("a", "b"):
            result(tmp_path / name, f"{video}.mp4", codes=("low-confidence",))

    def rename(report: dict[str, Any]) -> None:
        report["video"]["path"] = report["model"]["name"] = report["method"]["name"] = HOSTILE
        report["prediction"]["target"]["label"] = HOSTILE
        report["prediction"]["top_k"][0]["label"] = HOSTILE

    result(tmp_path / "old", "lost.mp4")
    for path in tmp_path.glob("*/*/report.json"):
        edited(path, rename)
    page = shown(write_diff(tmp_path))
    assert page.run("document.querySelector('td.label').textContent").startswith(HOSTILE)
    assert page.run("document.querySelector('tbody').textContent").count("onerror") >= 5
    page.driver.find_element("css selector", ".tools .text").send_keys("<IMG SRC=X")
    assert len(names(page)) == 3
    page.run("location.hash = 'pair=0'")
    page.wait(f"{VIEWER.replace('.viewer', '?.viewer')}")
    assert HOSTILE.rpartition("/")[2] in page.run("document.querySelector('.detail').textContent")
    assert page.run("window.harm") is None
    page.check_quiet(tmp_path / "diff.html")


def test_ten_thousand_pairs_are_ready_in_two_seconds(
    shown: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result(tmp_path / "old", "0.mp4", npz=False)
    result(tmp_path / "new", "0.mp4", npz=False, peak_s=1.0)
    (tmp_path / "new" / "0").joinpath("report.html").write_text("")
    found = compared(tmp_path)
    pairs = [
        msgspec.structs.replace(found.pairs[0], video=Place(f"clips/{number}.mp4"))
        for number in range(10_000)
    ]
    monkeypatch.setattr(diff_pages, "EMBEDDED_BYTES", 2_000_000)
    path = tmp_path / "diff.html"
    path.write_text(diff_page(msgspec.structs.replace(found, pairs=pairs), tmp_path))
    page = shown(path)
    times = []
    for _ in range(3):
        page.driver.refresh()
        page.wait(READY)
        times.append(page.run("performance.getEntriesByName('ready')[0].startTime"))
    assert min(times) < 2000
    height = page.run("document.documentElement.scrollHeight")
    assert height > 10_000 * 60
    for share in (0.5, 0.999, 0.0001):
        page.run(f"scrollTo(0, {share * height})")
        page.wait(
            "Math.abs(document.querySelector('tbody tr:not(.space)').dataset.place"
            f" - {share * 10_000}) < 40"
        )
        assert page.run("document.querySelectorAll('tbody tr').length") < 60
    spent = page.run(
        "((start) => (document.querySelector('[data-sort=video]').click(), "
        "performance.now() - start))(performance.now())"
    )
    assert spent < 2000
    page.check_quiet(path)


@pytest.mark.parametrize("width", [400, 1000, 1600])
def test_the_list_fits_and_has_two_themes(width: int, shown: Show, listed: Path) -> None:
    colors = set()
    for theme in ("light", "dark"):
        page = shown(listed, width, theme)
        colors.add(page.run("getComputedStyle(document.body).backgroundColor"))
        assert page.run("document.documentElement.scrollWidth") <= width
        used = page.run("document.querySelector('.list').offsetWidth")
        assert used == page.run("document.querySelector('.overview').offsetWidth")
        rows = page.run(
            "[...document.querySelectorAll('tbody tr:not(.space)')]"
            ".map((row) => row.getBoundingClientRect().height)"
        )
        needed = float(page.run("getComputedStyle(document.body).getPropertyValue('--row')")[:-2])
        assert rows == pytest.approx([needed] * len(rows), abs=1)  # scrolling relies on it
        texts = page.run(
            "[...document.querySelectorAll('tbody .value')]"
            ".map((value) => value.scrollWidth - value.offsetWidth)"
        )
        assert max(texts) <= 0  # no value is cut
    assert len(colors) == 2


@pytest.fixture
def _no_scripts(page: Page) -> Iterator[None]:
    page.cdp("Emulation.setScriptExecutionDisabled", value=True)
    yield
    page.cdp("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.usefixtures("_no_scripts")
def test_without_scripts_it_can_be_read(page: Page, listed: Path, film: Film) -> None:
    page.set_up(1000)
    page.driver.get(listed.as_uri())
    links = page.driver.find_elements("css selector", "noscript a")
    assert len(links) == 10
    assert all(link.is_displayed() for link in links)
    assert not page.driver.find_element("css selector", ".tools").is_displayed()
    page.driver.get(film.page.as_uri())
    assert page.driver.find_element("css selector", "video").get_attribute("controls")
    assert page.driver.find_element("css selector", ".both .curve").is_displayed()
    assert "importance moved by" in page.driver.find_element("css selector", ".verdict").text
