"""Workflows when their process dies: the next attempt goes on after the last finished step, and that step is not run again."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NewServer
from tests.support import cast, services
from tests.support.clients import http
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.wire import flowwire
from tests.wire.flowwire import ask, nodes, out, told
from tests.wire.taskwire import run

pytestmark = pytest.mark.live
NO_LIMITS = {"CHAT_RATE_RPM": "0", "CHAT_RATE_TPM": "0"}
FLOW: dict[str, Any] = {
    "inputs": [{"name": "mark", "type": "string"}],
    "steps": [
        ask("first", "{{ inputs.mark }} one\n\n" + '{"text": "One."}'),
        {
            "id": "each", "kind": "map", "over": ["a", "b"],
            "steps": [ask("item", '{{ inputs.mark }} {{ item }}\n\n{"text": "{{ item }}"}')],
        },
        ask("slow", "{{ inputs.mark }} slow\n\n" + '{"text": "Slow.", "slow_headers_ms": 4000}', after=["first", "each"]),
        out("all", "{{ steps.first.output }} {{ steps.each.output | join }} {{ steps.slow.output }}"),
    ],
}  # fmt: skip


def asked(upstream: FakeUpstream, mark: str) -> list[str]:
    """What the model was asked in this run, in order."""
    import httpx2 as httpx

    seen = httpx.get(f"{upstream.url}/requests").json()
    texts = [str(request.get("body", request)["messages"][-1]["content"]).split("\n")[0] for request in seen]
    return [text.removeprefix(mark).strip() for text in texts if text.startswith(mark)]


def survived(server: Server, upstream: FakeUpstream, other: Server | None = None) -> None:
    """Kills the server in the slow step; the run ends on the other one, or after the restart."""
    mark = f"mark{time.time_ns()}"
    with http(server) as client:
        execution_id = flowwire.begun(client, "surviving", params={"mark": mark})
        flowwire.until_told(client, execution_id, "slow", "running")
    server.kill()
    if other is None:
        server.start()
    with http(other or server) as client:
        until = time.monotonic() + 90
        while (found := run(client, execution_id))["status"] != "success":
            assert time.monotonic() < until, found
            time.sleep(0.2)
        states = nodes(told(client, execution_id))
    assert (found["attempt_number"], found["response"]) == (2, "One. ab Slow.")
    assert sorted(asked(upstream, mark)) == ["a", "b", "one", "slow", "slow"], "only the step that was cut off ran twice"
    assert found["usage"]["model_calls"] == 4, "R10.1: what the first attempt's finished steps used counts"
    assert ("first", "completed") in states
    assert ("first", "running") not in states, "it is told again as completed"
    assert states[-1] == ("all", "completed")


def test_a_killed_server_goes_on_after_the_last_finished_step(new_server: NewServer, upstream: FakeUpstream) -> None:
    server = new_server(env=NO_LIMITS)
    flowwire.prepare(server, surviving=FLOW)
    survived(server, upstream)


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
        with http(first) as client:
            mark = f"mark{time.time_ns()}"
            execution_id = flowwire.begun(client, "surviving", params={"mark": mark})
            flowwire.until_told(client, execution_id, "slow", "running")
        first.kill()
        with second, http(second) as client:
            until = time.monotonic() + 90
            while (found := run(client, execution_id))["status"] != "success":
                assert time.monotonic() < until, found
                time.sleep(0.2)
    assert (found["attempt_number"], found["response"]) == (2, "One. ab Slow.")
    assert sorted(asked(upstream, mark)) == ["a", "b", "one", "slow", "slow"]
