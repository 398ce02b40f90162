"""GET /api/agents, GET /api/agents/{name}: the published agents one may use (AG-8)."""

from typing import Any

from django.http import HttpResponse

from agents import directory
from agents.access import Principal, agents_for
from agents.specs import AgentSpec
from chat.protocols.agents_api import chat_documents as documents
from chat.protocols.agents_api.base import AgentRoute, agent_named, manages
from chat.protocols.agents_api.errors import envelope
from chat.views import Call, WireView, respond


def check_listing(principal: Principal) -> None:
    """`run` also lists agents (R1.4)."""
    if "run" not in principal.scopes:
        principal.check_scope("read")


class AgentsView(WireView):
    scopes = {"GET": ""}
    envelope = staticmethod(envelope)

    @documents.agents
    async def get(self, call: Call) -> HttpResponse:
        check_listing(call.principal)
        agents = agents_for(call.principal, (await directory.newest()).by_name)
        return respond([shown(call.principal, agent) for agent in agents])


class AgentView(AgentRoute):
    @documents.agent
    async def get(self, call: Call, name: str) -> HttpResponse:
        check_listing(call.principal)
        return respond(shown(call.principal, await agent_named(call.principal, name)))


def shown(principal: Principal, agent: AgentSpec) -> dict[str, Any]:
    return {
        "name": agent.name,
        "display_name": agent.display_name or agent.name,
        "description": agent.description,
        "avatar": agent.avatar,
        "status": "running" if agent.enabled else "stopped",
        "model": agent.model.name,
        "version": agent.version,
        "voice": False,
        "paid": False,
        "can_manage": manages(principal, agent),
        "conversation_starters": list(agent.conversation_starters),
    }
