"""Leaving, stopping and time limits on the OpenAI wire (openai.md section 12; OAI-55)."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import httpx2 as httpx
import pytest

from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until
from tests.wire import openaiwire
from tests.wire.openaiwire import PATH, ask, error, heard, stream, user

pytestmark = pytest.mark.live


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    openaiwire.prepare(server)


@pytest.fixture(scope="module")
def hasty(module_server: Callable[..., Server]) -> Server:
    """Requests take at most three seconds; streams are committed after one, and kept alive every second."""
    server = module_server(env={"CHAT_REQUEST_TIMEOUT": "3s", "CHAT_COMMIT_SECONDS": "1s", "CHAT_KEEPALIVE_SECONDS": "1s"})
    openaiwire.prepare(server)
    return server


def execution(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/executions/{answer.headers['x-execution-id']}").json()
    return found


def leave_stream(client: httpx.Client, script: str, **headers: str) -> httpx.Response:
    """Reads the first frames of a stream, then closes the connection."""
    body = {"model": "root", "messages": user(script), "stream": True}
    with client.stream("POST", PATH, json=body, headers=headers) as response:
        next(response.iter_lines())
    return response


def test_a_stateless_stream_ends_with_its_reader(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-62, R6.1: the provider is told within a second, the run is `cancelled`."""
    before = upstream.stats["disconnects"]
    left = leave_stream(client, upstream.script(endless=True, delay_ms=20))
    until(lambda: upstream.stats["disconnects"] == before + 1)
    until(lambda: execution(client, left)["status"] == "cancelled")


def test_a_stateless_whole_answer_ends_with_its_reader(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-62: also while waiting for JSON."""
    before, held = upstream.stats["disconnects"], upstream.hold()
    clients.leave(client, PATH, {"model": "root", "messages": user(held.message)}, held.wait)
    until(lambda: upstream.stats["disconnects"] == before + 1)


def test_a_conversation_goes_on_without_its_reader(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-55: and commits."""
    named = {"X-Conversation-Id": f"oai-{uuid4()}"}
    left = leave_stream(client, upstream.script(chunks=20, delay_ms=30, text="on "), **named)
    until(lambda: execution(client, left)["status"] == "success")
    ask(client, "Next", headers=named)
    assert heard(upstream)[1] == ("assistant", "on " * 20)


def test_a_stop_from_elsewhere_ends_the_stream(client: httpx.Client, server: Server, upstream: FakeUpstream) -> None:
    """R6.5, OAI-48: in-band, with the end mark."""
    body = {"model": "root", "messages": user(upstream.script(endless=True, delay_ms=20)), "stream": True}
    with client.stream("POST", PATH, json=body) as response:
        lines = response.iter_lines()
        next(lines)
        with clients.http(server) as other:
            assert other.post(f"/api/executions/{response.headers['x-execution-id']}/cancel").json()["status"] == "cancelled"
        rest = [frame.data for frame in clients.frames(lines) if frame.data]
    assert '"code":"cancelled"' in rest[-2]
    assert rest[-1] == "[DONE]"


def test_a_stop_before_the_first_event_is_a_409(client: httpx.Client, server: Server, upstream: FakeUpstream) -> None:
    """OAI-59: `cancelled`, not to be repeated."""
    headers = {"X-Conversation-Id": f"oai-{uuid4()}", "X-Request-Id": f"req-{uuid4()}"}
    answers: list[httpx.Response] = []
    with clients.http(server) as other:
        thread = threading.Thread(target=lambda: answers.append(ask(other, upstream.script(hang=True), headers=headers)))
        thread.start()
        until(lambda: bool(running(server, headers["X-Request-Id"])))
        client.post(f"/api/executions/{running(server, headers['X-Request-Id'])}/cancel")
        thread.join()
    assert error(answers[0]) == (409, "cancelled", None)
    assert answers[0].headers["x-should-retry"] == "false"


def running(server: Server, request_id: str) -> str:
    """The execution that this request started, from the server's own database; "" while there is none."""
    with closing(sqlite3.connect(server.data_dir / "switchboard.sqlite3")) as database:
        row = database.execute("SELECT id FROM chat_execution WHERE status = 'running' AND request_id = ?", (request_id,)).fetchone()
    return str(UUID(row[0])) if row else ""


def test_time_runs_out(hasty: Server, upstream: FakeUpstream) -> None:
    """OAI-63: 504 when not streaming; in-band after the first event; `failed` with `timeout` in both cases, no conversation advances."""
    named = {"X-Conversation-Id": "slow"}
    with clients.http(hasty) as client:
        whole = ask(client, upstream.script(hang=True), headers=named)
        assert error(whole) == (504, "timeout", None)
        assert whole.json()["error"]["message"] == "The request took longer than 3 seconds."
        response, frames = stream(client, upstream.script(endless=True, delay_ms=50), headers=named)
        assert response.status_code == 200
        assert (frames[-2]["error"]["code"], frames[-1]) == ("timeout", "[DONE]")
        for answer in (whole, response):
            assert execution(client, answer)["status"] == "failed"
        ask(client, "Next", headers=named)
        assert heard(upstream) == [("user", "Next")]


def test_a_stream_that_waits_long_is_committed_and_kept_alive(hasty: Server, upstream: FakeUpstream) -> None:
    """R5.1, R12.2: comments between frames, failures in-band; no role chunk before there is an event (OAI-45)."""
    held = upstream.hold(status=500)
    body = {"model": "root", "messages": user(held.message), "stream": True}
    with clients.http(hasty) as client, client.stream("POST", PATH, json=body) as response:
        assert response.status_code == 200
        read = clients.frames(response.iter_lines())
        assert next(read).comment == "keep-alive"
        held.release()
        frames = list(read)
    assert ['"error"' in frame.data for frame in frames if frame.data] == [True, False]
    assert frames[-1].data == "[DONE]"
