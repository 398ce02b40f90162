"""Background runs when workers, servers, Redis and the database die under them: nothing is lost, nothing counts twice (AG-31, AG-32)."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
import psycopg
import pytest

from tests.conftest import NewServer
from tests.support import cast, services
from tests.support.clients import frames, http
from tests.support.server import Server
from tests.support.services import Restartable
from tests.support.waiting import until
from tests.support.worker import Worker
from tests.wire.agentswire import script
from tests.wire.taskwire import NO_LIMITS, ended, post, queued, run, running

pytestmark = pytest.mark.live
LONG, TEXT = script(chunks=100, delay_ms=20, text="tok "), "tok " * 100
AGENTS = cast.AGENTS.replace("{name: scripted, provider: scripted, model: demo}", "{name: scripted, provider: scripted, model: demo-fast}")


def follow(client: httpx.Client, execution_id: str, after: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Number and object of each frame of a run's stream."""
    headers = {"last-event-id": after} if after else {}
    with client.stream("GET", f"/api/executions/{execution_id}/stream", headers=headers) as response:
        for frame in frames(response.iter_lines()):
            if frame.data:
                yield frame.id, orjson.loads(frame.data)


def text_of(told: list[tuple[str, dict[str, Any]]]) -> str:
    """What a client shows that drops what it has when it is told to."""
    shown = ""
    for _, line in told:
        if line["type"] == "gap" and line.get("restart"):
            shown = ""
        if line["type"] == "stream_event":
            shown += line["event"]["delta"]["text"]
    return shown


# One process, with its worker inside


def test_a_task_whose_server_was_killed_begins_again(new_server: NewServer) -> None:
    """AG-32, R7.5: its watcher comes back with the last number and is told to start over; what waited behind it waits no longer."""
    server = new_server(env=NO_LIMITS)
    with http(server) as client:
        execution_id = queued(client, LONG, "root", timeout_seconds=20)
        seen = list(islice(follow(client, execution_id), 20))
        server.kill()
        server.start()
        told = list(follow(client, execution_id, seen[-1][0]))
        found = run(client, execution_id)
    assert (found["status"], found["attempt_number"], found["response"]) == ("success", 2, TEXT)
    told = [(number, line) for number, line in told if line["type"] != "status"]
    assert [line["type"] for _, line in told][:2] == ["gap", "system"]
    assert text_of([*seen, *told]) == found["response"]
    assert int(told[0][0]) > int(seen[-1][0])
    server.stop()


def test_a_server_that_ends_puts_its_tasks_back(new_server: NewServer) -> None:
    """R12.5: taken up again after the restart, unless they may begin once only."""
    server = new_server(env={**NO_LIMITS, "SHUTDOWN_SECONDS": "1"})
    with http(server) as client:
        again, once = queued(client, LONG, "root"), queued(client, LONG, "root", max_attempts=1)
        for execution_id in (again, once):
            running(client, execution_id)
        assert server.stop() == 0
        server.start()
        found, failed = ended(client, again), ended(client, once)
    assert (found["status"], found["attempt_number"]) == ("success", 2)
    assert (failed["status"], failed["error_code"], failed["attempt_number"]) == ("failed", "interrupted", 1)
    server.stop()


# Workers of their own, on Redis and PostgreSQL


@dataclass(frozen=True, kw_only=True)
class Site:
    web: Server
    workers: tuple[Worker, Worker]
    redis: Restartable
    postgres: Restartable
    database_url: str

    def count(self) -> Counter[tuple[str, int, str]]:
        """How many runs there are of each status, attempt and error."""
        with psycopg.connect(self.database_url) as connection:
            rows = connection.execute("SELECT status, attempt_number, error_code FROM chat_execution").fetchall()
        return Counter((str(status), int(attempt), str(code)) for status, attempt, code in rows)

    def worker_of(self, execution_id: str) -> Worker:
        """The worker that has the run."""
        with psycopg.connect(self.database_url) as connection:
            (name,) = connection.execute("SELECT process FROM chat_execution WHERE id = %s", [execution_id]).fetchone() or ("",)
        return next(worker for worker in self.workers if f"-{worker.pid}-" in name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, upstream: Any) -> Iterator[Site]:
    """A web process and two workers, with services that may be stopped."""
    folder: Path = tmp_path_factory.mktemp("tasks") / "data"
    try:
        with services.own_redis() as redis, services.own_postgres() as postgres:
            database = services.new_database(postgres.url, "tasks")
            shared = {"REDIS_URL": redis.url, "DATABASE_URL": database, "WORKER_SHUTDOWN_SECONDS": "1", **NO_LIMITS}
            web, workers = Server(folder, env=shared), (Worker(folder, shared), Worker(folder, shared))
            web.keys = cast.fill(web.env, upstream.url, AGENTS)
            with ThreadPoolExecutor(3) as pool, ExitStack() as stack:
                for process in pool.map(Server.start, (web, *workers)):
                    stack.callback(process.kill)
                yield Site(web=web, workers=workers, redis=redis, postgres=postgres, database_url=database)
    except services.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with http(site.web) as client:
        yield client


@pytest.mark.postgres
@pytest.mark.redis
class TestWorkers:
    def test_a_task_whose_worker_was_killed_begins_again_unless_it_may_begin_once_only(self, site: Site, client: httpx.Client) -> None:
        """AG-32: one winner; who watches through the web process is told to start over, and misses nothing."""
        again, once = queued(client, LONG, "root"), queued(client, LONG, "root", max_attempts=1)
        with http(site.web) as other:
            streams = follow(client, again), follow(other, once)
            seen, last = ([next(line for line in told if line[1]["type"] == "stream_event")] for told in streams)
            for worker in site.workers:
                worker.kill()
            for worker in site.workers:
                worker.start()
            seen += list(streams[0])
            last += list(streams[1])
        found, failed = run(client, again), run(client, once)
        assert (found["status"], found["attempt_number"], found["response"]) == ("success", 2, TEXT)
        assert text_of(seen) == found["response"]
        assert [line["type"] for _, line in seen].count("result") == 1
        assert (failed["status"], failed["error_code"], failed["response"][:4]) == ("failed", "interrupted", "tok ")
        assert [line["type"] for _, line in last][-3:] == ["error", "result", "stream_end"]

    def test_a_worker_that_is_told_to_end_puts_its_tasks_back(self, site: Site, client: httpx.Client) -> None:
        """R12.5: the other one begins them at once, long before a lease lapses."""
        execution_id = queued(client, LONG, "root")
        running(client, execution_id)
        worker = site.worker_of(execution_id)
        assert worker.stop() == 0
        assert ended(client, execution_id)["attempt_number"] == 2
        worker.start()

    def test_two_workers_never_run_one_task_twice(self, site: Site, client: httpx.Client, upstream: Any) -> None:
        """AG-31: as many model calls as tasks."""
        key = "two-workers"
        before = calls(upstream)
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(lambda n: queued(client, script(f"{key} {n}", text="one", delay_ms=30), "root"), range(30)))
        found = [ended(client, execution_id) for execution_id in ids]
        assert Counter((row["status"], row["attempt_number"]) for row in found) == {("success", 1): 30}
        assert calls(upstream) - before == 30

    def test_a_task_is_cancelled_in_whichever_process_it_runs(self, site: Site, client: httpx.Client) -> None:
        """R6.5."""
        execution_id = queued(client, script(endless=True, delay_ms=20, text="tok "), "root")
        running(client, execution_id)
        assert client.post(f"/api/executions/{execution_id}/cancel").json()["result"] == "terminated"
        assert run(client, execution_id)["status"] == "cancelled"

    def test_redis_may_restart_while_tasks_run_and_wait(self, site: Site, client: httpx.Client) -> None:
        """R12.4: what it forgot is in the rows. While it is away a task is refused, unless a worker finds it by itself (AG-30)."""
        goes_on = queued(client, LONG, "root")
        running(client, goes_on)
        waits = queued(client, script("And this."), "scripted")
        site.redis.stop()
        meanwhile = post(client, agent="scripted")
        site.redis.start()
        assert meanwhile.status_code == 202 or meanwhile.json()["code"] == "store_unavailable"
        accepted = [meanwhile.json()["execution_id"]] if meanwhile.status_code == 202 else []
        for execution_id in (goes_on, waits, *accepted):
            found = ended(client, execution_id)
            assert (found["status"], found["attempt_number"]) == ("success", 1)
        after = until(lambda: (answer := post(client, agent="scripted")).status_code == 202 and answer)
        assert ended(client, after.json()["execution_id"])["status"] == "success"
        assert site.count()["failed", 1, "store_unavailable"] >= 1 - len(accepted)

    def test_the_database_may_restart_while_tasks_run(self, site: Site, client: httpx.Client) -> None:
        goes_on = queued(client, LONG, "root")
        running(client, goes_on)
        site.postgres.stop()
        site.postgres.start()
        found = until(lambda: (seen := client.get(f"/api/executions/{goes_on}")).status_code == 200 and over(seen.json()))
        assert (found["status"], found["attempt_number"], found["response"]) == ("success", 1, TEXT)
        assert ended(client, queued(client, agent="scripted"))["status"] == "success"

    def test_tasks_are_drained_while_workers_are_killed(self, site: Site, client: httpx.Client) -> None:
        """0 lost, 0 doubled: each has one end, and its own answer."""
        before, stop = site.count(), threading.Event()
        killer = threading.Thread(target=kill_again_and_again, args=(site, stop))
        killer.start()
        with ThreadPoolExecutor(8) as pool:
            texts = [f"number {n}" for n in range(80)]
            ids = list(pool.map(lambda text: queued(client, f"/demo delay 300\n/demo text {text}", "scripted", max_attempts=5), texts))
            found = list(pool.map(lambda execution_id: ended(client, execution_id), ids))
        stop.set()
        killer.join()
        assert [(row["status"], row["response"]) for row in found] == [("success", text) for text in texts]
        assert sum((site.count() - before).values()) == 80


def kill_again_and_again(site: Site, stop: threading.Event) -> None:
    while not stop.wait(1):
        worker = random.choice(site.workers)
        worker.kill()
        worker.start()


def over(row: dict[str, Any]) -> dict[str, Any] | None:
    return row if row["status"] not in ("queued", "running") else None


def calls(upstream: Any) -> int:
    return int(httpx.get(f"{upstream.url}/stats").json()["requests"])
