"""Clients that leave, and turns that meet (R4, R6, R8): through the wire, against a live server."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from uuid import uuid4

import pytest

from tests.faults.turns import SLOW, asking, content, execution, streamed
from tests.support.clients import frames, http, leave
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until

pytestmark = pytest.mark.live


def test_a_stateless_stream_is_cancelled_upstream_when_its_client_leaves(any_server: Server, upstream: FakeUpstream) -> None:
    """R6.1, OAI-62: the provider call is closed, the execution ends cancelled with client_left."""
    before = upstream.stats["disconnects"]
    body = {"model": "root", "stream": True, "messages": [{"role": "user", "content": asking({"endless": True, "delay_ms": 20})}]}
    with http(any_server) as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        execution_id = response.headers["x-execution-id"]
        next(frames(response.iter_lines()))
    until(lambda: upstream.stats["disconnects"] > before)
    ended = until(lambda: (found := execution(any_server, execution_id))["status"] != "running" and found)
    assert (ended["status"], ended["error_code"]) == ("cancelled", "client_left")


def test_a_stateless_whole_answer_is_cancelled_when_its_client_leaves(any_server: Server, upstream: FakeUpstream) -> None:
    """R6.1 for a client that waits for JSON."""
    before, held = upstream.stats["disconnects"], upstream.hold()
    with http(any_server) as client:
        leave(client, "/v1/chat/completions", {"model": "root", "messages": [{"role": "user", "content": held.message}]}, held.wait)
    until(lambda: upstream.stats["disconnects"] > before)


def test_a_turn_of_a_conversation_goes_on_when_its_client_leaves(any_server: Server) -> None:
    """R6.2, RUN-39: it is stored, and a reader that comes back gets the rest without loss or duplicate (R7.3)."""
    name = f"left-{uuid4()}"
    with http(any_server) as client:
        with streamed(client, name, SLOW) as (response, told):
            execution_id = response.headers["x-execution-id"]
            first = list(islice(told, 5))
        headers = {"last-event-id": first[-1].id}
        with client.stream("GET", f"/chat/stream/{name}?execution_id={execution_id}", headers=headers) as response:
            rest = list(frames(response.iter_lines()))
    assert content(first) + content(rest) == "tok " * SLOW["chunks"]
    assert json.loads(rest[-1].data)["status"] == "success"
    assert execution(any_server, execution_id)["response"] == "tok " * SLOW["chunks"]


def test_a_second_turn_waits_for_the_first_and_sees_it(server: Server, upstream: FakeUpstream) -> None:
    """R8.1 queue, RUN-26: the second prompt holds the first answer."""
    name = f"queued-{uuid4()}"
    with http(server) as client, http(server) as other:
        with streamed(client, name, {"chunks": 10, "delay_ms": 40, "text": "one "}) as (_, told):
            next(told)
            second = other.post("/chat/run", json={"message": "And then?", "conversation_id": name, "agent": "root"})
            assert content(list(told)).endswith("one ")
    assert second.status_code == 200
    sent = upstream.last["body"]["messages"]
    assert [message["role"] for message in sent[-3:]] == ["user", "assistant", "user"]
    assert sent[-2]["content"] == "one " * 10


def test_the_same_key_twice_runs_once(server: Server) -> None:
    """R4.3: the stored answer is given again, one answer is stored."""
    name, headers = f"twice-{uuid4()}", {"idempotency-key": str(uuid4())}
    body = {"message": "Once, please.", "conversation_id": name, "agent": "root"}
    with http(server) as client:
        first = client.post("/chat/run", json=body, headers=headers)
        second = client.post("/chat/run", json=body, headers=headers)
        other = client.post("/chat/run", json={**body, "message": "Something else."}, headers=headers)
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert first.headers["x-execution-id"] == second.headers["x-execution-id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_two_at_once_with_one_key_run_once(server: Server, upstream: FakeUpstream) -> None:
    """R4.2: the second is told that the first is running."""
    held, headers = upstream.hold(), {"idempotency-key": str(uuid4())}
    body = {"message": held.message, "agent": "root"}
    with http(server) as client, ThreadPoolExecutor(1) as threads:
        first = threads.submit(client.post, "/chat/run", json=body, headers=headers)
        held.wait()
        refused = client.post("/chat/run", json=body, headers=headers)
        held.release()
        assert first.result().status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (409, "request_in_progress")
    assert refused.headers["retry-after"]


def test_a_conversation_of_another_user_is_another_conversation(server: Server, upstream: FakeUpstream) -> None:
    """R2.2, RUN-11: the same id of two users never meets; a foreign UUID opens a conversation of one's own."""
    name = f"mine-{uuid4()}"
    with http(server) as client, http(server, "stranger") as strangers:
        mine = client.post("/chat/run", json={"message": "My secret is 42.", "conversation_id": name, "agent": "root"})
        for guess in (name, mine.headers["x-session-id"]):
            theirs = strangers.post("/chat/run", json={"message": "What was it?", "conversation_id": guess, "agent": "root"})
            assert theirs.headers["x-session-id"] != mine.headers["x-session-id"]
            assert "42" not in json.dumps(upstream.last["body"])
        assert strangers.get(f"/api/executions/{mine.headers['x-execution-id']}").status_code == 404


def test_cancel_stops_a_turn_and_keeps_its_text(any_server: Server) -> None:
    """R6.5, RUN-31, R9.1."""
    with http(any_server) as client, http(any_server) as other:
        with streamed(client, f"stop-{uuid4()}", {"endless": True, "delay_ms": 20, "text": "tok "}) as (response, told):
            execution_id = response.headers["x-execution-id"]
            next(told)
            answer = other.post(f"/api/executions/{execution_id}/cancel")
            last = json.loads(list(told)[-1].data)
        again = other.post(f"/api/executions/{execution_id}/cancel")
    assert answer.json() == {"execution_id": execution_id, "status": "cancelled", "result": "terminated"}
    assert (last["status"], last["code"]) == ("cancelled", "cancelled")
    assert again.json()["result"] == "already_finished"
    assert execution(any_server, execution_id)["response"].startswith("tok")
