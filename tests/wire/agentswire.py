"""What tests of chat on the agents wire need: agents, and each call in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
import orjson

from tests.support import clients
from tests.support.server import Server

AGENTS = """
tools:
  - {name: ag_clock, kind: clock}
  - {name: ag_time, kind: clock}
agents:
  - {name: chatter, provider: fake, model: fake, owner: owner, access: shared, shared_users: [guest, admin], accept_images: true}
  - {name: other, provider: fake, model: fake, owner: owner, access: signed_in}
  - {name: two-tools, provider: fake, model: fake, access: signed_in, tools: [{name: ag_clock}, {name: ag_time}]}
  - name: choosy
    provider: fake
    model: fake
    access: signed_in
    allowed_models: [echo]
    tools: [{name: ag_time, requires_approval: true}]
  - {name: acting, provider: scripted, model: demo-fast, access: signed_in}
  - {name: careful-chat, provider: fake, model: fake, access: signed_in, tools: [{name: ag_clock, requires_approval: true}]}
  - {name: narrow, provider: fake, model: fake, access: signed_in, max_parallel_runs: 1, max_queued_chats: 1}
  - {name: rejecting, provider: fake, model: fake, access: signed_in, turn_policy: reject}
  - {name: switched-off, provider: fake, model: fake, access: signed_in, enabled: false}
"""
ANSWER = "Hello! How can I help?"
NDJSON, SSE = "application/x-ndjson", "text/event-stream"


def prepare(server: Server) -> None:
    """Adds the agents above to a server, from a process of its own; it sees them from its next turn on."""
    path = server.data_dir / "chat-agents.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))


def script(said: str = "", /, **written: Any) -> str:
    """A message that the fake model answers as written: after some words of its own, if any."""
    return "\n\n".join(filter(None, (said, orjson.dumps(written).decode())))


def path(agent: str, *rest: str) -> str:
    return "/".join(("/api/agents", agent, *rest))


def ask(client: httpx.Client, message: str = "Hello", agent: str = "chatter", **fields: Any) -> httpx.Response:
    headers, params = fields.pop("headers", None), fields.pop("params", None)
    return client.post(path(agent, "chat"), json={"message": message, **fields}, headers=headers, params=params)


def told(client: httpx.Client, message: str = "Hello", agent: str = "chatter", **fields: Any) -> dict[str, Any]:
    """The JSON answer of a turn that succeeds."""
    answer = ask(client, message, agent, **fields)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def fresh(client: httpx.Client, message: str = "Hello", agent: str = "chatter", **fields: Any) -> str:
    """The id of a new session with one turn."""
    return str(told(client, message, agent, new_session=True, **fields)["session_id"])


def get(client: httpx.Client, *rest: str, agent: str = "chatter", **query: Any) -> Any:
    answer = client.get(path(agent, "chat", *rest), params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def session(client: httpx.Client, session_id: str, agent: str = "chatter", **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = get(client, "sessions", session_id, agent=agent, **query)
    return found


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in messages]


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    """The objects of an NDJSON answer."""
    return [orjson.loads(line) for line in response.text.splitlines()]


def frames(response: httpx.Response) -> list[tuple[int | None, dict[str, Any]]]:
    """Number and object of each frame of an SSE answer."""
    found = clients.frames(line for line in response.text.split("\n"))
    return [(int(frame.id) if frame.id else None, orjson.loads(frame.data)) for frame in found if frame.data]


@contextmanager
def streamed(client: httpx.Client, message: str, agent: str = "chatter", **fields: Any) -> Iterator[httpx.Response]:
    """A stream that can be left."""
    body = {"message": message, "stream": True, **fields}
    with client.stream("POST", path(agent, "chat"), json=body) as response:
        yield response
