"""The steps that do something: ask an agent, call a tool, wait for an approval, make an output. One try each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from agents.providers.base import ToolDefinition
from agents.specs import AgentSpec, ToolSpec
from agents.tools.arguments import check_arguments
from agents.tools.base import ToolContext, ToolOutcome
from chat import clientcalls, history, loop, toolcalls
from chat.errors import TurnError
from chat.events import FileMade, NodeSaid, OutputMade, SourceCited, TextDelta, ToolCalled, ToolReturned, TurnEvent, Usage
from chat.loop import Paused, Run
from chat.modelcall import Call
from chat.progress import Progress
from chat.requests import Part, TurnRequest
from chat.toolcalls import ServerCall
from chat.workflows.definition import AgentStep, ApprovalStep, OutputStep, ToolStep
from chat.workflows.expressions import evaluate, fill
from chat.workflows.inputs import is_of
from chat.workflows.spending import Spending
from chat.workflows.state import Decided, Result, Scope, StepFailed, Waits

if TYPE_CHECKING:
    from chat.workflows.engine import Engine

_TOLD = (ToolCalled, ToolReturned, SourceCited, FileMade)
"""What a nested agent says that is told as it is; its text is the step's, its model calls are counted when it is done."""
_REPAIRS = 1


# Agents


class Listener:
    """Hears a nested agent: its text becomes the step's, the rest is told or dropped."""

    def __init__(self, engine: "Engine", path: str, spending: Spending) -> None:
        self._engine, self._path, self._spending = engine, path, spending
        self._block = 0
        self.value: Any = None

    def emit(self, event: TurnEvent) -> None:
        self._spending.heard(event)
        if isinstance(event, TextDelta):
            parted = "\n\n" if self._block not in (0, event.block) else ""
            self._block = event.block
            self._engine.emit(NodeSaid(self._path, parted + event.text))
        elif isinstance(event, OutputMade):
            self.value = event.value
        elif isinstance(event, _TOLD):
            self._engine.emit(event)


async def ask(engine: "Engine", step: AgentStep, scope: Scope, path: str) -> Result | Waits:
    """Has an agent answer, with its tools, on the loop of every turn."""
    agent = await engine.agent(step.agent)
    request = _request(engine, step, agent, scope)
    decided, nested = engine.decided(path), engine.nested(path)
    progress = Progress.from_json(dict(nested["progress"])) if nested else Progress(messages=_messages(request))
    spending = Spending(UUID(engine.run.context.execution_id), path, progress, agent.model)
    listener, used = Listener(engine, path, spending), list[Mapping[str, Any]]()
    run = Run(request=request, progress=progress, emit=listener.emit, started_s=engine.run.started_s, context=_context(engine, agent))
    try:
        if nested:
            calls = [_call(each, agent) for each in decided]
            denied = {each.call["id"]: each.denied for each in decided if each.denied is not None}
            end = await loop.resume(run, calls, denied, [Call(**call) for call in nested["client"]])
        else:
            end = await loop.run(run)
    except TurnError as error:
        raise StepFailed(error.message, detail=f"{error.code} {error.detail}".strip()) from error
    finally:
        used += progress.to_json()["spent"]
        engine.account.count(progress)
    await spending.written()
    if isinstance(end, Paused):
        return _paused(progress, end)
    return replace(_answered(step, progress, listener, path, used), tried=spending.path)


def _answered(step: AgentStep, progress: Progress, listener: Listener, path: str, used: Sequence[Mapping[str, Any]]) -> Result:
    output = listener.value if step.output == "json" else progress.text
    return Result(
        output=output,
        parts=[{**part, "node_id": path} for part in progress.parts if part["type"] in ("tool", "source")],
        steps=[{**record, "usage": _usage(record["usage"]), "node_id": path} for record in progress.steps],
        spent=used,
    )


def _usage(used: Usage | Mapping[str, Any]) -> Usage:
    """As it was before a pause put it on paper."""
    return used if isinstance(used, Usage) else Usage(**used)


def _paused(progress: Progress, end: Paused) -> Waits:
    client = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in end.client]
    return Waits(calls=end.waiting, nested={"progress": progress.to_json(), "client": client})


def _request(engine: "Engine", step: AgentStep, agent: AgentSpec, scope: Scope) -> TurnRequest:
    names, asked = scope.seen(), engine.run.request
    own = fill(step.instructions, names) if step.instructions else ""
    files = [part for part in asked.parts if part["type"] != "text"] if step.files else []
    earlier = evaluate(step.history, names) if step.history else ()
    if not isinstance(earlier, Sequence) or isinstance(earlier, str):
        raise StepFailed("history: must be a list of messages", final=True)
    text = fill(step.message, names)
    return TurnRequest(
        principal=asked.principal,
        agent=replace(agent, instructions="\n\n".join(filter(None, (agent.instructions, _as_text(own)))), tools=_tools(step, agent)),
        wire=asked.wire,
        trigger=asked.trigger,
        parts=({"type": "text", "text": _as_text(text)}, *files),
        history=tuple(earlier),
        response_format=_format(step),
        client_tools=_clients_tools(asked, step, agent),
        answerer=asked.answerer,
        repair_calls=_REPAIRS if step.output == "json" else 0,
        max_steps=step.max_steps,
        timeout_s=asked.timeout_s,
        keep_on_leave=True,
        request_id=asked.request_id,
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _tools(step: AgentStep, agent: AgentSpec) -> tuple[ToolSpec, ...]:
    return agent.tools if step.tools is None else tuple(tool for tool in agent.tools if tool.name in step.tools)


def _clients_tools(asked: TurnRequest, step: AgentStep, agent: AgentSpec) -> tuple[ToolDefinition, ...]:
    """The tools of the connection that began the run, as the agent lets them through (WS-59); a step that names its tools has no others."""
    if step.tools is not None:
        return ()
    return tuple(tool for tool in clientcalls.offered(asked.client_tools, agent) if agent.tool(tool.name) is None)


def _format(step: AgentStep) -> Mapping[str, Any] | None:
    if step.output == "text":
        return None
    if step.output_schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": step.output_schema}}


def _messages(request: TurnRequest) -> bytes:
    """The provider's messages: instructions, what history the step gives, the message; cut to the context window."""
    text = loop.instructions(request)
    system = orjson.dumps({"role": "system", "content": text}) if text else b""
    cleaned = history.clean([*request.history, *history.user_messages(request.parts)])
    fitting = history.encode(history.fit(cleaned, loop.budget(request)))
    return b"[" + b",".join(part for part in (system, fitting) if part) + b"]"


def _context(engine: "Engine", agent: AgentSpec) -> ToolContext:
    return replace(engine.run.context, agent_name=agent.name)


# Tools


async def call(engine: "Engine", step: ToolStep, scope: Scope, path: str) -> Result | Waits:
    """Calls a tool of the host; one that needs approval waits for it first."""
    tool = engine.run.agent.tool(step.tool)
    if tool is None:
        raise StepFailed(f"The agent has no tool {step.tool!r} any more.", final=True)
    decided = engine.decided(path)
    if decided:
        return await _decided_call(engine, decided[0], tool, path)
    arguments = fill(step.arguments, scope.seen())
    error = check_arguments(tool.parameters, arguments) or ""
    made = ServerCall(toolcalls.new_id(), "", tool, arguments, orjson.dumps(arguments).decode(), error)
    engine.emit(toolcalls.announced(made))
    if tool.requires_approval and not error:
        return Waits(calls=(made,))
    return await _outcome(engine, made, path)


async def _decided_call(engine: "Engine", decided: Decided, tool: ToolSpec, path: str) -> Result:
    made, parts = _call(decided, engine.run.agent), list[Part]()
    if decided.denied is None:
        return await _outcome(engine, made, path)
    sentence = f"denied: {decided.denied}".removesuffix(": ")
    toolcalls.settle(made, ToolOutcome(output=sentence, is_error=True), 0, engine.emit, parts)
    engine.account.take(Result(parts=[{**part, "node_id": path} for part in parts]))
    raise StepFailed(f"The call of {tool.name} was {sentence}", final=True)


async def _outcome(engine: "Engine", made: ServerCall, path: str) -> Result:
    parts: list[Part] = []
    try:
        await toolcalls.run_all([made], engine.run.context, engine.emit, parts)
    finally:
        tagged = [{**part, "node_id": path} for part in parts]
        done = next((part for part in tagged if part["type"] == "tool"), {})
        if not done.get("ok"):
            engine.account.take(Result(parts=tagged))
    if not done.get("ok"):
        raise StepFailed(done.get("error") or "The tool failed.", final=bool(made.error))
    return Result(output=done["output"], parts=tagged)


def _call(decided: Decided, agent: AgentSpec) -> ServerCall:
    """The call that waited, with the arguments that the decider may have replaced. A tool that is gone is answered as an error."""
    call, tool = decided.call, agent.tool(decided.call["name"])
    changed = decided.arguments is not None
    arguments = decided.arguments if changed else call["arguments"]
    raw = orjson.dumps(arguments).decode() if changed else call["raw"]
    gone = "" if tool else "This tool is no longer available."
    return ServerCall(call["id"], call["provider_id"], tool or ToolSpec(name=call["name"], kind=""), arguments, raw, gone)


# Approvals and outputs


async def approve(engine: "Engine", step: ApprovalStep, scope: Scope, path: str) -> Result | Waits:
    decided = engine.decided(path)
    if decided:
        return _verdict(step, decided[0])
    asked = fill({"message": step.message, **step.details}, scope.seen())
    tool = ToolSpec(name=step.id, kind="approval", approver=step.approver, requires_approval=True)
    return Waits(calls=(ServerCall(toolcalls.new_id(), path, tool, asked, ""),))


def _verdict(step: ApprovalStep, decided: Decided) -> Result:
    if decided.denied is not None and step.on_denial == "fail":
        raise StepFailed(f"{step.shown_name} was denied: {decided.denied}".removesuffix(": "), final=True)
    return Result(output={"approved": decided.denied is None, "reason": decided.denied or ""})


async def put_out(engine: "Engine", step: OutputStep, scope: Scope, path: str) -> Result | Waits:
    value = fill(step.value, scope.seen())
    if not is_of(step.type, value):
        raise StepFailed(f"The output {step.output_name!r} is not of type {step.type}.", final=True)
    return Result(output=value)
