"""An open page in a browser that is driven through its WebDriver."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from staa_cli.render.heat import cubic_weights
from staa_cli.schema import Float32, UInt8

VIEWER = "document.querySelector('[data-viewer]').viewer"


def alpha_of(
    levels: Float32, opacity: float, size: tuple[int, int], *, signed: bool = False
) -> UInt8:
    """Opacity [H, W] of the heat by the formulas of the annotated video.

    Levels [h, w] are 0 to 1; if `signed`, -1 to 1.
    """
    height, width = size
    smooth = cubic_weights(height, levels.shape[0]) @ levels
    smooth = smooth @ cubic_weights(width, levels.shape[1]).T
    if signed:
        smooth = np.abs(smooth)
    ramp = np.clip(smooth / 0.45, 0, 1)
    return np.round(255 * opacity * ramp * ramp * (3 - 2 * ramp)).astype(np.uint8)


class Page:
    """An open page, as somebody in front of it sees it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, width: int = 1000, theme: str = "light") -> None:
        """Open a file, and wait for its viewer."""
        self.set_up(width, theme)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(path.as_uri())
        self.wait(f"{VIEWER}")
        self.wait_to_settle()

    def set_up(self, width: int, theme: str = "light", height: int = 900) -> None:
        scheme = {"name": "prefers-color-scheme", "value": theme}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.cdp("Emulation.setDeviceMetricsOverride", **size)

    def cdp(self, command: str, **values: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, values)

    def run(self, expression: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {expression}", *arguments)

    def viewer(self, expression: str) -> Any:
        return self.run(f"{VIEWER}.{expression}")

    def wait(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({expression})"):
            assert time.monotonic() < end, f"still not: {expression}; {self.state()}"
            time.sleep(0.05)

    def state(self) -> Any:
        """Where the player is, for messages."""
        parts = ("shown", "target", "sought", "video.currentTime", "video.readyState")
        player = f"{VIEWER.replace('.viewer', '?.viewer')}?.player"
        return self.run(f"{player} && [{', '.join(f'{VIEWER}.player.{part}' for part in parts)}]")

    def wait_for_frame(self, frame: int) -> None:
        """Wait until a frame is on the screen."""
        self.wait(f"{VIEWER}.player.shown === {frame} && !{VIEWER}.video.seeking")

    def wait_to_settle(self) -> None:
        """Wait until the frame that was asked for is on the screen."""
        player = f"{VIEWER}.player"
        self.wait(f"!{player}.video.seeking && {player}.shown === {player}.target")

    def keys(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def point(self, selector: str, *shares: float) -> None:
        """Press the mouse at the first place across an element, drag it over the others."""
        from selenium.webdriver import ActionChains

        element = self.driver.find_element("css selector", selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        width = element.rect["width"]
        actions = ActionChains(self.driver, duration=50)
        for place, share in enumerate(shares):
            actions.move_to_element_with_offset(element, round((share - 0.5) * width), 0)
            if place == 0:
                actions.click_and_hold()
        actions.release().perform()

    def picture(self, number: int = 0) -> UInt8:
        """What is seen of the video, RGB [H, W, 3], in one of the pictures."""
        element = self.driver.find_elements("css selector", ".viewer .picture")[number]
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        self.driver.execute_async_script(  # until what was drawn is on the screen
            "const done = arguments[0], next = requestAnimationFrame;"
            "next(() => next(() => next(() => done())))"
        )
        return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"))

    def heat(self, number: int = 0) -> UInt8:
        """The canvas with the heat of one of the pictures, RGBA [H, W, 4]."""
        address = self.run(
            "document.querySelectorAll('.glow')[arguments[0]].toDataURL('image/png')", number
        )
        content = base64.b64decode(address.partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))

    def requests(self) -> list[str]:
        """Addresses that were asked for since the page was opened."""
        events = (
            json.loads(row["message"])["message"] for row in self.driver.get_log("performance")
        )
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def check_quiet(self, *files: Path) -> None:
        """No message in the console, and no request but for these files."""
        assert [row["message"] for row in self.driver.get_log("browser")] == []
        allowed = {path.as_uri() for path in files}
        assert [
            url for url in self.requests() if not url.startswith(("data:", "blob:", *allowed))
        ] == []
