"""…/chat/sessions… and …/chat/messages…: list, read, rename, close, delete, export, rate (AG-22 … AG-26)."""

from uuid import UUID

from django.http import HttpResponse

from agents.access import Principal
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat import archive, current, sessionbell, titles
from chat.fields import parse
from chat.forgetting import delete_session
from chat.models import ChatSession
from chat.protocols.agents_api import session_documents as documents
from chat.protocols.agents_api.base import AgentRoute, agent_named, check_manager, manages
from chat.protocols.agents_api.chat_requests import FeedbackRequest, TitleRequest
from chat.protocols.agents_api.export import download
from chat.protocols.agents_api.paging import before_of, limit_of, next_link, page
from chat.protocols.agents_api.rendered import with_parts
from chat.queries import choice_of, query_problem, rendered_of
from chat.sessionviews import branched_views, session_view
from chat.store import run
from chat.views import Call, respond, uuid_for

MAX_SEARCH_CHARS = 200


class SessionsView(AgentRoute):
    """Own conversations; all of the agent's for a manager who asks for them."""

    @documents.sessions
    async def get(self, call: Call, name: str) -> HttpResponse:
        limit, before = limit_of(call, 50, 200), before_of(call)
        status, whose = choice_of(call, "status", ("active", "closed")), choice_of(call, "user", ("all",))
        search = search_of(call)
        call.principal.check_scope("read")
        agent = await agent_named(call.principal, name)
        shelf = shelf_for(call.principal, agent, everybody=whose == "all")
        found = await page(archive.sessions, shelf, limit=limit, before=before, status=status, search=search)
        shown = [session_view(row, context_window=agent.model.context_window) for row in found.rows]
        body = {"agent_name": agent.name, "session_count": len(shown), "sessions": shown}
        return respond(body, headers=next_link(call, found.before))


class SessionView(AgentRoute):
    """One conversation with its messages. Managers read all; only the owner changes it."""

    @documents.session
    async def get(self, call: Call, name: str, session_id: str) -> HttpResponse:
        limit, before = limit_of(call, 100, 1000), before_of(call)
        every_branch = choice_of(call, "branch", ("all", "active")) == "all"
        as_html = rendered_of(call)
        agent = await agent_named(call.principal, name)
        row = await readable(call.principal, agent, session_id)
        found = await page(archive.messages, row.id, limit=limit, before=before, every_branch=every_branch)
        shown = branched_views(found.rows, found.prior, row, found.runs)
        if as_html:
            shown = await with_parts(shown, found, agent)
        session = session_view(row, context_window=agent.model.context_window)
        more = found.rows[0].id if found.prior else None
        return respond({"session": session, "message_count": len(shown), "messages": shown}, headers=next_link(call, more))

    @documents.rename
    async def patch(self, call: Call, name: str, session_id: str) -> HttpResponse:
        asked = parse(TitleRequest, call.json())
        call.principal.check_scope("run")
        agent = await agent_named(call.principal, name)
        row = await own(call.principal, agent, session_id)
        await run(archive.rename, row.id, asked.title)
        row.title = asked.title
        sessionbell.ring(row.id)
        return respond(session_view(row, context_window=agent.model.context_window))

    @documents.delete
    async def delete(self, call: Call, name: str, session_id: str) -> HttpResponse:
        call.principal.check_scope("run")
        row = await own(call.principal, await agent_named(call.principal, name), session_id)
        await delete_session(row.id, f"user:{row.owner_id}")
        return HttpResponse(status=204)


class CloseView(AgentRoute):
    """A running turn goes on and is stored; the next message opens another conversation."""

    json_body = False

    @documents.close
    async def post(self, call: Call, name: str, session_id: str) -> HttpResponse:
        call.principal.check_scope("run")
        row = await own(call.principal, await agent_named(call.principal, name), session_id)
        await run(current.close, row.id)
        sessionbell.ring(row.id)
        return respond({"status": "closed", "session_id": str(row.id)})


class ExportView(AgentRoute):
    @documents.export
    async def get(self, call: Call, name: str, session_id: str) -> HttpResponse:
        form = choice_of(call, "format", ("json", "md")) or "json"
        agent = await agent_named(call.principal, name)
        row = await readable(call.principal, agent, session_id)
        found = await run(archive.messages, row.id, every_branch=form == "json")
        return download(form, row, found, agent)


class TitleView(AgentRoute):
    """Has the agent name the conversation, once, after its first answer; a title that somebody gave stays."""

    json_body = False

    @documents.title
    async def post(self, call: Call, name: str, session_id: str) -> HttpResponse:
        call.principal.check_scope("run")
        agent = await agent_named(call.principal, name)
        row = await own(call.principal, agent, session_id)
        row.title = await titles.make(row, call.principal, agent)
        return respond(session_view(row, context_window=agent.model.context_window))


class FeedbackView(AgentRoute):
    """On assistants' messages of own conversations."""

    @documents.feedback
    async def put(self, call: Call, name: str, message_id: str) -> HttpResponse:
        asked = parse(FeedbackRequest, call.json())
        call.principal.check_scope("run")
        agent_id, owner_id = ids(await agent_named(call.principal, name), call.principal)
        wanted = uuid_for(message_id, "message_not_found")
        if not await run(archive.rate, agent_id, owner_id, wanted, asked.rating, asked.comment or ""):
            raise SwitchboardError("message_not_found")
        return respond({"message_id": str(wanted), "rating": asked.rating, "comment": asked.comment or None})


def search_of(call: Call) -> str:
    """The words to find. PostgreSQL takes no NUL in a parameter."""
    text: str = call.query.get("q", "").strip()
    if "\0" in text or len(text) > MAX_SEARCH_CHARS:
        raise query_problem("q", f"must be at most {MAX_SEARCH_CHARS} characters of text")
    return text


def ids(agent: AgentSpec, principal: Principal) -> tuple[UUID, int]:
    """Agents in paths are stored ones, and callers of this wire are users."""
    assert agent.id is not None
    assert principal.user_id is not None
    return agent.id, principal.user_id


def shelf_for(principal: Principal, agent: AgentSpec, *, everybody: bool) -> archive.Shelf:
    """The caller's own conversations with the agent, or all of them. Raises manager_required or insufficient_scope."""
    if everybody:
        check_manager(principal, agent)
    agent_id, owner_id = ids(agent, principal)
    return archive.Shelf(agent_id=agent_id, owner_id=None if everybody else owner_id)


async def own(principal: Principal, agent: AgentSpec, text: str) -> ChatSession:
    """The caller's own conversation. Raises session_not_found, for others' as for unknown ones (AG-4)."""
    agent_id, owner_id = ids(agent, principal)
    row: ChatSession | None = await run(archive.session, agent_id, uuid_for(text, "session_not_found"))
    if row is None or row.owner_id != owner_id:
        raise SwitchboardError("session_not_found")
    return row


async def readable(principal: Principal, agent: AgentSpec, text: str) -> ChatSession:
    """A conversation that the caller may read: its own, or any of an agent it manages. Raises session_not_found, insufficient_scope."""
    agent_id, owner_id = ids(agent, principal)
    row: ChatSession | None = await run(archive.session, agent_id, uuid_for(text, "session_not_found"))
    if row is None or not (row.owner_id == owner_id or manages(principal, agent)):
        raise SwitchboardError("session_not_found")
    await check_read(principal, row)
    return row


async def check_read(principal: Principal, row: ChatSession) -> None:
    """The scope `read`, which a key needs not have for a conversation of its own turns alone (R1.4)."""
    if "read" not in principal.scopes and not await run(archive.is_all_of, row.id, principal.key):
        principal.check_scope("read")
