"""/api/agents/{name}/activity…: what the agent's tools are doing, and did in the last 24 hours (AG-28, AG-29)."""

from django.http import HttpResponse

from agents.errors import SwitchboardError
from chat.protocols.agents_api import activity
from chat.protocols.agents_api import activity_documents as documents
from chat.protocols.agents_api.base import AgentRoute, agent_named
from chat.protocols.agents_api.paging import limit_of
from chat.views import Call, respond

DEFAULT_LIMIT, MAX_LIMIT = 50, 200


class ActivityView(AgentRoute):
    """The summary, and the wish to see no more of what is in it."""

    scopes = {"GET": "", "DELETE": "read"}
    json_body = False

    @documents.summary
    async def get(self, call: Call, name: str) -> HttpResponse:
        limit = limit_of(call, DEFAULT_LIMIT, MAX_LIMIT)
        call.principal.check_scope("read")
        return respond(await activity.summary(call.principal, await agent_named(call.principal, name), limit))

    @documents.clear
    async def delete(self, call: Call, name: str) -> HttpResponse:
        await activity.clear(call.principal, await agent_named(call.principal, name))
        return respond({"status": "cleared", "message": "Activity cleared"})


class ToolView(AgentRoute):
    """One call in full."""

    scopes = {"GET": ""}

    @documents.tool
    async def get(self, call: Call, name: str, tool_id: str) -> HttpResponse:
        call.principal.check_scope("read")
        found = await activity.one(call.principal, await agent_named(call.principal, name), tool_id)
        if found is None:
            raise SwitchboardError("not_found")
        return respond(found)
