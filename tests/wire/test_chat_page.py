"""What the chat page needs of the server: signing in, its token, messages as HTML, branches that go on, titles."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.support import clients
from tests.support.cast import password
from tests.support.server import Server
from tests.support.waiting import early_in_the_minute
from tests.wire import agentswire
from tests.wire.agentswire import ask, fresh, path, script, session, texts

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def site(server: Server) -> Server:
    agentswire.prepare(server)
    return server


@pytest.fixture(scope="module")
def owner(site: Server) -> Iterator[httpx.Client]:
    with clients.http(site) as client:
        yield client


@pytest.fixture
def browser(site: Server) -> Iterator[httpx.Client]:
    with clients.browser(site.base_url) as client:
        yield client


def sign_in(browser: httpx.Client, word: str = "", goal: str = "") -> httpx.Response:
    page = browser.get("/login", params={"next": goal} if goal else None)
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', page.text)
    assert token, page.text
    fields = {"csrfmiddlewaretoken": token[1], "username": "guest", "password": word or password("guest"), "next": goal}
    return browser.post("/login", data=fields)


def test_the_page_is_for_people_who_signed_in_and_leads_back(browser: httpx.Client) -> None:
    away = browser.get("/?agent=chatter")
    assert (away.status_code, away.headers["location"]) == (302, "/login?next=%2F%3Fagent%3Dchatter")
    assert sign_in(browser, "wrong").status_code == 200
    back = sign_in(browser, goal="/?agent=chatter")
    assert (back.status_code, back.headers["location"]) == (302, "/?agent=chatter")
    assert browser.get("/").status_code == 200


def test_nobody_is_led_elsewhere(browser: httpx.Client) -> None:
    assert sign_in(browser, goal="https://elsewhere.example/").headers["location"] == "/"


@pytest.mark.parametrize("address", ["/", "/login"])
def test_the_policy_allows_nothing_from_elsewhere(browser: httpx.Client, address: str) -> None:
    """WS-74."""
    if address == "/":
        sign_in(browser)
    answer = browser.get(address)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|\sstyle=|<script(?![^>]* src=)|\son[a-z]+=", answer.text)


def test_the_token_needs_a_session_and_a_csrf_token(browser: httpx.Client) -> None:
    assert browser.post("/session-token").status_code == 403
    browser.get("/login")
    given = {"x-csrftoken": browser.cookies["csrftoken"]}
    assert browser.post("/session-token", headers=given).status_code == 401
    sign_in(browser)
    assert browser.post("/session-token").status_code == 403
    assert browser.get("/session-token").status_code == 405


def test_with_the_token_the_page_speaks_the_public_wires(site: Server, browser: httpx.Client) -> None:
    """WS-71: a ticket per connection; cookies authenticate nothing."""
    sign_in(browser)
    token = browser.post("/session-token", headers={"x-csrftoken": browser.cookies["csrftoken"]}).json()
    assert 0 < token["expires_in"] <= 900
    assert browser.post("/api/ws/ticket").status_code == 401
    bearer = {"authorization": f"Bearer {token['access']}"}
    assert browser.post("/api/ws/ticket", headers=bearer).json()["ticket"]
    assert "chatter" in [agent["name"] for agent in browser.get("/api/agents", headers=bearer).json()]


def test_messages_come_as_sanitised_html_in_the_order_of_their_parts(owner: httpx.Client) -> None:
    said = script("**Hi** <b onclick=x>", text="It is **late** <img src=x>", tools=[{"name": "ag_clock", "arguments": {}}])
    found = session(owner, fresh(owner, said, "two-tools"), "two-tools", render="html")
    asked, answered = found["messages"]
    assert asked["parts"] == [{"type": "text", "text": said}]
    assert [part["type"] for part in answered["parts"]] == ["tool", "text"]
    assert answered["parts"][1]["html"] == "<p>It is <strong>late</strong> &lt;img src=x&gt;</p>\n"
    assert answered["run"]["status"] == "success"
    assert "parts" not in session(owner, found["session"]["id"], "two-tools")["messages"][0]


def test_what_became_of_a_turn_without_an_answer_is_told(owner: httpx.Client) -> None:
    session_id = fresh(owner)
    assert ask(owner, script(status=500), session_id=session_id).status_code >= 500
    last = session(owner, session_id, render="html")["messages"][-1]
    assert (last["role"], last["run"]["status"]) == ("user", "failed")
    assert last["run"]["error"]


def test_rendering_is_html_or_nothing(owner: httpx.Client) -> None:
    answer = owner.get(path("chatter", "chat", "sessions", fresh(owner)), params={"render": "pdf"})
    assert answer.status_code == 422


def branches(client: httpx.Client, session_id: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = session(client, session_id, branch="all")["messages"]
    return messages


def test_a_branch_that_was_left_goes_on(owner: httpx.Client) -> None:
    """AG-26: what follows a message of another branch brings that branch back."""
    session_id = fresh(owner, "one")
    first, answer = branches(owner, session_id)
    assert ask(owner, "two", session_id=session_id, edit_of=first["id"]).status_code == 200
    assert ask(owner, "three", session_id=session_id, after=answer["id"]).status_code == 200
    active = session(owner, session_id)["messages"]
    assert texts(active)[::2] == ["one", "three"]
    assert active[2]["parent_id"] == answer["id"]
    assert ask(owner, "four", session_id=session_id).status_code == 200
    assert texts(session(owner, session_id)["messages"])[::2] == ["one", "three", "four"]


def test_what_follows_an_earlier_message_leaves_the_later_ones(owner: httpx.Client) -> None:
    session_id = fresh(owner, "one")
    answer = branches(owner, session_id)[1]
    ask(owner, "two", session_id=session_id)
    assert ask(owner, "three", session_id=session_id, after=answer["id"]).status_code == 200
    assert texts(session(owner, session_id)["messages"])[::2] == ["one", "three"]
    assert [message["parent_id"] for message in branches(owner, session_id) if message["content"] in ("two", "three")] == [answer["id"]] * 2


def test_a_message_follows_one_of_its_own_conversation(site: Server, owner: httpx.Client) -> None:
    session_id, other = fresh(owner), fresh(owner)
    strange = branches(owner, other)[0]["id"]
    assert ask(owner, "x", session_id=session_id, after=strange).json()["code"] == "message_not_found"
    with clients.http(site, "guest") as guest:
        assert ask(guest, "x", after=strange).json()["code"] == "message_not_found"
    for fields in ({"edit_of": strange}, {"new_session": True}):
        assert ask(owner, "x", after=strange, **fields).status_code == 422


def title(client: httpx.Client, session_id: str, agent: str = "chatter") -> str:
    answer = client.post(path(agent, "chat", "sessions", session_id, "title"))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["title"])


def test_the_agent_names_a_conversation_once(owner: httpx.Client) -> None:
    session_id = fresh(owner, "Tell me about tea")
    assert session(owner, session_id)["session"]["title"] == "Tell me about tea"
    given = title(owner, session_id)
    assert given == "Hello! How can I help?"
    assert session(owner, session_id)["session"]["title"] == given
    assert title(owner, session_id) == given
    newest = owner.get(path("chatter", "executions"), params={"limit": 1}).json()[0]
    assert newest["session_id"] is None
    assert session(owner, session_id)["session"]["message_count"] == 2


def test_a_title_that_somebody_gave_stays(owner: httpx.Client) -> None:
    session_id = fresh(owner, "Tell me about tea")
    owner.patch(path("chatter", "chat", "sessions", session_id), json={"title": "Mine"})
    assert title(owner, session_id) == "Mine"


def test_where_no_model_names_it_the_first_words_stay(owner: httpx.Client) -> None:
    session_id = fresh(owner, "Tell me about coffee", "acting")
    assert title(owner, session_id, "acting") == "Tell me about coffee"


def test_only_its_owner_has_a_conversation_named(site: Server, owner: httpx.Client) -> None:
    session_id = fresh(owner)
    with clients.http(site, "guest") as guest:
        answer = guest.post(path("chatter", "chat", "sessions", session_id, "title"))
    assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")


def test_too_many_wrong_passwords_are_refused_before_they_are_looked_at(browser: httpx.Client) -> None:
    """R1.8: whatever else failed at this address counts too."""
    early_in_the_minute()
    assert sign_in(browser, "wrong").status_code == 200
    assert {browser.get("/v1/models").status_code for _ in range(19)} == {401}
    assert sign_in(browser, "wrong").status_code == 429
    assert sign_in(browser).status_code == 429
