"""Redis and PostgreSQL restart under two processes with open streams: every run ends, nothing is lost or doubled (R0.7, R7, RUN-34)."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import real
from tests.faults.turns import asking, content, execution, streamed
from tests.support import cast, services
from tests.support.clients import Frame, frames, http
from tests.support.server import Server
from tests.support.services import Restartable
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until

pytestmark = [pytest.mark.live, pytest.mark.postgres, pytest.mark.redis]
SLOW = {"chunks": 60, "delay_ms": 50, "text": "tok "}
TEXT = SLOW["text"] * SLOW["chunks"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """Two web processes, and the services of their own that they stand on."""

    redis: Restartable
    postgres: Restartable
    first: Server
    second: Server

    def open_runs(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.first.env["DATABASE_URL"]) as connection:
            return connection.execute("SELECT id, status FROM chat_execution WHERE status IN ('queued', 'running')").fetchall()

    def messages(self, execution_id: str) -> list[tuple[str, str, str]]:
        asked = "SELECT role, status, text FROM chat_message WHERE execution_id = %s ORDER BY position"
        with psycopg.connect(self.first.env["DATABASE_URL"]) as connection:
            return connection.execute(asked, [execution_id]).fetchall()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Site]:
    for redis in real(services.own_redis()):
        for postgres in real(services.own_postgres()):
            shared = {"REDIS_URL": redis.url, "DATABASE_URL": services.new_database(postgres.url, "restarts"), "SHUTDOWN_SECONDS": "1"}
            shared |= {"SECRET_KEY": "one" * 20, "ENCRYPTION_KEYS": "c3dpdGNoYm9hcmQtdGVzdHMtMzItYnl0ZXMtbG9uZyE="}
            first, second = (Server(tmp_path_factory.mktemp(f"restarts{number}") / "data", env=shared) for number in (1, 2))
            first.keys = second.keys = cast.fill(first.env, upstream.url)
            with first, second:
                yield Site(redis, postgres, first, second)


@contextmanager
def away(service: Restartable) -> Iterator[None]:
    service.stop()
    yield
    service.start()


class Meanwhile:
    """A call that is under way in a thread; `result()` waits for it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._found: list[T] = []
        self._thread = threading.Thread(target=lambda: self._found.append(call()), daemon=True)
        self._thread.start()

    def result(self) -> Any:
        self._thread.join(30)
        assert self._found, "it did not come to an end"
        return self._found[0]


def numbers(told: list[Frame]) -> list[int]:
    return [int(frame.id) for frame in told if frame.id]


def final(told: list[Frame]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told[-1].data)
    return found


def asked_again(server: Server, name: str) -> int:
    """The status of the conversation's next turn."""
    with http(server) as client:
        answer = client.post("/chat/run", json={"message": "And now?", "conversation_id": name, "agent": "root"})
    return answer.status_code


# Redis


def test_redis_restarts_under_streams_that_are_read_here_and_there(site: Site) -> None:
    """R7.3: no loss, no duplicate, same numbers, in the process of the run and in the other."""
    name = f"redis-{uuid4()}"
    with ExitStack() as stack:
        here, there = stack.enter_context(http(site.first)), stack.enter_context(http(site.second))
        response, told = stack.enter_context(streamed(here, name, SLOW))
        execution_id = response.headers["x-execution-id"]
        seen = list(islice(told, 5))
        other = stack.enter_context(there.stream("GET", f"/chat/stream/{name}?execution_id={execution_id}"))
        watched = frames(other.iter_lines())
        followed = list(islice(watched, 5))
        with away(site.redis):
            seen += list(islice(told, 5))
        seen += list(told)
        followed += list(watched)
        resumed = list(frames(there.get(f"/chat/stream/{name}", headers={"last-event-id": followed[4].id}).iter_lines()))
    assert content(seen) == content(followed) == TEXT
    assert final(seen)["status"] == final(followed)["status"] == "success"
    assert numbers(followed) == numbers(seen) == sorted(set(numbers(seen)))
    assert numbers(resumed) == [number for number in numbers(seen) if number > int(followed[4].id)]
    assert site.messages(execution_id)[1] == ("assistant", "done", TEXT)
    assert asked_again(site.second, name) == 200


def test_a_run_that_ends_while_redis_is_away_is_stored_and_told(site: Site) -> None:
    """RUN-34: its own reader misses nothing; who watches elsewhere gets the whole, in place or after a gap (R7.5)."""
    name = f"ends-{uuid4()}"
    with ExitStack() as stack:
        here, there = stack.enter_context(http(site.first)), stack.enter_context(http(site.second))
        response, told = stack.enter_context(streamed(here, name, {**SLOW, "chunks": 20}))
        execution_id = response.headers["x-execution-id"]
        seen = list(islice(told, 5))
        other = stack.enter_context(there.stream("GET", f"/chat/stream/{name}?execution_id={execution_id}"))
        watched = frames(other.iter_lines())
        followed = list(islice(watched, 2))
        with away(site.redis):
            seen += list(told)
        followed += list(watched)
    assert content(seen) == "tok " * 20
    assert (final(seen)["status"], final(followed)["status"]) == ("success", "success")
    assert content(followed).endswith("tok " * 20)
    assert execution(site.second, execution_id)["status"] == "success"
    assert asked_again(site.second, name) == 200


def test_a_turn_that_waits_while_redis_restarts_gets_its_turn_after_the_first(site: Site, upstream: FakeUpstream) -> None:
    """R8.1: still one at a time."""
    name = f"waits-{uuid4()}"
    body = {"message": "And then?", "conversation_id": name, "agent": "root"}
    with http(site.first) as here, http(site.second) as there, streamed(here, name, SLOW) as (_, told):
        seen = list(islice(told, 3))
        second = Meanwhile(lambda: there.post("/chat/run", json=body))
        until(lambda: any(status == "queued" for _, status in site.open_runs()))
        with away(site.redis):
            seen += list(islice(told, 3))
        seen += list(told)
        answer = second.result()
    assert content(seen) == TEXT
    assert answer.status_code == 200
    sent = upstream.last["body"]["messages"]
    assert [message["content"] for message in sent[-2:]] == [TEXT, "And then?"], "the first was over when the second began"
    assert [status for _, status in site.open_runs()] == []


def test_without_redis_a_conversation_is_refused_and_a_single_call_is_not(site: Site) -> None:
    """RUN-34, R14.4."""
    body = {"model": "root", "messages": [{"role": "user", "content": "Hello"}]}
    with http(site.first) as client:
        with away(site.redis):
            refused = client.post("/chat/run", json={"message": "Hello", "conversation_id": f"none-{uuid4()}", "agent": "root"})
            passed = client.post("/v1/chat/completions", json=body)
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        assert passed.status_code == 200
        assert client.post("/v1/chat/completions", json=body).status_code == 200


# A process ends


def test_a_process_that_ends_tells_those_who_watch_in_another(site: Site) -> None:
    """R12.5, R7.1: its last events reach them, and nobody is told to start over."""
    name = f"term-{uuid4()}"
    with ExitStack() as stack:
        here, there = stack.enter_context(http(site.first)), stack.enter_context(http(site.second))
        response, told = stack.enter_context(streamed(here, name, {"endless": True, "delay_ms": 20, "text": "tok "}))
        seen = list(islice(told, 5))
        other = stack.enter_context(there.stream("GET", f"/chat/stream/{name}?execution_id={response.headers['x-execution-id']}"))
        watched = frames(other.iter_lines())
        followed = list(islice(watched, 2))
        stopping = Meanwhile(lambda: site.first.stop() or True)
        seen += list(told)
        followed += list(watched)
        stopping.result()
    site.first.start()
    assert (final(seen)["code"], final(followed)["code"]) == ("interrupted", "interrupted")
    assert numbers(followed) == numbers(seen)
    assert content(followed) == content(seen)


# PostgreSQL


def test_postgresql_restarts_under_a_stream(site: Site) -> None:
    """R0.7: the end waits for the database, is stored once, and is told once it is stored."""
    name = f"pg-{uuid4()}"
    with http(site.first) as here, streamed(here, name, SLOW) as (response, told):
        execution_id = response.headers["x-execution-id"]
        seen = list(islice(told, 5))
        with away(site.postgres):
            seen += list(islice(told, 5))
        seen += list(told)
    assert content(seen) == TEXT
    assert final(seen)["status"] == "success"
    assert site.messages(execution_id) == [("user", "done", asking(SLOW)), ("assistant", "done", TEXT)]
    assert asked_again(site.first, name) == asked_again(site.second, name) == 200


def test_runs_that_end_while_postgresql_is_away_are_stored_when_it_is_back(site: Site, upstream: FakeUpstream) -> None:
    """R0.7: a conversation's, read as it is written, and a single call, read whole. Meanwhile no new run begins."""
    name, quick = f"pg-ends-{uuid4()}", {**SLOW, "chunks": 20}
    single = {"model": "root", "messages": [{"role": "user", "content": asking({"text": "In one.", "slow_headers_ms": 1500})}]}
    with ExitStack() as stack:
        here, there = stack.enter_context(http(site.first)), stack.enter_context(http(site.second))
        response, told = stack.enter_context(streamed(here, name, quick))
        seen = list(islice(told, 3))
        alone = Meanwhile(lambda: there.post("/v1/chat/completions", json=single))
        until(lambda: upstream.stats["open"] == 2)
        marks = [(server, len(server.log)) for server in (site.first, site.second)]
        with away(site.postgres):
            refused = here.post("/chat/run", json={"message": "Hello", "agent": "root"})
            for server, mark in marks:
                until(lambda server=server, mark=mark: re.search(r"[1-9]\d* waiting", server.log[mark:]))
        seen += list(told)
        whole = alone.result()
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert content(seen) == "tok " * 20
    assert final(seen)["status"] == "success"
    assert len(site.messages(response.headers["x-execution-id"])) == 2
    assert whole.json()["choices"][0]["message"]["content"] == "In one."
    assert execution(site.first, whole.headers["x-execution-id"])["status"] == "success"
    assert site.open_runs() == []
