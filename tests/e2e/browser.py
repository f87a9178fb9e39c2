"""Debian's Chromium, driven by its own driver: nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.waiting import wait_until

PROGRAMS = {"chromium": shutil.which("chromium"), "chromedriver": shutil.which("chromedriver")}
SCREENSHOTS = os.environ.get("HYBRID_TEST_SCREENSHOTS")
"""A folder for screenshots of the documentation; none are made without it."""

_MOST_TABS = 400
_LOOK_SECONDS = 0.1
_FOCUSED = "const e = document.activeElement; return e === document.body ? '' : e.cloneNode(false).outerHTML"


def missing_program() -> str:
    """Return what has to be installed, "" for nothing."""
    missing = [name for name, program in PROGRAMS.items() if program is None]
    return f"{' and '.join(missing)} not installed (apt-get install chromium chromium-driver)" if missing else ""


class Browser:
    """A browser window as a person uses it."""

    def __init__(self, driver: webdriver.Chrome, base_url: str) -> None:
        self.driver = driver
        self.base_url = base_url

    def open(self, path: str) -> None:
        """Open an address of the UI."""
        self.driver.switch_to.default_content()
        self.driver.get(f"{self.base_url}/{path}")

    def find(self, css: str, *, text: str = "") -> WebElement:
        """Return the first visible element that has this text, once there is one."""

        def look() -> WebElement | None:
            try:
                found = self.driver.find_elements(By.CSS_SELECTOR, css)
                return next((e for e in found if e.is_displayed() and text in e.text), None)
            except StaleElementReferenceException:
                return None

        found = wait_until(
            look, what=lambda: f"{css} {text!r} is shown; there is: {self.text()[:2000]}", every_seconds=_LOOK_SECONDS
        )
        assert found is not None
        return found

    def text(self) -> str:
        """Return the visible text of the present document."""
        try:
            return self.driver.find_element(By.TAG_NAME, "body").text
        except (NoSuchElementException, StaleElementReferenceException, WebDriverException):
            return ""

    def wait_for_text(self, words: str) -> None:
        """Wait until the present document shows these words."""
        wait_until(
            lambda: words in self.text(),
            what=lambda: f"{words!r} is shown; there is: {self.text()[:3000]}",
            every_seconds=_LOOK_SECONDS,
        )

    def enter_frame(self, holds: str = "main h2, main form, main .box") -> None:
        """Go into the frame that the UI shows, once it holds such an element: the frame of the page before may stay."""

        def enter() -> bool:
            self.driver.switch_to.default_content()
            frames = [f for f in self.driver.find_elements(By.TAG_NAME, "iframe") if f.is_displayed()]
            if not frames:
                return False
            self.driver.switch_to.frame(frames[0])
            return bool(self.driver.find_elements(By.CSS_SELECTOR, holds))

        def try_to_enter() -> bool:
            try:
                return enter()
            except (NoSuchElementException, StaleElementReferenceException, WebDriverException):
                return False

        wait_until(
            try_to_enter,
            what=lambda: f"there is a page in a frame; there is: {self.text()[:2000]}",
            every_seconds=_LOOK_SECONDS,
        )

    def tab_to(self, is_there: Callable[[str], bool]) -> str:
        """Press Tab until an element has the focus whose tag is as wanted; return the tag as HTML."""
        for _ in range(_MOST_TABS):
            self.press(Keys.TAB)
            html = str(self.run(_FOCUSED))
            if is_there(html):
                return html
        raise AssertionError("no element with the keyboard's focus is as wanted")

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        webdriver.ActionChains(self.driver).send_keys(key).perform()

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the present document."""
        return self.driver.execute_script(script, *arguments)  # type: ignore[no-untyped-call]

    def errors(self) -> list[str]:
        """Return what the browser complained about since the last call: broken scripts, refused styles, ..."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [
            entry["message"] for entry in log if entry["level"] == "SEVERE" and "hybrid-executor" in entry["message"]
        ]

    def take_picture(self, name: str) -> None:
        """Save a screenshot for the documentation, if a folder for them is named."""
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(SCREENSHOTS) / f"{name}.png"))


@contextmanager
def open_browser(base_url: str, directory: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(PROGRAMS["chromium"])
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
        "--force-prefers-reduced-motion",
        f"--user-data-dir={directory / 'profile'}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(str(PROGRAMS["chromedriver"]), log_output=str(directory / "chromedriver.log"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver, base_url)
    finally:
        driver.quit()
