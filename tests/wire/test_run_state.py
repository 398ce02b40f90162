"""Where the run wire keeps its state: two processes on Redis and PostgreSQL, Redis flushed, Redis away (RUN-32 … RUN-37, R12.4)."""

from typing import Any
from uuid import uuid4

import orjson
import pytest
import redis

from tests.conftest import NewServer
from tests.faults.turns import read_until_stored
from tests.support import clients
from tests.support.clients import frames
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire import runwire
from tests.wire.runwire import PAUSES, ask, resume, stream, streamed, text, told

pytestmark = [pytest.mark.live, pytest.mark.redis, pytest.mark.postgres]


@pytest.fixture(scope="module")
def two(redis_pg_servers: tuple[Server, Server]) -> tuple[Server, Server]:
    for server in redis_pg_servers:
        runwire.prepare(server)
    return redis_pg_servers


def script(**written: Any) -> str:
    return orjson.dumps(written).decode()


def said(upstream: Any) -> list[str]:
    """What the model was told last, without the system's part."""
    return [message["content"] for message in upstream.last["body"]["messages"] if message["role"] != "system"]


def test_the_next_turn_may_go_to_another_process(two: tuple[Server, Server], upstream: Any) -> None:
    """RUN-26, RUN-37: at the final event the turn is stored and cached; each process sees what the other did."""
    name = f"both-{uuid4()}"
    with clients.http(two[0]) as first, clients.http(two[1]) as second:
        for turn, client in enumerate((first, second, first, second)):
            _, found = stream(client, script(text=f"answer {turn}"), agent="root", conversation_id=name)
            assert told(found)[-1]["status"] == "success"
            assert [part for part in said(upstream) if part.startswith("answer")] == [f"answer {earlier}" for earlier in range(turn)]


def test_a_run_is_resumed_from_another_process(two: tuple[Server, Server]) -> None:
    """R7.3: while it lives, in the middle of a word."""
    name = f"moved-{uuid4()}"
    with clients.http(two[0]) as first, clients.http(two[1]) as second:
        seen = []
        with streamed(first, script(chunks=40, delay_ms=50, text="tok "), agent="root", conversation_id=name) as response:
            for frame in frames(response.iter_lines()):
                seen.append(frame)
                if len(seen) == 4:
                    break
        _, rest = resume(second, name, after=int(seen[-1].id), execution_id=response.headers["x-execution-id"])
        assert text(seen) + text(rest) == "tok " * 40
        assert told(rest)[-1]["status"] == "success"


def test_a_run_is_stopped_from_another_process(two: tuple[Server, Server]) -> None:
    """R6.5."""
    with clients.http(two[0]) as first, clients.http(two[1]) as second:
        seen = []
        with streamed(first, script(endless=True, delay_ms=20, chunks=1), agent="root") as response:
            for frame in frames(response.iter_lines()):
                seen.append(frame)
                if len(seen) == 3:
                    answer = second.post(f"/api/executions/{response.headers['x-execution-id']}/cancel")
                    assert (answer.json()["status"], answer.json()["result"]) == ("cancelled", "terminated")
        assert (told(seen)[-1]["status"], told(seen)[-1]["code"]) == ("cancelled", "cancelled")


def test_an_approval_is_given_in_another_process(two: tuple[Server, Server]) -> None:
    """R15.3: the same execution goes on there, its numbers continue, and both processes can show it."""
    name = f"approved-{uuid4()}"
    with clients.http(two[0]) as first, clients.http(two[1]) as second:
        response, found = stream(first, PAUSES, agent="run-approval", conversation_id=name)
        execution_id, final = response.headers["x-execution-id"], told(found)[-1]
        path = f"/api/executions/{execution_id}/approvals/{final['approvals'][0]['tool_call_id']}"
        assert second.post(path, json={"approve": True}).json()["status"] == "running"
        until(lambda: first.get(f"/api/executions/{execution_id}").json()["status"] == "success")
        for client in (first, second):
            _, whole = resume(client, name)
            assert text(whole) == "I look.\n\nIt is late."
            assert told(whole)[-1]["status"] == "success"
            _, rest = resume(client, name, after=int(found[-1].id))
            assert text(rest).endswith("It is late.")


def test_dropping_all_of_redis_loses_no_conversation(two: tuple[Server, Server], redis_url: str, upstream: Any) -> None:
    """RUN-36, RUN-32."""
    name = f"flushed-{uuid4()}"
    with clients.http(two[0]) as client:
        ask(client, script(text="kept"), agent="root", conversation_id=name)
        redis.Redis.from_url(redis_url).flushall()
        assert ask(client, script(text="again"), conversation_id=name).status_code == 200
        assert "kept" in said(upstream)
        _, replayed = resume(client, name)
        assert text(replayed) == "again"


def test_redis_keys_hold_no_words_of_clients(two: tuple[Server, Server], redis_url: str) -> None:
    """RUN-36: keys are made of ids; they expire."""
    name = f"secret-name-{uuid4()}"
    store = redis.Redis.from_url(redis_url)
    with clients.http(two[0]) as client:
        ask(client, "Hello", agent="root", conversation_id=name)
    keys = [key for key in store.keys("*") if b"sb:" in key]
    assert keys
    assert not [key for key in keys if b"secret-name" in key]
    assert not [key for key in keys if store.ttl(key) == -1 and (b"history" in key or b"events" in key)]


def test_without_redis_nothing_runs_unprotected(new_server: NewServer) -> None:
    """RUN-34: the lock cannot be taken."""
    server = new_server(env={"REDIS_URL": "redis://127.0.0.1:1/0"})
    with clients.http(server) as client:
        answer = ask(client, "Hello", agent="root", conversation_id="x")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/status").status_code == 200


def test_a_replay_long_after_begins_with_restart(new_server: NewServer) -> None:
    """R7.4, RUN-30: later the stored answer is told, from the start; with a number first a gap that says so."""
    server = new_server(env={"CHAT_RESUME_SECONDS": "1"})
    name = f"late-{uuid4()}"
    with clients.http(server) as client:
        _, found = stream(client, "Hello", agent="root", conversation_id=name)
        server.restart()
        _, whole = resume(client, name)
        assert text(whole) == text(found)
        _, rest = resume(client, name, after=int(found[1].id))
        gap = told(rest)[0]
        assert list(gap) == ["content", "is_final", "metrics", "type", "from", "to", "restart"]
        assert (gap["type"], gap["from"], gap["to"], gap["restart"]) == ("gap", 1, int(found[1].id), True)
        assert text(rest) == text(found)
        assert told(rest)[-1]["status"] == "success"


def test_a_killed_server_leaves_no_run_running(new_server: NewServer) -> None:
    """R12.5, RUN-35: the turn ends `failed` with `interrupted`, its text so far stays, and the conversation goes on."""
    server = new_server()
    name = f"killed-{uuid4()}"
    with clients.http(server) as client:
        with streamed(client, script(chunks=200, delay_ms=50, text="tok "), agent="root", conversation_id=name) as response:
            execution_id = response.headers["x-execution-id"]
            read_until_stored(server, frames(response.iter_lines()))
            server.kill()
    server.start()
    with clients.http(server) as client:
        path = f"/api/executions/{execution_id}"
        until(lambda: client.get(path).json()["status"] != "running", limit_s=20)  # long before its lease lapses
        found = client.get(path).json()
        assert (found["status"], found["error_code"]) == ("failed", "interrupted")
        assert found["response"].startswith("tok tok")
        assert ask(client, "Hello", conversation_id=name).status_code == 200
