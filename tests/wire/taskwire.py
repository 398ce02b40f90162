"""What tests of background work need: agents, and each call in one line."""

from typing import Any

import httpx2 as httpx

from tests.support.server import Server
from tests.support.waiting import until

AGENTS = """
tools:
  - {name: tk_clock, kind: clock}
  - {name: tk_time, kind: clock}
agents:
  - {name: tasker, provider: fake, model: fake, owner: owner, access: shared, shared_users: [guest], instructions: You are careful.,
     allowed_models: [echo], run_timeout_s: 600}
  - {name: armed, provider: fake, model: fake, owner: owner, tools: [{name: tk_clock}, {name: tk_time}]}
  - {name: asking, provider: fake, model: fake, owner: owner, tools: [{name: tk_clock, requires_approval: true}]}
  - {name: single, provider: fake, model: fake, owner: owner, max_parallel_tasks: 1}
  - {name: tiny, provider: fake, model: fake, owner: owner, max_parallel_tasks: 1, max_queued_tasks: 1}
  - {name: resting, provider: fake, model: fake, owner: owner, enabled: false}
"""
OVER = ("success", "failed", "cancelled", "skipped", "paused")
NO_LIMITS = {"CHAT_RATE_RPM": "0", "CHAT_RATE_TPM": "0"}


def prepare(server: Server) -> None:
    """Adds the agents above to a server, from a process of its own; it hears of them."""
    path = server.data_dir / "task-agents.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))


def post(client: httpx.Client, message: str = "Work.", agent: str = "tasker", **fields: Any) -> httpx.Response:
    headers = fields.pop("headers", None)
    return client.post(f"/api/agents/{agent}/task", json={"message": message, **fields}, headers=headers)


def queued(client: httpx.Client, message: str = "Work.", agent: str = "tasker", **fields: Any) -> str:
    """The id of a run that was accepted."""
    answer = post(client, message, agent, **fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["execution_id"])


def run(client: httpx.Client, execution_id: str) -> dict[str, Any]:
    answer = client.get(f"/api/executions/{execution_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(client: httpx.Client, execution_id: str) -> dict[str, Any]:
    """The run when it is over, or waits for an approval."""

    def look() -> dict[str, Any] | None:
        found = run(client, execution_id)
        return found if found["status"] in OVER else None

    found: dict[str, Any] = until(look)
    return found


def running(client: httpx.Client, execution_id: str) -> dict[str, Any]:
    """The run when it has begun."""
    found: dict[str, Any] = until(lambda: (seen := run(client, execution_id))["status"] != "queued" and seen)
    assert found["status"] == "running", found
    return found


def done(client: httpx.Client, message: str = "Work.", agent: str = "tasker", **fields: Any) -> dict[str, Any]:
    """A task from its request to its end."""
    return ended(client, queued(client, message, agent, **fields))
