"""Chat, sessions and history over two web processes on Redis and PostgreSQL (R12.4): each route, each half of a story elsewhere."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until
from tests.wire import agentswire
from tests.wire.agentswire import ANSWER, ask, fresh, get, path, script, session, streamed, texts, told

pytestmark = [pytest.mark.live, pytest.mark.redis, pytest.mark.postgres]
Both = tuple[httpx.Client, httpx.Client]


@pytest.fixture(scope="module", autouse=True)
def agents(redis_pg_servers: tuple[Server, Server]) -> None:
    agentswire.prepare(redis_pg_servers[0])


@pytest.fixture
def both(redis_pg_servers: tuple[Server, Server]) -> Iterator[Both]:
    with clients.http(redis_pg_servers[0]) as one, clients.http(redis_pg_servers[1]) as other:
        yield one, other


def test_every_route_answers_in_the_other_process(both: Both) -> None:
    """AG-8, AG-12, AG-22."""
    one, other = both
    session_id = fresh(one, "What changed?")
    assert other.get(path("chatter")).json()["status"] == "running"
    assert "chatter" in {agent["name"] for agent in other.get("/api/agents").json()}
    question, answer = session(other, session_id)["messages"]
    assert (question["content"], answer["content"]) == ("What changed?", ANSWER)
    assert get(other, "session")["session_id"] == session_id
    assert texts(get(other, "history")) == ["What changed?", ANSWER]
    assert get(other, "history", "persistent", limit=2)["messages"][0]["id"] == answer["id"]
    assert get(other, "sessions", q="changed", limit=1)["sessions"][0]["id"] == session_id
    for form in ("json", "md"):
        assert ANSWER in other.get(path("chatter", "chat", "sessions", session_id, "export"), params={"format": form}).text
    assert other.put(path("chatter", "chat", "messages", answer["id"], "feedback"), json={"rating": 1}).status_code == 200
    assert other.patch(path("chatter", "chat", "sessions", session_id), json={"title": "Ours"}).json()["title"] == "Ours"
    assert session(one, session_id)["messages"][1]["rating"] == 1
    assert other.delete(path("chatter", "chat", "history")).json()["session_reset"]
    assert get(one, "session")["session_id"] is None
    assert told(one, session_id=session_id)["session_id"] == session_id
    assert other.post(path("chatter", "chat", "sessions", session_id, "close")).json()["status"] == "closed"
    assert told(one)["session_id"] != session_id


def test_the_three_renderings(both: Both) -> None:
    """AG-9: the text is the same wherever it is made."""
    one, other = both
    assert told(one)["response"] == ANSWER
    assert agentswire.lines(ask(other, stream=True))[-1]["result"] == ANSWER
    assert agentswire.frames(ask(one, headers={"accept": agentswire.SSE}))[-2][1]["result"] == ANSWER


def test_parallel_first_messages_make_one_session(both: Both) -> None:
    """R8.4: over both processes."""
    one, other = both
    one.delete(path("other", "chat", "history"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: told(both[number % 2], f"Message {number}", "other"), range(8)))
    (session_id,) = {answer["session_id"] for answer in answers}
    assert [message["role"] for message in session(other, session_id, "other")["messages"]] == ["user", "assistant"] * 8


def test_parallel_new_sessions_leave_one_open(both: Both) -> None:
    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(lambda number: fresh(both[number % 2], agent="other"), range(6)))
    assert len(set(ids)) == 6
    open_ones = {row["id"] for row in get(both[0], "sessions", agent="other", status="active")["sessions"]} & set(ids)
    assert open_ones == {get(both[1], "session", agent="other")["session_id"]}


def test_a_branch_is_seen_everywhere(both: Both, upstream: FakeUpstream) -> None:
    """AG-26: also by a process that has the old history at hand."""
    one, other = both
    session_id = fresh(one, "One")
    told(other, "Two", session_id=session_id)
    first, _, second, _ = session(one, session_id)["messages"]
    told(one, "Other", session_id=session_id, edit_of=second["id"])
    told(other, "Three", session_id=session_id)
    assert [message["content"] for message in upstream.last["body"]["messages"]] == ["One", ANSWER, "Other", ANSWER, "Three"]
    told(one, "Anew", session_id=session_id, edit_of=first["id"])
    assert [message["content"] for message in upstream.last["body"]["messages"]] == ["Anew"]


def test_the_same_key_gives_the_same_answer(both: Both) -> None:
    """R4.3."""
    key = {"idempotency-key": f"two-{uuid4()}"}
    first, again = (ask(client, "Once", new_session=True, headers=key) for client in both)
    assert again.headers["x-idempotent-replay"] == "true"
    assert again.json() == first.json()


def test_deleting_stops_a_turn_of_the_other_process(both: Both) -> None:
    """AG-22: and what was said is gone from both at once."""
    one, other = both
    session_id = fresh(one, "My secret is 7")
    ended = session(one, session_id)["messages"][0]["execution_id"]
    with streamed(one, script("My secret is 8", chunks=500, delay_ms=20), session_id=session_id) as response:
        lines = response.iter_lines()
        next(lines)
        assert other.delete(path("chatter", "chat", "sessions", session_id)).status_code == 204
        assert '"cancelled"' in list(lines)[-1]
    for run in (ended, response.headers["x-execution-id"]):
        for client in both:
            until(lambda client=client, run=run: "secret" not in client.get(f"/api/executions/{run}").text)
            assert "secret" not in client.get(f"/api/executions/{run}/stream").text
    assert one.get(path("chatter", "chat", "sessions", session_id)).status_code == 404
