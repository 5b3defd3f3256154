"""The live page in a browser: pictures without delay, the heat over them, and no other text."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from live_pages import serving
from live_streams import Collected
from open_pages import Page, alpha_of
from PIL import Image
from stamped import read, write_stamped

from staa_cli.config.settings import RenderSettings, Settings
from staa_cli.live.capture import Capture, Waits
from staa_cli.live.explainer import WindowExplainer
from staa_cli.live.run import Drawn, Live, Sink
from staa_cli.live.server.access import Access, Place
from staa_cli.live.server.sink import PageSink
from staa_cli.models.load import LoadedModel, load_model
from staa_cli.schema import UInt8
from staa_cli.video.stream_address import StreamAddress

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror='window.harm=1'></script><script>window.harm=1</script>"
STATE = "document.body.dataset.state"
WATCH_CLOCK = """
const canvas = document.querySelector(".screen"), context = canvas.getContext("2d");
window.numbers = [];
const look = () => {
  const { width, height } = canvas, box = Math.floor(width / 13);
  const row = context.getImageData(0, Math.floor(height * 3 / 8), width, 1).data;
  let number = 0;
  for (let bit = 0; bit < 12; bit++) {
    const x = Math.floor(box / 2) + bit * box + Math.floor(box / 2);
    if (row[4 * x] > 125) number |= 1 << bit;
  }
  if (number !== window.numbers.at(-1)?.[0]) {
    window.numbers.push([number, performance.timeOrigin + performance.now()]);
  }
  requestAnimationFrame(look);
};
look();
window.said = [];
const shown = live.shown.bind(live);
live.shown = (picture, time) => {
  window.said.push([picture.number, time + live.clock.ahead]);
  shown(picture, time);
};
"""


class Arrivals(Collected):
    """Remembers when each frame arrived, in milliseconds since 1970."""

    def __init__(self) -> None:
        super().__init__()
        self.ms: dict[int, float] = {}

    def show(self, drawn: Drawn, *, wait: bool) -> None:
        wall_s = time.time() - time.monotonic()
        self.ms[drawn.frame.number] = 1000 * (drawn.frame.arrived_s + wall_s)


@dataclass
class Streamed:
    """A stream that runs, and its page."""

    live: Live
    arrivals: Arrivals
    access: Access


@contextmanager
def streaming(
    source: Path, model: LoadedModel, *, token: str | None = None, keep: Any = None
) -> Iterator[Streamed]:
    """A real stream at its own rate while the block runs."""
    settings, access, arrivals = Settings(), Access(Place("127.0.0.1", 0), token), Arrivals()
    capture = Capture(StreamAddress.parse(str(source)), Waits(10, 0), {}, paced=True)
    sinks: list[Sink] = [arrivals, PageSink(access, settings.render, keep)]
    live = Live(capture, WindowExplainer(model, settings), settings, sinks, hop=None, waits=False)
    thread = Thread(target=live.run)
    thread.start()
    try:
        yield Streamed(live, arrivals, access)
    finally:
        capture.stopped.set()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes, each frame with its number."""
    return write_stamped(tmp_path_factory.mktemp("source") / "clock.mp4", 3600)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("tiny-events", device="cpu")


Open = Callable[..., Page]


@pytest.fixture
def opened(page: Page) -> Open:
    """Open a live page, and wait for its pictures."""

    def open_page(url: str, width: int = 1000, theme: str = "light", state: str = "live") -> Page:
        page.set_up(width, theme)
        for kind in ("browser", "performance"):
            page.driver.get_log(kind)
        page.driver.get(url)
        page.wait(f"{STATE} === '{state}'")
        return page

    return open_page


def text(page: Page, selector: str) -> str:
    return str(page.run("document.querySelector(arguments[0]).textContent", selector))


def check_quiet(page: Page, access: Access) -> None:
    """No message in the console, and nothing was asked of anybody else."""
    assert [row["message"] for row in page.driver.get_log("browser")] == []
    own = f"http://127.0.0.1:{access.port}/"
    assert {url.partition("#")[0] for url in page.requests()} <= {own, f"{own}keep"}


def number_shown(page: Page) -> int:
    """The number in the picture that is seen."""
    return read(np.asarray(Image.fromarray(page.picture()).resize((320, 240))))


def hide_heat(page: Page) -> None:
    page.keys("h")
    page.wait("document.querySelector('.crop').hidden")


def test_it_shows_the_stream_with_its_heat(opened: Open, source: Path, model: LoadedModel) -> None:
    with streaming(source, model) as streamed:
        page = opened(streamed.access.url)
        page.wait("live.window")
        check_heat(page)
        check_answer(page, streamed, model)
        hide_heat(page)
        first = number_shown(page)
        time.sleep(1)
        assert 10 < number_shown(page) - first < 120
        page.keys("h")
        page.wait("!document.querySelector('.crop').hidden")
        page.keys("[", "[")
        assert page.run("live.opacity.value") == f"{RenderSettings().opacity - 0.1:g}"
        page.keys("?")
        page.wait("document.querySelector('dialog.keys').open")
        page.keys("\ue00c")
        page.wait("document.querySelector('.shown50').textContent.endsWith('ms')")
        page.wait("document.querySelectorAll('.delays tbody tr').length >= 8")
        check_quiet(page, streamed.access)
    page.wait(f"{STATE} === 'ended'")
    assert text(page, ".connection") == "the stream ended"
    assert text(page, ".axis .now") == "end"
    assert "frames on this page" in text(page, ".facts")


def check_heat(page: Page) -> None:
    """The canvas has the opacity that the formulas of the annotated video give for the levels."""
    window, address = page.run(
        "[live.window, document.querySelector('.glow').toDataURL('image/png')]"
    )
    levels = np.frombuffer(base64.b64decode(window["levels"]), np.uint8).reshape(window["grid"])
    shown = picture_of(address)[..., 3].astype(int)
    share = (levels / 255).astype(np.float32)
    size = shown.shape[0], shown.shape[1]
    expected = alpha_of(share, RenderSettings().opacity, size)
    assert np.abs(shown - expected).max() <= 6
    assert expected.max() > 100  # there is heat
    left, top, right, bottom = window["box"]
    box, frame = page.run(
        "['.crop', '.screen'].map((name) => {"
        "const { x, y, width, height } = document.querySelector(name).getBoundingClientRect();"
        "return [x, y, width, height]; })"
    )
    x, y, width, height = frame
    expected_box = [x + left * width, y + top * height, (right - left) * width]
    assert box == pytest.approx([*expected_box, (bottom - top) * height], abs=1)


def picture_of(address: str) -> UInt8:
    from io import BytesIO

    content = base64.b64decode(address.partition(",")[2])
    return np.asarray(Image.open(BytesIO(content)).convert("RGBA"))


def check_answer(page: Page, streamed: Streamed, model: LoadedModel) -> None:
    """Label, classes, and curve are those of a window of the stream."""
    window = page.run("live.window")
    label, shown = page.run("[document.querySelector('.label').textContent, live.window.label]")
    assert label == shown
    latest = next(
        one for one in streamed.arrivals.latest
        if one.explained.window.number == window["number"]
    )  # fmt: skip
    assert window["label"] == latest.explained.prediction.label
    classes = page.run("[...document.querySelectorAll('.top bdi')].map((e) => e.textContent)")
    assert len(classes) == 5
    assert {*classes} <= {*model.labels}
    assert page.run("document.querySelector('.curve .line').getAttribute('d')").startswith("M")


def test_the_delay_that_it_reports_is_that_of_a_clock_in_the_picture(
    opened: Open, source: Path, model: LoadedModel
) -> None:
    with streaming(source, model) as streamed:
        page = opened(streamed.access.url)
        page.wait("live.window")
        hide_heat(page)
        page.driver.execute_script(WATCH_CLOCK)
        time.sleep(6)
        numbers = page.run("window.numbers")
        delays = streamed.live.delays
        reported = 1000 * delays.quantile("capture to shown", 0.5)
        screens = [screen_of(page) for _ in range(12)]
        time.sleep(0.5)
        said = page.run("window.said")
    seen = [at - streamed.arrivals.ms[number] for number, at in numbers[1:]]
    assert len(seen) > 60
    assert reported == pytest.approx(np.median(seen), abs=40)
    assert np.median(seen) < 500
    # What is on the screen itself is the frame that was the last one to be reported by then.
    assert np.median([contradiction(said, *screen) for screen in screens]) < 60


def screen_of(page: Page) -> tuple[int, float, float]:
    """The number on the screen, and when a picture of it was taken: not before, not after."""
    element = page.driver.find_element("css selector", ".screen")
    before = 1000 * time.time()
    content = element.screenshot_as_base64
    after = 1000 * time.time()
    shown = picture_of(f",{content}")[..., :3]
    return read(np.asarray(Image.fromarray(shown).resize((320, 240)))), before, after


def contradiction(said: list[list[float]], number: int, before: float, after: float) -> float:
    """By how many milliseconds a frame was reported too early, or too late, to be seen then."""
    place = next(place for place, (reported, _) in enumerate(said) if reported == number)
    return max(0.0, before - said[place + 1][1], said[place][1] - after)


def test_a_hostile_label_stays_text(opened: Open, source: Path, model: LoadedModel) -> None:
    labels = tuple(f"{HOSTILE} {number}" for number in range(len(model.labels)))
    hostile = replace(model, info=replace(model.info, labels=labels))
    link = source.with_name("<img src=x onerror='window.harm=1'>.mp4")
    if not link.exists():
        link.symlink_to(source)
    with streaming(link, hostile, keep=lambda moments: Path(HOSTILE)) as streamed:
        page = opened(streamed.access.url)
        page.wait("live.window")
        assert text(page, ".label").startswith("<img src=x onerror=")
        assert "<img" in text(page, ".source")
        page.keys("k")
        page.wait("document.querySelector('.kept').textContent.startsWith('kept in')")
        assert "<script>" in text(page, ".kept")
        page.keys("k")
        page.wait("document.querySelector('.kept').textContent.startsWith('too often')")
        assert page.run("document.querySelectorAll('main img, header img').length") == 0
        assert page.run("window.harm === undefined")
        # The answer to the second request is an error on purpose; the browser says so.
        said = [row["message"] for row in page.driver.get_log("browser")]
        assert all("429" in line for line in said)


def test_it_comes_back_when_the_connection_is_lost(opened: Open) -> None:
    with serving() as served, served.shown(rate=30):
        page = opened(served.access.url)
        server, loop = served.sink._server, served.sink._loop

        def cut() -> None:
            for connection in list(server.server_state.connections):
                connection.transport.abort()

        page.driver.execute_script(
            "window.states = [];"
            "new MutationObserver(() => states.push(document.body.dataset.state))"
            ".observe(document.body, { attributes: true })"
        )
        loop.call_soon_threadsafe(cut)
        page.wait("states.includes('lost') && states.at(-1) === 'live'")
        frames = page.run("live.frames")
        page.wait(f"live.frames > {frames + 5}")
        assert page.run("live.h264 && Boolean(live.screen.codec)")
        page.driver.execute_script("live.screen.reset(); live.failDecoder()")
        page.wait(f"live.frames > {frames + 20} && {STATE} === 'live' && !live.screen.codec")


def test_a_page_that_hears_nothing_says_so_and_one_without_pictures_too(opened: Open) -> None:
    with serving() as served:
        with served.shown(rate=30):
            page = opened(served.access.url)
        page.wait(f"{STATE} === 'waiting'")  # the source has stopped, the server has not
        with served.shown(rate=30):
            page.wait(f"{STATE} === 'live'")
            page.driver.execute_script("live.socket.onmessage = null")
            page.wait(f"{STATE} === 'lost'")
            page.wait(f"{STATE} === 'live'")


def test_the_token_is_in_the_fragment_only(opened: Open) -> None:
    token = "a-token+with/signs=that&matter"
    with serving(token=token) as served, served.shown(rate=30):
        page = opened(served.access.url.partition("#")[0], state="refused")
        assert "token needed" in text(page, ".connection")
        page.driver.get("about:blank")
        page = opened(served.access.url)
        assert page.run("live.frames") >= 0
        assert all(token not in url for url in page.requests())
        check_quiet(page, served.access)


def test_without_a_decoder_it_shows_single_pictures(page: Page, opened: Open) -> None:
    script = page.cdp(
        "Page.addScriptToEvaluateOnNewDocument", source="delete globalThis.VideoDecoder"
    )
    try:
        with serving() as served, served.shown(rate=30):
            opened(served.access.url)
            page.wait("live.frames > 5 && !live.screen.codec")
            first = number_shown(page)
            page.wait("live.frames > 20")
            assert 0 < number_shown(page) - first < 300
            check_quiet(page, served.access)
    finally:
        page.cdp("Page.removeScriptToEvaluateOnNewDocument", **script)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 700, 1600])
def test_it_fits_any_window(
    opened: Open, source: Path, model: LoadedModel, width: int, theme: str
) -> None:
    with streaming(source, model, keep=lambda moments: Path("out")) as streamed:
        page = opened(streamed.access.url, width, theme)
        page.wait("live.window")
        assert page.run("document.documentElement.scrollWidth") <= width
        canvas = "document.querySelector('.screen')"
        across, down = page.run(f"[{canvas}.offsetWidth, {canvas}.offsetHeight]")
        assert across / down == pytest.approx(320 / 240, rel=0.02)
        assert down <= 0.65 * 900
        paper = page.run("getComputedStyle(document.body).backgroundColor")
        brightness = sum(map(int, paper[4:-1].split(","))) / 3
        assert (brightness > 128) == (theme == "light")
