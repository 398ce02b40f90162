"""Visitors of public links (AG-54 … AG-60): one 404, sessions exactly as issued, limits, quotas, streams, and nobody else's runs."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import orjson
import pytest

from tests.conftest import NewServer
from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import early_in_the_minute, until
from tests.wire import publicwire
from tests.wire.publicwire import Visitor, make

pytestmark = pytest.mark.live
TOOL = '/demo tool pub_clock {"timezone": "Europe/Oslo"}\n/demo text It is late.'
ANSWER = ["response", "session_id", "message_count", "usage", "execution_id", "session_restarted"]
LINK_INVALID = b'{"detail":"Invalid or expired link","code":"link_invalid",'


@pytest.fixture(scope="module")
def site(module_server: NewServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    server = module_server(env=publicwire.environment(tmp_path_factory.mktemp("mails")))
    publicwire.prepare(server)
    return server


@pytest.fixture(scope="module")
def shared_link(site: Server) -> dict[str, Any]:
    return make(site)


@pytest.fixture
def visitor(site: Server, shared_link: dict[str, Any]) -> Iterator[Visitor]:
    with Visitor(site, shared_link) as client:
        yield client


def script(**written: Any) -> str:
    return orjson.dumps(written).decode()


# Messages and their history


def test_what_is_sent_and_answered_is_read_back_with_the_returned_id(visitor: Visitor) -> None:
    """AG-56: POST chat, then GET history with the id exactly as issued."""
    answer = visitor.say("When do you open?").json()
    assert list(answer) == ANSWER
    assert answer["session_id"].startswith("session_")
    assert len(answer["session_id"]) == len("session_") + 43
    assert (answer["response"], answer["message_count"], answer["usage"], answer["session_restarted"]) == (
        "Hello! How can I help?", 2, None, False,
    )  # fmt: skip
    history = visitor.history(session_id=answer["session_id"])
    assert (history["session_id"], history["message_count"]) == (answer["session_id"], 2)
    assert [(message["role"], message["content"]) for message in history["messages"]] == [
        ("user", "When do you open?"), ("assistant", "Hello! How can I help?"),
    ]  # fmt: skip
    assert [list(message) for message in history["messages"]] == [["role", "content", "timestamp"]] * 2


def test_the_model_reads_the_conversation_once(visitor: Visitor, upstream: FakeUpstream) -> None:
    """AG-57: history is read before the new message is stored."""
    visitor.say("one")
    assert visitor.say("two").json()["message_count"] == 4
    sent = [message["content"] for message in upstream.last["body"]["messages"] if message["role"] != "system"]
    assert sent == ["one", "Hello! How can I help?", "two"]


def changed_case(session_id: str) -> str:
    return session_id.lower() if session_id != session_id.lower() else session_id.upper()


@pytest.mark.parametrize("other", ["", "session_" + "A" * 43, "x", "email:" + "0" * 64, "8b1f2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"])
def test_an_unknown_session_is_a_new_one(visitor: Visitor, other: str) -> None:
    """AG-56: ids are compared exactly."""
    known = visitor.say("Hello").json()["session_id"]
    unknown = other or changed_case(known)
    answer = visitor.say("Hello", session_id=unknown).json()
    assert answer["session_restarted"] is True
    assert answer["session_id"] not in (known, unknown)
    assert visitor.history(session_id=unknown) == {"messages": [], "session_id": None, "message_count": 0}


def test_a_session_of_another_link_is_unknown(site: Server, visitor: Visitor) -> None:
    """AG-56, R2.2: also to the managers' other link of the same agent."""
    session = {"session_id": visitor.say("Hello").json()["session_id"]}
    with Visitor(site, make(site)) as other:
        assert other.history(**session)["messages"] == []
        assert other.say("Hello", **session).json()["session_restarted"] is True


def test_the_conversation_s_own_uuid_is_no_key_to_it(site: Server, visitor: Visitor) -> None:
    """AG-56: managers know it, and it is not a secret."""
    execution_id = visitor.say("Hello").json()["execution_id"]
    with clients.http(site) as owner:
        session_id = owner.get(f"/api/executions/{execution_id}").json()["session_id"]
    assert visitor.history(session_id=session_id)["messages"] == []


def test_history_without_a_session_is_empty(visitor: Visitor) -> None:
    empty = {"messages": [], "session_id": None, "message_count": 0}
    assert visitor.get(f"/api/public/history/{visitor.token}").json() == empty
    assert visitor.get(f"/api/public/history/{visitor.token}?session_id=%00").json() == empty


def test_history_for_our_page_has_html_and_tool_names(site: Server) -> None:
    with Visitor(site, make(site, "pub-tools")) as visitor:
        visitor.say(TOOL + "\n/demo text **bold**")
        user, assistant = visitor.history(**visitor.session, render="html")["messages"]
    assert (user["parts"], user["incomplete"]) == ([], False)
    assert assistant["parts"][0] == {"type": "tool", "name": "pub_clock", "ok": True}
    assert "<p>It is late." in assistant["parts"][1]["html"]


# Beginning anew


def test_clearing_begins_a_conversation_under_the_new_id(site: Server, visitor: Visitor, shared_link: dict[str, Any]) -> None:
    old = visitor.say("Old").json()
    cleared = visitor.delete(f"/api/public/session/{visitor.token}", params=visitor.session).json()
    assert list(cleared) == ["cleared", "new_session_id"]
    assert cleared["cleared"] is True
    assert visitor.history()["messages"] == []
    answer = visitor.say("New", session_id=cleared["new_session_id"]).json()
    assert (answer["session_id"], answer["session_restarted"], answer["message_count"]) == (cleared["new_session_id"], False, 2)
    with clients.http(site) as owner:  # what was said stays for managers
        assert owner.get(f"/api/executions/{old['execution_id']}").json()["message"] == "Old"


def test_clearing_needs_a_session(visitor: Visitor) -> None:
    answer = visitor.delete(f"/api/public/session/{visitor.token}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert visitor.delete(f"/api/public/session/{visitor.token}?session_id=unknown").json()["cleared"] is True


# One 404


def invalid_links(site: Server) -> dict[str, str]:
    """A token of every kind that is not valid."""
    disabled, unshared, deleted = make(site), make(site, "pub-shared"), make(site)
    publicwire.change(site, disabled, enabled=False)
    site.manage("shell", "-c", f"from chat.models import *; ShareToken.objects.filter(token='{deleted['token']}').delete()")
    expired = make(site)
    update = "update(expires_at='2020-01-01T00:00:00Z')"
    unshare = "Agent.objects.get(name='pub-shared'); a.shareable=False; a.save()"
    code = f"from chat.models import *; ShareToken.objects.filter(token='{expired['token']}').{update}; a={unshare}"
    site.manage("shell", "-c", f"from agents.models import Agent; {code}")
    tokens = {"disabled": disabled, "expired": expired, "not shareable": unshared, "deleted": deleted}
    malformed = {"unknown": "A" * 32, "short": "abc", "long": "A" * 33, "odd": "A" * 31 + ".", "upper": make(site)["token"].swapcase()}
    return {**{kind: link["token"] for kind, link in tokens.items()}, **malformed}


def test_every_invalid_link_is_the_same_404_on_every_route(site: Server) -> None:
    """AG-54."""
    tokens = invalid_links(site)
    run = uuid4()
    routes = [
        ("POST", "chat/TOKEN"), ("GET", "history/TOKEN"), ("DELETE", "session/TOKEN?session_id=x"),
        ("GET", f"executions/TOKEN/{run}/status"), ("GET", f"executions/TOKEN/{run}/stream"), ("POST", f"executions/TOKEN/{run}/terminate"),
    ]  # fmt: skip
    answers: dict[bytes, list[str]] = {}
    for kind, token in tokens.items():
        with Visitor(site, {"token": token}) as visitor:
            for method, route in routes:
                body = {"message": ""} if method == "POST" else None
                answer = visitor.request(
                    method, f"/api/public/{route.replace('TOKEN', token)}", json=body, headers={"x-request-id": "same"}
                )
                answers.setdefault(b"%d %b" % (answer.status_code, answer.content), []).append(f"{kind} {route}")
            for step in ("request", "confirm"):
                asked = {"token": token, "email": "a@example.com", "code": "000000"}
                answer = visitor.post(f"/api/public/verify/{step}", json=asked, headers={"x-request-id": "same"})
                answers.setdefault(b"%d %b" % (answer.status_code, answer.content), []).append(f"{kind} verify {step}")
            told = visitor.get(f"/api/public/link/{token}")
            assert (told.status_code, told.json()["valid"], told.json()["reason"]) == (200, False, "invalid_or_expired"), kind
    assert list(answers) == [b"404 " + LINK_INVALID + b'"request_id":"same"}'], answers


def test_what_a_valid_link_says(site: Server, visitor: Visitor) -> None:
    assert visitor.get(f"/api/public/link/{visitor.token}").json() == {
        "valid": True, "require_email": False, "agent_available": True, "reason": None, "agent_display_name": "Open",
        "agent_description": "Answers all.", "is_autonomous": False, "is_read_only": False,
    }  # fmt: skip
    off, mail = make(site, "pub-off")["token"], make(site, "pub-mail")["token"]
    assert visitor.get(f"/api/public/link/{off}").json()["agent_available"] is False
    assert visitor.get(f"/api/public/link/{mail}").json()["require_email"] is True


def test_a_link_to_an_agent_that_is_switched_off(site: Server) -> None:
    """AG-60."""
    link = make(site, "pub-off")
    with Visitor(site, link) as visitor:
        answer = visitor.say("Hello")
    assert (answer.status_code, answer.json()["code"]) == (503, "agent_not_running")
    assert publicwire.a_link(site, link)["usage_stats"] == {"total_messages": 0, "unique_visitors": 0, "last_used_at": None} | {
        "last_used_at": publicwire.a_link(site, link)["usage_stats"]["last_used_at"]
    }


# Bad requests


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "validation_error"),
        ({"message": ""}, 422, "validation_error"),
        ({"message": " \n"}, 422, "validation_error"),
        ({"message": 5}, 422, "validation_error"),
        ({"message": "x" * 200_001}, 422, "validation_error"),
        ({"message": "x", "session_id": 5}, 422, "validation_error"),
        ({"message": "x", "async_mode": "yes"}, 422, "validation_error"),
        ({"message": "x", "files": [{"name": "a"}]}, 422, "validation_error"),
        ({"message": "x", "session_id": "\0"}, 400, "invalid_json"),
        ([], 400, "invalid_request"),
    ],
    ids=str,
)
def test_bad_messages(visitor: Visitor, body: Any, status: int, code: str) -> None:
    answer = visitor.post(f"/api/public/chat/{visitor.token}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_null_is_absent_and_unknown_fields_are_ignored(visitor: Visitor) -> None:
    """R0.4."""
    fields = {"session_id": None, "session_token": None, "async_mode": None, "stream": None, "files": None, "model": "x"}
    assert visitor.say("Hello", **fields).status_code == 200


# Limits


def test_look_ups_of_an_address_are_limited(site: Server, shared_link: dict[str, Any]) -> None:
    """AG-55: 60 a minute over all visitor routes, misses included; another address is not concerned."""
    early_in_the_minute()
    with Visitor(site, {"token": "A" * 32}) as guessing, Visitor(site, shared_link) as other:
        with ThreadPoolExecutor(8) as pool:
            paths = [f"/api/public/{route}/{'A' * 32}" for route in ("link", "history", "chat")] * 40
            statuses = list(pool.map(lambda path: guessing.get(path).status_code, paths))
        assert set(statuses) == {200, 404, 405, 429}
        refused = guessing.get(f"/api/public/link/{shared_link['token']}")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert guessing.get(f"/chat/{shared_link['token']}").status_code == 429
        assert other.get(f"/api/public/link/{shared_link['token']}").status_code == 200


def statuses_of(visitor: Visitor, number: int) -> list[int]:
    return [visitor.say("Hello", async_mode=True).status_code for _ in range(number)]


def test_messages_of_an_address_are_limited(site: Server) -> None:
    """AG-55: 30 a minute, whatever link they go to. The minute may end meanwhile; then the next one is full."""
    first, second = make(site), make(site)
    address = publicwire.new_address()
    with Visitor(site, first, address) as one, Visitor(site, second, address) as two:
        statuses = statuses_of(one, 20) + statuses_of(two, 12)
        assert set(statuses) == {202, 429} or statuses == [202] * 32
        assert statuses.count(202) >= 30


def test_messages_of_a_link_are_limited(site: Server) -> None:
    """AG-55: 60 a minute from all addresses together."""
    link = make(site)
    found = []
    for _ in range(5):
        with Visitor(site, link) as visitor:
            found += statuses_of(visitor, 14)
    assert found.count(202) >= 60
    assert set(found) == {202, 429} or found == [202] * 70


def test_a_link_s_messages_run_out(site: Server) -> None:
    """AG-55: max_messages counts all user messages, also when they come together; refused ones and bad ones are not counted."""
    link = make(site, max_messages=3)
    with Visitor(site, link) as visitor:
        assert visitor.say("").status_code == 422
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: visitor.post(f"/api/public/chat/{link['token']}", json={"message": "Hello"}), range(6)))
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 3
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["code"] == "quota_exhausted"
        publicwire.change(site, link, max_messages=4)
        assert visitor.say("Hello").status_code == 200
    assert publicwire.a_link(site, link)["usage_stats"]["total_messages"] == 4


# Asking twice


def test_a_repeated_first_message_is_answered_as_the_first(site: Server) -> None:
    """R4.3: same text, same session, no second message in the link's quota; R4.1: another address's key is another key."""
    link = make(site, max_messages=2)
    with Visitor(site, link) as visitor, Visitor(site, link) as other:
        body, key = {"message": "Hello"}, {"idempotency-key": "k-1"}
        first, again = (visitor.post(f"/api/public/chat/{link['token']}", json=body, headers=key) for _ in range(2))
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == first.json()
        assert visitor.history(session_id=first.json()["session_id"])["message_count"] == 2
        stranger = other.post(f"/api/public/chat/{link['token']}", json=body, headers=key)
        assert "idempotent-replayed" not in stranger.headers
        assert stranger.json()["session_id"] != first.json()["session_id"]
    assert publicwire.a_link(site, link)["usage_stats"] | {"last_used_at": None} == {
        "total_messages": 2, "unique_visitors": 2, "last_used_at": None,
    }  # fmt: skip


def test_a_key_used_for_something_else(visitor: Visitor) -> None:
    visitor.say("Hello")
    key = {"idempotency-key": "k-2"}
    assert visitor.say("One", key).status_code == 200
    answer = visitor.say("Two", key)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


# Runs


def test_async_mode_is_accepted_and_followed(site: Server, visitor: Visitor) -> None:
    """AG-58."""
    answer = visitor.say("Hello", async_mode=True)
    told = answer.json()
    assert answer.status_code == 202
    assert list(told) == ["status", "execution_id", "agent_name", "session_id", "async_mode"]
    assert (told["status"], told["agent_name"], told["async_mode"]) == ("accepted", "pub-open", True)
    status = until(lambda: (found := visitor.run(told["execution_id"], "status").json())["status"] == "success" and found)
    assert status == {
        "execution_id": told["execution_id"], "status": "success", "response": "Hello! How can I help?", "error": None,
    }  # fmt: skip
    with clients.http(site) as owner:
        run = owner.get(f"/api/executions/{told['execution_id']}").json()
    assert (run["trigger"], run["wire"], run["source_user_id"]) == ("public", "public", None)


@pytest.mark.parametrize(("accept", "ends"), [("text/event-stream", "stream_end"), ("application/x-ndjson", "result")])
def test_streams(site: Server, accept: str, ends: str) -> None:
    """AG-58, AG-59, AG-9, AG-16."""
    with Visitor(site, make(site, "pub-tools")) as visitor:
        response, told = visitor.streamed(TOOL, accept)
        assert response.headers["content-type"].startswith(accept)
        session_id = response.headers["x-session-id"]
        assert visitor.history(session_id=session_id)["message_count"] == 2
        resumed = visitor.run(response.headers["x-execution-id"], "stream", session_id=session_id, after="3").text
    assert [line["type"] for line in told][-1] == ends
    assert (told[0]["subtype"], told[0]["session_id"], "model" in told[0]) == ("init", session_id, False)
    text = "".join(line["event"]["delta"]["text"] for line in told if line["type"] == "stream_event")
    assert "It is late." in text
    assert "Europe/Oslo" not in str(told)
    assert "pub_clock" in str(told)
    assert not [word for word in ("usage", "cost", "demo-fast", "claude") if word in str(told)]
    assert "x-ratelimit-limit-requests" not in response.headers
    assert "id: 2\n" not in resumed
    assert resumed.endswith('data: {"type":"stream_end"}\n\n')


def test_the_page_s_stream_has_html(site: Server) -> None:
    with Visitor(site, make(site, "pub-tools")) as visitor:
        url = f"/api/public/chat/{visitor.token}?render=html"
        answer = visitor.post(url, json={"message": "/demo text **Hello**"}, headers={"accept": "text/event-stream"})
    told = [orjson.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: ")]
    assert [line["html"] for line in told if line["type"] == "rendered"][-1] == ["<p><strong>Hello</strong></p>\n"]
    assert not [line for line in told if line["type"] == "stream_event"]


def test_runs_of_others_do_not_exist(site: Server, visitor: Visitor) -> None:
    """AG-58, R0.2: of another session, of another link, of a signed-in user, unknown, impossible, or asked without a session."""
    own = visitor.say("Hello").json()["execution_id"]
    with Visitor(site, {"token": visitor.token}) as other, Visitor(site, make(site)) as elsewhere, clients.http(site) as owner:
        foreign = [other.say("Hello").json()["execution_id"], elsewhere.say("Hello").json()["execution_id"]]
        signed_in = owner.post("/chat/run", json={"message": "Hello", "agent": "pub-open"}).headers["x-execution-id"]
        tried = [*foreign, signed_in, str(uuid4()), own.upper(), "x", "%00"]
        answers = set()
        for what, method in (("status", "GET"), ("stream", "GET"), ("terminate", "POST")):
            for execution_id in tried:
                answer = visitor.run(execution_id, what, method)
                answers.add((answer.status_code, answer.json()["code"]))
            assert other.run(own, what, method).status_code == 404
            answer = visitor.request(method, f"/api/public/executions/{visitor.token}/{own}/{what}")
            answers.add((answer.status_code, answer.json()["code"]))
    assert answers == {(404, "execution_not_found")}
    assert visitor.run(own, "status").json()["status"] == "success"


def test_stopping_keeps_what_was_said(visitor: Visitor) -> None:
    """AG-40, R9.1."""
    told = visitor.say(script(text="tok ", chunks=5, stall=True), async_mode=True).json()
    until(lambda: visitor.run(told["execution_id"], "status").json()["status"] == "running")
    assert visitor.run(told["execution_id"], "terminate", "POST").json() == {"status": "terminated", "execution_id": told["execution_id"]}
    assert visitor.run(told["execution_id"], "terminate", "POST").json()["status"] == "already_finished"
    status = visitor.run(told["execution_id"], "status").json()
    assert (status["status"], status["error"]) == ("cancelled", "The answer was stopped.")


def test_a_visitor_who_leaves_finds_the_answer(site: Server) -> None:
    """R6.2: the run goes on."""
    with Visitor(site, make(site, "pub-tools")) as visitor:
        visitor.say("Hello")
        body = {"message": "/demo text a b c d e f", **visitor.session}
        url = f"/api/public/chat/{visitor.token}?stream=sse"
        with visitor.stream("POST", url, json=body) as response:
            next(response.iter_bytes())
        until(lambda: visitor.history()["messages"][-1]["content"] == "a b c d e f")


@pytest.mark.parametrize(
    ("written", "status", "code"),
    [
        ({"status": 400, "error": '{"error": {"message": "upstream detail of fake"}}'}, 502, "provider_error"),
        ({"status": 503}, 503, "provider_unavailable"),
    ],
)
def test_failures_name_nobody(visitor: Visitor, written: dict[str, Any], status: int, code: str) -> None:
    """AG-60: neither model nor provider nor limits."""
    answer = visitor.say(script(**written))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not [word for word in ("fake", "provider", "upstream", "model") if word in answer.json()["detail"].lower()]
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    shown = visitor.run(answer.json()["execution_id"], "status", session_id="x")
    assert shown.status_code == 404


def test_a_failed_message_is_kept_and_its_retry_is_read_once(visitor: Visitor, upstream: FakeUpstream) -> None:
    """R9.2a."""
    visitor.say("Hello")
    failing = script(status=500, fail_first=9, key=str(uuid4()))
    assert visitor.say(failing).status_code >= 500
    assert visitor.history()["messages"][-1]["content"] == failing


# Approvals


def test_a_step_that_needs_approval_says_so_and_only_managers_decide(site: Server) -> None:
    """AG-59."""
    with Visitor(site, make(site, "pub-careful")) as visitor, clients.http(site) as owner, clients.http(site, "guest") as guest:
        answer = visitor.say(TOOL).json()
        assert list(answer) == [*ANSWER, "status"]
        assert (answer["status"], answer["response"]) == ("paused", "This step needs approval before it can continue.")
        status = visitor.run(answer["execution_id"], "status").json()
        assert (status["status"], status["response"]) == ("paused", "This step needs approval before it can continue.")
        (pending,) = owner.get(f"/api/executions/{answer['execution_id']}").json()["approvals"]
        path = f"/api/executions/{answer['execution_id']}/approvals/{pending['tool_call_id']}"
        assert visitor.post(path, json={"approve": True}).status_code == 401
        assert guest.post(path, json={"approve": True}).status_code == 404
        assert owner.post(path, json={"approve": True}).json()["decision"] == "approved"
        done = until(lambda: (found := visitor.run(answer["execution_id"], "status").json())["status"] == "success" and found)
        assert "It is late." in done["response"]
        assert "It is late." in visitor.history()["messages"][-1]["content"]


# Files


def test_small_files_come_with_the_message(site: Server, visitor: Visitor, upstream: FakeUpstream) -> None:
    """AG-7."""
    file = {"name": "prices.csv", "mimetype": "text/csv", "data_base64": "data:text/csv;base64," + base64.b64encode(b"tea,3").decode()}
    assert visitor.say("What does tea cost?", files=[file]).status_code == 200
    assert upstream.last["body"]["messages"][-1]["content"] == "What does tea cost?\n\n[file: prices.csv]\ntea,3"
    assert visitor.history()["messages"][0]["content"] == "What does tea cost?"


# Nobody else's way in


def test_an_api_key_is_neither_needed_nor_used(site: Server, visitor: Visitor) -> None:
    """R2.1: a link lets nobody to other agents, and credentials are not looked at here."""
    answer = visitor.say("Hello", {"authorization": "Bearer nonsense"})
    assert answer.status_code == 200
    assert visitor.get("/api/agents", headers={"authorization": f"Bearer {visitor.token}"}).status_code == 401


def test_tokens_and_sessions_stay_out_of_the_log(site: Server, visitor: Visitor) -> None:
    """R1.7."""
    visitor.say("Hello")
    visitor.history()
    visitor.get(f"/chat/{visitor.token}")
    log = until(lambda: (text := site.log) and f"/chat/{visitor.token[:6]}…" in text and text)
    assert visitor.token not in log
    assert visitor.session["session_id"] not in log


def test_wrong_methods(visitor: Visitor) -> None:
    answer = visitor.put(f"/api/public/chat/{visitor.token}", json={})
    assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "method_not_allowed", "POST")


def test_conversations_expire(new_server: NewServer, tmp_path: Path) -> None:
    """AG-56: an expired session is an unknown one."""
    server = new_server(env=publicwire.environment(tmp_path) | {"PUBLIC_SESSION_TTL": "1s"})
    publicwire.prepare(server)
    with Visitor(server, make(server)) as visitor:
        first = visitor.say("Hello").json()["session_id"]
        until(lambda: visitor.history(session_id=first)["session_id"] is None)
        assert visitor.say("Hello").json()["session_restarted"] is True


@pytest.mark.redis
@pytest.mark.postgres
def test_two_processes_serve_one_visitor(redis_pg_servers: tuple[Server, Server]) -> None:
    """AG-56, AG-58, R12.4: what one process answered the other one reads, follows and stops."""
    first, second = redis_pg_servers
    publicwire.prepare(first)
    link = make(first)
    with Visitor(first, link) as here, Visitor(second, link) as there:
        here.say("Hello")
        there.session = here.session
        assert there.history()["message_count"] == 2
        told = here.say(script(text="tok ", chunks=3, stall=True), async_mode=True).json()
        until(lambda: there.run(told["execution_id"], "status").json()["status"] == "running")
        assert there.run(told["execution_id"], "terminate", "POST").json()["status"] == "terminated"
        assert here.run(told["execution_id"], "status").json()["status"] == "cancelled"
    publicwire.change(second, link, enabled=False)
    with Visitor(first, link) as visitor:
        assert visitor.say("Hello").status_code == 404


def test_what_httpx_sees_is_json(visitor: Visitor) -> None:
    answer: httpx.Response = visitor.say("Hello")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-switchboard-agent"] == "pub-open"


@pytest.mark.parametrize("query", ["partial=nonsense", "stream=yes", "render=pdf", "partial="])
def test_a_query_that_means_nothing_is_422_and_begins_nothing(site: Server, query: str) -> None:
    """AG-5, AG-9, AG-18."""
    link = make(site)
    with Visitor(site, link) as visitor:
        answer = visitor.post(f"/api/public/chat/{link['token']}?{query}", json={"message": "Hello"})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", query.partition("=")[0]])
    assert publicwire.a_link(site, link)["usage_stats"]["total_messages"] == 0
