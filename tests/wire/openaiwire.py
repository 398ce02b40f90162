"""What tests of the OpenAI wire need: agents of each kind, one call in one line, and what the model was told."""

from typing import Any

import httpx2 as httpx
import orjson

from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream

AGENTS = """
agents:
  - {name: oai-clock, provider: scripted, model: demo-fast, tools: [{kind: clock, name: oai_clock}]}
  - {name: oai-mixed, provider: fake, model: fake, tools: [{name: oai_clock}]}
  - {name: oai-approval, provider: scripted, model: demo-fast, tools: [{name: oai_clock, requires_approval: true}]}
  - {name: oai-asks, provider: fake, model: fake, tools: [{name: oai_clock, requires_approval: true}]}
  - {name: oai-locked, provider: fake, model: fake, temperature: 0.1, sampling_locked: true, caller_instructions: false, max_tokens: 50}
  - {name: oai-able, provider: fake, model: fake, accept_images: true, accept_audio: true, accept_files: true, instructions: You are able.}
  - {name: oai-thinker, provider: scripted, model: demo-fast, show_reasoning: true}
  - {name: oai-fast, provider: scripted, model: demo-fast}
  - {name: oai-disabled, provider: fake, model: fake, enabled: false}
  - {name: oai-ignores, provider: fake, model: fake, client_tools: ignore}
  - {name: oai-reject, provider: fake, model: fake, turn_policy: reject}
  - {name: oai-json, provider: fake, model: fake, output_mode: json_object}
"""
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
        "strict": True,
    },
}
PATH = "/v1/chat/completions"


def prepare(server: Server) -> None:
    """Adds the agents above to a server, from a process of its own: the server sees them from its next turn on."""
    path = server.data_dir / "openai-agents.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))
    with clients.http(server) as client:
        assert ask(client, "Hello").status_code == 200


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def ask(client: httpx.Client, said: str | list[dict[str, Any]], *, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    """One call; `said` is the user's text, or all messages."""
    body = {"model": "root", "messages": user(said) if isinstance(said, str) else said, **fields}
    return client.post(PATH, json=body, headers=headers)


def stream(
    client: httpx.Client, said: str | list[dict[str, Any]], *, headers: dict[str, str] | None = None, **fields: Any
) -> tuple[httpx.Response, list[Any]]:
    """The response and its frames, decoded; "[DONE]" as it is."""
    body = {"model": "root", "messages": user(said) if isinstance(said, str) else said, "stream": True, **fields}
    with client.stream("POST", PATH, json=body, headers=headers) as response:
        if response.status_code != 200:
            response.read()
            return response, []
        told = [frame.data for frame in clients.frames(response.iter_lines()) if frame.data]
    return response, [data if data == "[DONE]" else orjson.loads(data) for data in told]


def content(frames: list[Any]) -> str:
    """The text of a stream."""
    deltas = [frame["choices"][0]["delta"] for frame in frames if frame != "[DONE]" and frame.get("choices")]
    return "".join(delta.get("content") or "" for delta in deltas)


def error(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and param; fails when the envelope is not this wire's."""
    inner = response.json()["error"]
    assert {"message", "type", "param", "code"} <= set(inner)
    return response.status_code, inner["code"], inner["param"]


def heard(upstream: FakeUpstream) -> list[tuple[str, Any]]:
    """What the model was told last: (role, content) of each message."""
    return [(message["role"], message["content"]) for message in upstream.last["body"]["messages"]]
