"""Tools that a connected client runs (§7.2): its manifest, calls that are its to run, and its answers."""

import asyncio
import re
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from agents.providers.base import ToolDefinition
from agents.specs import AgentSpec
from agents.tools.base import ToolOutcome
from chat import clientcalls
from chat.protocols.websocket.errors import refusal
from chat.protocols.websocket.frames import Frame
from chat.protocols.websocket.values import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chat.protocols.websocket.connection import Connection
    from chat.protocols.websocket.serializers import Manifest, ToolResult
    from chat.protocols.websocket.watch import Watch

LONGEST_SCHEMAS_BYTES = 65_536
_TRIES, _BETWEEN_S = 3, 0.3


def declared(manifest: "Manifest") -> tuple[ToolDefinition, ...]:
    """The tools of a manifest. Raises invalid_manifest (WS-47)."""
    names = [tool.name for tool in manifest.tools]
    if len(set(names)) < len(names):
        raise refusal("invalid_manifest", "Two tools have the same name.")
    if len(orjson.dumps([(tool.description, safe(tool.parameters)) for tool in manifest.tools])) > LONGEST_SCHEMAS_BYTES:
        raise refusal("invalid_manifest", f"The schemas are larger than {LONGEST_SCHEMAS_BYTES} bytes.")
    return tuple(ToolDefinition(name=tool.name, description=tool.description, parameters=tool.parameters) for tool in manifest.tools)


def check(tools: tuple[ToolDefinition, ...], agent: AgentSpec) -> None:
    """A client's tool may not have the name of one of the agent's (R11.3). Raises invalid_manifest."""
    taken = sorted({tool.name for tool in tools} & {tool.name for tool in agent.tools})
    if taken:
        raise refusal("invalid_manifest", f"The agent has a tool named {taken[0]} itself.")


def called(watch: "Watch", execution_id: UUID, frame: Frame, told: "Sequence[Frame]") -> None:
    """A client tool was called. Whose turn it is runs it; others see it, and take it over when that one is lost (WS-48, WS-50)."""
    connection = watch.connection
    is_open = not any(other.body["type"] == "tool_result" and other.body["tool_call_id"] == frame.awaits for other in told)
    if is_open and execution_id in connection.began:
        _ask(connection, execution_id, frame)
        return
    connection.outbox.put(frame)
    if is_open and execution_id in watch.mine and any(tool.name == frame.body["name"] for tool in connection.manifest):
        connection.work(_take_over(connection, execution_id, frame))


async def _take_over(connection: "Connection", execution_id: UUID, frame: Frame) -> None:
    """The call may be told a moment before it waits, and its connection be found lost a moment later."""
    for _ in range(_TRIES):
        if await clientcalls.take(execution_id, frame.awaits, connection.id):
            _ask(connection, execution_id, frame)
            return
        await asyncio.sleep(_BETWEEN_S)


def _ask(connection: "Connection", execution_id: UUID, frame: Frame) -> None:
    connection.answers[frame.awaits] = execution_id
    connection.send({**frame.body, "client": True})


async def answered(connection: "Connection", result: "ToolResult") -> None:
    """Takes an answer; one that nobody waits for is ignored (WS-49)."""
    execution_id = connection.answers.pop(result.tool_call_id, None)
    if execution_id is None:
        return
    outcome = ToolOutcome(output=safe(result.result)) if result.ok else ToolOutcome(output=_sentence(result.error), is_error=True)
    await clientcalls.answer(execution_id, result.tool_call_id, outcome)


def _sentence(error: str | None) -> str:
    text = re.sub(r"\s+", " ", error or "").strip()
    return text[:2000] or "The tool failed."
