"""Which agent a request means (section 3): the model's name is the agent's."""

from collections.abc import Mapping

from agents.access import Principal, agents_for, may_use
from agents.settings import settings
from agents.specs import AgentSpec
from chat.protocols.openai.errors import missing, model_not_found


def usable(principal: Principal, agents: Mapping[str, AgentSpec]) -> list[AgentSpec]:
    """The agents this caller may name, by name; the pinned one alone where there is one (OAI-3)."""
    pinned = settings.CHAT_AGENT
    return [agent for agent in agents_for(principal, agents) if not pinned or agent.name == pinned]


def named(principal: Principal, agents: Mapping[str, AgentSpec], name: str) -> AgentSpec:
    """Raises model_not_found, whatever the cause (OAI-11)."""
    agent = _get(principal, agents, name)
    if agent is None:
        raise model_not_found(name)
    return agent


def choose(principal: Principal, agents: Mapping[str, AgentSpec], model: str) -> AgentSpec:
    """The agent for `model` ("" when none was sent). Raises model_not_found or missing_required_parameter (OAI-11 … OAI-13)."""
    if settings.CHAT_UNKNOWN_MODEL == "fallback":
        return _get(principal, agents, model) or _fallback(principal, agents, model)
    if not model and not settings.CHAT_AGENT:
        raise missing("model")
    return named(principal, agents, model or settings.CHAT_AGENT)


def _get(principal: Principal, agents: Mapping[str, AgentSpec], name: str) -> AgentSpec | None:
    agent = agents.get(name)
    pinned = not settings.CHAT_AGENT or name == settings.CHAT_AGENT
    return agent if agent is not None and may_use(principal, agent) and pinned else None


def _fallback(principal: Principal, agents: Mapping[str, AgentSpec], model: str) -> AgentSpec:
    """The pinned agent, else CHAT_DEFAULT_AGENT, else the only one this caller may use (OAI-12)."""
    candidates = usable(principal, agents)
    preset = settings.CHAT_AGENT or settings.CHAT_DEFAULT_AGENT
    found = next((agent for agent in candidates if agent.name == preset), candidates[0] if len(candidates) == 1 else None)
    if found is None:
        raise model_not_found(model)
    return found


def shown(agent: AgentSpec) -> dict[str, object]:
    """The agent as a model (OAI-3)."""
    return {
        "id": agent.name,
        "object": "model",
        "created": agent.created_at_s,
        "owned_by": settings.CHAT_OWNED_BY,
        "name": agent.display_name or agent.name,
        "description": agent.description,
    }
