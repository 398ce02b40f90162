"""Routes below /api/agents/{name}: the agent first, the same 404 whatever the cause (AG-2); then scope and right (AG-3)."""

from typing import Any

from agents import directory
from agents.access import Principal, agent_for, may_manage
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat.protocols.agents_api.errors import envelope
from chat.views import Call, WireView


class AgentRoute(WireView):
    """Step (7) before anything is read. Views ask for the scope after the body's shape, step (9): `scopes` say "" there."""

    scopes = {"GET": "", "POST": "", "PUT": "", "PATCH": "", "DELETE": ""}
    envelope = staticmethod(envelope)

    async def check_path(self, call: Call, **kwargs: Any) -> None:
        """Another process may just have published the agent: the database is asked before the refusal goes out."""
        catalog = directory.current()
        try:
            await agent_named(call.principal, kwargs["name"])
        except SwitchboardError:
            if not await directory.moved(catalog):
                raise
            call.principal = await self.principal_for(call.request)
            await agent_named(call.principal, kwargs["name"])


async def agent_named(principal: Principal, name: str) -> AgentSpec:
    """Raises agent_not_found, whatever the cause."""
    return agent_for(principal, name, (await directory.catalog()).by_name)


def manages(principal: Principal, agent: AgentSpec) -> bool:
    """May edit the agent, by a credential that may manage: sees everybody's (AG-4)."""
    return "manage" in principal.scopes and may_manage(principal, agent)


def check_manager(principal: Principal, agent: AgentSpec) -> None:
    """Raises manager_required for who may not edit the agent (R2.4), insufficient_scope for a credential that may not."""
    if not may_manage(principal, agent):
        raise SwitchboardError("manager_required")
    principal.check_scope("manage")
