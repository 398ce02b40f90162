"""Workflows when their process dies: the next attempt goes on after the last finished step, and that step is not run again."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.conftest import NewServer
from tests.support import cast, services
from tests.support.clients import http
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until
from tests.wire import flowwire
from tests.wire.flowwire import ask, nodes, out, told
from tests.wire.taskwire import run

pytestmark = pytest.mark.live
NO_LIMITS = {"CHAT_RATE_RPM": "0", "CHAT_RATE_TPM": "0"}
SLOW = '{"tools": [{"name": "wf_clock"}], "text": "Slow.", "hang": true, "fail_first": 1, "key": "{{ inputs.mark }}"}'
"""Calls a tool; then the first try waits for ever, until its process is killed."""
FLOW: dict[str, Any] = {
    "inputs": [{"name": "mark", "type": "string"}],
    "steps": [
        ask("first", "{{ inputs.mark }} one\n\n" + '{"text": "One."}'),
        {
            "id": "each", "kind": "map", "over": ["a", "b"],
            "steps": [ask("item", '{{ inputs.mark }} {{ item }}\n\n{"text": "{{ item }}"}')],
        },
        ask("slow", "{{ inputs.mark }} slow\n\n" + SLOW, after=["first", "each"]),
        out("all", "{{ steps.first.output }} {{ steps.each.output | join }} {{ steps.slow.output }}"),
    ],
}  # fmt: skip


def requests(upstream: FakeUpstream) -> list[list[dict[str, Any]]]:
    """The messages of what the model was asked, in order."""
    return [request["body"]["messages"] for request in httpx.get(f"{upstream.url}/requests").json()]


def asked(upstream: FakeUpstream, mark: str) -> list[str]:
    """What the model was asked in this run, in order."""
    texts = [str(messages[-1]["content"]).split("\n")[0] for messages in requests(upstream)]
    return [text.removeprefix(mark).strip() for text in texts if text.startswith(mark)]


def begun_and_killed(server: Server, upstream: FakeUpstream, killing: Callable[[], object]) -> tuple[str, str]:
    """A run whose process is killed when its slow step waits for the second answer of the model; with what it asks the model by."""
    mark = f"mark{time.time_ns()}"
    with http(server) as client:
        execution_id = flowwire.begun(client, "surviving", params={"mark": mark})
        until(lambda: any(messages[-1]["role"] == "tool" and mark in str(messages) for messages in requests(upstream)))
        killing()
    return execution_id, mark


def gone_on(server: Server, upstream: FakeUpstream, execution_id: str, mark: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The run at its end, and what its second attempt told of its steps."""
    with http(server) as client:
        until(lambda: run(client, execution_id)["status"] not in ("queued", "running"), 150)
        found = run(client, execution_id)
        states = nodes(told(client, execution_id))
    assert (found["status"], found["attempt_number"], found["response"]) == ("success", 2, "One. ab Slow.")
    assert sorted(asked(upstream, mark)) == ["a", "b", "one", "slow", "slow"], "only the step that was cut off ran twice"
    return found, states


def test_a_killed_server_goes_on_after_the_last_finished_step(new_server: NewServer, upstream: FakeUpstream) -> None:
    server = new_server(env=NO_LIMITS)
    flowwire.prepare(server, surviving=FLOW)

    def kill() -> None:
        until(lambda: on_record(server))
        server.kill()

    execution_id, mark = begun_and_killed(server, upstream, kill)
    server.start()
    found, states = gone_on(server, upstream, execution_id, mark)
    assert found["usage"]["model_calls"] == 6, "R10.1: three of finished steps, one of the step that was cut off, two of its second try"
    assert found["usage"]["input_tokens"] == 6 * 412
    assert ("first", "completed") in states
    assert ("first", "running") not in states, "it is told again as completed"
    assert states[-1] == ("all", "completed")


def on_record(server: Server) -> bool:
    """Whether what the step has used is stored, though it is not over."""
    with closing(sqlite3.connect(server.data_dir / "switchboard.sqlite3")) as database:
        return bool(database.execute("SELECT 1 FROM chat_finishedstep WHERE path LIKE 'slow!%'").fetchone())


@pytest.mark.postgres
@pytest.mark.redis
def test_another_process_goes_on_after_the_last_finished_step(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, postgres_url: str, upstream: FakeUpstream
) -> None:
    """On Redis and PostgreSQL: the survivor takes the run up when the lease has lapsed."""
    shared = {**NO_LIMITS, "REDIS_URL": redis_url, "DATABASE_URL": services.new_database(postgres_url, "surviving")}
    shared |= {"SECRET_KEY": "one-secret-key-for-both-processes" * 2, "ENCRYPTION_KEYS": "c3dpdGNoYm9hcmQtdGVzdHMtMzItYnl0ZXMtbG9uZyE="}
    folder: Path = tmp_path_factory.mktemp("surviving")
    first = Server(folder / "one", env={**shared, "EMBEDDED_WORKER": "true"})
    second = Server(folder / "two", env={**shared, "EMBEDDED_WORKER": "true"})
    first.keys = second.keys = cast.fill(first.env, upstream.url)
    with first:
        flowwire.prepare(first, surviving=FLOW)
        execution_id, mark = begun_and_killed(first, upstream, first.kill)
        with second:
            gone_on(second, upstream, execution_id, mark)
