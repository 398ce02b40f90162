"""Public links of an agent, for its managers (AG-53)."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse

from agents import directory
from agents.access import agent_for, check_manager
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat.fields import parse
from chat.links import address_of, new_token
from chat.models import ShareToken
from chat.protocols.public import documents
from chat.protocols.public.serializers import LinkChange, LinkRequest
from chat.store import run
from chat.times import iso, iso_or_none
from chat.views import Call, WireView, respond, uuid_for


class LinksView(WireView):
    """All links of the agent, newest first, and new ones."""

    scopes = {"GET": "", "POST": ""}

    @documents.links
    async def get(self, call: Call, name: str) -> HttpResponse:
        agent = await _agent_of(call, name)
        check_manager(call.principal, agent)
        links = ShareToken.objects.filter(agent_id=_id(agent)).order_by("-created_at", "-id")
        rows = await run(lambda: list(links))
        return respond([shown(call, agent, row) for row in rows])

    @documents.make_link
    async def post(self, call: Call, name: str) -> HttpResponse:
        agent = await _agent_of(call, name)
        asked = parse(LinkRequest, call.json())
        check_manager(call.principal, agent)
        row = ShareToken(
            agent_id=_id(agent),
            token=new_token(),
            name=asked.name or "",
            expires_at=asked.expires_at,
            max_messages=asked.max_messages,
            created_by_id=call.principal.user_id,
        )
        await run(row.save, force_insert=True)
        return respond(shown(call, agent, row), 201)


class LinkView(WireView):
    """One link: read, changed, or ended for good."""

    scopes = {"GET": "", "PUT": "", "PATCH": "", "DELETE": ""}

    @documents.link
    async def get(self, call: Call, name: str, link_id: str) -> HttpResponse:
        agent = await _agent_of(call, name)
        check_manager(call.principal, agent)
        return respond(shown(call, agent, await _link_of(agent, link_id)))

    @documents.change_link
    async def patch(self, call: Call, name: str, link_id: str) -> HttpResponse:
        agent = await _agent_of(call, name)
        asked = parse(LinkChange, call.json())
        check_manager(call.principal, agent)
        row = await _link_of(agent, link_id)
        given = asked.model_fields_set - ({"enabled"} if asked.enabled is None else set())
        changes = {field: getattr(asked, field) if field != "name" else asked.name or "" for field in given}
        if changes:
            await run(ShareToken.objects.filter(id=row.id).update, **changes)
        return respond(shown(call, agent, await _link_of(agent, link_id)))

    @documents.replace_link
    async def put(self, call: Call, name: str, link_id: str) -> HttpResponse:
        return await self.patch(call, name=name, link_id=link_id)

    @documents.delete_link
    async def delete(self, call: Call, name: str, link_id: str) -> HttpResponse:
        agent = await _agent_of(call, name)
        check_manager(call.principal, agent)
        row = await _link_of(agent, link_id)
        await run(row.delete)
        return HttpResponse(status=204)


async def _agent_of(call: Call, name: str) -> AgentSpec:
    """Step (7): before any field is examined (AG-2)."""
    return agent_for(call.principal, name, (await directory.catalog()).by_name)


def _id(agent: AgentSpec) -> UUID:
    assert agent.id is not None, "agents of a configuration file have no links"
    return agent.id


async def _link_of(agent: AgentSpec, text: str) -> ShareToken:
    wanted = uuid_for(text, "not_found")
    row = await run(ShareToken.objects.filter(id=wanted, agent_id=_id(agent)).first)
    if row is None:
        raise SwitchboardError("not_found")
    return row


def shown(call: Call, agent: AgentSpec, row: ShareToken) -> dict[str, Any]:
    """A link as managers see it."""
    return {
        "id": str(row.id),
        "agent": agent.name,
        "token": row.token,
        "name": row.name or None,
        "link_type": row.link_type,
        "enabled": row.enabled,
        "created_by": row.created_by_id,
        "created_at": iso(row.created_at),
        "expires_at": iso_or_none(row.expires_at),
        "max_messages": row.max_messages,
        "url": address_of(row, f"{call.request.scheme}://{call.request.get_host()}"),
        "external_url": None,
        "usage_stats": {
            "total_messages": row.total_messages,
            "unique_visitors": row.unique_visitors,
            "last_used_at": iso_or_none(row.last_used_at),
        },
    }
