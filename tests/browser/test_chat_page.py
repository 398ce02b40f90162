"""The chat page in a real browser: issue 4, acceptance 2 and 3, and WS-71 … WS-75."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.chatpage import (
    SLOW,
    WORDS,
    answered,
    body,
    new_tab,
    offline,
    press,
    ready,
    session_of,
    sign_in,
    streaming,
    write,
)
from tests.conftest import NewServer
from tests.support import clients
from tests.support.browser import DESKTOP, PHONE, Browser, resize
from tests.support.server import Server

pytestmark = pytest.mark.live
AGENTS = """
agents:
  - name: page
    display_name: Tea shop
    description: Answers questions about tea.
    provider: scripted
    model: demo
    owner: owner
    access: signed_in
    shareable: true
    show_reasoning: true
    accept_images: true
    conversation_starters: [/demo text Green and black.]
    tools: [{kind: clock, name: page_clock}]
  - {name: page-busy, provider: scripted, model: demo, owner: owner, turn_policy: reject}
  - {name: page-careful, provider: scripted, model: demo, owner: owner, tools: [{name: page_clock, requires_approval: true}]}
  - {name: page-named, provider: fake, model: fake, owner: owner}
"""


MARKDOWN = "/demo delay 20\n/demo reasoning Hm.\n" + r"/demo text **bold** <img src=x onerror=alert(1)>\n\nתה ירוק\n\n```python\nx = 1\n```"
NO_AGENT = """const asked = window.fetch;
window.fetch = (path, options) => (path === "/api/agents" ? Promise.resolve(new Response("[]")) : asked(path, options));"""
NO_SOCKET = """window.WebSocket = class extends EventTarget {
    constructor() {
        super();
        setTimeout(() => this.dispatchEvent(new CloseEvent("close", { code: 1006 })));
    }
}"""


@pytest.fixture(scope="module")
def site(module_server: NewServer) -> Server:
    server = module_server(env={"CHAT_RATE_TPM": "0", "CHAT_RATE_RPM": "0", "UPLOAD_MAX_BYTES": "1MiB"})
    path = server.data_dir / "page-agents.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))
    return server


@pytest.fixture
def page(site: Server, browser: Browser) -> Iterator[Browser]:
    """The page of somebody who signed in, with one tab and nothing open."""
    first = browser.current_window_handle
    sign_in(site, browser)
    yield browser
    for tab in [tab for tab in browser.window_handles if tab != first]:
        browser.switch_to.window(tab)
        browser.close()
    browser.switch_to.window(first)
    offline(browser, off=False)
    resize(browser, DESKTOP)


def test_whoever_is_not_signed_in_is_asked_and_led_back(site: Server, browser: Browser) -> None:
    browser.delete_all_cookies()
    browser.get(f"{site.base_url}/?agent=page-careful")
    browser.the("#id_username").send_keys("owner")
    browser.the("#id_password").send_keys("wrong", Keys.ENTER)
    assert "do not belong together" in browser.until(lambda: browser.the(".problem").text)
    sign_in(site, browser, path="/?agent=page-careful")
    assert browser.the("#agent .name").text == "page-careful"
    browser.the("#me").click()
    browser.the("#me-menu form button").click()
    browser.until(lambda: browser.all("#id_username"))


def test_an_answer_streams_and_is_stored_as_sanitised_html(page: Browser) -> None:
    """WS-73, WS-74: chunks into one bubble; no raw HTML of models."""
    write(page, MARKDOWN)
    text = answered(page, 1)
    assert "<img src=x onerror=alert(1)>" in text
    assert page.the(".body strong").text == "bold"
    assert page.the(".body .code span.mi").text == "1"
    assert not page.all(".body img")
    assert [block.value_of_css_property("direction") for block in page.all(".body .text p")] == ["ltr", "rtl"]
    assert page.the(".thoughts").text.startswith("Thought for")
    page.refresh()
    ready(page)
    assert answered(page, 1).endswith("x = 1")
    page.until(lambda: page.texts("#sessions a .name")[:1] and page.texts("#sessions a .name")[0].startswith("/demo delay 20"))


def test_stop_ends_the_answer_also_after_a_reload(page: Browser) -> None:
    """WS-74."""
    write(page, SLOW)
    streaming(page)
    page.refresh()
    ready(page)
    streaming(page, "word29")
    page.the("#stop").click()
    text = answered(page, 1)
    assert "word29" in text
    assert "the end" not in text
    assert "stopped" in text


def test_escape_stops_too(page: Browser) -> None:
    write(page, SLOW)
    streaming(page)
    page.the("#message").send_keys(Keys.ESCAPE)
    assert "stopped" in answered(page, 1)


def test_a_reload_in_the_middle_shows_the_rest(page: Browser) -> None:
    write(page, SLOW)
    streaming(page)
    page.refresh()
    ready(page)
    assert answered(page, 1) == f"{WORDS} the end."


def test_edit_regenerate_and_walk_through_the_branches(page: Browser) -> None:
    """AG-26."""
    write(page, "/demo text First.")
    answered(page, 1)
    press(page, page.all(".entry.user")[0], "Edit")
    box = page.the(".editor textarea")
    box.clear()
    box.send_keys("/demo text Second.", Keys.ENTER)
    page.until(lambda: body(page) == "Second.")
    answered(page, 1)
    assert page.the(".entry.user .switcher").text == "2/2"
    press(page, page.the(".entry.assistant"), "Answer again")
    page.until(lambda: page.texts(".entry.assistant .switcher") == ["2/2"])
    assert page.the(".entry.user .switcher").text == "2/2"
    press(page, page.the(".entry.user"), "Previous version")
    page.until(lambda: body(page) == "First.")
    write(page, "/demo text Onwards from the first.")
    page.until(lambda: answered(page, 2) == "Onwards from the first.")
    page.refresh()
    ready(page)
    page.until(lambda: page.texts(".entry.assistant .body") == ["First.", "Onwards from the first."])


@pytest.mark.parametrize(("text", "shown"), [("/demo sleep 1500\n/demo text Late.", "Late."), ("/demo error overloaded", "The model")])
def test_an_edited_message_stands_there_once(page: Browser, text: str, shown: str) -> None:
    """Also while its answer, or its refusal, is still to come."""
    write(page, "/demo text First.")
    answered(page, 1)
    press(page, page.the(".entry.user"), "Edit")
    page.the(".editor textarea").clear()
    for number, line in enumerate(text.split("\n")):
        page.the(".editor textarea").send_keys(*([Keys.SHIFT + Keys.ENTER, Keys.NULL] if number else []), line)
    page.the(".editor textarea").send_keys(Keys.ENTER)
    page.until(lambda: page.texts(".bubble") == [text])
    counts = []
    page.until(lambda: counts.append(len(page.all(".entry"))) or shown in body(page))
    page.until(lambda: page.all(".entry.assistant .actions"))
    assert set(counts) == {2}
    assert len(page.all(".entry")) == 2


def test_arrow_up_edits_the_last_message(page: Browser) -> None:
    write(page, "/demo text One.")
    answered(page, 1)
    page.the("#message").send_keys(Keys.ARROW_UP)
    assert page.the(".editor textarea").get_attribute("value") == "/demo text One."
    page.the(".editor textarea").send_keys(Keys.ESCAPE)
    page.until(lambda: not page.all(".editor"))


def test_a_file_that_is_too_large_is_not_sent(page: Browser, tmp_path: Path) -> None:
    file = tmp_path / "large.txt"
    file.write_text("tea " * 300_000)
    page.the("#file").send_keys(str(file))
    page.until(lambda: page.texts("#files .note") == ["Too large: at most 1 MB."])
    write(page, "/demo text Without it.")
    assert "Remove it" in page.the("#notice").text
    page.the("#files button").click()
    page.the("#message").send_keys(Keys.ENTER)
    assert answered(page, 1) == "Without it."


PASTE = """const data = new DataTransfer();
data.setData("text/plain", arguments[0]);
for (const name of arguments[1]) data.items.add(new File(["tea"], name, { type: "text/plain" }));
if (arguments[2]) data.setData("text/html", "<b>tea</b>");
const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
return document.getElementById("message").dispatchEvent(event);"""


def test_what_is_pasted_is_attached_where_it_is_no_text(page: Browser) -> None:
    """`dispatchEvent` is true where the box takes the text itself."""
    assert page.execute_script(PASTE, "tea", [], False)
    assert page.execute_script(PASTE, "cells of a table", ["picture.txt"], True)
    assert not page.execute_script(PASTE, "", ["notes.txt"], False)
    assert not page.execute_script(PASTE, "tea " * 60_000, [], False)
    page.until(lambda: page.texts("#files .name") == ["notes.txt", "pasted.txt"] and not page.all("#files progress"))


def test_files_are_attached_with_a_preview(page: Browser, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("two cups of tea")
    page.the("#file").send_keys(str(file))
    page.until(lambda: page.texts("#files .name") == ["notes.txt"] and not page.all("#files progress"))
    write(page, "What do my notes say?")
    answered(page, 1)
    assert page.the(".attached .file").text == "notes.txt"
    page.refresh()
    ready(page)
    page.until(lambda: page.all(".attached a.file[href^='/attachment/']"))


def test_a_tool_is_shown_as_a_card(page: Browser) -> None:
    write(page, "/demo tool page_clock {}\n/demo text Now you know.")
    assert "Now you know." in answered(page, 1)
    card = page.the("details.tool.done")
    assert card.find_element(By.CSS_SELECTOR, ".name").text == "page clock"
    card.find_element(By.TAG_NAME, "summary").click()
    assert '"weekday"' in page.the(".inside").text


@pytest.mark.parametrize(("choice", "state"), [("Approve", "done"), ("Deny", "failed")])
def test_a_tool_waits_for_approval(site: Server, page: Browser, choice: str, state: str) -> None:
    """WS-51 … WS-53, also after a reload."""
    sign_in(site, page, path="/?agent=page-careful")
    write(page, "/demo tool page_clock {}\n/demo text Well.")
    page.until(lambda: page.all(".approval button"))
    page.refresh()
    ready(page)
    page.until(lambda: page.all(".approval button"))
    next(button for button in page.all(".approval button") if button.text == choice).click()
    assert "Well." in answered(page, 1)
    assert page.all(f"details.tool.{state}")


def test_an_address_that_leads_nowhere_is_told(site: Server, page: Browser) -> None:
    sign_in(site, page, path="/?agent=page&session=00000000-0000-7000-8000-000000000000")
    page.until(lambda: "no such conversation" in str(page.the("#notice").get_attribute("textContent")))
    assert page.the("#welcome").is_displayed()


def test_an_address_of_an_agent_that_is_not_there_is_told(site: Server, page: Browser) -> None:
    sign_in(site, page, path="/?agent=nobody")
    page.until(lambda: "no agent “nobody”" in str(page.the("#notice").get_attribute("textContent")))
    assert page.the("#welcome").is_displayed()


def test_who_signs_out_leaves_no_draft_and_no_open_tab(page: Browser) -> None:
    write(page, "What nobody else should read", send=False)
    first = page.current_window_handle
    new_tab(page, page.current_url)
    page.switch_to.window(first)
    page.the("#me").click()
    page.the("#me-menu form button").click()
    page.until(lambda: page.all("#id_username"))
    assert page.execute_script("return sessionStorage.length") == 0
    page.switch_to.window(page.window_handles[-1])
    page.until(lambda: page.all("#id_username"))


def test_an_error_is_told_and_may_be_tried_again(page: Browser) -> None:
    write(page, "/demo error overloaded")
    page.until(lambda: page.all(".body .problem"))
    page.until(lambda: "Try again" in page.texts(".actions .quiet"))
    assert not page.all(".problem a")  # the owner is no staff: nothing of the admin is named
    page.refresh()
    ready(page)
    assert page.until(lambda: page.the(".body .problem").text)


def test_a_second_tab_stays_in_step(page: Browser) -> None:
    """Issue 4, point 5."""
    write(page, "/demo text Hello.")
    answered(page, 1)
    first = page.current_window_handle
    new_tab(page, page.current_url)
    write(page, SLOW)
    streaming(page)
    page.switch_to.window(first)
    page.until(lambda: page.texts(".entry.user .bubble")[-1].startswith("/demo text word0"))
    write(page, "/demo text While it was answering.")
    page.switch_to.window(page.window_handles[-1])
    page.until(lambda: "Waiting for its turn" in body(page))
    everything = ["Hello.", f"{WORDS} the end.", "While it was answering."]
    page.until(lambda: page.texts(".entry.assistant .body") == everything)
    page.switch_to.window(first)
    page.until(lambda: page.texts(".entry.assistant .body") == everything)


def test_what_is_refused_can_be_sent_again(site: Server, page: Browser) -> None:
    """R8: the agent's policy is `reject`."""
    sign_in(site, page, path="/?agent=page-busy")
    write(page, SLOW)
    streaming(page)
    write(page, "/demo text Patience.")
    page.until(lambda: "is running" in body(page))
    page.until(lambda: not page.all("[aria-busy=true]"))
    page.the(".body .problem button").click()
    page.until(lambda: page.texts(".entry.assistant .body") == [f"{WORDS} the end.", "Patience."])


def test_renamed_and_deleted_elsewhere(page: Browser) -> None:
    write(page, "/demo text Hello.")
    answered(page, 1)
    first = page.current_window_handle
    new_tab(page, page.current_url)
    page.the("#more").click()
    page.the("[data-act=rename]").click()
    page.the("#ask-value").clear()
    page.the("#ask-value").send_keys("Named in a tab", Keys.ENTER)
    page.switch_to.window(first)
    page.until(lambda: page.the("#agent .title").text == "Named in a tab")
    page.switch_to.window(page.window_handles[-1])
    page.the("#more").click()
    page.the("[data-act=delete]").click()
    page.the("#ask button[value=yes]").click()
    page.switch_to.window(first)
    page.until(lambda: page.the("#welcome").is_displayed())


def test_a_long_conversation_is_loaded_piece_by_piece(site: Server, page: Browser) -> None:
    with clients.http(site) as client:
        first = client.post("/api/agents/page/chat", json={"message": "/demo text Number 0.", "new_session": True}).json()["session_id"]
        for number in range(1, 52):
            client.post("/api/agents/page/chat", json={"message": f"/demo text Number {number}.", "session_id": first})
    sign_in(site, page, path=f"/?agent=page&session={first}")
    page.until(lambda: page.texts(".entry.assistant .body")[-1] == "Number 51.")
    assert len(page.all(".entry")) == 100
    page.execute_script("document.getElementById('scroll').scrollTop = 0")
    page.until(lambda: page.texts(".entry.assistant .body")[0] == "Number 0.")
    assert not page.the("#earlier").is_displayed()
    press(page, page.the(".entry.user"), "Edit")
    page.the(".editor textarea").clear()
    page.the(".editor textarea").send_keys("/demo text From the beginning.", Keys.ENTER)
    page.until(lambda: page.texts(".entry.assistant .body") == ["From the beginning."])
    page.until(lambda: page.texts(".switcher") == ["2/2"])
    press(page, page.the(".entry.user"), "Previous version")
    page.until(lambda: len(page.all(".entry")) == 104)


def test_a_turn_of_another_wire_appears_live(site: Server, page: Browser) -> None:
    """Issue 4, acceptance 3: the OpenAI wire with X-Conversation-Id goes on here, and the other way round."""
    write(page, "/demo text My name is written.")
    answered(page, 1)
    with clients.sdk(site, default_headers={"X-Conversation-Id": session_of(page)}) as sdk:
        stream = sdk.chat.completions.create(model="page", messages=[{"role": "user", "content": SLOW}], stream=True)
        streaming(page)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == f"{WORDS} the end."
        assert answered(page, 2) == f"{WORDS} the end."
        assert page.texts(".entry.user .bubble")[0] == "/demo text My name is written."
        write(page, "/demo text Typed here.")
        answered(page, 3)
        done = sdk.chat.completions.create(model="page", messages=[{"role": "user", "content": "Which message is this?"}])
    assert "number 4" in str(done.choices[0].message.content)


def test_a_broken_connection_loses_nothing(page: Browser) -> None:
    """WS-72."""
    write(page, SLOW)
    streaming(page)
    offline(page, off=True)
    page.execute_script("window.dispatchEvent(new Event('offline'))")
    page.until(lambda: page.the("#connection").is_displayed())
    write(page, "/demo text Sent later.")
    offline(page, off=False)
    page.execute_script("window.dispatchEvent(new Event('online'))")
    page.until(lambda: page.texts(".entry.assistant .body") == [f"{WORDS} the end.", "Sent later."])
    assert not page.the("#connection").is_displayed()


def test_what_could_not_be_sent_is_a_draft_after_a_reload(page: Browser) -> None:
    offline(page, off=True)
    page.execute_script("window.dispatchEvent(new Event('offline'))")
    page.until(lambda: page.the("#connection").is_displayed())
    write(page, "Written on a train")
    page.until(lambda: "Waiting for the connection" in body(page))
    page.execute_script("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: false }))")
    assert "Written on a train" in page.execute_script("return Object.values(sessionStorage)")


def test_the_agent_names_the_conversation(site: Server, page: Browser, upstream: object) -> None:
    sign_in(site, page, path="/?agent=page-named")
    write(page, "Tell me about tea, please, at length")
    answered(page, 1)
    page.until(lambda: page.texts("#sessions a .name")[0] not in ("", "Tell me about tea, please, at length"))


def test_conversations_are_found_renamed_exported_and_deleted(page: Browser) -> None:
    write(page, "/demo text A conversation about oolong.")
    answered(page, 1)
    page.the("body").send_keys(Keys.CONTROL, "k")
    page.switch_to.active_element.send_keys("oolong")
    page.until(lambda: len(page.all("#sessions a")) == 1)
    page.the("#more").click()
    page.the("[data-act=rename]").click()
    page.the("#ask-value").clear()
    page.the("#ask-value").send_keys("Tea talk", Keys.ENTER)
    page.until(lambda: page.texts("#sessions a .name") == ["Tea talk"])
    assert page.the("#agent .title").text == "Tea talk"
    page.the("#more").click()
    page.the("[data-act=delete]").click()
    page.the("#ask button[value=yes]").click()
    page.until(lambda: page.the("#welcome").is_displayed() and not page.all("#sessions a"))


def test_answers_are_rated_with_a_comment(site: Server, page: Browser) -> None:
    write(page, "/demo text Bad tea.")
    answered(page, 1)
    good = page.the("[aria-label='Good answer']")
    good.send_keys(Keys.ENTER)
    page.until(lambda: page.the("[aria-label='Good answer']").get_attribute("aria-pressed") == "true")
    press(page, page.the(".entry.assistant"), "Bad answer")
    page.until(lambda: page.the("#ask").is_displayed())
    page.the("#ask-value").send_keys("too cold")
    page.the("#ask button[value=yes]").click()
    page.until(lambda: page.all("[aria-label='Bad answer'][aria-pressed=true]"))
    headers = {"Authorization": f"Bearer {site.keys['owner']}"}
    found = httpx.get(f"{site.base_url}/api/agents/page/chat/sessions/{session_of(page)}?render=html", headers=headers).json()
    assert (found["messages"][-1]["rating"], found["messages"][-1]["comment"]) == (-1, "too cold")


def test_a_public_link_is_shared(page: Browser) -> None:
    page.the("#share").click()
    page.the("#ask-value").send_keys("For friends")
    page.the("#ask button[value=yes]").click()
    page.until(lambda: str(page.the("#ask-value").get_attribute("value")).startswith("http"))
    page.get(str(page.the("#ask-value").get_attribute("value")))
    assert page.until(lambda: page.the("h1").text) == "Tea shop"


def test_on_a_phone_the_list_is_a_drawer(page: Browser) -> None:
    resize(page, PHONE)
    assert page.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
    page.until(lambda: not page.the("#sidebar").is_displayed())
    page.the("#drawer").click()
    page.until(lambda: page.the("#new").is_displayed())
    page.the("body").send_keys(Keys.ESCAPE)
    page.until(lambda: not page.the("#new").is_displayed())
    page.the(".starter").click()
    assert answered(page, 1) == "Green and black."
    assert page.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]


def test_an_agent_is_found_and_chosen_by_keyboard(page: Browser) -> None:
    page.the("#agent").send_keys(Keys.ENTER)
    page.switch_to.active_element.send_keys("page-care", Keys.ENTER)
    page.until(lambda: page.the("#agent .name").text == "page-careful")
    assert not page.the("#picker").is_displayed()


def test_light_and_dark_can_be_chosen(page: Browser) -> None:
    def colour() -> str:
        return str(page.execute_script("return getComputedStyle(document.documentElement).backgroundColor"))

    light = colour()
    page.the("#me").click()
    page.the("[data-theme-choice=dark]").click()
    dark = colour()
    page.refresh()
    ready(page)
    assert (dark != light, colour()) == (True, dark)


def test_who_may_use_no_agent_is_told_whom_to_ask(page: Browser) -> None:
    none = page.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_AGENT})
    try:
        page.refresh()
        page.until(lambda: "Ask an administrator" in page.the("#welcome").text)
        assert not page.the("#composer").is_displayed()
    finally:
        page.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", none)


def test_where_sockets_are_blocked_the_page_says_so_and_works(site: Server, browser: Browser) -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    blocked = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_SOCKET})
    try:
        sign_in(site, browser)
        browser.until(lambda: "blocked" in browser.the("#connection").text)
        write(browser, "/demo text Without a socket.")
        assert answered(browser, 1) == "Without a socket."
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", blocked)
