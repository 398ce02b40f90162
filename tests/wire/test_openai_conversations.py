"""`X-Conversation-Id` against a live server (openai.md section 10): hit, miss, off; branches; time and number; two at once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until
from tests.wire import openaiwire
from tests.wire.inturn import in_turn
from tests.wire.openaiwire import WEATHER, ask, content, error, heard, stream, user

pytestmark = pytest.mark.live
NewServer = Callable[..., Server]
ANSWER = "Hello! How can I help?"
SAID = {"role": "assistant", "content": ANSWER}


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    openaiwire.prepare(server)


@pytest.fixture
def named() -> dict[str, str]:
    return {"X-Conversation-Id": f"oai-{uuid4()}"}


def cache(response: httpx.Response) -> str:
    return response.headers["x-conversation-cache"]


def test_a_miss_opens_and_a_hit_goes_on(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-50, OAI-52, OAI-53."""
    first = ask(client, "One", headers=named)
    second, frames = stream(client, "Two", headers=named)
    assert (cache(first), cache(second)) == ("miss", "hit")
    assert first.headers["x-conversation-id"] == second.headers["x-conversation-id"] == named["X-Conversation-Id"]
    assert first.headers["x-session-id"] == second.headers["x-session-id"]
    assert content(frames) == ANSWER
    assert heard(upstream) == [("user", "One"), ("assistant", ANSWER), ("user", "Two")]


def test_an_empty_id_is_none(client: httpx.Client) -> None:
    """OAI-50: chat front ends fill templates with nothing."""
    assert "x-conversation-id" not in ask(client, "One", headers={"X-Conversation-Id": ""}).headers


def test_a_miss_starts_from_the_request_s_messages(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-53; instructions are those the conversation was opened with, new ones are ignored (OAI-52)."""
    ask(client, [{"role": "system", "content": "Rhyme."}, *user("One"), SAID, *user("Two")], headers=named)
    assert heard(upstream)[1:] == [("user", "One"), ("assistant", ANSWER), ("user", "Two")]
    ask(client, [{"role": "system", "content": "Do not rhyme."}, *user("Three")], headers=named)
    (_, instructions), *rest = heard(upstream)
    assert "Rhyme." in instructions
    assert "not rhyme" not in instructions
    assert [text for _, text in rest] == ["One", ANSWER, "Two", ANSWER, "Three"]


def test_clients_that_resend_everything_get_the_same(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-52: while their history agrees with ours, nothing is put into the prompt twice."""
    ask(client, "One", headers=named)
    again = ask(client, [*user(" One "), SAID, *user("Two")], headers=named)
    assert cache(again) == "hit"
    assert [text for _, text in heard(upstream)] == ["One", ANSWER, "Two"]


def test_an_edited_history_branches(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-52: the client's version wins from the first difference on; what was stored stays stored."""
    ask(client, "One", headers=named)
    left = ask(client, "Two", headers=named)
    ask(client, [*user("One"), {"role": "assistant", "content": "Edited."}, *user("Three")], headers=named)
    assert [text for _, text in heard(upstream)] == ["One", "Edited.", "Three"]
    ask(client, "Four", headers=named)
    assert [text for _, text in heard(upstream)] == ["One", "Edited.", "Three", ANSWER, "Four"]
    assert "Two" in client.get(f"/api/executions/{left.headers['x-execution-id']}").text


def test_asking_again_for_the_same_message_branches_there(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-52: a regenerate button."""
    ask(client, "One", headers=named)
    for said in ("Two", "Two", "Zwei"):
        ask(client, [*user("One"), SAID, *user(said)], headers=named)
        assert [text for _, text in heard(upstream)] == ["One", ANSWER, said]


def test_conversations_are_kept_apart(client: httpx.Client, server: Server, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-51: by principal (also two keys of one user), agent and id."""
    ask(client, "Secret", headers=named)
    with clients.http(server, "guest") as guest, clients.http(server, "owner:run") as owner_too:
        assert cache(ask(guest, "Hi", headers=named)) == "miss"
        assert cache(ask(owner_too, "Hi", headers=named)) == "miss"
    assert cache(ask(client, "Hi", model="oai-able", headers=named)) == "miss"
    assert "Secret" not in str(upstream.last)
    assert cache(ask(client, "Hi", headers=named)) == "hit"


def test_a_session_of_another_wire_goes_on_by_its_uuid(client: httpx.Client, server: Server, upstream: FakeUpstream) -> None:
    """OAI-51, OAI-52: of the same owner and agent; for others the UUID is a name like any."""
    opened = client.post("/chat/run", json={"message": "From elsewhere", "agent": "root"})
    session = {"X-Conversation-Id": opened.headers["x-session-id"]}
    here = ask(client, "Hi", headers=session)
    assert (cache(here), here.headers["x-session-id"]) == ("hit", session["X-Conversation-Id"])
    assert "From elsewhere" in str(upstream.last["body"])
    client.post("/chat/run", json={"message": "And back", "conversation_id": session["X-Conversation-Id"]})
    ask(client, "Last", headers=session)
    assert [text for _, text in heard(upstream)] == ["From elsewhere", ANSWER, "Hi", ANSWER, "And back", ANSWER, "Last"]
    assert cache(ask(client, "Hi", model="oai-able", headers=session)) == "miss"
    with clients.http(server, "stranger") as stranger:
        foreign = ask(stranger, "Hi", headers=session)
    assert (cache(foreign), foreign.headers["x-session-id"] == session["X-Conversation-Id"]) == ("miss", False)


def test_a_failed_turn_leaves_the_transcript_as_it_was(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-54: in every way a turn may fail."""
    ask(client, "First", headers=named)
    assert ask(client, upstream.script(status=500), headers=named).status_code >= 500
    _, frames = stream(client, upstream.script(chunks=2, cut=True), headers=named)
    assert "error" in frames[-2]
    ask(client, "Next", headers=named)
    assert [text for _, text in heard(upstream)] == ["First", ANSWER, "Next"]


def test_a_failed_turn_gives_back_the_branch_it_left(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-54: an edit, or a regenerated answer, that fails changes nothing; neither does failing twice."""
    ask(client, "One", headers=named)
    ask(client, "Two", headers=named)
    for edited in (SAID, {"role": "assistant", "content": "Edited."}, SAID):
        failed = ask(client, [*user("One"), edited, *user(upstream.script(status=500))], headers=named)
        assert failed.status_code >= 500
    ask(client, "Next", headers=named)
    assert [text for _, text in heard(upstream)] == ["One", ANSWER, "Two", ANSWER, "Next"]
    ask(client, [*user("One"), SAID, *user("Zwei")], headers=named)
    assert [text for _, text in heard(upstream)] == ["One", ANSWER, "Zwei"]


def test_a_branch_that_is_given_back_is_whole(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-52, OAI-54: what the client rewrote is part of it."""
    edited = {"role": "assistant", "content": "Edited."}
    ask(client, "One", headers=named)
    ask(client, [*user("One"), edited, *user("Two")], headers=named)
    assert ask(client, [*user("One"), edited, *user(upstream.script(status=500))], headers=named).status_code >= 500
    ask(client, "Next", headers=named)
    assert [text for _, text in heard(upstream)] == ["One", "Edited.", "Two", ANSWER, "Next"]


def test_open_calls_are_answered_by_trailing_results(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-52: with or without the rest of the history; a call without a result gets a word."""
    calls = [{"id": f"call_{n}", "name": "get_weather", "arguments": {"city": city}} for n, city in enumerate(("Oslo", "Rome"))]
    script = upstream.script(tools=calls, text="Cold.")
    ask(client, script, tools=[WEATHER], headers=named)
    done = ask(client, [{"role": "tool", "tool_call_id": "call_0", "content": "-3"}], tools=[WEATHER], headers=named)
    assert (cache(done), done.json()["choices"][0]["message"]["content"]) == ("hit", "Cold.")
    results = {message["tool_call_id"]: message["content"] for message in upstream.last["body"]["messages"] if message["role"] == "tool"}
    assert results == {"call_0": "-3", "call_1": "(no result supplied)"}
    ask(client, "Thanks", tools=[WEATHER], headers=named)
    assert [role for role, _ in heard(upstream)] == ["user", "assistant", "tool", "tool", "assistant", "user"]


def test_a_hit_needs_a_usable_message(client: httpx.Client, named: dict[str, str]) -> None:
    """OAI-52."""
    ask(client, "One", headers=named)
    refused = ask(client, [{"role": "system", "content": "x"}], headers=named)
    assert error(refused) == (400, "invalid_value", "messages")
    assert refused.json()["error"]["message"] == "no user message provided"


def test_a_paused_turn_goes_on_in_the_conversation(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-41: the result is in the next turn's history, for clients that resend the notice too."""
    script = upstream.script(tools=[{"name": "oai_clock", "arguments": {}}], text="It is late.")
    paused = ask(client, script, model="oai-asks", headers=named)
    pause, notice = paused.json()["switchboard"], paused.json()["choices"][0]["message"]["content"]
    execution, call = pause["execution_id"], pause["approvals"][0]["tool_call_id"]
    assert client.post(f"/api/executions/{execution}/approvals/{call}", json={"approve": True}).status_code == 200
    until(lambda: client.get(f"/api/executions/{execution}").json()["status"] == "success")
    again = [*user(script), {"role": "assistant", "content": notice}, *user("And now?")]
    assert cache(ask(client, again, model="oai-asks", headers=named)) == "hit"
    assert [role for role, _ in heard(upstream)] == ["user", "assistant", "tool", "assistant", "user"]
    assert [text for _, text in heard(upstream)][-2:] == ["It is late.", "And now?"]


# Two at once


def both(
    client: httpx.Client, upstream: FakeUpstream, headers: dict[str, str], model: str = "root"
) -> tuple[httpx.Response, httpx.Response]:
    """Two calls of one conversation, the second while the model is at the first."""

    def say(message: str) -> httpx.Response:
        return ask(client, message, headers=headers, model=model)

    return in_turn(client, upstream.hold(text="slow"), say, say, model)


def test_the_second_turn_waits(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-57, R8.2."""
    ask(client, "First", headers=named)
    slow, second = both(client, upstream, named)
    assert (slow.status_code, second.status_code) == (200, 200)
    assert [text for _, text in heard(upstream)][-2:] == ["slow", "Second"]


def test_an_agent_may_refuse_the_second_turn(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-57: under this wire's name."""
    slow, second = both(client, upstream, named, "oai-reject")
    assert slow.status_code == 200
    assert error(second) == (409, "conversation_busy", None)
    assert second.headers["retry-after"] == "1"
    assert second.json()["error"]["message"] == "another request is already in flight for this conversation id"


def test_two_first_turns_open_one_conversation(client: httpx.Client, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """R8.4."""
    slow, second = both(client, upstream, named)
    assert slow.headers["x-session-id"] == second.headers["x-session-id"]


# Off; time and number


@pytest.fixture(scope="module")
def small(module_server: NewServer) -> Server:
    """At most two conversations, which live for four seconds; busy ones are refused."""
    server = module_server(env={"CHAT_CONVERSATIONS_MAX": "2", "CHAT_CONVERSATION_TTL": "4s", "CONVERSATION_BUSY": "reject"})
    openaiwire.prepare(server)
    return server


@pytest.fixture(scope="module")
def off(module_server: NewServer) -> Server:
    return module_server(env={"CHAT_CONVERSATIONS_MAX": "0", "CONVERSATION_BUSY": "reject"})


def said(client: httpx.Client, name: str) -> str:
    return cache(ask(client, "Hello", headers={"X-Conversation-Id": name}))


def test_the_least_recently_used_is_dropped(small: Server) -> None:
    """OAI-56: not the oldest created; it loses its name and nothing else."""
    with clients.http(small) as client:
        first = ask(client, "Hello", headers={"X-Conversation-Id": "a"})
        assert [said(client, name) for name in "bac"] == ["miss", "hit", "miss"]
        assert [said(client, "a"), said(client, "b")] == ["hit", "miss"]
        by_uuid = ask(client, "Still there", headers={"X-Conversation-Id": first.headers["x-session-id"]})
        assert (cache(by_uuid), by_uuid.headers["x-session-id"]) == ("hit", first.headers["x-session-id"])


def test_an_idle_conversation_is_dropped_after_its_time(small: Server) -> None:
    """OAI-56: use from any wire counts; after the time it is a miss and a new session."""
    with clients.http(small) as client:
        first = ask(client, "Hello", headers={"X-Conversation-Id": "idle"})
        for _ in range(3):
            time.sleep(1.4)
            client.post("/chat/run", json={"message": "From elsewhere", "conversation_id": first.headers["x-session-id"]})
        assert said(client, "idle") == "hit"
        time.sleep(4.2)
        later = ask(client, "Hello", headers={"X-Conversation-Id": "idle"})
    assert cache(later) == "miss"
    assert later.headers["x-session-id"] != first.headers["x-session-id"]


def test_a_conversation_with_a_running_turn_is_not_dropped(small: Server, upstream: FakeUpstream) -> None:
    """OAI-56: neither by time nor by number."""
    with clients.http(small) as client, clients.http(small) as other:
        slow = upstream.hold(text="slow")
        with ThreadPoolExecutor(1) as threads:
            threads.submit(ask, other, slow.message, headers={"X-Conversation-Id": "busy"})
            slow.wait()
            assert [said(client, name) for name in ("x", "y", "z")] == ["miss"] * 3
            time.sleep(4.2)  # longer than a conversation lives
            slow.release()
        assert said(client, "busy") == "hit"


def test_reference_behaviour_of_busy_conversations(small: Server, off: Server, upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-57, R8.2: CONVERSATION_BUSY=reject, also when the cache is off."""
    for server in (small, off):
        with clients.http(server) as client:
            slow, second = both(client, upstream, named)
            assert slow.status_code == 200
            assert error(second) == (409, "conversation_busy", None)


def test_off_is_stateless(off: Server, upstream: FakeUpstream) -> None:
    """OAI-50, R6.3."""
    with clients.http(off) as client:
        for text in ("One", "Two"):
            answer = ask(client, text, headers={"X-Conversation-Id": "a"})
            assert (cache(answer), answer.headers["x-conversation-id"]) == ("off", "a")
            assert "x-session-id" not in answer.headers
        assert heard(upstream) == [("user", "Two")]


def test_conversations_outlive_a_restart(new_server: NewServer, upstream: FakeUpstream) -> None:
    """R12.4: the database restores them."""
    server = new_server()
    with clients.http(server) as client:
        assert said(client, "kept") == "miss"
    server.restart()
    with clients.http(server) as client:
        assert said(client, "kept") == "hit"
    assert [text for _, text in heard(upstream)] == ["Hello", ANSWER, "Hello"]
    server.stop()
