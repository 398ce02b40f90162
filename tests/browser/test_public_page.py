"""The public chat page in a real browser: sending, streaming, stopping, coming back, the e-mail step, phone width."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.conftest import NewServer
from tests.support import clients
from tests.support.browser import DESKTOP, PHONE, Browser, resize
from tests.support.server import Server
from tests.wire import publicwire
from tests.wire.publicwire import code_in, mails

pytestmark = pytest.mark.live
TABLE = r"| item | price |\n|:--|--:|\n| tea | 3 |"
MARKDOWN = rf"/demo text Prices:\n\n{TABLE}\n\n```\n{'long ' * 60}\n```\n\n**bold** <script>alert(1)</script>"
WORDS = " ".join(f"word{number}" for number in range(30))
LONG = f'/demo text {WORDS}\n/demo sleep 2500\n/demo text " the end."'
AGENTS = """
agents:
  - name: page-open
    display_name: Tea shop
    description: Answers questions about tea and orders.
    provider: scripted
    model: demo
    owner: owner
    conversation_starters: [/demo text Green and black.]
    tools: [{kind: clock, name: page_clock}]
  - {name: page-mail, provider: scripted, model: demo, owner: owner, require_email: true}
  - {name: page-careful, provider: scripted, model: demo, owner: owner, tools: [{name: page_clock, requires_approval: true}]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mails")


@pytest.fixture(scope="module")
def site(module_server: NewServer, folder: Path) -> Server:
    server = module_server(env=publicwire.environment(folder))
    path = server.data_dir / "page-agents.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))
    return server


@pytest.fixture
def page(site: Server, browser: Browser) -> Browser:
    """The page of a new link, for a visitor at an address of its own."""
    opened(site, browser, "page-open")
    return browser


def opened(site: Server, browser: Browser, agent: str) -> dict[str, Any]:
    link = publicwire.make(site, agent)
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"x-forwarded-for": publicwire.new_address()}})
    browser.get(f"{site.base_url}/chat/{link['token']}")
    return link


def write(page: Browser, text: str) -> None:
    box = page.until(lambda: page.the("#message"))
    page.until(box.is_displayed)
    box.clear()
    for number, line in enumerate(text.split("\n")):
        box.send_keys(*([Keys.SHIFT + Keys.ENTER, Keys.NULL] if number else []), line)
    box.send_keys(Keys.ENTER)


def answered(page: Browser, number: int) -> str:
    """The text of answer `number`, once it is written."""
    page.until(lambda: len(page.all(".entry.assistant")) == number and not page.all("[aria-busy=true]"))
    return page.texts(".entry.assistant .body")[-1]


def test_a_message_is_sent_and_its_answer_streams(page: Browser) -> None:
    page.until(lambda: page.the("#welcome").is_displayed())
    assert page.title == "Tea shop"
    write(page, LONG)
    page.until(lambda: "word0 word1" in page.texts(".entry.assistant .body")[0])
    assert "the end." not in page.texts(".entry.assistant .body")[0], "the text comes as it is written"
    assert page.the("#stop").is_displayed()
    assert answered(page, 1) == f"{WORDS} the end."
    assert page.the("#send").is_displayed()
    assert page.the("#status").get_attribute("textContent") == answered(page, 1), "read out once it is there"


def test_a_reload_keeps_the_history(page: Browser) -> None:
    write(page, "/demo text First answer.")
    answered(page, 1)
    write(page, '/demo tool page_clock {"timezone": "UTC"}\n/demo text **Second** answer.')
    answered(page, 2)
    before = page.texts(".entry .bubble, .entry .tool, .entry .text")
    page.refresh()
    page.until(lambda: page.texts(".entry .bubble, .entry .tool, .entry .text") == before)
    assert page.all(".entry .text strong")
    write(page, "Third")
    assert "message number 3" in answered(page, 3)


def test_a_reload_in_the_middle_of_an_answer_goes_on_with_it(page: Browser) -> None:
    write(page, LONG)
    page.until(lambda: "word3" in page.texts(".entry.assistant .body")[0])
    page.refresh()
    assert answered(page, 1) == f"{WORDS} the end."
    assert len(page.all(".entry.user")) == 1


def test_stop_and_try_again(page: Browser) -> None:
    write(page, LONG)
    page.until(lambda: "word1" in page.texts(".entry.assistant .body")[0])
    page.the("#stop").click()
    assert "You stopped this answer." in answered(page, 1)
    assert "word1" in page.texts(".entry.assistant .body")[0]
    page.the(".again").click()
    page.until(lambda: page.the("#stop").is_displayed())
    page.the("#stop").click()
    answered(page, 1)
    assert len(page.all(".entry.user")) == 1, "a message that is asked again is shown once"


def test_a_failure_says_so_and_can_be_tried_again(page: Browser) -> None:
    write(page, "/demo error overloaded")
    assert "The agent is not available at the moment." in answered(page, 1)
    assert page.the("#message").is_enabled()
    page.the(".again").click()
    assert "The agent is not available at the moment." in answered(page, 1)


def test_markdown_is_shown_and_harmless(page: Browser) -> None:
    write(page, MARKDOWN)
    answered(page, 1)
    assert page.the(".text td.right").text == "3"
    assert page.the(".text strong").text == "bold"
    assert "<script>alert(1)</script>" in page.texts(".text")[0]


def test_a_starter_begins_the_conversation_and_a_new_chat_ends_it(page: Browser) -> None:
    page.until(lambda: page.the(".starter").is_displayed())
    page.the(".starter").click()
    assert answered(page, 1) == "Green and black."
    assert not page.the("#welcome").is_displayed()
    page.the("#anew").click()
    page.until(lambda: page.the("#welcome").is_displayed())
    page.refresh()
    page.until(lambda: page.the("#welcome").is_displayed())
    write(page, "Hello")
    assert "message number" not in answered(page, 1), "the agent has forgotten too"


def test_an_answer_that_waits_for_approval_goes_on_by_itself(site: Server, browser: Browser) -> None:
    """AG-59: the notice, and after the decision the answer."""
    opened(site, browser, "page-careful")
    write(browser, "/demo tool page_clock {}\n/demo text It is late.")
    assert "This step needs approval before it can continue." in answered(browser, 1)
    with clients.http(site) as owner:
        run = owner.get(f"/api/executions/{running(browser)}").json()
        path = f"/api/executions/{run['id']}/approvals/{run['approvals'][0]['tool_call_id']}"
        assert owner.post(path, json={"approve": True}).status_code == 200
    browser.until(lambda: "It is late." in browser.texts(".entry.assistant .body")[0], 30)


def running(page: Browser) -> str:
    found: str = page.execute_script("return JSON.parse(Object.values(localStorage)[0]).running")
    return found


def test_the_e_mail_step(site: Server, browser: Browser, folder: Path) -> None:
    """AG-61: a wrong code is told, the right one opens the chat, a reload keeps it."""
    opened(site, browser, "page-mail")
    address = f"{uuid4().hex}@example.com"
    browser.until(lambda: browser.the("#email").is_displayed())
    assert not browser.the("#composer").is_displayed()
    browser.the("#email").send_keys("nobody", Keys.ENTER)
    browser.until(lambda: browser.the("#ask-code-problem").text == "Enter your e-mail address.")
    browser.the("#email").clear()
    browser.the("#email").send_keys(address, Keys.ENTER)
    browser.until(lambda: browser.the("#code").is_displayed())
    assert browser.switch_to.active_element.get_attribute("id") == "code"
    code = code_in(mails(folder, address)[-1])
    browser.the("#code").send_keys("000000" if code != "000000" else "111111", Keys.ENTER)
    browser.until(lambda: "not right" in browser.the("#give-code-problem").text)
    browser.the("#code").send_keys(code, Keys.ENTER)
    write(browser, "/demo text Welcome.")
    assert answered(browser, 1) == "Welcome."
    browser.refresh()
    browser.until(lambda: browser.texts(".entry.assistant .body") == ["Welcome."])


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (PHONE, "dark"), (DESKTOP, "light"), (DESKTOP, "dark")])
def test_the_page_fits_its_window(page: Browser, size: tuple[int, int], scheme: Any) -> None:
    """No sideways scrolling, everything within reach, readable in light and dark."""
    resize(page, size, scheme)
    try:
        page.until(lambda: page.the("#welcome").is_displayed())
        write(page, MARKDOWN)
        answered(page, 1)
        width, inner = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert width <= inner == size[0]
        for selector in ("#message", "#send", "#anew", ".bubble", ".text pre"):
            box = page.the(selector).rect
            assert box["x"] >= 0, selector
            assert box["x"] + box["width"] <= size[0], selector
        assert page.the("#send").rect["height"] >= 40, "a finger hits it"
        assert contrast(page, ".text p") >= 7
        assert contrast(page, ".small") >= 4.5
    finally:
        resize(page, DESKTOP)


CONTRAST = """
const part = (share) => share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => part(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const front = getComputedStyle(document.querySelector(arguments[0])).color;
const back = getComputedStyle(document.documentElement).backgroundColor;
const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
return (a + 0.05) / (b + 0.05);
"""


def contrast(page: Browser, selector: str) -> float:
    """WCAG 2's ratio of a text to the page."""
    found: float = page.execute_script(CONTRAST, selector)
    return found


def test_every_control_has_a_name(page: Browser) -> None:
    page.until(lambda: page.the("#welcome").is_displayed())
    names = [element.accessible_name for element in page.all("button, input, textarea") if element.is_displayed()]
    assert names
    assert all(names)
    assert page.the("#message").accessible_name == "Message to Tea shop"
    assert page.the("#status").get_attribute("role") == "status"


def test_a_link_that_is_not_valid(site: Server, browser: Browser) -> None:
    """People see a page, with the status of AG-54."""
    url = f"{site.base_url}/chat/{'A' * 32}"
    browser.get(url)
    assert browser.the("h1").text == "This link is not valid"
    for pasted in (url, url[:-3], f"{url}.", f"{url}aaa", f"{url}%00"):
        answer = httpx.get(pasted)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "This link is not valid" in answer.text


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_foreign_script(site: Server, page: Browser) -> None:
    answer = httpx.get(page.current_url, headers={"x-forwarded-for": publicwire.new_address()})
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    loaded = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert {url for url in loaded if not url.startswith(site.base_url)} == set()


BREAK = """
const fetched = window.fetch;
window.fetch = async (...asked) => {
    window.fetch = fetched;
    const response = await fetched(...asked);
    const reader = response.body.getReader();
    let reads = 0;
    const body = new ReadableStream({ async pull(controller) {
        const { value } = await reader.read();
        if (++reads < 4) return controller.enqueue(value);
        controller.error(new TypeError("the connection was lost"));
        return reader.cancel();
    } });
    return new Response(body, { headers: response.headers });
};
"""


def test_a_lost_connection_is_taken_up_again(page: Browser) -> None:
    """R6.2, R7: the answer goes on without the page, and the page comes back to it."""
    page.until(lambda: page.the("#message").is_displayed())
    page.execute_script(BREAK)
    write(page, LONG)
    assert answered(page, 1) == f"{WORDS} the end."
    followed = "return performance.getEntriesByType('resource').filter((entry) => entry.name.includes('/stream?')).length"
    assert page.execute_script(followed) == 1
