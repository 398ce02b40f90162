"""Chat on the agents wire while nothing comes: keep-alives, places in the queue, clients that leave (AG-20, AG-21, R5.1, R6)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import orjson
import pytest

from tests.conftest import NewServer
from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until
from tests.wire import agentswire
from tests.wire.agentswire import NDJSON, SSE, fresh, path, session, streamed, texts, told
from tests.wire.inturn import statuses

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def impatient(module_server: NewServer) -> Server:
    """Streams are committed and kept alive after one second."""
    server = module_server(env={"CHAT_COMMIT_SECONDS": "1", "CHAT_KEEPALIVE_SECONDS": "1"})
    agentswire.prepare(server)
    return server


@pytest.fixture
def owner(impatient: Server) -> Iterator[httpx.Client]:
    with clients.http(impatient) as client:
        yield client


@pytest.mark.parametrize(("accept", "sign"), [(NDJSON, '{"type":"keep_alive"}'), (SSE, ": keep-alive")])
def test_silence_is_kept_alive(owner: httpx.Client, upstream: FakeUpstream, accept: str, sign: str) -> None:
    """AG-21: a comment on SSE, an object on NDJSON, whose strict parsers fail on empty lines."""
    held = upstream.hold(text="At last.")
    with owner.stream("POST", path("chatter", "chat"), json={"message": held.message}, headers={"accept": accept}) as answer:
        read = answer.iter_lines()
        until(lambda: next(read) == sign)
        held.release()
        said = list(read)
    assert ('"result":"At last."' in said[-1]) if accept == NDJSON else (said[-2:] == ['data: {"type":"stream_end"}', ""])


def test_a_turn_that_waits_says_so(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-20: with its place, until it begins."""
    session_id, held = fresh(owner), upstream.hold()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(told, owner, held.message, session_id=session_id)
        held.wait()
        with streamed(owner, "Second", session_id=session_id) as second:
            read = second.iter_lines()
            lines = [orjson.loads(next(read))]
            held.release()
            lines += map(orjson.loads, read)
    assert lines[0] == {"type": "status", "status": "queued", "position": 1}
    kinds = [line["type"] for line in lines]
    assert kinds[kinds.index("system") :][0] == "system"
    assert set(kinds[: kinds.index("system")]) == {"status"}
    assert kinds[-1] == "result"


def test_failing_after_the_commit_is_told_in_band(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """R5.1: also when nothing was said yet."""
    held = upstream.hold(status=400)
    with streamed(owner, held.message) as answer:
        assert answer.status_code == 200
        held.release()
        assert [orjson.loads(line)["type"] for line in answer.iter_lines()][-2:] == ["error", "result"]


def test_a_whole_answer_is_stored_when_its_client_leaves(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """R6.2."""
    session_id, held = fresh(owner), upstream.hold(text="At last.")
    clients.leave(owner, path("chatter", "chat"), {"message": held.message, "session_id": session_id}, held.wait)
    held.release()
    until(lambda: "At last." in texts(session(owner, session_id)["messages"]))


def test_a_waiting_turn_keeps_its_place_when_its_client_leaves(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """R6.4."""
    session_id, held = fresh(owner), upstream.hold()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(told, owner, held.message, session_id=session_id)
        held.wait()
        body = {"message": "Second", "session_id": session_id}
        clients.leave(owner, path("chatter", "chat"), body, lambda: until(lambda: "queued" in statuses(owner, "chatter")))
        held.release()
        first.result()
    assert told(owner, "Third", session_id=session_id)["response"]
    assert [text for text in texts(session(owner, session_id)["messages"]) if text in ("Second", "Third")] == ["Second", "Third"]
