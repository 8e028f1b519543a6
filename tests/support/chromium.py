"""Debian's Chromium, without a screen, which reaches this machine only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from libraries import library

if TYPE_CHECKING:
    from selenium import webdriver
    from selenium.webdriver.remote.webelement import WebElement

_driver = library("selenium.webdriver")
_service = library("selenium.webdriver.chrome.service")
_waiting = library("selenium.webdriver.support.ui")
_exceptions = library("selenium.common.exceptions")
locators = library("selenium.webdriver.common.by")
keyboard = library("selenium.webdriver.common.keys")

_SECONDS = 90.0
"""Longest wait for what a page shows; where the machine has much to do it takes that long."""


class Browser:
    """A browser window.

    Attributes:
        driver: Selenium's object for it.
    """

    def __init__(self, driver: webdriver.Chrome, folder: Path) -> None:
        self.driver = driver
        self._folder = folder

    def find(self, path: str, inside: WebElement | None = None) -> WebElement:
        """Return the first visible element of an XPath, as soon as there is one."""
        place = self.driver if inside is None else inside

        def visible(_: object) -> WebElement | None:
            found = place.find_elements(locators.By.XPATH, path)
            return next((each for each in found if each.is_displayed()), None)

        # A page that is drawn again replaces its elements.
        redrawn = (_exceptions.StaleElementReferenceException,)
        wait = _waiting.WebDriverWait(self.driver, _SECONDS, 0.1, ignored_exceptions=redrawn)
        return wait.until(visible, f"nothing is shown at {path}")

    def fill(self, field: WebElement, text: str) -> None:
        """Put a text into a field at once, as pasting does, in the place of its content."""
        field.send_keys(keyboard.Keys.CONTROL, "a")
        self.driver.execute_cdp_cmd("Input.insertText", {"text": text})

    def click(self, path: str, inside: WebElement | None = None) -> None:
        """Click an element; it is moved into view first."""
        element = self.find(path, inside)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def screenshot(self, name: str) -> Path:
        """Write a picture of the window to the folder of the test."""
        target = self._folder / f"{name}.png"
        assert self.driver.save_screenshot(str(target))
        return target

    def complaints(self) -> list[str]:
        """Return what the browser complained of since the last call, such as a blocked script."""
        # "DEBUG" are hints for those who write pages.
        entries = self.driver.get_log("browser")
        return [each["message"] for each in entries if each["level"] != "DEBUG"]

    def hosts(self) -> set[str]:
        """Return the hosts that were asked for anything since the last call."""
        sent = [json.loads(each["message"]) for each in self.driver.get_log("performance")]
        found = [
            each["message"]["params"]["request"]["url"]
            for each in sent
            if each["message"]["method"] == "Network.requestWillBeSent"
        ]
        return {urlsplit(url).netloc for url in found if url.startswith(("http", "ws"))}


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start a browser, with its profile and screenshots in a folder; skip where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed")
    options = _driver.ChromeOptions()
    options.binary_location = program
    for option in (
        "headless=new",
        "no-sandbox",  # which root cannot use
        "disable-dev-shm-usage",
        "disable-gpu",
        "disable-background-networking",
        "disable-component-update",
        "disable-extensions",
        "force-prefers-reduced-motion",
        "window-size=1200,1400",
        f"user-data-dir={folder / 'profile'}",
        "accept-lang=en-US",
        "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = _driver.Chrome(options=options, service=_service.Service(driver))
    try:
        yield Browser(running, folder)
    finally:
        running.quit()
