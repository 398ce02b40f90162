"""Which agent answers where the caller need not name one (RUN-6 … RUN-9), and with which of its models (AG-6)."""

from django.conf import settings

from agents.access import Principal, agent_for, agents_for, may_use
from agents.directory import Catalog
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat.requests import SessionRef


def choose(principal: Principal, catalog: Catalog, *, session: SessionRef | None, named: str | None) -> AgentSpec:
    """The first that applies: the conversation's agent, the named one, the credential's, the user's, the site's.

    Raises agent_not_found, the same whatever the cause (RUN-7), and conversation_agent_mismatch (RUN-8).
    """
    if session is not None:
        return _of_conversation(principal, catalog, session, named)
    if named is not None:
        return agent_for(principal, named, catalog.by_name)
    if preset := principal.default_agent or principal.fallback_agent:
        return agent_for(principal, preset, catalog.by_name)
    return _of_the_site(principal, catalog)


def _of_conversation(principal: Principal, catalog: Catalog, session: SessionRef, named: str | None) -> AgentSpec:
    """A conversation belongs to the agent of its first turn for ever; access to both is asked before they are compared."""
    own = catalog.by_id.get(session.agent_id) if session.agent_id else catalog.by_name.get(session.agent_name)
    if own is None or own.id != session.agent_id or not may_use(principal, own):
        raise SwitchboardError("agent_not_found")
    if named is not None and agent_for(principal, named, catalog.by_name) is not own:
        raise SwitchboardError("conversation_agent_mismatch")
    return own


def _of_the_site(principal: Principal, catalog: Catalog) -> AgentSpec:
    """CHAT_DEFAULT_AGENT, else `demo`, else the only one there is – among those that exist for this caller (R2.3)."""
    usable = {agent.name: agent for agent in agents_for(principal, catalog.by_name)}
    for name in (settings.CHAT_DEFAULT_AGENT, "demo"):
        if name in usable:
            return usable[name]
    if len(usable) != 1:
        raise SwitchboardError("agent_not_found")
    return next(iter(usable.values()))


def asked_with(agent: AgentSpec, model: str | None) -> AgentSpec:
    """The agent with the model the caller asks for (AG-6); nothing or its own: as it is. Raises model_not_allowed (422)."""
    if not model or model == agent.model.name:
        return agent
    if model not in agent.allowed_models:
        raise SwitchboardError("model_not_allowed")
    return agent.with_model(model)
