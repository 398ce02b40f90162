"""A request body -> what was asked (parse), and that -> what this agent will do of it (settle). Sections 3 to 7.

Law: parse() needs no agent and raises nothing but SwitchboardError; settle() decides what the agent applies, drops or refuses.
"""

from collections.abc import Mapping
from typing import Any

from agents.providers.base import ToolDefinition
from agents.specs import AgentSpec, Sampling
from agents.values import value
from chat.protocols.openai.errors import unsupported_parameter
from chat.protocols.openai.formats import parse_format
from chat.protocols.openai.messages import Entry, parse_messages
from chat.protocols.openai.parameters import SAMPLED, fields, include_usage
from chat.protocols.openai.tools import ClientTools, offered, parse_tools


@value
class ChatRequest:
    """A checked body. `sampled` holds the parameters of SAMPLED that were sent; `model` is "" when none was."""

    model: str
    instructions: tuple[str, ...]
    entries: tuple[Entry, ...]
    stream: bool
    include_usage: bool
    sampled: Mapping[str, Any]
    max_tokens: int | None
    stop: tuple[str, ...]
    response_format: Mapping[str, Any] | None
    tools: ClientTools
    parallel_tool_calls: bool | None
    metadata: Mapping[str, str] | None
    labels: Mapping[str, Any]


@value
class Settled:
    """What one agent makes of a request; `ignored` is named in X-Switchboard-Ignored (OAI-15)."""

    instructions: tuple[str, ...]
    sampling: Sampling
    client_tools: tuple[ToolDefinition, ...]
    tool_choice: str | Mapping[str, Any] | None
    ignored: tuple[str, ...]


def parse(body: Mapping[str, Any]) -> ChatRequest:
    """Raises SwitchboardError (400) with the path of the field at fault."""
    found = fields(body)
    messages = parse_messages(body.get("messages"))
    stream = found.get("stream", False)
    return ChatRequest(
        model=found.get("model", ""),
        instructions=messages.instructions,
        entries=messages.entries,
        stream=stream,
        include_usage=stream and include_usage(body),
        sampled={name: found[name] for name in SAMPLED if name in found},
        max_tokens=found.get("max_completion_tokens", found.get("max_tokens")),
        stop=found.get("stop", ()),
        response_format=parse_format(body.get("response_format")),
        tools=parse_tools(body),
        parallel_tool_calls=found.get("parallel_tool_calls"),
        metadata=found.get("metadata"),
        labels={name: found[name] for name in ("user", "safety_identifier", "metadata") if name in found},
    )


def settle(request: ChatRequest, agent: AgentSpec) -> Settled:
    """Raises SwitchboardError (400) where the agent cannot do what was asked."""
    sampling, ignored = _sampling(request, agent)
    instructions = request.instructions if agent.caller_instructions else ()
    if request.instructions and not agent.caller_instructions:
        ignored = (*ignored, "messages.system")
    client_tools, choice = offered(request.tools, agent) if request.tools.definitions else ((), None)
    return Settled(instructions=instructions, sampling=sampling, client_tools=client_tools, tool_choice=choice, ignored=ignored)


def _sampling(request: ChatRequest, agent: AgentSpec) -> tuple[Sampling, tuple[str, ...]]:
    """What of the caller's parameters the operator and the model allow (OAI-15); the loop lays it over the agent's own."""
    own, unknown = agent.sampling, agent.model.unsupported
    if request.stop and "stop" in unknown:
        raise unsupported_parameter("stop", "this agent's model does not know stop sequences")
    applied = {name: value for name, value in request.sampled.items() if not agent.sampling_locked and name not in unknown}
    ignored = tuple(name for name in request.sampled if name not in applied)
    if request.stop:
        applied["stop"] = _stop(request.stop, agent)
    if request.max_tokens is not None:
        applied["max_tokens"] = request.max_tokens if own.max_tokens is None else min(request.max_tokens, own.max_tokens)
    return (Sampling(**applied) if applied else _NOTHING), ignored


_NOTHING = Sampling()


def _stop(asked: tuple[str, ...], agent: AgentSpec) -> tuple[str, ...]:
    """The caller's words take the place of the agent's; where the operator locked them, they come in addition."""
    return tuple(dict.fromkeys((*agent.sampling.stop, *asked))) if agent.sampling_locked else asked
