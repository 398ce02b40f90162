"""What visitors may do with a link (AG-53 … AG-60): look, write, read back, begin anew, follow and stop what they asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from agents import directory, throttle
from agents.access import ANONYMOUS, Principal
from agents.errors import SwitchboardError
from chat import idempotency, turns
from chat.cancelling import cancel
from chat.events import TurnCancelled, TurnFailed, TurnPaused
from chat.executions import number_after
from chat.fields import parse
from chat.files import brought
from chat.links import Link, give_message_back, link_for, spend_message
from chat.models import ChatSession, Execution
from chat.protocols.public import documents, transcript, visitors
from chat.protocols.public.answers import RenderedEncoder, VisitorEncoder, response_of, sentence_for, told
from chat.protocols.public.serializers import ChatRequest
from chat.protocols.public.visitors import Visitor
from chat.queries import choice_of, partial_of, rendered_of
from chat.requests import TurnRequest
from chat.store import run
from chat.streaming import sse, sse_watch, whole
from chat.streamjson import CONTENT_TYPES, Form, wanted_form
from chat.turns import Turn
from chat.views import Call, WireView, respond, uuid_for
from chat.watching import log_for

LOOK_UPS, MESSAGES_OF_ADDRESS, MESSAGES_OF_LINK = 60, 30, 60
"""A minute (AG-55)."""
_ROUTE = "/api/public/chat"
_PRIVATE = {"Cache-Control": "no-store"}


class VisitorView(WireView):
    """Limits stand before everything else, so that tokens cannot be tried out (AG-57)."""

    public = True

    async def principal_for(self, request: HttpRequest) -> Principal:
        await count_look_up(request)
        return ANONYMOUS


class LinkView(VisitorView):
    """Whatever is wrong with the link of the path, the answer is one 404 (AG-54)."""

    async def principal_for(self, request: HttpRequest) -> Principal:
        await count_look_up(request)
        assert request.resolver_match is not None
        request.link = await link_for(request.resolver_match.kwargs["token"])  # type: ignore[attr-defined]  # for link_of()
        return ANONYMOUS

    def link_of(self, call: Call) -> Link:
        link: Link = call.request.link  # type: ignore[attr-defined]  # principal_for() put it there
        return link


async def count_look_up(request: HttpRequest) -> None:
    """Counts a request once, however often it is begun anew."""
    if not hasattr(request, "counted"):
        request.counted = True  # type: ignore[attr-defined]  # remembered by the request itself
        await throttle.spend(f"link-look-up:{request.address}", LOOK_UPS)  # type: ignore[attr-defined]  # set by config.handler


class InfoView(VisitorView):
    """What a page may say before anybody wrote; also of links that are not valid, with 200."""

    scopes = {"GET": ""}

    @documents.info
    async def get(self, call: Call, token: str) -> HttpResponse:
        try:
            link = await link_for(token)
        except SwitchboardError as error:
            if error.code != "link_invalid":
                raise
            return respond(_info(None), headers=_PRIVATE)
        return respond(_info(link), headers=_PRIVATE)


def _info(link: Link | None) -> dict[str, Any]:
    agent = link.agent if link else None
    return {
        "valid": agent is not None,
        "require_email": agent is not None and agent.require_email,
        "agent_available": agent is not None and agent.enabled,
        "reason": None if agent else "invalid_or_expired",
        "agent_display_name": agent.display_name or agent.name if agent else None,
        "agent_description": agent.description if agent else None,
        "is_autonomous": False,
        "is_read_only": False,
    }


class ChatView(LinkView):
    """One message of a visitor: answered whole, as a stream, or only accepted (AG-56 … AG-58)."""

    scopes = {"POST": ""}

    @documents.chat
    async def post(self, call: Call, token: str) -> HttpResponseBase:
        try:
            return await self._answer(call, self.link_of(call))
        except SwitchboardError as error:
            raise told(error) from error

    async def _answer(self, call: Call, link: Link) -> HttpResponseBase:
        body = call.json()
        asked = parse(ChatRequest, body)
        how = rendering_of(call, asked)
        visitor = await visitors.asking(link, asked.session_id, asked.session_token)
        call.check_size(directory.body_limit(link.agent))
        turn = await begin(call, link, visitor, asked, body, how.form)
        visitor = await visitors.of_replay(visitor, turn) if turn.replayed else visitor
        if asked.async_mode:
            return respond(accepted(link, visitor, turn), 202, headers_of(visitor, turn))
        if how.form is not None:
            return await stream(call, visitor, turn, how.form, how)
        return await answer(call, visitor, turn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How the answer is given; `form` None: as one JSON body. `rendered`: with its texts as HTML, for our own page."""

    form: Form | None
    partial: bool
    rendered: bool


def rendering_of(call: Call, asked: ChatRequest) -> Rendering:
    """Raises validation_error for values of the query that mean nothing, before anything is begun."""
    query = choice_of(call, "stream", ("sse", "ndjson", "true", "false"))
    form = None if asked.async_mode else wanted_form(asked.stream, call.headers.get("accept", ""), query)
    return Rendering(form=form, partial=partial_of(call), rendered=rendered_of(call))


async def begin(call: Call, link: Link, visitor: Visitor, asked: ChatRequest, body: Any, form: Form | None) -> Turn:
    """The turn, once limits and quota allow it (AG-55); what is refused, or only repeated, is not counted against the quota."""
    shaping = {"form": form or "", "async": str(bool(asked.async_mode))}
    claim = idempotency.claim_for(
        _claimant(call, link, visitor), _ROUTE, link.agent.name, call.headers.get("idempotency-key"), body, shaping
    )
    async with counted(call, link, visitor) as receipt, brought(visitor.principal, link.agent, asked.files) as files:
        turn = await turns.start(
            TurnRequest(
                principal=visitor.principal,
                agent=link.agent,
                wire="public",
                trigger="public",
                parts=({"type": "text", "text": asked.message}, *files.parts),
                session=visitor.session,
                timeout_s=settings.CHAT_REQUEST_TIMEOUT,
                whole=form is None and not asked.async_mode,
                keep_on_leave=True,
                idempotency=claim,
                labels={"email": visitor.email} if visitor.email else {},
                request_id=call.request_id,
            )
        )
        files.unused = receipt.replayed = turn.replayed
    await visitors.entitle(visitor, asked.message)
    return turn


def _claimant(call: Call, link: Link, visitor: Visitor) -> Principal:
    """Whose Idempotency-Key it is (R4.1). A first message has no session yet: then its address stands in."""
    if visitor.public_id is None or not visitor.session.is_new:
        return visitor.principal
    return replace(visitor.principal, key=f"{link.namespace}@{call.address}")


class Receipt:
    """What was counted for a message; a replay costs nothing (R4.3)."""

    replayed = False


@asynccontextmanager
async def counted(call: Call, link: Link, visitor: Visitor) -> AsyncIterator[Receipt]:
    receipt, uses = Receipt(), (f"link-messages-from:{call.address}", f"link-messages:{link.id}")
    for use, limit in zip(uses, (MESSAGES_OF_ADDRESS, MESSAGES_OF_LINK), strict=True):
        await throttle.spend(use, limit)
    spent = await spend_message(link.id, visitor.session.name if visitor.is_first else None)
    try:
        yield receipt
    except BaseException:
        await give_message_back(spent)
        raise
    if receipt.replayed:
        await give_message_back(spent)
        for use in uses:
            await throttle.give_back(use)


def headers_of(visitor: Visitor, turn: Turn) -> dict[str, str]:
    """R0.6 and the visitor's own id; rate limits are told to nobody here."""
    headers = {"X-Execution-Id": str(turn.execution_id), "X-Switchboard-Agent": turn.request.agent.name, **_PRIVATE}
    if visitor.public_id is not None:
        headers["X-Session-Id"] = visitor.public_id
    return {**headers, "Idempotent-Replayed": "true"} if turn.replayed else headers


def accepted(link: Link, visitor: Visitor, turn: Turn) -> dict[str, Any]:
    return {
        "status": "accepted",
        "execution_id": str(turn.execution_id),
        "agent_name": link.agent.name,
        "session_id": visitor.public_id,
        "async_mode": True,
    }


async def stream(call: Call, visitor: Visitor, turn: Turn, form: Form, how: Rendering) -> HttpResponseBase:
    rendered = form == "sse" and how.rendered
    encoder = RenderedEncoder(visitor.public_id) if rendered else VisitorEncoder(visitor.public_id, form=form, partial=how.partial)
    return await sse(call, turn, encoder, headers=headers_of(visitor, turn), content_type=CONTENT_TYPES[form])


async def answer(call: Call, visitor: Visitor, turn: Turn) -> HttpResponseBase:
    events = await whole(call, turn)
    end = events[-1].event
    if isinstance(end, TurnFailed | TurnCancelled):
        raise turn.error_of(end)
    session = turn.session or visitor.session
    count = await run(ChatSession.objects.filter(id=session.id).values_list("message_count", flat=True).first)
    body: dict[str, Any] = {
        "response": response_of(events),
        "session_id": visitor.public_id,
        "message_count": count or 0,
        "usage": None,
        "execution_id": str(turn.execution_id),
        "session_restarted": visitor.restarted,
    }
    paused = {"status": "paused"} if isinstance(end, TurnPaused) else {}
    return respond({**body, **paused}, headers=headers_of(visitor, turn))


class HistoryView(LinkView):
    """What was said, oldest first; nothing for a conversation nobody knows (AG-56)."""

    scopes = {"GET": ""}

    @documents.history
    async def get(self, call: Call, token: str) -> HttpResponse:
        rendered = rendered_of(call)
        row, public_id = await visitors.reading(self.link_of(call), call.query)
        messages = await transcript.messages_of(row, rendered=rendered) if row else []
        return respond({"messages": messages, "session_id": public_id, "message_count": len(messages)}, headers=_PRIVATE)


class SessionView(LinkView):
    """Begins anew; what was said stays for managers."""

    scopes = {"DELETE": ""}
    reads_body = False

    @documents.clear
    async def delete(self, call: Call, token: str) -> HttpResponse:
        new_session_id = await visitors.clear(self.link_of(call), call.query)
        return respond({"cleared": True, "new_session_id": new_session_id}, headers=_PRIVATE)


class RunView(LinkView):
    """Runs of this link and of this conversation; there are no others for a visitor (AG-58)."""

    async def run_for(self, call: Call, execution_id: str) -> tuple[Execution, str | None]:
        """The run and what its conversation is called. Raises execution_not_found."""
        wanted = uuid_for(execution_id, "execution_not_found")
        row, public_id = await visitors.reading(self.link_of(call), call.query)
        found = await run(Execution.objects.filter(id=wanted, session_id=row.id).first) if row else None
        if found is None:
            raise SwitchboardError("execution_not_found")
        return found, public_id


class StatusView(RunView):
    scopes = {"GET": ""}

    @documents.status
    async def get(self, call: Call, token: str, execution_id: str) -> HttpResponse:
        row, _ = await self.run_for(call, execution_id)
        return respond(shown(row), headers=_PRIVATE)


def shown(row: Execution) -> dict[str, Any]:
    response = row.response or None
    if row.status == Execution.Status.PAUSED:
        response = "\n\n".join(text for text in (row.response, (row.paused_state or {}).get("notice")) if text)
    return {"execution_id": str(row.id), "status": row.status, "response": response, "error": sentence_for(row.error_code)}


class StreamView(RunView):
    """The run's events from any number on (R7)."""

    scopes = {"GET": ""}

    @documents.stream
    async def get(self, call: Call, token: str, execution_id: str) -> HttpResponseBase:
        after, partial, rendered = number_after(call), partial_of(call), rendered_of(call)
        row, public_id = await self.run_for(call, execution_id)
        encoder: VisitorEncoder
        if rendered and after == 0:
            encoder = RenderedEncoder(public_id, execution_id=str(row.id))
        else:
            encoder = VisitorEncoder(public_id, execution_id=str(row.id), partial=partial, after=after)
        if row.status == Execution.Status.QUEUED:
            encoder.queued(1)  # behind how many others is no visitor's business
        headers = {"X-Execution-Id": str(row.id), "X-Switchboard-Agent": row.agent_name}
        return await sse_watch(call, await log_for(row.id, after), encoder, headers=headers)


class TerminateView(RunView):
    """Stops the run; asked again it says so (AG-40)."""

    scopes = {"POST": ""}
    json_body = False

    @documents.terminate
    async def post(self, call: Call, token: str, execution_id: str) -> HttpResponse:
        row, _ = await self.run_for(call, execution_id)
        done = await cancel(row.id)
        return respond({"status": done.result, "execution_id": str(row.id)})
