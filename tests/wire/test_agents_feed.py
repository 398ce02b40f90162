"""GET …/chat/sessions/{id}/events (AG-27): a conversation live over SSE, whichever wire moves it, resumed without loss."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.faults.turns import asking
from tests.support.clients import Frame, frames, http, token
from tests.support.server import Server

pytestmark = pytest.mark.live
SLOW = {"chunks": 40, "delay_ms": 30, "text": "tok "}

NOBODYS = "01a1fc95-7583-7bf5-bb2d-8c268c8b9391"
"""An id of nothing."""


@contextmanager
def feed(server: Server, session_id: str, after: str | None = None, person: str = "owner") -> Iterator[Iterator[Frame]]:
    headers = {"last-event-id": after} if after else {}
    with http(server, person) as client, client.stream("GET", path(session_id), headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield (frame for frame in frames(answer.iter_lines()) if frame.data)


def path(session_id: str, agent: str = "root") -> str:
    return f"/api/agents/{agent}/chat/sessions/{session_id}/events"


def said(frame: Frame) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(frame.data)
    return told


def until_result(told: Iterator[Frame]) -> list[Frame]:
    """The frames up to the next `result`."""
    seen = []
    for frame in told:
        seen.append(frame)
        if said(frame)["type"] == "result":
            return seen
    raise AssertionError("the stream ended")


def text(told: list[Frame]) -> str:
    return "".join(said(frame)["event"]["delta"]["text"] for frame in told if said(frame)["type"] == "stream_event")


def conversation(client: httpx.Client) -> tuple[str, str]:
    """A conversation with one turn: its name and its id."""
    name = f"feed-{uuid4()}"
    answer = client.post("/chat/run", json={"message": "Hello.", "conversation_id": name, "agent": "root"})
    return name, answer.headers["x-session-id"]


def test_a_snapshot_then_every_run_of_every_wire(any_server: Server) -> None:
    with http(any_server) as client, http(any_server, authorization=f"Bearer {token(any_server)}") as person:
        name, session_id = conversation(client)
        with feed(any_server, session_id) as told:
            snapshot = said(next(told))
            assert (snapshot["type"], snapshot["running"], snapshot["session"]["id"]) == ("snapshot", None, session_id)
            assert [message["role"] for message in snapshot["messages"]] == ["user", "assistant"]
            client.post("/chat/run", json={"message": "From the run wire.", "conversation_id": name})
            person.post("/api/agents/root/chat", json={"message": "From the agents wire.", "session_id": session_id})
            for words in ("From the run wire.", "From the agents wire."):
                message, *rest = until_result(told)
                assert (said(message)["type"], said(message)["role"], said(message)["content"]) == ("message", "user", words)
                execution_id = said(message)["execution_id"]
                assert message.id == f"{execution_id}:0"
                assert {said(frame)["execution_id"] for frame in rest} == {execution_id}
                assert [frame.id for frame in rest] == [f"{execution_id}:{said(frame)['seq']}" for frame in rest]
                assert text(rest) == "Hello! How can I help?"


def test_joining_a_running_turn_shows_what_was_said_and_the_rest(any_server: Server) -> None:
    with http(any_server) as client:
        name, session_id = conversation(client)
        body = {"message": asking(SLOW), "conversation_id": name, "agent": "root"}
        with client.stream("POST", "/chat/stream", json=body) as answer:
            for _ in takewhile(lambda frame: "tok" not in frame.data, frames(answer.iter_lines())):
                pass
            with feed(any_server, session_id) as told:
                first = next(told)
                running = said(first)["running"]
                rest = until_result(told)
    assert first.id == f"{running['execution_id']}:{running['seq']}"
    assert running["text"] + text(rest) == "tok " * 40
    assert running["text"]


def test_a_reader_that_comes_back_misses_nothing(any_server: Server) -> None:
    """R7: the rest of the run it knew, and those that began meanwhile; no snapshot again."""
    with http(any_server) as client:
        name, session_id = conversation(client)
        with feed(any_server, session_id) as told:
            next(told)
            client.post("/chat/run", json={"message": "One.", "conversation_id": name})
            whole = until_result(told)
        client.post("/chat/run", json={"message": "Two.", "conversation_id": name})
        for known in (3, len(whole) - 1):
            with feed(any_server, session_id, whole[known].id) as told:
                again = until_result(told) if known < len(whole) - 1 else []
                assert again == whole[known + 1 :]
                second = until_result(told)
            assert said(second[0])["content"] == "Two."
            assert text(second) == "Hello! How can I help?"


def test_a_rename_is_told_and_a_deleted_conversation_ends(any_server: Server) -> None:
    with http(any_server) as client, http(any_server, authorization=f"Bearer {token(any_server)}") as person:
        _, session_id = conversation(client)
        place = f"/api/agents/root/chat/sessions/{session_id}"
        with feed(any_server, session_id) as told:
            next(told)
            person.patch(place, json={"title": "Another title"})
            assert said(next(told))["session"]["title"] == "Another title"
            person.delete(place)
            assert list(told) == []


@pytest.mark.parametrize(("person", "status"), [("owner", 200), ("admin", 200), ("guest", 404), ("stranger", 404)])
def test_who_may(server: Server, person: str, status: int) -> None:
    """AG-4: the owner, and managers of the agent; unknown and foreign are told alike."""
    with http(server) as client:
        _, session_id = conversation(client)
    with http(server, person) as client, client.stream("GET", path(session_id)) as answer:
        assert answer.status_code == status
        if status == 404:
            answer.read()
            unknown = client.get(path(str(uuid4())))
            assert (answer.json()["code"], answer.json()["detail"]) == (unknown.json()["code"], unknown.json()["detail"])


@pytest.mark.parametrize("after", ["7", "nonsense", f"{NOBODYS}:", f"{NOBODYS}:x"])
def test_an_id_that_is_none_of_ours_is_refused(server: Server, after: str) -> None:
    """R7.3."""
    with http(server) as client:
        _, session_id = conversation(client)
        answer = client.get(path(session_id), params={"after": after})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_an_unknown_id_of_the_right_shape_begins_anew(server: Server) -> None:
    with http(server) as client:
        _, session_id = conversation(client)
    with feed(server, session_id, f"{uuid4()}:3") as told:
        assert said(next(told))["type"] == "snapshot"


def test_silence_has_comments(new_server: Any) -> None:
    """R12.2: idle streams stay open."""
    server: Server = new_server("uvicorn", {"CHAT_KEEPALIVE_SECONDS": "1"})
    with http(server) as client:
        _, session_id = conversation(client)
        with client.stream("GET", path(session_id)) as answer:
            told = frames(answer.iter_lines())
            assert next(told).data
            assert [next(told).comment for _ in range(2)] == ["keep-alive"] * 2
