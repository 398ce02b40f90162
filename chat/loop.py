"""The agent loop: model call, tools in parallel, model call … until the model answers, a caller's tool is called, or a step
needs approval. Emits events and keeps `Progress`; knows nothing of wires, storage or locks.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import orjson
from django.utils import timezone

from agents import directory
from agents.providers.base import ModelRequest, ProviderError, ToolDefinition
from agents.settings import settings
from agents.specs import AgentSpec, ModelSpec, Sampling, ToolSpec
from agents.tools.base import ToolContext, ToolOutcome
from agents.values import value
from chat import modelcall, structured, toolcalls
from chat.errors import TurnError, turn_error
from chat.events import OutputMade, RefusalDelta, StepFinished, StepStarted, TextDelta, ToolCalled, Usage
from chat.gates import StepUsage
from chat.modelcall import Answer, Call, Emit, Listener
from chat.progress import Progress
from chat.requests import TurnRequest
from chat.toolcalls import ServerCall


@value
class Ended:
    """The model answered, or wants its caller to run `client_calls`."""

    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


@value
class Paused:
    """`waiting` need a decision; `client` are client calls of the same step, passed on when it goes on.

    `inner`: where the steps of a workflow stand, as JSON.
    """

    waiting: tuple[ServerCall, ...]
    client: tuple[Call, ...] = ()
    inner: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Run:
    """What the loop needs: the request, where it stands, where events go, and when it began (time.monotonic)."""

    request: TurnRequest
    progress: Progress
    emit: Emit
    started_s: float
    context: ToolContext

    @property
    def agent(self) -> AgentSpec:
        return self.request.agent


def instructions(request: TurnRequest, now: datetime | None = None) -> str:
    """The agent's instructions with their variables filled in, then the caller's, marked as such (OAI-19)."""
    agent, text = request.agent, request.agent.instructions
    if "{{" in text:
        for name, value in _variables(request, now or timezone.localtime()).items():
            text = text.replace("{{" + name + "}}", value)
    if request.instructions and agent.caller_instructions:
        text = "\n\n".join((text, "Instructions from the caller:", *request.instructions)).strip()
    return text


def _variables(request: TurnRequest, now: datetime) -> dict[str, str]:
    return {
        "date": now.date().isoformat(),
        "time": now.strftime("%H:%M"),
        "user": request.principal.user_name,
        "agent": request.agent.display_name or request.agent.name,
    }


def budget(request: TurnRequest) -> int:
    """Tokens the messages may take: the window less the answer's share."""
    window = min(model.context_window for model in request.agent.models)
    wanted = request.sampling.max_tokens or request.agent.sampling.max_tokens or window // 8
    return max(window // 4, window - min(wanted, window // 2))


async def run(turn: Run) -> Ended | Paused:
    """Runs to the end of the segment. Raises TurnError; cancelling the task stops the model and the tools."""
    while True:
        answer = await _model_step(turn)
        end = await _after(turn, answer)
        if end is not None:
            return end


async def resume(turn: Run, calls: Sequence[ServerCall], denied: Mapping[str, str], client: Sequence[Call]) -> Ended | Paused:
    """Goes on after approvals: runs the approved `calls`, tells the model of the `denied` ones (id -> reason), then the loop."""
    results = await _settle_waiting(turn, calls, denied)
    turn.progress.add_messages(*results)
    turn.emit(_step_finished(turn, turn.progress.steps[-1]))
    if client:
        return _client_end(turn, list(client), results)
    return await run(turn)


async def _settle_waiting(turn: Run, calls: Sequence[ServerCall], denied: Mapping[str, str]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for call in calls:
        if call.id in denied:
            outcome = ToolOutcome(output=f"denied: {denied[call.id]}".removesuffix(": "), is_error=True)
            toolcalls.settle(call, outcome, 0, turn.emit, turn.progress.parts)
            results.append(toolcalls.tool_message(call.provider_id, outcome))
    approved = [call for call in calls if call.id not in denied]
    return results + await toolcalls.run_all(approved, turn.context, turn.emit, turn.progress.parts)


async def _model_step(turn: Run) -> Answer:
    """One model call, with its events and its record."""
    progress = turn.progress
    limit = min(turn.request.max_steps or turn.agent.max_steps, turn.agent.max_steps, settings.CHAT_MAX_STEPS)
    if progress.step >= limit:
        raise TurnError("max_steps_reached")
    progress.step += 1
    turn.emit(StepStarted(progress.step))
    listener = Listener(progress, turn.emit, turn.started_s, _held(turn))
    started = time.monotonic()
    try:
        await modelcall.ask(turn.agent.models, lambda model: _model_request(turn, model), listener)
    except ProviderError as error:
        raise turn_error(error) from error
    finally:
        model_s = time.monotonic() - started
        progress.model_s += model_s
        _record(turn, listener, model_s)
    return listener.answer


def _held(turn: Run) -> bool:
    """With a JSON format the text waits until it is clear that it is the final step's (OAI-32) or may be repaired."""
    wanted = structured.format_of(turn.request)
    return wanted is not None and (bool(_offered(turn)) or turn.request.repair_calls > 0)


def _model_request(turn: Run, model: ModelSpec) -> ModelRequest:
    request = turn.request
    offered = _offered(turn)
    return ModelRequest(
        model=model,
        messages=turn.progress.messages,
        tools=offered,
        tool_choice=_tool_choice(request) if request.client_tools else None,
        parallel_tool_calls=request.parallel_tool_calls if offered else None,
        sampling=_sampling(turn.agent, request.sampling),
        response_format=structured.format_of(request),
        stream=not request.whole,
    )


def _offered(turn: Run) -> tuple[ToolDefinition, ...]:
    """The agent's tools and the client's that the choice admits (OAI-27)."""
    request = turn.request
    own = _definitions(turn.agent.tools) if request.tools else ()
    return (*own, *_admitted(request)) if request.client_tools else own


_defined: dict[int, tuple[tuple[ToolSpec, ...], tuple[ToolDefinition, ...]]] = {}


def _definitions(tools: tuple[ToolSpec, ...]) -> tuple[ToolDefinition, ...]:
    """Definitions of an agent's tools: the same tuple as long as the spec lives, so that providers encode it once."""
    if not tools:
        return ()
    known = _defined.get(id(tools))
    if known is None or known[0] is not tools:
        made = tuple(ToolDefinition(name=tool.name, description=tool.description, parameters=tool.parameters) for tool in tools)
        if len(_defined) > 1000:
            _defined.clear()
        known = _defined[id(tools)] = (tools, made)
    return known[1]


def _admitted(request: TurnRequest) -> tuple[ToolDefinition, ...]:
    choice = request.tool_choice
    if choice == "none":
        return ()
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = {tool.get("function", {}).get("name") for tool in choice["allowed_tools"]["tools"]}
        return tuple(tool for tool in request.client_tools if tool.name in allowed)
    return request.client_tools


def _tool_choice(request: TurnRequest) -> str | Mapping[str, Any] | None:
    choice = request.tool_choice
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        choice = choice["allowed_tools"].get("mode")
    return None if choice in ("none", "auto", None) else choice


def _sampling(agent: AgentSpec, asked: Sampling) -> Sampling:
    """The caller's values over the agent's; the agent's own limit caps the output (OAI section 4)."""
    if asked == _NOTHING_ASKED:
        return agent.sampling
    own = agent.sampling
    limits = [limit for limit in (asked.max_tokens, own.max_tokens) if limit is not None]
    merged = {name: getattr(asked, name) for name in Sampling.__slots__ if getattr(asked, name) not in (None, ())}
    return replace(own, **{**merged, "max_tokens": min(limits, default=None)})


_NOTHING_ASKED = Sampling()


def _record(turn: Run, listener: Listener, model_s: float) -> None:
    """Adds what the call produced, and its own time, to parts, steps and usage; also when it failed half-way (R9.1, R10.2)."""
    answer, progress = listener.answer, turn.progress
    model = answer.model or turn.agent.model
    progress.model_used = answer.model_name or model.name
    if answer.usage is None and not (answer.blocks or answer.calls):
        return
    usage = answer.usage or modelcall.estimated(progress.messages, answer)
    progress.spent.append(StepUsage(model=model.name, provider_kind=model.provider.kind, usage=usage))
    progress.context_tokens = usage.input_tokens
    progress.parts.append({"type": "step", "step": progress.step, "model": progress.model_used})
    if not (listener.held and (answer.calls or _will_repair(turn, answer))):
        progress.parts.extend(_block_parts(answer))
    progress.steps.append(
        {
            "step": progress.step,
            "model": progress.model_used,
            "finish_reason": answer.finish,
            "usage": usage,
            "model_ms": round(model_s * 1000),
        }
    )


def _will_repair(turn: Run, answer: Answer) -> bool:
    wanted = structured.format_of(turn.request)
    can = turn.progress.repairs < turn.request.repair_calls
    return wanted is not None and can and bool(answer.text) and bool(structured.parsed(answer.text, wanted)[1])


_PART = {"TextDelta": "text", "ReasoningDelta": "reasoning", "RefusalDelta": "refusal"}


def _block_parts(answer: Answer) -> list[dict[str, Any]]:
    return [{"type": _PART[kind.__name__], "block": block, "text": "".join(pieces)} for kind, block, pieces in answer.blocks if any(pieces)]


async def _after(turn: Run, answer: Answer) -> Ended | Paused | None:
    """What follows a model call; None: another one."""
    server, client = _split(turn, answer)
    if not server and not client:
        return _answered(turn, answer)
    turn.progress.add_messages(_assistant_message(answer))
    for call in server:
        turn.emit(toolcalls.announced(call))
    waiting = tuple(call for call in server if call.tool.requires_approval and not call.error)
    results = await toolcalls.run_all([call for call in server if call not in waiting], turn.context, turn.emit, turn.progress.parts)
    if results:
        turn.progress.add_messages(*results)
    if waiting:
        return Paused(waiting=waiting, client=tuple(client))
    turn.emit(_step_finished(turn, turn.progress.steps[-1]))
    return _client_end(turn, client, results) if client else None


def _split(turn: Run, answer: Answer) -> tuple[list[ServerCall], list[Call]]:
    """Calls of the agent's own tools, and the client's; a call to a tool that nobody has is answered as an error."""
    server: list[ServerCall] = []
    client: list[Call] = []
    theirs = {tool.name: tool for tool in turn.request.client_tools}
    for call in answer.calls.values():
        own = turn.agent.tool(call.name) if turn.request.tools else None
        if own is None and call.name in theirs and turn.request.answerer:
            server.append(toolcalls.awaited(call, theirs[call.name], turn.request.answerer))
        elif own is None and call.name in theirs:
            client.append(call)
        else:
            server.append(toolcalls.parse(call, own) if own else _unknown(call))
    if turn.request.parallel_tool_calls is False:
        dropped = {id(call) for call in client[1:]}
        del client[1:]
        answer.calls = {n: call for n, call in answer.calls.items() if id(call) not in dropped}
    return server, client


def _unknown(call: Call) -> ServerCall:
    tool = ToolSpec(name=call.name or "unknown", kind="")
    return ServerCall(toolcalls.new_id(), call.id, tool, {}, call.arguments, f"There is no tool named {call.name!r}.")


def _assistant_message(answer: Answer) -> dict[str, Any]:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
        for call in answer.calls.values()
    ]
    return {"role": "assistant", "content": answer.text or None, "tool_calls": calls}


def _client_end(turn: Run, client: list[Call], results: list[dict[str, Any]]) -> Ended:
    """The turn ends with the caller's calls; a step that also ran server tools is kept for the next request (OAI-29).

    `raw` of the event is the model's text as it is, for the caller who executes it (OAI-28); all else is scrubbed (R0.9):
    docs/decisions/0005-arguments-of-client-tools.md.
    """
    scrubber = directory.current().scrubber
    for call in client:
        arguments = scrubber.value(_as_object(call.arguments))
        turn.emit(ToolCalled(call_id=call.id, name=call.name, arguments=arguments, raw=call.arguments, client=True))
        turn.progress.parts.append(
            {
                "type": "tool", "call_id": call.id, "provider_id": call.id, "name": call.name,
                "arguments": arguments, "raw": scrubber.text(call.arguments), "client": True,
            }
        )  # fmt: skip
    if results:
        step = scrubber.value(_last_step_messages(turn.progress))
        turn.progress.client_calls.extend((call.id, step) for call in client)
    return Ended(finish_reason="tool_calls")


def _last_step_messages(progress: Progress) -> list[Any]:
    messages = orjson.loads(progress.messages)
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    return list(messages[last:])


def _as_object(raw: str) -> dict[str, Any]:
    value, _ = toolcalls.as_object(raw)
    return value


def _answered(turn: Run, answer: Answer) -> Ended | None:
    """The final text, checked against the format in force; None when the model is asked to repair it."""
    wanted = structured.format_of(turn.request)
    if wanted is not None and not answer.text_of(RefusalDelta):
        value, problem = structured.parsed(answer.text, wanted)
        if problem and turn.progress.repairs < turn.request.repair_calls:
            turn.progress.repairs += 1
            turn.progress.add_messages(*structured.repair_messages(answer.text, problem))
            turn.emit(_step_finished(turn, turn.progress.steps[-1]))
            return None
        _release(turn, answer)
        if problem:
            raise TurnError("structured_output_failed", detail=problem)
        turn.emit(OutputMade(name="output", value=value))
        turn.progress.parts.append({"type": "output", "name": "output", "value": value})
    turn.emit(_step_finished(turn, turn.progress.steps[-1] if turn.progress.steps else {}))
    return Ended(finish_reason=answer.finish if answer.finish != "tool_calls" else "stop")


def _release(turn: Run, answer: Answer) -> None:
    if not _held(turn):
        return
    for kind, block, pieces in answer.blocks:
        if kind is TextDelta and pieces:
            turn.emit(TextDelta(block, "".join(pieces)))


def _step_finished(turn: Run, record: Mapping[str, Any]) -> StepFinished:
    usage = record.get("usage") or Usage()
    usage = usage if isinstance(usage, Usage) else Usage(**usage)
    return StepFinished(
        step=turn.progress.step, usage=usage, model=turn.progress.model_used, finish_reason=record.get("finish_reason", "stop")
    )
