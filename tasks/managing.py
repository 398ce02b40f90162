"""The agent of a route for its managers (AG-3)."""

from uuid import UUID

from agents.access import Principal
from agents.specs import AgentSpec
from chat.protocols.agents_api.base import agent_named, check_manager


async def managed_agent(principal: Principal, name: str) -> AgentSpec:
    """Raises agent_not_found, manager_required or insufficient_scope."""
    agent = await agent_named(principal, name)
    check_manager(principal, agent)
    return agent


def id_of(agent: AgentSpec) -> UUID:
    """The row of an agent that a path names."""
    assert agent.id is not None, "agents of a configuration file have no schedules"
    return agent.id
