"""What tests of schedules and webhooks need: agents of the owner's, and a schedule in one line."""

import itertools
from typing import Any

import httpx2 as httpx

from tests.support import clients
from tests.support.server import Server

AGENTS = """
agents:
  - {name: planned, provider: scripted, model: demo, allowed_models: [demo-fast], owner: owner, access: signed_in, run_timeout_s: 1800,
     tools: [{kind: clock, name: planned_clock}]}
  - {name: planned-too, provider: scripted, model: demo, owner: owner, access: signed_in}
  - {name: planned-off, provider: scripted, model: demo, owner: owner, access: signed_in, enabled: false}
"""
MONDAYS = {"name": "Monday report", "cron_expression": "0 9 * * 1", "message": "Weekly report", "timezone": "Europe/Oslo"}
_hosts = itertools.count(1)


def prepare(server: Server) -> None:
    """Adds the agents above to a server, from a process of its own."""
    path = server.data_dir / "planned-agents.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))


def schedules(agent: str = "planned") -> str:
    return f"/api/agents/{agent}/schedules"


def new_schedule(client: httpx.Client, agent: str = "planned", **fields: Any) -> dict[str, Any]:
    answer = client.post(schedules(agent), json={**MONDAYS, **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def path_of(schedule: dict[str, Any], rest: str = "") -> str:
    return f"{schedules(schedule['agent_name'])}/{schedule['id']}{rest}"


def caller(server: Server) -> httpx.Client:
    """Somebody without credentials at an address of their own, behind the proxy that the server trusts."""
    number = next(_hosts)
    return clients.http(server, None, **{"x-forwarded-for": f"198.51.{number // 250}.{number % 250 + 1}"})
