"""A browser for pages: Chromium without a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from shutil import which
from typing import Any

import pytest
from open_pages import Page


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    chromium = which("chromium") or which("google-chrome")
    chromedriver = which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no chromium with its driver is installed")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars", "mute-audio"):
        options.add_argument(f"--{argument}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.chrome.service.Service(chromedriver)
    with webdriver.Chrome(options=options, service=service) as chrome:
        yield chrome


@pytest.fixture
def page(driver: Any) -> Page:
    return Page(driver)


@pytest.fixture
def opened(page: Page) -> Callable[..., Page]:
    """Open a page, by the arguments of `Page.open`."""

    def open_page(*arguments: Any, **options: Any) -> Page:
        page.open(*arguments, **options)
        return page

    return open_page
