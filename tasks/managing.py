"""Routes for managers of an agent that the path names (AG-3): whoever may not use it is told that there is none (R2)."""

from typing import Any
from uuid import UUID

from agents import directory
from agents.access import Principal, agent_for, may_manage
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat.views import Call, WireView


class ManagerRoute(WireView):
    """Step (7) before anything is read; the scope and the right follow the body's shape, step (9)."""

    scopes = {"GET": "", "POST": "", "PUT": "", "PATCH": "", "DELETE": ""}

    async def check_path(self, call: Call, **kwargs: Any) -> None:
        await agent_named(call.principal, kwargs["name"])


async def agent_named(principal: Principal, name: str) -> AgentSpec:
    """Raises agent_not_found, whatever the cause."""
    return agent_for(principal, name, (await directory.catalog()).by_name)


async def managed_agent(principal: Principal, name: str) -> AgentSpec:
    """Raises agent_not_found, insufficient_scope or manager_required."""
    agent = await agent_named(principal, name)
    principal.check_scope("manage")
    if not may_manage(principal, agent):
        raise SwitchboardError("manager_required")
    return agent


def id_of(agent: AgentSpec) -> UUID:
    """The row of an agent that a path names."""
    assert agent.id is not None, "agents of a configuration file have no schedules"
    return agent.id
