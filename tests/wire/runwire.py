"""What tests of the run wire need: agents of each policy, and the two calls in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
import orjson

from tests.support import clients
from tests.support.clients import Frame
from tests.support.server import Server

AGENTS = """
agents:
  - {name: run-queue, provider: fake, model: fake}
  - {name: run-reject, provider: fake, model: fake, turn_policy: reject}
  - {name: run-interrupt, provider: fake, model: fake, turn_policy: interrupt}
  - {name: run-single, provider: fake, model: fake, max_parallel_runs: 1}
  - {name: run-narrow, provider: fake, model: fake, max_parallel_runs: 1, max_queued_chats: 1}
  - {name: run-disabled, provider: fake, model: fake, enabled: false}
  - {name: run-private, provider: fake, model: fake, access: private, owner: owner}
  - {name: run-clock, provider: scripted, model: demo-fast, tools: [{kind: clock, name: run_clock}]}
  - {name: run-approval, provider: scripted, model: demo-fast, tools: [{name: run_clock, requires_approval: true}]}
  - name: run-manager
    provider: scripted
    model: demo-fast
    owner: owner
    access: signed_in
    tools: [{name: run_clock, requires_approval: true, approver: manager}]
"""
PAUSES = '/demo text I look.\n/demo tool run_clock {"timezone": "Europe/Oslo"}\n/demo text It is late.'


def prepare(server: Server) -> None:
    """Adds the agents above to a server, from a process of its own: the server sees them from its next turn on."""
    path = server.data_dir / "run-agents.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))
    with clients.http(server) as client:
        answer = ask(client, "Hello", agent="root")
        assert answer.status_code == 200, answer.text


def ask(client: httpx.Client, message: str, **fields: Any) -> httpx.Response:
    return client.post("/chat/run", json={"message": message, **fields})


@contextmanager
def streamed(client: httpx.Client, message: str, headers: dict[str, str] | None = None, **fields: Any) -> Iterator[httpx.Response]:
    with client.stream("POST", "/chat/stream", json={"message": message, **fields}, headers=headers) as response:
        yield response


def told(frames: list[Frame]) -> list[dict[str, Any]]:
    return [orjson.loads(frame.data) for frame in frames if frame.data]


def text(frames: list[Frame]) -> str:
    return "".join(event["content"] for event in told(frames))


def stream(client: httpx.Client, message: str, **fields: Any) -> tuple[httpx.Response, list[Frame]]:
    """The whole stream, read to its end."""
    with streamed(client, message, **fields) as response:
        if response.status_code != 200:
            response.read()
            return response, []
        return response, [frame for frame in clients.frames(response.iter_lines()) if frame.data]


def resume(client: httpx.Client, conversation_id: str, after: int | None = None, **query: Any) -> tuple[httpx.Response, list[Frame]]:
    headers = {"Last-Event-ID": str(after)} if after is not None else {}
    with client.stream("GET", f"/chat/stream/{conversation_id}", params=query, headers=headers) as response:
        if response.status_code != 200:
            response.read()
            return response, []
        return response, [frame for frame in clients.frames(response.iter_lines()) if frame.data]
