"""report.html in a browser: it plays, seeks, and shows the heat of the very frame that is shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explanations import blobs
from open_pages import VIEWER, Page, alpha_of
from PIL import Image
from small_videos import asked
from stamped import read, with_silence, write_stamped

from staa_cli.api import Explanation, explain_video
from staa_cli.config.settings import RenderSettings
from staa_cli.models.load import load_model
from staa_cli.render.heat import HeatField
from staa_cli.render.painter import Painter
from staa_cli.render.storyboard import painted
from staa_cli.results.pages import media
from staa_cli.results.pages.explanation import explanation_page
from staa_cli.results.pages.media import media_of
from staa_cli.results.pages.stills import Still
from staa_cli.results.save import save
from staa_cli.schema import SpatialStats

pytestmark = pytest.mark.slow
Open = Callable[..., Page]
LEFT, RIGHT, HOME, END, TAB, ESCAPE = "\ue012", "\ue014", "\ue011", "\ue010", "\ue004", "\ue00c"
HOSTILE = "<img src=x onerror='window.harm=1'></script><script>window.harm=1</script>"
VFR: dict[str, Any] = {
    "ticks": np.cumsum([0, *([20, 20, 100, 40, 35, 250] * 10)]).tolist()[:60],
    "time_base": Fraction(1, 1000),
    "b_frames": 0,
}
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "b-frames": ("a.mp4", {}),
    "variable": ("a.mp4", VFR),
    "rotated": ("a.mp4", {"turn": 90}),
    "webm": ("a.webm", {"codec": "libvpx-vp9"}),
    "copied": ("a.mkv", {}),
    "late": ("a.mp4", {"start": 45}),
    "encoded": ("a.mp4", {"codec": "mpeg4"}),
}


def explained(path: Path, method: str = "staa", **options: Any) -> Explanation:
    """An explanation of the video; its maps are a spot that moves all the time."""
    model = load_model("test_timesformer", device="cpu")
    found = explain_video(path, model, method=method, settings=asked({"html": True}, **options))
    values = blobs(found.maps.times_s, found.end_s, (14, 14), lambda time_s: 0.5 + time_s)
    if method != "staa":
        values = values[:, ::-1]
    maps = replace(found.maps, values=np.ascontiguousarray(values, np.float32))
    return replace(found, maps=maps, spatial=SpatialStats(1.5, False))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    folder = tmp_path_factory.mktemp("source")
    return explained(write_stamped(folder / "a.mp4", 60))


@pytest.fixture(scope="module")
def written(source: Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    source.save(folder)
    return folder / "report.html"


def stamp_of(page: Page, explanation: Explanation) -> int:
    """The number in the picture that is seen, without heat."""
    info = explanation.video
    picture = Image.fromarray(page.picture()).resize((info.width, info.height))
    upright = np.asarray(picture)
    return read(np.rot90(upright, -1) if info.rotation == 90 else upright)


def check_heat(page: Page, explanation: Explanation, frame: int, scale: str = "video") -> None:
    levels = HeatField(explanation, scale).at(float(explanation.video.times_s[frame]))
    if levels is None:
        assert page.run("document.querySelector('.crop').hidden")
        return
    shown = page.heat()[..., 3].astype(int)
    expected = alpha_of(levels, RenderSettings().opacity, (shown.shape[0], shown.shape[1]))
    assert np.abs(shown - expected).max() <= 6
    assert expected.max() > 100  # there is heat


@pytest.mark.parametrize("name", SOURCES)
def test_the_frame_under_the_heat_is_the_right_one(name: str, opened: Open, tmp_path: Path) -> None:
    file, options = SOURCES[name]
    check_frames(explained(write_stamped(tmp_path / file, 60, **options)), opened, tmp_path / "out")


def test_sound_before_the_first_frame(opened: Open, tmp_path: Path) -> None:
    late = write_stamped(tmp_path / "a.mp4", 60, start=20)
    explanation = explained(with_silence(tmp_path / "b.mp4", late))
    assert explanation.video.start_s == pytest.approx(20 / 30, abs=0.01)
    check_frames(explanation, opened, tmp_path / "out")
    assert "own bytes" in (tmp_path / "out" / "report.html").read_text()


def check_frames(explanation: Explanation, opened: Open, folder: Path) -> None:
    """At three times, the frame of that time is shown, and its heat."""
    explanation.save(folder)
    page = opened(folder / "report.html")
    times = explanation.video.times_s
    for time_s in (times[7] + 0.001, times[31] + 0.011, times[52] + 0.001):
        frame = int(np.searchsorted(times, time_s, side="right")) - 1
        page.viewer(f"seekTime({time_s * 1e6})")
        page.wait_for_frame(frame)
        check_heat(page, explanation, frame)
        page.keys("h")
        assert stamp_of(page, explanation) == frame
        page.keys("h")
    page.check_quiet(folder / "report.html")


def test_the_heat_has_the_colors_of_the_annotated_video(opened: Open, tmp_path: Path) -> None:
    green = np.full((240, 320, 3), (30, 200, 60), np.uint8)
    green[120:] = (10, 40, 120)
    explanation = explained(write_stamped(tmp_path / "a.mp4", [green] * 60))
    explanation.save(tmp_path / "out")
    page = opened(tmp_path / "out" / "report.html")
    page.viewer("player.seek(40)")
    page.wait_for_frame(40)
    shown = page.picture()
    size = shown.shape[1] // 2 * 2, shown.shape[0] // 2 * 2
    got = np.asarray(Image.fromarray(shown).resize(size), np.float32)
    plain = Image.fromarray(green).resize(size)
    painter = Painter(explanation, replace(RenderSettings(), strip="none"), size)
    time_s = float(explanation.video.times_s[40])
    expected = np.asarray(painted(painter, plain, time_s), np.float32)
    hot = np.abs(expected - np.asarray(plain)).max(axis=2) > 60
    assert hot.mean() > 0.02
    assert np.abs(got - expected)[hot].mean() < 12
    assert np.abs(np.asarray(plain) - expected)[hot].mean() > 60


def test_it_opens_at_the_highest_moment(opened: Open, written: Path, source: Explanation) -> None:
    page = opened(written)
    assert source.temporal.peak_s is not None
    peak = int(np.abs(source.video.times_s - source.temporal.peak_s).argmin())
    page.wait_for_frame(peak)
    check_heat(page, source, peak)


def test_it_plays_from_the_beginning_to_the_end(
    opened: Open, written: Path, source: Explanation
) -> None:
    page = opened(written)
    page.viewer(
        "player.onframe = function () {"
        "  const { viewer } = document.querySelector('[data-viewer]'), { shown } = viewer.player;"
        "  viewer.draw();"
        "  if (viewer.player.playing) (viewer.played ??= []).push(shown);"
        "  if (shown >= 15 && !viewer.goesOn) viewer.video.pause();"
        "}"
    )
    page.point(".play", 0.5)
    page.wait(f"{VIEWER}.played && {VIEWER}.video.paused")
    page.wait_to_settle()
    shown = page.viewer("player.shown")
    check_heat(page, source, shown)
    page.keys("h")
    assert stamp_of(page, source) == shown
    page.viewer("goesOn = true")
    page.keys("h", " ")
    page.wait_for_frame(59)
    page.wait("document.querySelector('video').paused")
    played = page.viewer("played")
    assert played[0] < 15
    assert (np.diff(played) >= 0).all()
    page.check_quiet(written)


def test_click_and_drag_seek(opened: Open, written: Path, source: Explanation) -> None:
    page, times = opened(written), source.video.times_s
    for shares in ((0.1,), (0.9,), (0.2, 0.4, 0.6, 0.75)):
        page.point(".lanes", *shares)
        page.wait("!document.querySelector('video').seeking")
        wanted_s = shares[-1] * source.end_s
        frame = int(np.searchsorted(times, wanted_s, side="right")) - 1
        page.wait(
            f"Math.abs(document.querySelector('[data-viewer]').viewer.player.shown - {frame}) < 2"
        )
        check_heat(page, source, page.viewer("player.shown"))
    page.run("document.querySelector('.card').click()")
    first = min(moment.peak_s for moment in source.moments) if source.moments else None
    if first is not None:
        page.wait_for_frame(int(np.abs(times - first).argmin()))


def test_how_the_heat_looks_is_chosen(opened: Open, written: Path, source: Explanation) -> None:
    page = opened(written)
    frame = page.viewer("player.shown")
    full = page.heat()[..., 3].max()
    page.keys("[", "[")
    assert page.heat()[..., 3].max() == pytest.approx(full * 0.65 / 0.75, abs=3)
    page.keys("]", "]")
    page.run(
        "(s => (s.selectedIndex = 2, s.dispatchEvent(new Event('change'))))"
        "(document.querySelector('select.scale'))"
    )
    check_heat(page, source, frame, "frame")
    page.run(
        "(s => (s.value = 0.4, s.dispatchEvent(new Event('input'))))"
        "(document.querySelector('.threshold'))"
    )
    alpha = page.heat()[..., 3]
    assert 0 < (alpha > 0).mean() < 0.5
    page.keys("h")
    assert page.run("document.querySelector('.crop').hidden")
    page.check_quiet(written)


def test_what_was_not_seen_has_no_heat(opened: Open, source: Explanation, tmp_path: Path) -> None:
    frames = source.frames
    covered = frames.covered.copy()
    covered[20:40] = False
    scores = np.where(covered, frames.weighted_score, np.float32(np.nan))
    sparse = replace(
        source,
        frames=replace(frames, covered=covered, weighted_score=scores, seen=frames.seen & covered),
    )
    sparse.save(tmp_path)
    page = opened(tmp_path / "report.html")
    badge = "document.querySelector('.badge')"
    for frame in (40, 19, 20, 39):
        page.viewer(f"player.seek({frame})")
        page.wait_for_frame(frame)
        check_heat(page, sparse, frame)
        assert page.run(f"{badge}.hidden") == bool(covered[frame])
    assert page.run(f"{badge}.textContent") == "not seen by the model"
    page.check_quiet(tmp_path / "report.html")


def test_methods_switch(opened: Open, source: Explanation, tmp_path: Path) -> None:
    other = explained(Path(source.video.path), "frame-difference")
    poster = Still.of(Image.new("RGB", (32, 24)))
    html = explanation_page(
        [source, other], media_of(source, tmp_path), poster, {}, RenderSettings()
    )
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page = opened(tmp_path / "page.html")
    page.viewer(f"seekTime({source.video.times_s[20] * 1e6 + 100})")
    page.wait_for_frame(20)
    check_heat(page, source, 20)
    page.keys("m")
    check_heat(page, other, 20)
    assert page.run("document.querySelector('select.method').selectedIndex") == 1
    assert page.run("document.querySelector('.chosen .name').textContent").startswith("frame-diff")
    page.keys("m")
    check_heat(page, source, 20)
    page.check_quiet(tmp_path / "page.html")


def test_by_keyboard_alone(opened: Open, written: Path) -> None:
    page = opened(written)
    page.keys(HOME)
    page.wait_for_frame(0)
    page.keys(RIGHT, RIGHT, RIGHT, LEFT)
    page.wait_for_frame(2)
    page.keys(END)
    page.wait_for_frame(59)
    assert page.run("document.querySelector('.lanes').ariaValueText").startswith("1.97 s")
    for _ in range(30):
        page.keys(TAB)
        if page.run("document.activeElement.getAttribute('role')") == "slider":
            break
    page.keys(LEFT)
    page.wait_for_frame(58)
    page.keys("?")
    assert page.run("document.querySelector('dialog').open")
    page.keys(ESCAPE)
    assert not page.run("document.querySelector('dialog').open")
    page.run("document.querySelector('.opacity').focus()")
    page.keys(LEFT)  # belongs to the slider
    assert page.viewer("player.shown") == 58
    page.run("document.querySelector('.card').focus()")
    page.keys(" ")  # presses it
    assert page.run("document.querySelector('video').paused")
    page.check_quiet(written)


def test_what_users_name_stays_text(opened: Open, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "")
    explanation = explained(write_stamped(tmp_path / f"{name}.mp4", 24))
    labels = (HOSTILE,) * len(explanation.prediction.labels)
    prediction = replace(explanation.prediction, labels=labels)
    clip_predictions = tuple(replace(p, labels=labels) for p in explanation.clip_predictions)
    hostile = replace(explanation, prediction=prediction, clip_predictions=clip_predictions)
    save(hostile, tmp_path / "out", asked({"html": True}))
    page = opened(tmp_path / "out" / "report.html")
    assert page.run("window.harm") is None
    assert HOSTILE in page.run("document.querySelector('h1').textContent")
    assert f"{name}.mp4" in page.run("document.querySelector('header p').textContent")
    page.check_quiet(tmp_path / "out" / "report.html")


def test_a_large_video_is_linked(
    opened: Open, source: Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "EMBEDDED_BYTES", 1000)
    film = tmp_path / "100% #1?.mp4"
    film.write_bytes(Path(source.video.path).read_bytes())
    linked = replace(source, video=replace(source.video, path=str(film)))
    save(linked, tmp_path / "out" / "a", asked({"html": True}))
    report = tmp_path / "out" / "a" / "report.html"
    page = opened(report)
    page.viewer("seekTime(1e6 + 100)")
    page.wait_for_frame(30)
    check_heat(page, source, 30)
    page.check_quiet(report, film)
    film.unlink()
    page.driver.get(report.as_uri())
    page.wait("!document.querySelector('.problem').hidden")
    assert "100% #1?.mp4" in page.run("document.querySelector('.problem').textContent")


def test_a_part_of_a_video(opened: Open, tmp_path: Path) -> None:
    from staa_cli.config.settings import SamplingSettings

    path = write_stamped(tmp_path / "a.mkv", 90, codec="mpeg4")
    part = explained(path, sampling=SamplingSettings(start=1.0, end=2.0))
    part.save(tmp_path / "out")
    page = opened(tmp_path / "out" / "report.html")
    page.keys(HOME)
    page.wait_for_frame(0)
    page.keys("h")
    assert stamp_of(page, part) == 30
    page.keys(END)
    page.wait_for_frame(29)
    assert stamp_of(page, part) == 59


@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_and_has_two_themes(width: int, opened: Open, written: Path) -> None:
    page = opened(written, width=width)
    colors = set()
    for theme in ("light", "dark"):
        page.set_up(width, theme)
        colors.add(page.run("getComputedStyle(document.body).backgroundColor"))
        assert page.run("document.documentElement.scrollWidth") <= width
    assert len(colors) == 2


def test_without_scripts_it_can_be_read(page: Page, written: Path) -> None:
    page.set_up(1000)
    page.cdp("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.driver.get(written.as_uri())
        video = page.driver.find_element("css selector", "video")
        assert video.get_attribute("controls")
        assert video.size["height"] > 100
        picture = np.asarray(
            page.driver.find_element("css selector", "svg.curve").screenshot_as_png
        )
        assert picture is not None
        assert page.driver.find_element("css selector", ".card img").is_displayed()
        assert not page.driver.find_element("css selector", ".controls").is_displayed()
    finally:
        page.cdp("Emulation.setScriptExecutionDisabled", value=False)


def test_ten_minutes_are_ready_to_seek_in_two_seconds(opened: Open, tmp_path: Path) -> None:
    explanation = explained(write_stamped(tmp_path / "a.mp4", 18_000))
    assert explanation.video.duration_s == pytest.approx(600)
    explanation.save(tmp_path / "out")
    report = tmp_path / "out" / "report.html"
    page, spent = opened(report), []
    for frame in (9_000, 17_000, 3_000):
        began = time.monotonic()
        page.driver.get(report.as_uri())
        page.wait(VIEWER)
        page.wait_to_settle()
        page.viewer(f"player.seek({frame})")
        page.wait_for_frame(frame)
        spent.append(time.monotonic() - began)
        assert stamp_of(page, explanation) == frame % 4096
    assert min(spent) < 2
    page.check_quiet(report)
