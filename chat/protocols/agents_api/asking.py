"""From a checked request to the turn it asks for: its form, its conversation, and where in that it stands (AG-9, AG-10, AG-26)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from agents.access import Principal
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat import archive, current, idempotency, repeats
from chat.models import Message
from chat.protocols.agents_api.chat_requests import ChatRequest
from chat.queries import choice_of, partial_of
from chat.requests import Branch, IdempotencyClaim, Part, Pointer, RepeatMark, SessionRef, TurnRequest
from chat.sessions import current_session, find_session
from chat.store import run
from chat.streamjson import Form
from chat.views import Call, uuid_for

ROUTE = "/api/agents/chat"
_STREAMED: Mapping[str, Form] = {"sse": "sse", "ndjson": "ndjson", "true": "ndjson"}
_TYPES: Mapping[str, Form] = {"text/event-stream": "sse", "application/x-ndjson": "ndjson"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How the answer is given: a stream of some form, with the text as it is written or without; None: one JSON body."""

    form: Form | None
    partial: bool

    @property
    def shaping(self) -> dict[str, str]:
        """What belongs to a request's fingerprint (R4.2)."""
        return {"form": self.form or "json", "partial": str(self.partial)}


def rendering_of(call: Call, asked: ChatRequest) -> Rendering:
    """AG-9. Raises validation_error for values of the query that mean nothing."""
    wanted = choice_of(call, "stream", ("sse", "ndjson", "true", "false"))
    return Rendering(form=_form(call, asked.stream, wanted), partial=partial_of(call))


def _form(call: Call, stream: bool | None, wanted: str | None) -> Form | None:
    if stream is False:
        return None
    if (named := _accepted(call.headers.get("accept", ""))) is not None:
        return named
    if wanted in ("sse", "ndjson"):
        return _STREAMED[wanted]
    return "ndjson" if stream or wanted == "true" else None


def _accepted(accept: str) -> Form | None:
    """The stream that `Accept` names; a weight of 0 says no."""
    named = {kind.strip().lower() for kind, _, weight in (part.partition(";") for part in accept.split(",")) if not _refused(weight)}
    return next((form for kind, form in _TYPES.items() if kind in named), None)


def _refused(weight: str) -> bool:
    return weight.replace(" ", "").rstrip("0").rstrip(".") == "q="


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the turn goes: its conversation, and for a branch where that begins (AG-26)."""

    session: SessionRef
    branch: Branch | None = None
    parts: tuple[Part, ...] | None = None


async def place_of(principal: Principal, agent: AgentSpec, asked: ChatRequest) -> Place:
    """Raises session_not_found and message_not_found, for others' as for unknown ones (AG-4)."""
    if asked.session_id is not None:
        session = await named_session(principal, agent, asked.session_id)
    else:
        session = await current_session(principal, agent, "agents", fresh=bool(asked.new_session))
    if asked.edit_of is not None:
        return _branch(session, await _message(principal, agent, session, asked.edit_of, "user"))
    if asked.after is not None:
        return _branch(session, await _message(principal, agent, session, asked.after, None), after=True)
    if asked.regenerate_of is not None:
        answer = await _message(principal, agent, session, asked.regenerate_of, "assistant")
        question = await run(archive.question_of, answer)
        if question is None:
            raise SwitchboardError("message_not_found")
        return replace(_branch(session, question), parts=tuple(question.parts))
    return Place(session=session)


async def named_session(principal: Principal, agent: AgentSpec, text: str) -> SessionRef:
    """An own conversation with the agent, by its id. Chatting there makes it the current one, if it is of this wire (AG-10)."""
    wanted = uuid_for(text, "session_not_found")
    found = await find_session(principal, principal.namespace, text)
    if found is None or found.id != wanted or found.agent_id != agent.id:
        raise SwitchboardError("session_not_found")
    return _pointed_at(found)


def _pointed_at(session: SessionRef) -> SessionRef:
    return replace(session, pointer=Pointer(named=True)) if session.wire in current.WIRES else replace(session, pointer=None)


async def _message(principal: Principal, agent: AgentSpec, session: SessionRef, text: str, role: str | None) -> Message:
    wanted = uuid_for(text, "message_not_found")
    assert agent.id is not None
    assert principal.user_id is not None
    found = await run(archive.message, agent.id, principal.user_id, wanted, role)
    if found is None or found.session_id != session.id:
        raise SwitchboardError("message_not_found")
    return found


def _branch(session: SessionRef, at: Message, *, after: bool = False) -> Place:
    """The conversation is meant itself now: another one that becomes current meanwhile does not have this message."""
    return Place(session=_pointed_at(session), branch=Branch(message_id=at.id, after=after))


def turn_request(
    call: Call, agent: AgentSpec, asked: ChatRequest, body: Mapping[str, Any], rendering: Rendering, place: Place, files: tuple[Part, ...]
) -> TurnRequest:
    """The turn, whose conversation goes on when its client leaves (R6.2)."""
    claim = idempotency.claim_for(call.principal, ROUTE, agent.name, call.headers.get("idempotency-key"), body, rendering.shaping)
    return TurnRequest(
        principal=call.principal,
        agent=agent,
        wire="agents",
        parts=place.parts or ({"type": "text", "text": asked.text}, *files),
        session=place.session,
        branch=place.branch,
        timeout_s=settings.CHAT_REQUEST_TIMEOUT,
        whole=rendering.form is None,
        keep_on_leave=True,
        idempotency=claim,
        repeat=_repeat(call, agent, asked, body, rendering, claim),
        request_id=call.request_id,
    )


def _repeat(
    call: Call, agent: AgentSpec, asked: ChatRequest, body: Mapping[str, Any], rendering: Rendering, claim: IdempotencyClaim | None
) -> RepeatMark | None:
    """The common SDKs repeat a request whose answer was lost, and count (R4.1)."""
    count = call.headers.get("x-stainless-retry-count", "")
    if claim is not None or not (count.isascii() and count.isdigit()):
        return None
    fingerprint = idempotency.fingerprint(body, rendering.shaping)
    key = repeats.key_of(call.principal, f"{ROUTE}/{agent.name}", asked.session_id or "", fingerprint)
    return RepeatMark(key=key, again=int(count) > 0)
