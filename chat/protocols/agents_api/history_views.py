"""…/chat/history… and …/chat/session: what was said, and the conversation that goes on (AG-22, AG-24)."""

from typing import Any

from django.http import HttpResponse

from agents.access import Principal
from agents.specs import AgentSpec
from chat import archive, current, sessionbell
from chat.models import ChatSession, Execution
from chat.protocols.agents_api import session_documents as documents
from chat.protocols.agents_api.base import AgentRoute, agent_named
from chat.protocols.agents_api.paging import before_of, limit_of, next_link, page
from chat.protocols.agents_api.session_views import check_read, ids, shelf_for
from chat.queries import choice_of
from chat.sessionviews import brief_view, cost_of, message_view
from chat.store import run
from chat.times import iso
from chat.views import Call, respond

MAX_HISTORY = 10_000
"""Messages of the current conversation at most; those of a longer one are read page by page."""


class PersistentView(AgentRoute):
    """Messages across conversations, newest first: own ones, or everybody's for a manager."""

    @documents.persistent
    async def get(self, call: Call, name: str) -> HttpResponse:
        limit, before = limit_of(call, 100, 1000), before_of(call)
        everybody = choice_of(call, "user_filter", ("true", "false")) == "false"
        call.principal.check_scope("read")
        agent = await agent_named(call.principal, name)
        found = await page(archive.recent, shelf_for(call.principal, agent, everybody=everybody), limit=limit, before=before)
        shown = [message_view(row, row.session, found.runs) for row in found.rows]
        body = {"agent_name": agent.name, "message_count": len(shown), "messages": shown}
        return respond(body, headers=next_link(call, found.before))


class HistoryView(AgentRoute):
    """The current conversation, oldest first; DELETE closes it and leaves what was said readable."""

    @documents.history
    async def get(self, call: Call, name: str) -> HttpResponse:
        session = await current_of(call.principal, await agent_named(call.principal, name))
        found = await run(archive.messages, session.id, limit=MAX_HISTORY) if session else None
        return respond([brief_view(row) for row in found.rows] if found else [])

    @documents.reset
    async def delete(self, call: Call, name: str) -> HttpResponse:
        call.principal.check_scope("run")
        agent = await agent_named(call.principal, name)
        session, _ = await run(current.find, call.principal.user_id, agent.id)
        if session is not None:
            await run(current.close, session.id)
            sessionbell.ring(session.id)
        empty = {"total_cost_usd": 0.0, "context_tokens": 0, "context_window": agent.model.context_window, "message_count": 0}
        return respond({"status": "cleared", "session_reset": True, "session": empty})


class CurrentView(AgentRoute):
    @documents.current
    async def get(self, call: Call, name: str) -> HttpResponse:
        agent = await agent_named(call.principal, name)
        session = await current_of(call.principal, agent)
        model = await run(_model_of, session) if session else None
        return respond(current_view(session, agent, model or agent.model.name))


def current_view(session: ChatSession | None, agent: AgentSpec, model: str) -> dict[str, Any]:
    """The conversation that goes on; zeros and null ids when there is none."""
    tokens, window = session.context_tokens if session else 0, agent.model.context_window
    return {
        "session_id": str(session.id) if session else None,
        "session_started": iso(session.created_at) if session else None,
        "message_count": session.message_count if session else 0,
        "total_cost_usd": cost_of(session) if session else 0.0,
        "context_tokens": tokens,
        "context_window": window,
        "context_percent": round(100 * tokens / window, 1),
        "model": model,
    }


def _model_of(session: ChatSession) -> str | None:
    newest = Execution.objects.filter(session_id=session.id).order_by("-created_at")
    return newest.values_list("model_used", flat=True).first()


async def current_of(principal: Principal, agent: AgentSpec) -> ChatSession | None:
    """The caller's current conversation. Raises insufficient_scope."""
    agent_id, owner_id = ids(agent, principal)
    session, _ = await run(current.find, owner_id, agent_id)
    if session is None:
        principal.check_scope("run" if "run" in principal.scopes else "read")
        return None
    await check_read(principal, session)
    return session
