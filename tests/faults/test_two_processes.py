"""Two web processes on Redis and PostgreSQL: one conversation, seen and stopped from both (R7.3, R12.4)."""

import json
from itertools import islice
from uuid import uuid4

import pytest

from tests.faults.turns import SLOW, asking, content, execution, streamed
from tests.support.clients import frames, http
from tests.support.server import Server
from tests.support.waiting import until

pytestmark = [pytest.mark.live, pytest.mark.postgres, pytest.mark.redis]
Pair = tuple[Server, Server]


def test_a_stream_is_followed_and_resumed_on_the_other_process(redis_pg_servers: Pair) -> None:
    """Acceptance 6: no loss, no duplicate, same numbers."""
    first, second = redis_pg_servers
    name = f"two-{uuid4()}"
    with http(first) as here, http(second) as there:
        with streamed(here, name, SLOW) as (response, told):
            seen = list(islice(told, 4))
            execution_id = response.headers["x-execution-id"]
            with there.stream("GET", f"/chat/stream/{name}?execution_id={execution_id}") as other:
                followed = list(frames(other.iter_lines()))
            with there.stream("GET", f"/chat/stream/{name}", headers={"last-event-id": seen[-1].id}) as other:
                resumed = list(frames(other.iter_lines()))
            seen += list(told)
    assert content(followed) == content(seen) == "tok " * SLOW["chunks"]
    numbers = [int(frame.id) for frame in seen if frame.id]
    assert [int(frame.id) for frame in followed if frame.id] == numbers
    assert [int(frame.id) for frame in resumed if frame.id] == [number for number in numbers if number > numbers[3]]


def test_a_turn_is_stopped_from_the_other_process(redis_pg_servers: Pair) -> None:
    """R6.5: works from any process."""
    first, second = redis_pg_servers
    with http(first) as here, http(second) as there:
        with streamed(here, f"stop-{uuid4()}", {"endless": True, "delay_ms": 20}) as (response, told):
            next(told)
            answer = there.post(f"/api/executions/{response.headers['x-execution-id']}/cancel")
            last = json.loads(list(told)[-1].data)
    assert answer.json()["result"] == "terminated"
    assert last["status"] == "cancelled"


def test_turns_on_two_processes_take_their_order(redis_pg_servers: Pair) -> None:
    """R8.1 over processes: the second waits, and its history holds the first."""
    first, second = redis_pg_servers
    name = f"order-{uuid4()}"
    with http(first) as here, http(second) as there:
        with streamed(here, name, {"chunks": 10, "delay_ms": 50, "text": "one "}) as (_, told):
            next(told)
            answer = there.post("/chat/run", json={"message": "And then?", "conversation_id": name, "agent": "root"})
            list(told)
        assert answer.status_code == 200
        third = here.post("/chat/run", json={"message": "And now?", "conversation_id": name, "agent": "root"})
    asked = execution(first, third.headers["x-execution-id"])
    assert asked["status"] == "success"
    assert answer.headers["x-session-id"] == third.headers["x-session-id"]


def test_the_same_key_on_two_processes_runs_once(redis_pg_servers: Pair) -> None:
    """R4 over processes."""
    first, second = redis_pg_servers
    headers = {"idempotency-key": str(uuid4())}
    body = {"message": asking({"text": "Only once."}), "agent": "root"}
    with http(first) as here, http(second) as there:
        one = here.post("/chat/run", json=body, headers=headers)
        two = there.post("/chat/run", json=body, headers=headers)
    assert one.json() == two.json()
    assert two.headers["idempotent-replayed"] == "true"


def test_a_killed_process_leaves_its_turn_interrupted_for_all(redis_pg_servers: Pair) -> None:
    """R12.5: the survivor ends it when the lease has lapsed; its text so far is kept."""
    first, second = redis_pg_servers
    name = f"dead-{uuid4()}"
    with http(first) as here, http(second) as there:
        with streamed(here, name, {"endless": True, "delay_ms": 20, "text": "tok "}) as (response, told):
            execution_id = response.headers["x-execution-id"]
            list(islice(told, 20))
            first.kill()
        ended = until(lambda: (found := execution(second, execution_id))["status"] != "running" and found, 90)
        assert (ended["status"], ended["error_code"]) == ("failed", "interrupted")
        assert ended["response"].startswith("tok")
        again = there.post("/chat/run", json={"message": "Still there?", "conversation_id": name, "agent": "root"})
        assert again.status_code == 200
    first.start()
