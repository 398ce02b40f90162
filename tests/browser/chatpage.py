"""Words for driving the chat page: sign in, write, wait for answers."""

from urllib.parse import parse_qs, urlsplit

from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.support.browser import Browser
from tests.support.cast import password
from tests.support.server import Server

WORDS = " ".join(f"word{number}" for number in range(30))
SLOW = f'/demo text {WORDS}\n/demo sleep 2500\n/demo text " the end."'


def sign_in(site: Server, page: Browser, person: str = "owner", path: str = "/?agent=page") -> None:
    """As a person would; the page leads back to where they wanted to go."""
    page.get(site.base_url + path)
    if page.all("#id_username"):
        page.the("#id_username").send_keys(person)
        page.the("#id_password").send_keys(password(person), Keys.ENTER)
    ready(page)


def ready(page: Browser) -> None:
    page.until(lambda: page.the("#message").is_enabled() and page.the("#agent .name").text not in ("", "…"))


def write(page: Browser, text: str, *, send: bool = True) -> None:
    box = page.the("#message")
    for number, line in enumerate(text.split("\n")):
        box.send_keys(*([Keys.SHIFT + Keys.ENTER, Keys.NULL] if number else []), line)
    if send:
        box.send_keys(Keys.ENTER)


def answered(page: Browser, number: int) -> str:
    """The text of the last answer, once there are so many and all are stored."""
    page.until(lambda: len(page.all(".entry.assistant .meta")) == number and not page.all("[aria-busy=true]"))
    return body(page)


def body(page: Browser) -> str:
    return page.texts(".entry.assistant .body")[-1]


def streaming(page: Browser, words: str = "word5") -> None:
    """The last answer is being written, and has come so far."""
    page.until(lambda: page.all("[aria-busy=true]") and words in body(page))


def session_of(page: Browser) -> str:
    page.until(lambda: "session=" in page.current_url)
    return parse_qs(urlsplit(page.current_url).query)["session"][0]


def press(page: Browser, entry: WebElement, label: str) -> None:
    """The button of that name below a message; it may be shown only where the pointer is."""
    found = entry.find_element("css selector", f"[aria-label='{label}']")
    page.execute_script("arguments[0].click()", found)


def new_tab(page: Browser, address: str) -> str:
    """Opens the address in another tab and stays there; returns the tab."""
    page.switch_to.new_window("tab")
    page.get(address)
    ready(page)
    return page.current_window_handle


def offline(page: Browser, *, off: bool) -> None:
    page.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": off, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
