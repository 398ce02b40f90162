"""Agents, sessions and history against a live server: who may, bad input, pages, branches (AG-2 … AG-5, AG-22 … AG-26)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx2 as httpx
import orjson
import pytest
from markdown_it import MarkdownIt

from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until
from tests.wire import agentswire
from tests.wire.agentswire import ANSWER, ask, fresh, get, path, script, session, streamed, texts, told
from tests.wire.inturn import statuses

pytestmark = pytest.mark.live
AGENT = "name display_name description avatar status model version voice paid can_manage conversation_starters"
SESSION = (
    "id agent_name user_id user_email started_at last_message_at message_count total_cost total_context_used total_context_max "
    "status title wire"
)
MESSAGE = (
    "id session_id agent_name user_id user_email role content timestamp status incomplete source execution_id cost context_used "
    "context_max output_tokens execution_time_ms tool_calls"
)
CURRENT = "session_id session_started message_count total_cost_usd context_tokens context_window context_percent model"
ROUTES: dict[str, tuple[str, str, Any]] = {
    "agent": ("GET", "", None),
    "list": ("GET", "chat/sessions", None),
    "detail": ("GET", "chat/sessions/SESSION", None),
    "export": ("GET", "chat/sessions/SESSION/export", None),
    "export md": ("GET", "chat/sessions/SESSION/export?format=md", None),
    "persistent": ("GET", "chat/history/persistent", None),
    "history": ("GET", "chat/history", None),
    "current": ("GET", "chat/session", None),
    "feedback": ("PUT", "chat/messages/MESSAGE/feedback", {"rating": 1}),
    "rename": ("PATCH", "chat/sessions/SESSION", {"title": "Mine"}),
    "close": ("POST", "chat/sessions/SESSION/close", None),
    "chat": ("POST", "chat", {"message": "Hello", "session_id": "SESSION"}),
    "edit": ("POST", "chat", {"message": "Hello", "session_id": "SESSION", "edit_of": "QUESTION"}),
    "regenerate": ("POST", "chat", {"session_id": "SESSION", "regenerate_of": "MESSAGE"}),
    "reset": ("DELETE", "chat/history", None),
    "delete": ("DELETE", "chat/sessions/SESSION", None),
}
OF_A_SESSION = {name: route for name, route in ROUTES.items() if "SESSION" in str(route) or "MESSAGE" in str(route)}
READS = ("detail", "export", "export md")


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    agentswire.prepare(server)


def call(client: httpx.Client, route: str, ids: dict[str, str], agent: str = "chatter") -> httpx.Response:
    method, rest, body = ROUTES[route]
    filled = orjson.dumps([rest, body]).decode()
    for name, value in ids.items():
        filled = filled.replace(name, value)
    rest, body = orjson.loads(filled)
    return client.request(method, path(agent, *([rest] if rest else [])), json=body)


def ids_of(client: httpx.Client) -> dict[str, str]:
    """A new session of this caller, with one question and its answer."""
    session_id = fresh(client, "What changed?")
    question, answer = session(client, session_id)["messages"]
    return {"SESSION": session_id, "QUESTION": question["id"], "MESSAGE": answer["id"]}


# Who may


@pytest.mark.parametrize("route", ROUTES)
def test_users_may_with_what_is_theirs(guest: httpx.Client, route: str) -> None:
    """AG-3, AG-4."""
    answer = call(guest, route, ids_of(guest))
    assert answer.status_code == (204 if route == "delete" else 200), answer.text


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_may_without_a_credential(server: Server, route: str) -> None:
    """R1.8."""
    with clients.http(server, None) as client:
        answer = call(client, route, {"SESSION": str(uuid4())})
    assert (answer.status_code, answer.json()["code"], answer.headers["www-authenticate"]) == (401, "invalid_credentials", "Bearer")


@pytest.mark.parametrize("route", ROUTES)
def test_to_strangers_there_is_no_agent(server: Server, guest: httpx.Client, route: str) -> None:
    """AG-2: the same bytes as for an agent that is not there."""
    theirs = ids_of(guest)
    with clients.http(server, "stranger", **{"x-request-id": "same"}) as client:
        answers = [call(client, route, theirs, agent) for agent in ("chatter", "nobody")]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.content for answer in answers} == {b'{"detail":"Agent not found","code":"agent_not_found","request_id":"same"}'}


@pytest.mark.parametrize("route", OF_A_SESSION)
def test_what_is_others_is_unknown(owner: httpx.Client, guest: httpx.Client, route: str) -> None:
    """AG-4, R2.2: the same as an id that never was."""
    guest.headers["x-request-id"] = "same"
    others = call(guest, route, ids_of(owner))
    never = call(guest, route, {name: str(uuid4()) for name in ("SESSION", "QUESTION", "MESSAGE")})
    assert others.status_code == never.status_code == 404
    assert others.content == never.content
    assert others.json()["code"] == ("message_not_found" if route == "feedback" else "session_not_found")


@pytest.mark.parametrize("route", OF_A_SESSION)
@pytest.mark.parametrize("manager", ["owner", "admin"])
def test_managers_read_all_and_touch_their_own(server: Server, guest: httpx.Client, manager: str, route: str) -> None:
    """AG-4."""
    theirs = ids_of(guest)
    with clients.http(server, manager) as client:
        answer = call(client, route, theirs)
    assert answer.status_code == (200 if route in READS else 404)


@pytest.mark.parametrize("query", ["chat/sessions?user=all", "chat/history/persistent?user_filter=false"])
def test_everybodys_is_for_managers(server: Server, owner: httpx.Client, guest: httpx.Client, query: str) -> None:
    """AG-3, R2.4: for users 403, for a manager's key without the scope too."""
    theirs = ids_of(guest)
    assert theirs["SESSION"] in owner.get(path("chatter", query)).text
    assert theirs["SESSION"] not in owner.get(path("chatter", query.partition("?")[0])).text
    refused = guest.get(path("chatter", query))
    assert (refused.status_code, refused.json()["code"]) == (403, "manager_required")
    with clients.http(server, "owner:read+run") as client:
        refused = client.get(path("chatter", query))
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert client.get(path("chatter", "chat", "sessions", theirs["SESSION"])).status_code == 404


def test_scopes_of_keys(server: Server) -> None:
    """R1.4: `run` reads back what the same key started, and changes; `read` reads all and changes nothing."""
    with clients.http(server, "guest:run") as runs, clients.http(server, "guest:read") as reads:
        own = ids_of(runs)
        got = {route: (call(runs, route, own).status_code, call(reads, route, own).status_code) for route in ROUTES if route != "delete"}
    lists = ("list", "persistent")
    changes = ("feedback", "rename", "close", "chat", "edit", "regenerate", "reset")
    assert {route for route, (mine, _) in got.items() if mine == 403} == set(lists)
    assert {route for route, (_, theirs) in got.items() if theirs == 403} == set(changes)


def test_a_key_reads_no_session_that_others_had_a_part_in(server: Server, guest: httpx.Client) -> None:
    """R1.4: what the same key itself started."""
    own = ids_of(guest)
    with clients.http(server, "guest:run") as client:
        assert told(client, session_id=own["SESSION"])["response"] == ANSWER
        for route in (*READS, "history", "current"):
            assert call(client, route, own).status_code == 403, route


# Agents


def test_the_agents_one_may_use(server: Server, owner: httpx.Client) -> None:
    """AG-8."""
    shown = owner.get("/api/agents").json()
    names = [agent["name"] for agent in shown]
    assert names == sorted(names)
    by_name = {agent["name"]: agent for agent in shown}
    assert {tuple(agent) for agent in shown} == {tuple(AGENT.split())}
    assert (by_name["chatter"]["can_manage"], by_name["two-tools"]["can_manage"]) == (True, False)
    assert (by_name["chatter"]["status"], by_name["switched-off"]["status"]) == ("running", "stopped")
    assert owner.get(path("chatter")).json() == by_name["chatter"]
    with clients.http(server, "stranger") as client:
        assert "chatter" not in {agent["name"] for agent in client.get("/api/agents").json()}
    with clients.http(server, None) as client:
        assert client.get("/api/agents").status_code == 401


# Shapes


def test_a_session_with_its_messages(owner: httpx.Client) -> None:
    """AG-22, AG-23."""
    own = ids_of(owner)
    shown = session(owner, own["SESSION"])
    assert list(shown) == ["session", "message_count", "messages"]
    assert list(shown["session"]) == SESSION.split()
    assert shown["session"] | {"id": 0, "started_at": 0, "last_message_at": 0, "user_id": 0} == {
        "id": 0, "agent_name": "chatter", "user_id": 0, "user_email": "owner@example.com", "started_at": 0, "last_message_at": 0,
        "message_count": 2, "total_cost": None, "total_context_used": 412, "total_context_max": 128000, "status": "active",
        "title": "What changed?", "wire": "agents",
    }  # fmt: skip
    question, answer = shown["messages"]
    assert set(question) == set(answer) >= set(MESSAGE.split()) | {"parent_id", "active"}
    assert (question["role"], question["content"], question["parent_id"], question["cost"]) == ("user", "What changed?", None, None)
    assert (answer["role"], answer["content"], answer["parent_id"]) == ("assistant", ANSWER, question["id"])
    assert (answer["context_used"], answer["context_max"], answer["output_tokens"]) == (412, 128000, 9)
    assert answer["execution_id"] == question["execution_id"]
    assert answer["tool_calls"] == []


def test_tool_calls_are_an_array(owner: httpx.Client) -> None:
    """AG-22."""
    calls = script("When?", tools=[{"name": "ag_clock", "arguments": {"timezone": "UTC"}}], text="Now.")
    session_id = fresh(owner, calls, "two-tools")
    (found,) = session(owner, session_id, "two-tools")["messages"][1]["tool_calls"]
    assert list(found) == ["id", "tool", "input", "output", "success", "duration_ms"]
    assert (found["tool"], found["input"], found["success"]) == ("ag_clock", {"timezone": "UTC"}, True)
    assert isinstance(found["output"], str)


def test_the_current_session_in_numbers(owner: httpx.Client) -> None:
    """AG-22, AG-24: zeros and null ids when there is none; a reset is repeatable and deletes nothing."""
    session_id = fresh(owner)
    shown = get(owner, "session")
    assert list(shown) == CURRENT.split()
    assert (shown["session_id"], shown["message_count"], shown["context_tokens"], shown["context_percent"]) == (session_id, 2, 412, 0.3)
    assert texts(get(owner, "history")) == ["Hello", ANSWER]
    assert {tuple(message) for message in get(owner, "history")} == {("role", "content", "timestamp")}
    cleared = [owner.delete(path("chatter", "chat", "history")) for _ in range(2)]
    assert {answer.content for answer in cleared} == {
        b'{"status":"cleared","session_reset":true,"session":{"total_cost_usd":0.0,"context_tokens":0,"context_window":128000,"message_count":0}}'
    }
    assert get(owner, "session") == {
        "session_id": None, "session_started": None, "message_count": 0, "total_cost_usd": 0.0, "context_tokens": 0,
        "context_window": 128000, "context_percent": 0.0, "model": "fake",
    }  # fmt: skip
    assert get(owner, "history") == []
    assert session(owner, session_id)["session"]["status"] == "closed"


def test_a_reset_is_the_callers_own(owner: httpx.Client, guest: httpx.Client) -> None:
    """AG-24: no special right, and nobody else's session."""
    mine = fresh(owner)
    fresh(guest)
    guest.delete(path("chatter", "chat", "history"))
    assert get(owner, "session")["session_id"] == mine
    assert get(guest, "session")["session_id"] is None


# Lists


def next_of(response: httpx.Response) -> dict[str, str] | None:
    """The query of the next page."""
    link = response.headers.get("link")
    if link is None:
        return None
    address, rel = link.split("; ")
    assert rel == 'rel="next"'
    return {name: values[0] for name, values in parse_qs(urlsplit(address[1:-1]).query, keep_blank_values=True).items()}


def pages(client: httpx.Client, rest: str, key: str, **query: Any) -> list[list[dict[str, Any]]]:
    """The pages of a list, by its links."""
    found, asked = [], dict(query)
    while True:
        answer = client.get(path("other", "chat", rest), params=asked)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()[key])
        following = next_of(answer)
        if following is None:
            return found
        assert following | {"before": ""} == {name: str(value) for name, value in asked.items()} | {"before": ""}
        asked = following


@pytest.fixture(scope="module")
def five(server: Server) -> list[str]:
    """Five sessions of the guest with another agent, newest first."""
    with clients.http(server, "guest") as client:
        return [fresh(client, f"Tell me about {word} number", "other") for word in ("apples", "pears", "plums", "cherries", "quinces")][
            ::-1
        ]


def test_sessions_come_newest_first_in_pages(guest: httpx.Client, five: list[str]) -> None:
    """AG-5, AG-22, AG-23."""
    found = pages(guest, "sessions", "sessions", limit=2)
    assert [len(page) for page in found] == [2, 2, 1]
    assert [row["id"] for page in found for row in page] == five
    whole = get(guest, "sessions", agent="other")
    assert (list(whole), whole["session_count"]) == (["agent_name", "session_count", "sessions"], 5)


def test_sessions_by_their_state(guest: httpx.Client, five: list[str]) -> None:
    assert [row["id"] for row in get(guest, "sessions", agent="other", status="active")["sessions"]] == five[:1]
    assert [row["id"] for page in pages(guest, "sessions", "sessions", limit=3, status="closed") for row in page] == five[1:]


@pytest.mark.parametrize(
    ("words", "found"),
    [("plums", [2]), ("PEARS", [3]), ("how can i help", [0, 1, 2, 3, 4]), ("100%", []), ("_", []), ("", [0, 1, 2, 3, 4])],
)
def test_sessions_by_what_was_said(guest: httpx.Client, five: list[str], words: str, found: list[int]) -> None:
    """AG-22: title and text; % and _ are themselves."""
    assert [row["id"] for row in get(guest, "sessions", agent="other", q=words)["sessions"]] == [five[index] for index in found]
    assert [row["id"] for page in pages(guest, "sessions", "sessions", limit=2, q=words) for row in page] == [five[i] for i in found]


def test_history_over_all_sessions_comes_newest_first(guest: httpx.Client, five: list[str]) -> None:
    """AG-22, AG-23: with or without pages."""
    whole = get(guest, "history", "persistent", agent="other")
    assert (list(whole), whole["message_count"]) == (["agent_name", "message_count", "messages"], 10)
    assert {tuple(message) for message in whole["messages"]} >= {tuple(message) for message in whole["messages"][:1]}
    assert [message["session_id"] for message in whole["messages"]] == [session_id for session_id in five for _ in range(2)]
    assert [message["role"] for message in whole["messages"]] == ["assistant", "user"] * 5
    times = [message["timestamp"] for message in whole["messages"]]
    assert times == sorted(times, reverse=True)
    paged = pages(guest, "history/persistent", "messages", limit=3)
    assert [len(page) for page in paged] == [3, 3, 3, 1]
    assert [message for page in paged for message in page] == whole["messages"]


def test_messages_of_a_session_in_pages(owner: httpx.Client) -> None:
    """AG-22: the newest ones, oldest first; who their parents are does not depend on the page."""
    session_id = fresh(owner, "One")
    for word in ("Two", "Three"):
        told(owner, word, session_id=session_id)
    whole = session(owner, session_id)["messages"]
    found: list[dict[str, Any]] = []
    query: dict[str, Any] | None = {"limit": 4}
    while query is not None:
        answer = owner.get(path("chatter", "chat", "sessions", session_id), params=query)
        found = answer.json()["messages"] + found
        query = next_of(answer)
    assert found == whole
    assert texts(whole)[::2] == ["One", "Two", "Three"]
    assert [message["parent_id"] for message in whole] == [None, *(message["id"] for message in whole[:-1])]


@pytest.mark.parametrize(
    ("rest", "most"),
    [("sessions", 200), ("history/persistent", 1000), ("sessions/SESSION", 1000)],
    ids=["sessions", "persistent", "messages"],
)
def test_bad_pages_are_422(owner: httpx.Client, rest: str, most: int) -> None:
    """AG-5: never taken for "no filter"."""
    rest = rest.replace("SESSION", ids_of(owner)["SESSION"])
    bad = [("limit", value) for value in ("0", "-1", "x", "", "1.5", str(most + 1), "9" * 30)]
    bad += [("before", value) for value in ("", "x", str(uuid4()), "\0")]
    for name, value in bad:
        answer = owner.get(path("chatter", "chat", rest), params={name: value})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", name]), (name, value)
    assert owner.get(path("chatter", "chat", rest), params={"limit": most}).status_code == 200


@pytest.mark.parametrize(
    ("rest", "name", "value"),
    [
        ("sessions", "status", "open"),
        ("sessions", "status", ""),
        ("sessions", "user", "me"),
        ("sessions", "q", "x" * 201),
        ("sessions", "q", "a\0b"),
        ("history/persistent", "user_filter", "no"),
        ("sessions/SESSION", "branch", "left"),
        ("sessions/SESSION/export", "format", "pdf"),
    ],
)
def test_bad_filters_are_422(owner: httpx.Client, rest: str, name: str, value: str) -> None:
    """AG-5."""
    rest = rest.replace("SESSION", ids_of(owner)["SESSION"])
    answer = owner.get(path("chatter", "chat", rest), params={name: value})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", name])


def test_a_page_does_not_begin_at_what_is_others(owner: httpx.Client, guest: httpx.Client) -> None:
    """AG-5, R2.3."""
    theirs = ids_of(guest)
    assert owner.get(path("chatter", "chat", "sessions"), params={"before": theirs["SESSION"]}).status_code == 422
    assert owner.get(path("chatter", "chat", "history", "persistent"), params={"before": theirs["MESSAGE"]}).status_code == 422


# Changing


@pytest.mark.parametrize("title", ["", "Ärger 🌍", "x" * 200])
def test_a_session_gets_its_title(owner: httpx.Client, title: str) -> None:
    own = ids_of(owner)
    answer = owner.patch(path("chatter", "chat", "sessions", own["SESSION"]), json={"title": title})
    assert (answer.status_code, answer.json()["title"]) == (200, title)
    assert session(owner, own["SESSION"])["session"] == answer.json()


@pytest.mark.parametrize("body", [{}, {"title": None}, {"title": 5}, {"title": "x" * 201}])
def test_bad_titles_are_422(owner: httpx.Client, body: dict[str, Any]) -> None:
    answer = owner.patch(path("chatter", "chat", "sessions", ids_of(owner)["SESSION"]), json=body)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "title"])


def test_feedback_is_kept_and_taken_back(owner: httpx.Client) -> None:
    own = ids_of(owner)
    address = path("chatter", "chat", "messages", own["MESSAGE"], "feedback")
    given = [({"rating": -1, "comment": "No."}, "No."), ({"rating": 1}, None), ({"rating": None}, None)]
    for body, comment in given:
        answer = owner.put(address, json=body)
        assert answer.json() == {"message_id": own["MESSAGE"], "rating": body["rating"], "comment": comment}
        assert session(owner, own["SESSION"])["messages"][1]["rating"] == body["rating"]


@pytest.mark.parametrize(
    "body", [{}, {"rating": 0}, {"rating": 2}, {"rating": True}, {"rating": "1"}, {"rating": 1, "comment": "x" * 2001}]
)
def test_bad_feedback_is_422(owner: httpx.Client, body: dict[str, Any]) -> None:
    own = ids_of(owner)
    assert owner.put(path("chatter", "chat", "messages", own["MESSAGE"], "feedback"), json=body).status_code == 422


def test_only_answers_have_feedback(owner: httpx.Client) -> None:
    own = ids_of(owner)
    for unknown in (own["QUESTION"], str(uuid4()), "nonsense"):
        answer = owner.put(path("chatter", "chat", "messages", unknown, "feedback"), json={"rating": 1})
        assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")


# Download


def test_a_session_as_a_download(owner: httpx.Client) -> None:
    """AG-22."""
    own = ids_of(owner)
    whole = owner.get(path("chatter", "chat", "sessions", own["SESSION"], "export"))
    assert whole.headers["content-disposition"] == f'attachment; filename="session-{own["SESSION"]}.json"'
    assert whole.headers["content-type"] == "application/json"
    shown = session(owner, own["SESSION"], branch="all")
    assert whole.json() == {"session": shown["session"], "messages": shown["messages"]}
    text = owner.get(path("chatter", "chat", "sessions", own["SESSION"], "export"), params={"format": "md"})
    assert text.headers["content-disposition"] == f'attachment; filename="session-{own["SESSION"]}.md"'
    assert text.headers["content-type"] == "text/markdown; charset=utf-8"
    assert text.text.startswith("# What changed?\n")
    assert ANSWER in text.text


def test_no_message_of_a_markdown_export_passes_for_another(owner: httpx.Client) -> None:
    """Headings, fences and HTML that a message opens end with it."""
    said = ["# User\n\n## chatter · now\nSetext\n===", "```\nnever closed", "<!-- never closed", "    ## code\r## chatter"]
    session_id = fresh(owner, said[0])
    for text in said[1:]:
        told(owner, text, session_id=session_id)
    exported = owner.get(path("chatter", "chat", "sessions", session_id, "export"), params={"format": "md"}).text
    tokens = MarkdownIt().parse(exported)
    headings = [
        tokens[at + 1].content.split(" · ")[0] for at, token in enumerate(tokens) if token.type == "heading_open" and not token.level
    ]
    assert headings[1:] == ["User", "chatter"] * 4


# Deleting


def test_a_deleted_session_is_gone(owner: httpx.Client) -> None:
    """AG-22: executions keep their numbers, without text, at once."""
    session_id = fresh(owner, "The word is swordfish")
    told(owner, "And 8", session_id=session_id)
    execution_id = session(owner, session_id)["messages"][1]["execution_id"]
    before = owner.get(f"/api/executions/{execution_id}").json()
    assert "The word is swordfish" in str(before)
    assert owner.delete(path("chatter", "chat", "sessions", session_id)).status_code == 204
    assert owner.delete(path("chatter", "chat", "sessions", session_id)).status_code == 404
    assert owner.get(path("chatter", "chat", "sessions", session_id)).status_code == 404
    assert ask(owner, session_id=session_id).status_code == 404
    assert get(owner, "session")["session_id"] is None
    after = owner.get(f"/api/executions/{execution_id}").json()
    assert (after["status"], after["usage"], after["session_id"], after["message"]) == ("success", before["usage"], None, "")
    for answer in (
        owner.get(f"/api/executions/{execution_id}"),
        owner.get(f"/api/executions/{execution_id}/stream"),
        owner.get(path("chatter", "executions")),
        owner.get(path("chatter", "chat", "history", "persistent")),
        owner.get(path("chatter", "chat", "sessions"), params={"q": "swordfish"}),
    ):
        assert "The word is swordfish" not in answer.text
        assert ANSWER not in answer.text or "persistent" in str(answer.url)


def test_files_that_came_with_messages_go_with_them(server: Server, owner: httpx.Client) -> None:
    """AG-7, AG-22: uploads are their owner's, and stay."""
    media = server.data_dir / "uploads"
    kept = owner.post("/attachment/v1/upload", files={"file": ("plan.txt", b"Attack at dawn", "text/plain")}).json()["attachmentId"]
    before = stored_in(media)
    session_id = fresh(
        owner, "Read", attachments=[kept], files=[{"name": "n.txt", "mimetype": "text/plain", "data_base64": "QnV5IG1pbGs="}]
    )
    assert len(stored_in(media)) == len(before) + 1
    owner.delete(path("chatter", "chat", "sessions", session_id))
    assert stored_in(media) == before
    assert ask(owner, "Read", attachments=[kept]).status_code == 200


def stored_in(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file()}


def test_deleting_stops_the_running_turn(owner: httpx.Client) -> None:
    """AG-22, R6.5: also one that waits for its place."""
    session_id = fresh(owner)
    with ThreadPoolExecutor(1) as pool, streamed(owner, script(chunks=500, delay_ms=20), session_id=session_id) as first:
        lines = first.iter_lines()
        next(lines)
        second = pool.submit(ask, owner, "Second", session_id=session_id)
        runs = until(lambda: two_of(owner, session_id))
        assert owner.delete(path("chatter", "chat", "sessions", session_id)).status_code == 204
        assert orjson.loads(list(lines)[-1])["subtype"] == "cancelled"
        assert (second.result().status_code, second.result().json()["code"]) == (409, "cancelled")
    for run in runs:
        assert owner.get(f"/api/executions/{run}").json()["status"] == "cancelled"
        assert "tok tok" not in owner.get(f"/api/executions/{run}").text


def two_of(client: httpx.Client, session_id: str) -> list[str] | None:
    """Both open runs of the conversation, once they are there."""
    rows = client.get(path("chatter", "executions", "running")).json()["executions"]
    found = [row["id"] for row in rows if row["session_id"] == session_id]
    return found if len(found) == 2 else None


# Branches


def test_an_edited_message_makes_a_branch(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-26: what was left is stored, marked, and out of the model's sight."""
    session_id = fresh(owner, "One")
    told(owner, "Two", session_id=session_id)
    told(owner, "Three", session_id=session_id)
    before = session(owner, session_id)["messages"]
    told(owner, "Other", session_id=session_id, edit_of=before[2]["id"])
    assert [message["content"] for message in upstream.last["body"]["messages"]] == ["One", ANSWER, "Other"]
    now = session(owner, session_id)["messages"]
    assert texts(now) == ["One", ANSWER, "Other", ANSWER]
    assert now[2]["parent_id"] == before[1]["id"]
    everything = session(owner, session_id, branch="all")["messages"]
    assert texts(everything) == ["One", ANSWER, "Two", ANSWER, "Three", ANSWER, "Other", ANSWER]
    assert [message["active"] for message in everything] == [True, True, False, False, False, False, True, True]
    parents = {message["id"]: message["parent_id"] for message in everything}
    assert parents == {message["id"]: message["parent_id"] for message in [*before, *now]}
    assert session(owner, session_id)["session"]["message_count"] == 8
    assert texts(get(owner, "history")) == texts(now)


def test_the_first_message_can_be_edited(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-26: the branch has no parent."""
    own = ids_of(owner)
    for text in ("Second try", "Third try"):
        told(owner, text, session_id=own["SESSION"], edit_of=own["QUESTION"])
        assert [message["content"] for message in upstream.last["body"]["messages"]] == [text]
    everything = session(owner, own["SESSION"], branch="all")["messages"]
    assert [message["parent_id"] for message in everything[::2]] == [None] * 3
    assert texts(session(owner, own["SESSION"])["messages"]) == ["Third try", ANSWER]


def test_an_answer_is_asked_again(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-26: the same question, files and all; `message` is not sent."""
    session_id = fresh(owner, "One")
    told(owner, "Two", session_id=session_id, files=[{"name": "n.txt", "mimetype": "text/plain", "data_base64": "QnV5IG1pbGs="}])
    asked = upstream.last["body"]["messages"]
    before = session(owner, session_id)["messages"]
    answer = owner.post(path("chatter", "chat"), json={"session_id": session_id, "regenerate_of": before[3]["id"], "message": ""})
    assert answer.status_code == 200, answer.text
    assert upstream.last["body"]["messages"] == asked
    now = session(owner, session_id)["messages"]
    assert texts(now) == texts(before)
    assert now[3]["id"] != before[3]["id"]
    assert now[2]["files"] == before[2]["files"]
    left = [message for message in session(owner, session_id, branch="all")["messages"] if not message["active"]]
    assert before[3]["id"] in {message["id"] for message in left}


def test_a_branch_that_was_left_can_be_gone_on_with(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-26: editing a message there brings back what came before it, and nothing else."""
    session_id = fresh(owner, "One")
    told(owner, "Two", session_id=session_id)
    first, _, second, _ = session(owner, session_id)["messages"]
    told(owner, "Anew", session_id=session_id, edit_of=first["id"])
    told(owner, "Anew two", session_id=session_id)
    told(owner, "Two again", session_id=session_id, edit_of=second["id"])
    assert [message["content"] for message in upstream.last["body"]["messages"]] == ["One", ANSWER, "Two again"]
    told(owner, "Three", session_id=session_id)
    assert [message["content"] for message in upstream.last["body"]["messages"]] == ["One", ANSWER, "Two again", ANSWER, "Three"]
    assert texts(session(owner, session_id)["messages"]) == ["One", ANSWER, "Two again", ANSWER, "Three", ANSWER]


def test_a_beginning_that_was_left_begins_anew(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-26: nothing comes before it, whichever branch goes on when it is edited."""
    session_id = fresh(owner, "One")
    first, answer = session(owner, session_id)["messages"]
    told(owner, "Anew", session_id=session_id, edit_of=first["id"])
    anew = session(owner, session_id)["messages"][0]
    told(owner, "Two", session_id=session_id, after=answer["id"])
    told(owner, "Anew again", session_id=session_id, edit_of=anew["id"])
    assert [message["content"] for message in upstream.last["body"]["messages"]] == ["Anew again"]
    assert texts(session(owner, session_id)["messages"]) == ["Anew again", ANSWER]


def test_a_message_that_waits_can_be_edited(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-26, R8.1: it has its place before the edited one takes it."""
    session_id, slow = fresh(owner, "One"), upstream.hold()
    with ThreadPoolExecutor(3) as pool, clients.http_of(owner) as second, clients.http_of(owner) as third:
        asked = [pool.submit(told, second, slow.message, session_id=session_id)]
        until(lambda: len(session(owner, session_id)["messages"]) == 3)
        asked.append(pool.submit(told, third, "Three", session_id=session_id))
        until(lambda: len(session(owner, session_id)["messages"]) == 4)
        waits = session(owner, session_id)["messages"][3]["id"]
        edited = pool.submit(told, owner, "Edited", session_id=session_id, edit_of=waits)
        until(lambda: statuses(owner, "chatter").count("queued") == 2)
        slow.release()
        [each.result() for each in (*asked, edited)]
    assert texts(session(owner, session_id)["messages"]) == ["One", ANSWER, slow.message, ANSWER, "Edited", ANSWER]


def test_a_branch_that_is_left_while_another_waits(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-26: what comes before is found when the turn begins, not when it was asked for."""
    session_id = fresh(owner, "One")
    told(owner, "Two", session_id=session_id)
    first, _, _, answer = session(owner, session_id)["messages"]
    slow = upstream.hold()
    with ThreadPoolExecutor(2) as pool, clients.http_of(owner) as second:
        edited = pool.submit(told, second, slow.message, session_id=session_id, edit_of=first["id"])
        until(lambda: session(owner, session_id)["messages"][0]["content"] == slow.message)
        again = pool.submit(owner.post, path("chatter", "chat"), json={"session_id": session_id, "regenerate_of": answer["id"]})
        until(lambda: "queued" in statuses(owner, "chatter"))
        slow.release()
        assert again.result().status_code == 200, again.result().text
        edited.result()
    assert [message["content"] for message in upstream.last["body"]["messages"]] == ["One", ANSWER, "Two"]
    assert texts(session(owner, session_id)["messages"]) == ["One", ANSWER, "Two", ANSWER]


def test_messages_elsewhere_cannot_be_branched_from(owner: httpx.Client, guest: httpx.Client) -> None:
    """AG-26: of another session, of others, of the wrong side: 404, and nothing is made."""
    there, here = ids_of(owner), ids_of(owner)
    theirs = ids_of(guest)
    for unknown in (there["QUESTION"], theirs["QUESTION"], here["MESSAGE"], str(uuid4()), "nonsense"):
        answer = ask(owner, "Other", edit_of=unknown)
        assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found"), unknown
    for unknown in (there["MESSAGE"], theirs["MESSAGE"], here["QUESTION"]):
        answer = owner.post(path("chatter", "chat"), json={"regenerate_of": unknown})
        assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found"), unknown
    assert session(owner, here["SESSION"])["message_count"] == 2


def test_a_branch_waits_for_the_running_turn(owner: httpx.Client) -> None:
    """R8.1: and then cuts off what that turn said, too."""
    own = ids_of(owner)
    with streamed(owner, script(chunks=10, delay_ms=30), session_id=own["SESSION"]) as first:
        read = first.iter_lines()
        next(read)
        told(owner, "Other", session_id=own["SESSION"], edit_of=own["QUESTION"])
        list(read)
    assert texts(session(owner, own["SESSION"])["messages"]) == ["Other", ANSWER]


def test_ways_that_are_not_there(owner: httpx.Client) -> None:
    """R3.1: Allow names what is."""
    answer = owner.put(path("chatter", "chat", "sessions"))
    assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "method_not_allowed", "GET")
    assert owner.get(path("chatter", "chat", "nothing")).status_code == 404
    assert owner.get(path("chatter", "chat", "sessions") + "/").status_code == 200
