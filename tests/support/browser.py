"""A real Chromium, driven by its own chromedriver: nothing is downloaded."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.services import Missing

PHONE, DESKTOP = (390, 844), (1280, 800)
PATIENCE_S = 60
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


class Browser(webdriver.Chrome):
    """With a few words of its own: `the` element of a selector, `until` something is so, what the console `complains` about."""

    def the(self, selector: str) -> WebElement:
        return self.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    def until(self, condition: Any, limit_s: float = PATIENCE_S) -> Any:
        """What `condition()` gives, once it is true; elements that are not there yet, or no more, are looked for again."""
        from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, TimeoutException

        ignored = (NoSuchElementException, StaleElementReferenceException, IndexError)
        try:
            return WebDriverWait(self, limit_s, 0.05, ignored).until(lambda _: condition())
        except TimeoutException as error:
            text = self.execute_script("return document.body.textContent.replace(/\\s+/g, ' ')")
            said = [entry["message"] for entry in self.get_log("browser")]
            raise AssertionError(f"the page did not come so far: {self.current_url}\n{text}\n{said}") from error

    def complaints(self) -> list[str]:
        """Errors of scripts and of the page's policy; answers with an error status are no complaint."""
        found = [entry for entry in self.get_log("browser") if entry["level"] == "SEVERE"]
        return [entry["message"] for entry in found if "Failed to load resource: the server responded" not in entry["message"]]


@contextmanager
def chromium(size: tuple[int, int] = DESKTOP, scheme: Literal["light", "dark"] = "light") -> Iterator[Browser]:
    """A window of that size. Raises Missing where Chromium or its driver is not installed."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        raise Missing("chromium and chromedriver are not on PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in _OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Browser(options=options, service=Service(driver))
    try:
        resize(browser, size, scheme)
        yield browser
    finally:
        browser.quit()


def resize(browser: Browser, size: tuple[int, int], scheme: Literal["light", "dark"] = "light") -> None:
    """Also to widths below a desktop window's least."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
