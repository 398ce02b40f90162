"""The queue of background runs: how long an accepted run waits for an idle worker, and how fast a backlog is worked off."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import httpx2 as httpx

from tests.benchmarks.report import at_most
from tests.support import clients
from tests.support.worker import Worker

if TYPE_CHECKING:
    from tests.benchmarks.measures import Bench

AGENT = "backlog"
AGENTS = """
providers:
  - {name: quick, kind: demo, options: {script: [text done]}}
agents:
  - {name: backlog, provider: quick, model: demo-fast, max_parallel_tasks: 100, max_queued_tasks: 100000, access: signed_in}
"""
SINGLE, BACKLOG = 150, 1000
_OPEN = ("queued", "running")


def queue(bench: "Bench") -> None:
    """One task at a time, accepted to started; then a thousand demo tasks at once."""
    with worker(bench), clients.http(bench.site.server) as client:
        for _ in range(10):
            ended(client, [accepted(client)])
        waits_ms = [lag_ms(ended(client, [accepted(client)])[0]) for _ in range(SINGLE)]
        bench.report.add("queue lag p50, ms", ours=median(waits_ms), target=at_most(50 if bench.mode == "embedded" else 15))
        bench.report.add("queue lag p99, ms", ours=quantiles(waits_ms, n=100)[-1])
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(lambda _: accepted(client), range(BACKLOG)))
        statuses = {run["status"] for run in ended(client, ids)}
        assert statuses == {"success"}, statuses
        bench.report.add("demo tasks/s, accepted and worked off", ours=BACKLOG / (time.monotonic() - began))


@contextmanager
def worker(bench: "Bench") -> Iterator[None]:
    """The agent, and with Redis a worker process beside the server; embedded, the server has its own."""
    server = bench.site.server
    path = server.data_dir / "backlog.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))
    with ExitStack() as stack:
        if bench.mode != "embedded":
            stack.enter_context(Worker(server.data_dir, server.env))
        yield


def accepted(client: httpx.Client) -> str:
    answer = client.post(f"/api/agents/{AGENT}/task", json={"message": "Work."})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["execution_id"])


def ended(client: httpx.Client, ids: list[str]) -> list[dict[str, Any]]:
    """The runs when all of them are over, asked gently: whoever asks takes from whom is measured."""
    found = []
    for execution_id in ids:
        while (run := client.get(f"/api/executions/{execution_id}").json())["status"] in _OPEN:
            time.sleep(0.03)
        found.append(run)
    return found


def lag_ms(run: dict[str, Any]) -> float:
    accepted_at, started_at = (datetime.fromisoformat(run[name]) for name in ("queued_at", "started_at"))
    return (started_at - accepted_at).total_seconds() * 1000
