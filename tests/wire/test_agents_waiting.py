"""Chat on the agents wire while nothing comes: keep-alives, places in the queue, clients that leave (AG-20, AG-21, R5.1, R6)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import orjson
import pytest

from tests.conftest import NewServer
from tests.support import clients
from tests.support.server import Server
from tests.wire import agentswire
from tests.wire.agentswire import NDJSON, SSE, fresh, path, script, session, streamed, texts, told, until

pytestmark = pytest.mark.live
SILENT = script("Think first", slow_headers_ms=3500, text="At last.")


@pytest.fixture(scope="module")
def impatient(lasting_server: NewServer) -> Server:
    """Streams are committed and kept alive after one second."""
    server = lasting_server(env={"CHAT_COMMIT_SECONDS": "1", "CHAT_KEEPALIVE_SECONDS": "1"})
    agentswire.prepare(server)
    return server


@pytest.fixture
def owner(impatient: Server) -> Iterator[httpx.Client]:
    with clients.http(impatient) as client:
        yield client


def test_silence_is_kept_alive(owner: httpx.Client) -> None:
    """AG-21: a comment on SSE, an object on NDJSON, whose strict parsers fail on empty lines."""
    with ThreadPoolExecutor(2) as pool:
        by_lines, by_frames = pool.map(
            lambda accept: owner.post(
                path("chatter", "chat"), json={"message": SILENT, "new_session": accept == SSE}, headers={"accept": accept}
            ),
            (NDJSON, SSE),
        )
    told_lines = agentswire.lines(by_lines)
    assert {"type": "keep_alive"} in told_lines
    assert told_lines[-1]["result"] == "At last."
    assert ": keep-alive" in by_frames.text.split("\n")
    assert agentswire.frames(by_frames)[-1][1] == {"type": "stream_end"}


def test_a_turn_that_waits_says_so(owner: httpx.Client) -> None:
    """AG-20: with its place, until it begins."""
    session_id = fresh(owner)
    with streamed(owner, script(chunks=100, delay_ms=30), session_id=session_id) as first:
        read = first.iter_lines()
        next(read)
        with streamed(owner, "Second", session_id=session_id) as second:
            lines = [orjson.loads(line) for line in second.iter_lines()]
        list(read)
    assert lines[0] == {"type": "status", "status": "queued", "position": 1}
    kinds = [line["type"] for line in lines]
    assert kinds[kinds.index("system") :][0] == "system"
    assert set(kinds[: kinds.index("system")]) == {"status"}
    assert kinds[-1] == "result"


def test_failing_after_the_commit_is_told_in_band(owner: httpx.Client) -> None:
    """R5.1: also when nothing was said yet."""
    answer = owner.post(path("chatter", "chat"), json={"message": script(slow_headers_ms=2000, status=400), "stream": True})
    assert answer.status_code == 200
    assert [line["type"] for line in agentswire.lines(answer)][-2:] == ["error", "result"]


def test_a_whole_answer_is_stored_when_its_client_leaves(owner: httpx.Client) -> None:
    """R6.2."""
    session_id = fresh(owner)
    with pytest.raises(httpx.TimeoutException):
        owner.post(path("chatter", "chat"), json={"message": SILENT, "session_id": session_id}, timeout=0.5)
    until(lambda: "At last." in texts(session(owner, session_id)["messages"]))


def test_a_waiting_turn_keeps_its_place_when_its_client_leaves(owner: httpx.Client) -> None:
    """R6.4."""
    session_id = fresh(owner)
    with streamed(owner, script(chunks=50, delay_ms=30), session_id=session_id) as first:
        read = first.iter_lines()
        next(read)
        with pytest.raises(httpx.TimeoutException):
            owner.post(path("chatter", "chat"), json={"message": "Second", "session_id": session_id}, timeout=0.3)
        list(read)
    assert told(owner, "Third", session_id=session_id)["response"]
    assert [text for text in texts(session(owner, session_id)["messages"]) if text in ("Second", "Third")] == ["Second", "Third"]
