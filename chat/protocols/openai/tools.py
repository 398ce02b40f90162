"""Client tools of a request (section 6): functions the caller executes, offered beside the agent's own."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agents.providers.base import ToolDefinition
from agents.specs import AgentSpec
from chat.protocols.openai.errors import invalid, unsupported_value
from chat.protocols.openai.parameters import array, boolean, mapping, one_of, text

MAX_TOOLS = 128
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z", re.ASCII)
_mode = one_of("auto", "required")


class Choice(NamedTuple):
    """`mode` is none, auto, required or function; `names` are the functions it speaks of (None: all)."""

    mode: str = "auto"
    names: frozenset[str] | None = None


class ClientTools(NamedTuple):
    definitions: tuple[ToolDefinition, ...] = ()
    choice: Choice = Choice()


def parse_tools(body: Mapping[str, Any]) -> ClientTools:
    """`tools` and `tool_choice`. Raises SwitchboardError (400)."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    definitions = () if tools is None else _tools(tools)
    return ClientTools(definitions, Choice() if choice is None else _choice(choice, definitions))


def offered(tools: ClientTools, agent: AgentSpec) -> tuple[tuple[ToolDefinition, ...], str | Mapping[str, Any] | None]:
    """What the model is offered under the agent's policy (R11.2), and the choice among it. Raises tool_name_conflict.

    The choice speaks of client tools only; the agent's own stay available (OAI-27).
    """
    mode, names = tools.choice
    if agent.client_tools == "ignore" or mode == "none":
        return (), None
    kept = _kept(tools.definitions, agent)
    if mode == "function":
        return kept, next((_named(tool.name) for tool in kept if names and tool.name in names), None)
    admitted = kept if names is None else tuple(tool for tool in kept if tool.name in names)
    return admitted, "required" if mode == "required" and admitted else None


def _named(name: str) -> Mapping[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _kept(definitions: Sequence[ToolDefinition], agent: AgentSpec) -> tuple[ToolDefinition, ...]:
    kept = []
    for index, tool in enumerate(definitions):
        if agent.client_tools != "pass" and tool.name not in agent.client_tools:
            continue
        if agent.tool(tool.name) is not None:
            raise invalid(f"tools[{index}].function.name", f"the agent has its own tool {tool.name}", "tool_name_conflict")
        kept.append(tool)
    return tuple(kept)


def _tools(value: Any) -> tuple[ToolDefinition, ...]:
    items = array(value, "tools")
    if len(items) > MAX_TOOLS:
        raise invalid("tools", f"tools must have at most {MAX_TOOLS} entries, got {len(items)}")
    seen: set[str] = set()
    definitions = []
    for index, item in enumerate(items):
        tool = _tool(item, f"tools[{index}]")
        if tool.name in seen:
            raise invalid(f"tools[{index}].function.name", f"the name {tool.name} is used twice")
        seen.add(tool.name)
        definitions.append(tool)
    return tuple(definitions)


def _tool(value: Any, path: str) -> ToolDefinition:
    tool = mapping(value, path)
    _function_type(tool, path)
    function = mapping(tool.get("function"), f"{path}.function")
    description, parameters, strict = (function.get(key) for key in ("description", "parameters", "strict"))
    return ToolDefinition(
        name=tool_name(function.get("name"), f"{path}.function.name"),
        description="" if description is None else text(description, f"{path}.function.description"),
        parameters=None if parameters is None else mapping(parameters, f"{path}.function.parameters"),
        strict=None if strict is None else boolean(strict, f"{path}.function.strict"),
    )


def tool_name(value: Any, path: str) -> str:
    name = text(value, path)
    if not NAME.match(name):
        raise invalid(path, f"{path} must be 1 to 64 letters, digits, _ or -")
    return name


def _function_type(value: Mapping[str, Any], path: str) -> None:
    if text(value.get("type"), f"{path}.type") != "function":
        raise unsupported_value(f"{path}.type", f"{path}.type must be function")


def _choice(value: Any, definitions: Sequence[ToolDefinition]) -> Choice:
    names = frozenset(tool.name for tool in definitions)
    if isinstance(value, str):
        choice = Choice(one_of("none", "auto", "required")(value, "tool_choice"))
    else:
        choice = _choice_object(mapping(value, "tool_choice"))
    if unknown := sorted((choice.names or names) - names):
        raise invalid("tool_choice", f"tool_choice names {unknown[0]}, which is not in tools")
    if choice.mode == "required" and not (names if choice.names is None else choice.names):
        raise invalid("tool_choice", "tool_choice is required, but there are no tools")
    return choice


def _choice_object(value: Mapping[str, Any]) -> Choice:
    kind = text(value.get("type"), "tool_choice.type")
    if kind == "function":
        function = mapping(value.get("function"), "tool_choice.function")
        return Choice("function", frozenset((tool_name(function.get("name"), "tool_choice.function.name"),)))
    if kind != "allowed_tools":
        raise unsupported_value("tool_choice.type", "tool_choice.type must be function or allowed_tools")
    path = "tool_choice.allowed_tools"
    allowed = mapping(value.get("allowed_tools"), path)
    tools = array(allowed.get("tools"), f"{path}.tools")
    return Choice(
        _mode(allowed.get("mode"), f"{path}.mode"), frozenset(_allowed(tool, f"{path}.tools[{at}]") for at, tool in enumerate(tools))
    )


def _allowed(value: Any, path: str) -> str:
    tool = mapping(value, path)
    _function_type(tool, path)
    return tool_name(mapping(tool.get("function"), f"{path}.function").get("name"), f"{path}.function.name")
