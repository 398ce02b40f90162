"""Server tools of one model step: checked arguments, run in parallel, one result each, scrubbed and bounded (R11)."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from agents import directory
from agents.providers.base import ToolDefinition
from agents.specs import ToolSpec
from agents.tools import kind_for
from agents.tools.arguments import check_arguments
from agents.tools.base import ToolContext, ToolOutcome
from chat import clientcalls
from chat.events import SourceCited, ToolCalled, ToolReturned
from chat.modelcall import Call, Emit
from chat.requests import Part

_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
MASK = "***"


@dataclass(slots=True)
class ServerCall:
    """A call of one of the agent's tools. `id` is ours (`srv_…`), `provider_id` the model's (R11.1); `error`: not runnable.

    `called_s` is Unix time: when the model called, or when the run went on with it after a pause.
    `answerer`: the connection that runs it; its id is the model's then.
    """

    id: str
    provider_id: str
    tool: ToolSpec
    arguments: Mapping[str, Any]
    raw: str
    error: str = ""
    called_s: float = field(default_factory=time.time)
    answerer: str = ""

    def shown(self) -> dict[str, Any]:
        """Arguments as callers may see them: scrubbed, masked."""
        clean = directory.current().scrubber.value(self.arguments)
        return {name: MASK if name in self.tool.masked else value for name, value in clean.items()}

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "provider_id": self.provider_id, "name": self.tool.name, "arguments": self.arguments, "raw": self.raw}


def new_id() -> str:
    return "srv_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))


def parse(call: Call, tool: ToolSpec) -> ServerCall:
    """The call with its arguments checked; a bad one is kept, with the sentence the model gets as its result."""
    arguments, error = as_object(call.arguments)
    error = error or check_arguments(tool.parameters, arguments) or ""
    return ServerCall(new_id(), call.id, tool, arguments, call.arguments, error)


def awaited(call: Call, tool: ToolDefinition, answerer: str) -> ServerCall:
    """A call that a connected client runs while the turn waits (R11.2)."""
    spec = ToolSpec(
        name=tool.name, kind="client", parameters=tool.parameters or {"type": "object"}, timeout_s=settings.WS_CLIENT_TOOL_SECONDS
    )
    checked = parse(call, spec)
    return replace(checked, id=call.id or checked.id, answerer="" if checked.error else answerer)


def as_object(raw: str) -> tuple[dict[str, Any], str]:
    """The arguments the model wrote, and what is wrong with them ("" when nothing is)."""
    try:
        value = orjson.loads(raw or "{}")
    except orjson.JSONDecodeError:
        return {}, "The arguments are not valid JSON."
    return (value, "") if isinstance(value, dict) else ({}, "The arguments must be a JSON object.")


_under_way: dict[tuple[str, str], tuple[str, ServerCall]] = {}


def under_way() -> list[tuple[str, ServerCall]]:
    """The calls that run in this process at this moment, each with the id of its execution."""
    return list(_under_way.values())


async def run_all(calls: Sequence[ServerCall], context: ToolContext, emit: Emit, parts: list[Part]) -> list[dict[str, Any]]:
    """Runs the calls side by side; emits each result as it comes; returns the `tool` messages in the order of the calls."""
    outcomes = await asyncio.gather(*(_run(call, context, emit, parts) for call in calls))
    return [tool_message(call.provider_id, outcome) for call, outcome in zip(calls, outcomes, strict=True)]


async def _run(call: ServerCall, context: ToolContext, emit: Emit, parts: list[Part]) -> ToolOutcome:
    started = time.monotonic()
    _under_way[context.execution_id, call.id] = (context.execution_id, call)
    try:
        outcome = ToolOutcome(output=call.error, is_error=True) if call.error else await _call(call, context)
    except asyncio.CancelledError:
        parts.append({**_part(call), "duration_ms": _ms_since(started)})  # it may have had effects: what was begun is on record (R9.1)
        raise
    finally:
        del _under_way[context.execution_id, call.id]
    settle(call, outcome, _ms_since(started), emit, parts)
    return outcome


def _ms_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


async def _call(call: ServerCall, context: ToolContext) -> ToolOutcome:
    try:
        async with asyncio.timeout(call.tool.timeout_s):
            if call.answerer:
                return await clientcalls.result(UUID(context.execution_id), call.id, call.answerer)
            return await kind_for(call.tool.kind).call(call.tool, call.arguments, context)
    except TimeoutError:
        return ToolOutcome(output=f"The tool did not answer within {call.tool.timeout_s:g} seconds.", is_error=True)


def settle(call: ServerCall, outcome: ToolOutcome, duration_ms: int, emit: Emit, parts: list[Part]) -> None:
    """The one result of a call: its event and its part."""
    output = directory.current().scrubber.value(outcome.output)
    error = _sentence(output) if outcome.is_error else ""
    emit(ToolReturned(call_id=call.id, name=call.tool.name, output=output, ok=not outcome.is_error, error=error, duration_ms=duration_ms))
    parts.append({**_part(call), "output": output, "ok": not outcome.is_error, "error": error, "duration_ms": duration_ms})
    for number, source in enumerate(outcome.sources):
        cited = SourceCited(source_id=f"{call.id}-{number}", title=source.get("title", ""), url=source.get("url", ""))
        emit(cited)
        parts.append({"type": "source", "source_id": cited.source_id, "title": cited.title, "url": cited.url})


def _part(call: ServerCall) -> dict[str, Any]:
    return {
        "type": "tool", "call_id": call.id, "provider_id": call.provider_id, "name": call.tool.name, "arguments": call.shown(),
        "raw": "" if call.tool.masked else directory.current().scrubber.text(call.raw), "client": False, "called_s": call.called_s,
    }  # fmt: skip


def announced(call: ServerCall) -> ToolCalled:
    return ToolCalled(call_id=call.id, name=call.tool.name, arguments=call.shown(), called_s=call.called_s, awaited=bool(call.answerer))


def tool_message(provider_id: str, outcome: ToolOutcome) -> dict[str, Any]:
    """What the model is told: the output, never empty (R9.2c)."""
    output = directory.current().scrubber.value(outcome.output)
    text = output if isinstance(output, str) else orjson.dumps(output).decode() if output is not None else ""
    return {"role": "tool", "tool_call_id": provider_id, "content": text or "(no output)"}


def _sentence(output: Any) -> str:
    return (output if isinstance(output, str) else orjson.dumps(output).decode())[:500]
