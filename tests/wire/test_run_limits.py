"""The run wire at its limits: time, rate, queues, shutdown (section 10 of its contract; R3.5, R5.1, R8.1, R12, R14)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import orjson
import pytest

from tests.conftest import NewServer
from tests.support import clients
from tests.support.clients import frames
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until
from tests.wire import runwire
from tests.wire.inturn import statuses
from tests.wire.runwire import ask, stream, streamed, text, told

pytestmark = pytest.mark.live


def script(**written: Any) -> str:
    return orjson.dumps(written).decode()


@pytest.fixture(scope="module")
def hasty(module_server: NewServer) -> Server:
    """A server of six seconds' patience that commits streams after one."""
    return module_server(env={"CHAT_REQUEST_TIMEOUT": "6s", "CHAT_COMMIT_SECONDS": "1", "CHAT_KEEPALIVE_SECONDS": "1"})


@pytest.fixture
def owner(hasty: Server) -> Iterator[httpx.Client]:
    with clients.http(hasty) as client:
        yield client


def test_time_out_of_a_whole_answer(owner: httpx.Client) -> None:
    """504, and the model was called: repeating would call it again."""
    answer = ask(owner, script(hang=True), agent="root")
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert "6 seconds" in answer.json()["detail"]


def test_time_out_of_a_stream_is_its_final_event(owner: httpx.Client) -> None:
    """RUN-23: the text so far stays."""
    _, found = stream(owner, script(chunks=3, stall=True), agent="root")
    final = told(found)[-1]
    assert text(found) == "tok tok tok "
    assert (final["is_final"], final["status"], final["code"]) == (True, "failed", "timeout")
    execution = owner.get(f"/api/executions/{final['execution_id']}").json()
    assert (execution["status"], execution["response"], execution["error_code"]) == ("failed", "tok tok tok ", "timeout")


def test_a_slow_stream_is_committed_and_kept_alive(owner: httpx.Client) -> None:
    """R5.1, R12.2: after CHAT_COMMIT_SECONDS the status is 200, comments follow, and failures are in-band."""
    with streamed(owner, script(hang=True), agent="root") as response:
        assert response.status_code == 200
        found = list(frames(response.iter_lines()))
    assert "keep-alive" in [frame.comment for frame in found]
    assert told(found)[-1]["code"] == "timeout"


def test_too_many_requests(new_server: NewServer) -> None:
    """R14.1, R14.3, R3.5: refused before anything is stored, with the time to wait."""
    server = new_server(env={"CHAT_RATE_RPM": "3"})
    with clients.http(server) as client:
        answers = [ask(client, "Hello", agent="root") for _ in range(8)]
        refused = next(answer for answer in answers if answer.status_code != 200)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    with clients.http(server, "guest") as guest:
        assert ask(guest, "Hello", agent="root").status_code == 200


def test_a_conversation_has_room_for_ten_waiting_turns(server: Server, upstream: FakeUpstream) -> None:
    """R8.1: the eleventh is refused; those that wait are answered."""
    with clients.http(server) as client:
        answers = crowd(client, upstream, "root", 13, conversation_id=f"crowd-{uuid4()}")
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 2
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(429, "session_queue_full")}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_an_agent_has_a_queue_of_its_own_length(server: Server, upstream: FakeUpstream) -> None:
    """AG-15 on this wire."""
    runwire.prepare(server)
    with clients.http(server) as client:
        answers = crowd(client, upstream, "run-narrow", 5)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 3
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(429, "queue_full")}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def crowd(client: httpx.Client, upstream: FakeUpstream, agent: str, size: int, **fields: Any) -> list[httpx.Response]:
    """So many turns while the model is at the first one, which ends when all others wait or have been refused."""
    held = upstream.hold()
    with ThreadPoolExecutor(size) as threads:
        turns = [threads.submit(ask, client, held.message, agent=agent, **fields)]
        try:
            held.wait()
            turns += [threads.submit(ask, client, "Hello", agent=agent, **fields) for _ in range(size - 1)]
            until(lambda: sum(turn.done() for turn in turns) + len(statuses(client, agent)) == size)
        finally:
            held.release()
        return [turn.result() for turn in turns]


def test_shutdown_ends_streams_properly(new_server: NewServer) -> None:
    """R12.5: in-band error and end mark, then the process goes; the turn is stored as interrupted."""
    server = new_server(env={"SHUTDOWN_SECONDS": "1"})
    with clients.http(server) as client, ThreadPoolExecutor(1) as threads:
        with streamed(client, script(endless=True, chunks=1, delay_ms=50), agent="root", conversation_id="c") as response:
            found, stopping = [], None
            for frame in frames(response.iter_lines()):
                found.append(frame)
                if stopping is None and len(found) == 3:
                    stopping = threads.submit(server.stop)
        assert stopping is not None
        assert stopping.result() == 0
    final = told(found)[-1]
    assert (final["is_final"], final["status"]) == (True, "failed")
    assert final["code"] in ("interrupted", "shutting_down")
    server.start()
    with clients.http(server) as client:
        execution = client.get(f"/api/executions/{final['execution_id']}").json()
        assert (execution["status"], execution["error_code"]) == ("failed", final["code"])
        assert execution["response"].startswith("tok tok")


def test_nothing_holds_a_conversation_after_a_failure(owner: httpx.Client) -> None:
    """R8.3: the lock of a turn that timed out is free at once."""
    name = f"free-{uuid4()}"
    assert ask(owner, script(hang=True), agent="root", conversation_id=name).status_code == 504
    assert ask(owner, "Hello", agent="root", conversation_id=name).status_code == 200, "a lock that is held ends in another 504"
