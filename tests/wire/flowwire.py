"""What tests of workflows need: agents, workflows, and each call in one line."""

import time
from typing import Any

import httpx2 as httpx
import orjson
import yaml

from tests.support import clients
from tests.support.server import Server
from tests.wire.taskwire import ended

AGENTS = """
tools:
  - {name: wf_clock, kind: clock}
  - {name: wf_asked, kind: clock}
agents:
  - {name: flow, provider: fake, model: fake, owner: owner, access: shared, shared_users: [guest],
     tools: [{name: wf_clock}, {name: wf_asked, requires_approval: true}]}
  - {name: secretive, provider: fake, model: fake, owner: owner}
"""


def script(said: str = "", /, **written: Any) -> str:
    """A message that the fake model answers as written."""
    return "\n\n".join(filter(None, (said, orjson.dumps(written).decode())))


def ask(id: str, said: str = "", /, agent: str = "flow", **fields: Any) -> dict[str, Any]:
    """A step that asks an agent; `text` and the like write its answer."""
    own = {name: fields.pop(name) for name in list(fields) if name in STEP}
    return {"id": id, "kind": "agent", "agent": agent, "message": script(said, **fields) if fields else said, **own}


STEP = frozenset(("after", "output", "schema", "retry", "timeout_s", "on_error", "tools", "history", "instructions", "files", "label"))


def out(id: str, value: Any, **fields: Any) -> dict[str, Any]:
    return {"id": id, "kind": "output", "value": value, **fields}


def prepare(server: Server, **flows: dict[str, Any]) -> None:
    """Adds the agents above and these workflows to a server, from a process of its own."""
    workflows = [{"name": name.replace("_", "-"), "agent": "flow", "definition": definition} for name, definition in flows.items()]
    path = server.data_dir / "workflows.yaml"
    path.write_text(AGENTS + yaml.safe_dump({"workflows": workflows}, allow_unicode=True))
    server.manage("agents", "apply", str(path))


def post(client: httpx.Client, name: str, agent: str = "flow", /, **fields: Any) -> httpx.Response:
    headers = fields.pop("headers", None)
    return client.post(f"/api/agents/{agent}/workflows/{name}/run", json=fields, headers=headers)


def begun(client: httpx.Client, name: str, /, **fields: Any) -> str:
    """The id of a run that was accepted."""
    answer = post(client, name, **fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["execution_id"])


def ran(client: httpx.Client, name: str, /, **fields: Any) -> dict[str, Any]:
    """The run when it is over."""
    return ended(client, begun(client, name, **fields))


def result(client: httpx.Client, name: str, /, **fields: Any) -> Any:
    """The outputs of a run that succeeds."""
    answer = post(client, name, async_mode=False, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def told(client: httpx.Client, execution_id: str) -> list[dict[str, Any]]:
    """What the run's stream tells of its steps, until it is over or paused."""
    with client.stream("GET", f"/api/executions/{execution_id}/stream") as answer:
        frames = [frame.json() for frame in clients.frames(answer.iter_lines()) if frame.data]
    return [frame for frame in frames if isinstance(frame, dict)]


def nodes(frames: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(step, status) of each, in order; a step that was skipped says so."""
    states = [frame for frame in frames if frame["type"] == "workflow" and frame["subtype"] == "node"]
    return [(frame["node_id"], "skipped" if frame["skipped"] else frame["status"]) for frame in states]


def until_told(client: httpx.Client, execution_id: str, node: str, status: str, limit_s: float = 60) -> None:
    """Returns when a step of the run has come to this status."""
    began = time.monotonic()
    with client.stream("GET", f"/api/executions/{execution_id}/stream") as answer:
        for frame in clients.frames(answer.iter_lines()):
            if frame.data and (node, status) in nodes([frame.json()]):
                return
            assert time.monotonic() - began < limit_s
    raise AssertionError(f"{node} never was {status}")
