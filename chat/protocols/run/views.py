"""POST /chat/run, POST /chat/stream, GET /chat/stream/{conversation_id}, GET /status."""

import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from agents import directory
from agents.access import Principal
from agents.errors import SwitchboardError
from chat import idempotency, repeats, turns
from chat.choice import choose
from chat.events import TurnCancelled, TurnFailed, TurnPaused
from chat.executions import check_read, number_after
from chat.fields import CONVERSATION_ID, parse
from chat.models import ChatSession, Execution
from chat.protocols.run import documents
from chat.protocols.run.codec import Encoder, whole
from chat.protocols.run.serializers import RunRequest
from chat.requests import RepeatMark, TurnRequest
from chat.sessions import find_session, new_session
from chat.store import run
from chat.streaming import sse, sse_watch
from chat.streaming import whole as whole_turn
from chat.turns import Turn
from chat.views import Call, WireView, respond, uuid_for
from chat.watching import log_for


class RunView(WireView):
    """The whole answer. A run that ended badly is an error status, never a 200 with an error text (section 10)."""

    scopes = {"POST": ""}

    @documents.run
    async def post(self, call: Call) -> HttpResponseBase:
        turn, conversation_id = await begin(call, "/chat/run")
        events = await whole_turn(call, turn)
        end = events[-1].event
        if isinstance(end, TurnFailed | TurnCancelled):
            raise turn.error_of(end)
        headers = headers_for(turn, conversation_id) | ({"X-Execution-Status": "paused"} if isinstance(end, TurnPaused) else {})
        return respond(whole(events, conversation_id, str(turn.execution_id)), headers=headers)


class StreamView(WireView):
    """The answer as it is written. Once its headers are out the client knows the conversation, and may leave (RUN-39)."""

    scopes = {"POST": ""}

    @documents.stream
    async def post(self, call: Call) -> HttpResponseBase:
        turn, conversation_id = await begin(call, "/chat/stream")
        encoder = Encoder(conversation_id, str(turn.execution_id))
        answer = await sse(call, turn, encoder, headers=headers_for(turn, conversation_id) | {"Connection": "keep-alive"})
        turn.keep()
        return answer


class ResumeView(WireView):
    """The running or last turn of a conversation, from any number on (section 7)."""

    scopes = {"GET": ""}

    @documents.resume
    async def get(self, call: Call, conversation_id: str) -> HttpResponseBase:
        after = number_after(call)
        row = await followed(call.principal, conversation_id, call.query.get("execution_id"))
        if row is None:
            return HttpResponse(status=204)
        check_read(call.principal, row)
        headers = {
            "X-Conversation-Id": conversation_id,
            "X-Session-Id": str(row.session_id),
            "X-Execution-Id": str(row.id),
            "X-Switchboard-Agent": row.agent_name,
            "Connection": "keep-alive",
        }
        return await sse_watch(call, await log_for(row.id, after), Encoder(conversation_id, str(row.id), after), headers=headers)


class StatusView(WireView):
    """Touches neither database nor Redis (RUN-1)."""

    public = True
    scopes = {"GET": ""}

    @documents.status
    async def get(self, call: Call) -> HttpResponse:
        return respond({"status": "ok"})


async def begin(call: Call, route: str) -> tuple[Turn, str]:
    """A turn of this request, and what its conversation is called. The scope is asked after the body (R0.5)."""
    body = call.json()
    asked, principal = parse(RunRequest, body), call.principal
    principal.check_scope("run")
    named = asked.conversation_id
    session = await find_session(principal, principal.namespace, named) if named else None
    agent = choose(principal, await directory.catalog(), session=session, named=asked.agent)
    call.check_size(directory.body_limit(agent))
    claim = idempotency.claim_for(principal, route, agent.name, call.headers.get("idempotency-key"), body, {})
    turn = await turns.start(
        TurnRequest(
            principal=principal,
            agent=agent,
            wire="run",
            parts=({"type": "text", "text": asked.message},),
            session=session or new_session(principal, agent, "run", principal.namespace, named),
            timeout_s=settings.CHAT_REQUEST_TIMEOUT,
            whole=route == "/chat/run",
            keep_on_leave=named is not None or claim is not None,
            idempotency=claim,
            repeat=_repeat(call, route, named, body),
            request_id=call.request_id,
        )
    )
    return turn, named or str(turn.session.id if turn.session else "")


def _repeat(call: Call, route: str, named: str | None, body: Mapping[str, Any]) -> RepeatMark | None:
    """Clients built on the common SDKs repeat a request whose answer was lost, and count (R4.1)."""
    count = call.headers.get("x-stainless-retry-count", "")
    if named is None or not (count.isascii() and count.isdigit()):
        return None
    return RepeatMark(key=repeats.key_of(call.principal, route, named, idempotency.fingerprint(body, {})), again=int(count) > 0)


def headers_for(turn: Turn, conversation_id: str) -> dict[str, str]:
    return {**turn.headers, "X-Conversation-Id": conversation_id}


async def followed(principal: Principal, conversation_id: str, execution_id: str | None) -> Execution | None:
    """The turn to follow; None while the conversation has none (RUN-27 … RUN-29)."""
    possible = re.match(CONVERSATION_ID, conversation_id)
    session = await find_session(principal, principal.namespace, conversation_id) if possible else None
    if session is None:
        raise SwitchboardError("session_not_found")
    rows = Execution.objects.filter(session_id=session.id)
    if execution_id is not None:
        wanted = uuid_for(execution_id, "execution_not_found")
        row = await run(rows.filter(id=wanted).first)
        if row is None:
            raise SwitchboardError("execution_not_found")
        return row
    running = rows.filter(status=Execution.Status.RUNNING)
    row = await run(running.order_by("-created_at").first) or await run(rows.order_by("-created_at").first)
    if row is None and not await run(ChatSession.objects.filter(id=session.id).exists):
        raise SwitchboardError("session_not_found")
    return row
