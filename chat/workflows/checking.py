"""Whether a definition can be run on this site: its graph, and the agents and tools that it names."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agents import answerschema
from agents.specs import AgentSpec
from chat.workflows import inputs
from chat.workflows.definition import AgentStep, DefinitionError, ToolStep, parse
from chat.workflows.expressions import templates
from chat.workflows.graph import Graph, build


def check(value: Any, host: AgentSpec | None, agents: Mapping[str, AgentSpec], may_ask: Callable[[AgentSpec], bool]) -> Graph:
    """The graph of a definition. Raises DefinitionError with everything that is wrong with it.

    `host`: the workflow's agent as it is published, whose tools its steps may call. `may_ask`: whether who saves it may use an agent.
    """
    graph = build(parse(value))
    problems = [*inputs.defaults(graph.definition)]
    for step in graph.steps.values():
        if isinstance(step, AgentStep):
            problems += _agent(step, agents.get(step.agent), may_ask)
        if isinstance(step, ToolStep):
            problems += _tool(step, host)
    if problems:
        raise DefinitionError(*problems)
    return graph


def _agent(step: AgentStep, agent: AgentSpec | None, may_ask: Callable[[AgentSpec], bool]) -> Iterator[str]:
    if agent is None or not may_ask(agent):
        yield f"step {step.id}: agent: there is no published agent {step.agent!r}"
        return
    for name in step.tools or ():
        if agent.tool(name) is None:
            yield f"step {step.id}: tools: {step.agent!r} has no tool {name!r}"
    if step.output_schema is not None and (problem := answerschema.problem(step.output_schema)):
        yield f"step {step.id}: schema: {problem}"


def _tool(step: ToolStep, host: AgentSpec | None) -> Iterator[str]:
    tool = host.tool(step.tool) if host else None
    if host is None or tool is None:
        owner = f"the agent {host.name!r}" if host else "the agent, which is not published,"
        yield f"step {step.id}: tool: {owner} has no tool {step.tool!r}"
        return
    known, required = tool.parameters.get("properties", {}), tool.parameters.get("required", ())
    if tool.parameters.get("additionalProperties") is False or known:
        yield from (f"step {step.id}: arguments: {step.tool!r} takes no {name!r}" for name in step.arguments if name not in known)
    yield from (f"step {step.id}: arguments: {step.tool!r} needs {name!r}" for name in required if name not in step.arguments)
    for name, value in step.arguments.items():
        yield from _constant(step, name, value, known.get(name) or {})


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "number": (int, float), "integer": int, "boolean": bool, "object": dict, "array": list,
}  # fmt: skip


def _constant(step: ToolStep, name: str, value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    """A value without bindings is of its type, or never will be."""
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _TYPES or any("{{" in text or "{%" in text for _, text in templates(value)):
        return
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind in ("number", "integer")):
        yield f"step {step.id}: arguments.{name}: must be of type {kind}"
