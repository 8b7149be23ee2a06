"""Pages in a real browser: Debian's chromium, driven by selenium, without a network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--disable-default-apps", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)  # fmt: skip
HERE = ("file:", "data:", "blob:", "about:", "chrome:", "http://127.0.0.1:", "http://localhost:")
"""How addresses start that are on this machine."""


@dataclass
class Browser:
    """A tab, and what it met since its page was opened."""

    driver: Any

    def open(self, page: Path | str, *, width: int = 1000, height: int = 900, dark: bool = False) -> None:
        """Shows a file, or an address of this machine; ``width`` and ``height`` in CSS pixels."""
        self.resize(width, height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(page.resolve().as_uri() if isinstance(page, Path) else page)

    def resize(self, width: int, height: int = 900) -> None:
        """Also below the 500 pixels at which a window ends."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def run(self, script: str, *arguments: Any) -> Any:
        """What ``script`` returns."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def press(self, element: Any, *keys: str) -> None:
        """Keys by selenium's names, such as ``ARROW_RIGHT``, or letters."""
        from selenium.webdriver.common.keys import Keys

        element.send_keys(*(getattr(Keys, key, key) for key in keys))

    def click_at(self, element: Any, share: float = 0.5) -> None:
        """With the pointer, at a share of the element's width."""
        from selenium.webdriver.common.action_chains import ActionChains

        aside = round((share - 0.5) * element.size["width"])
        ActionChains(self.driver).move_to_element_with_offset(element, aside, 0).click().perform()

    def wait(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """The first true answer of ``condition``."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(lambda _: condition())

    def errors(self) -> list[str]:
        """What the console said since it was last asked, warnings included."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] in ("SEVERE", "WARNING")]

    def fetched(self) -> list[str]:
        """Addresses that are not on this machine and were asked for since it was last asked."""
        messages = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(HERE)]

    def overflow(self) -> int:
        """CSS pixels by which the page is wider than its window."""
        return int(self.run("return document.scrollingElement.scrollWidth - window.innerWidth;"))

    def picture(self, path: Path) -> None:
        """The whole page as a PNG file, for people to look at."""
        high = int(self.run("return document.scrollingElement.scrollHeight;"))
        wide = int(self.run("return window.innerWidth;"))
        self.resize(wide, min(high, 8000))
        self.driver.save_screenshot(str(path))


@pytest.fixture(scope="session")
def _driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not (chromium and chromedriver):
        pytest.skip("needs a chromium and its driver (Debian: apt-get install chromium chromium-driver)")
    pytest.importorskip("selenium", reason="needs selenium (pip install selenium)")
    from selenium import webdriver

    os.environ.setdefault("NO_PROXY", "localhost,127.0.0.1")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=chromedriver))
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture
def browser(_driver: Any) -> Iterator[Browser]:
    """A tab of its own settings; what it met is forgotten before each test."""
    tab = Browser(_driver)
    tab.open("about:blank")
    yield tab
    tab.driver.get("about:blank")  # lets a video that plays go
