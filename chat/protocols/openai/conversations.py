"""`X-Conversation-Id`: which stored conversation a request continues, and what its messages add to it (OAI-50 … OAI-58)."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import InterfaceError, OperationalError

from agents import ids
from agents.access import Principal
from agents.database import run
from agents.errors import SwitchboardError
from agents.memo import Memo
from agents.settings import settings
from agents.specs import AgentSpec
from agents.values import value
from chat import records, transcripts
from chat.models import ChatSession, Execution
from chat.protocols.openai.alignment import Continuation, Known, continued
from chat.protocols.openai.errors import invalid
from chat.protocols.openai.lifetimes import MAX_REMEMBERED, is_alive, no_more_alive
from chat.protocols.openai.messages import Entry
from chat.requests import SessionRef
from chat.sessions import find_session, forget, new_session
from chat.transcripts import Transcript

HEADER = "X-Conversation-Id"
_VISIBLE = re.compile(r"[\x21-\x7e]{1,128}\Z")


@value
class Conversation:
    """What the request's id stands for. `session` None: the cache is off, and `lock_id` alone keeps its turns apart (OAI-57)."""

    id: str
    cache: Literal["hit", "miss", "off"]
    session: SessionRef | None = None
    lock_id: UUID | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {HEADER: self.id, "X-Conversation-Cache": self.cache}


def id_of(header: str) -> str:
    """The header's value; "" when there is none, since chat UIs fill templates with nothing. Raises invalid_value (OAI-50)."""
    if header and not _VISIBLE.match(header):
        raise invalid(HEADER, f"{HEADER} must be 1 to 128 visible ASCII characters")
    return header


async def look_up(principal: Principal, agent: AgentSpec, conversation_id: str) -> Conversation:
    """The caller's conversation of that id with this agent, or a new one of that name. Raises store_unavailable."""
    namespace = f"openai:{principal.key}:{agent.id and ids.text(agent.id)}"
    if settings.CHAT_CONVERSATIONS_MAX <= 0:
        return Conversation(id=conversation_id, cache="off", lock_id=uuid5(NAMESPACE_URL, f"{namespace}:{conversation_id}"))
    with _never_silent:
        found = await _found(principal, agent, namespace, conversation_id)
    if found is not None:
        return Conversation(id=conversation_id, cache="hit", session=found)
    made = new_session(principal, agent, "openai", namespace, conversation_id)
    return Conversation(id=conversation_id, cache="miss", session=made)


async def _found(principal: Principal, agent: AgentSpec, namespace: str, name: str) -> SessionRef | None:
    """An own session's UUID first; it may be one of another agent, and then the id is a name like any other (OAI-51)."""
    ref = await find_session(principal, namespace, name)
    if ref is not None and ref.agent_id != agent.id:
        ref = await run(_named, namespace, name)
    if ref is None or ref.name != name:
        return ref
    if await is_alive(ref.id):
        return _by_name(ref)
    forget(principal, ref)
    return None


_by_name: Memo[SessionRef, SessionRef] = Memo(lambda ref: replace(ref, by_name=True), 10_000)


def dropped(principal: Principal, session: SessionRef | None) -> None:
    """Another process dropped or deleted the conversation while this one thought it alive."""
    if session is not None:
        no_more_alive(session.id)
        forget(principal, session)


def _named(namespace: str, name: str) -> SessionRef | None:
    row = ChatSession.objects.filter(namespace=namespace, name=name).first()
    if row is None:
        return None
    return SessionRef(
        id=row.id, namespace=namespace, name=name, agent_id=row.agent_id, agent_name=row.agent_name, owner_id=row.owner_id, wire=row.wire
    )


async def continuation(session: SessionRef, entries: Sequence[Entry], agent: AgentSpec) -> Continuation:
    """A hit: what the messages add to the stored transcript. Raises invalid_value, store_unavailable."""
    if all(entry.role == "user" for entry in entries):
        return continued(Known(()), entries)
    with _never_silent:
        known = await run(_known, session.id, {entry.call_id for entry in entries if entry.role == "tool"})
    return continued(known, entries, agent.approval_notice)


def _known(session_id: UUID, answered: set[str]) -> Known:
    transcript = _transcript(session_id)
    open_calls = transcript.open_calls
    looked_for = bool(answered) and answered.isdisjoint(open_calls)
    positions = _result_positions(session_id) if looked_for else {}
    return Known(list(transcript.entries()), open_calls, positions.get)


def _transcript(session_id: UUID) -> Transcript:
    """The newest: the cached one if it is that, else from the database."""
    version = ChatSession.objects.filter(id=session_id).values_list("version", flat=True).first()
    cached = transcripts.cache.get(session_id)
    if cached is not None and cached.version == version:
        return cached
    return transcripts.build(session_id, version or 0, records.stored_messages(session_id))


def _result_positions(session_id: UUID) -> dict[str, int]:
    """Where the results of client calls stand, by the id of the call."""
    return {
        part["call_id"]: message.position
        for message in records.stored_messages(session_id)
        for part in message.parts
        if part["type"] == "tool_result"
    }


_instructions: dict[UUID, tuple[str, ...]] = {}


async def instructions_of(session: SessionRef) -> tuple[str, ...]:
    """What system and developer messages said when the conversation was opened; later ones are ignored (OAI-52)."""
    known = _instructions.get(session.id)
    if known is not None:
        return known
    with _never_silent:
        return await run(_first_instructions, session.id)


def _first_instructions(session_id: UUID) -> tuple[str, ...]:
    labels = Execution.objects.filter(session_id=session_id).order_by("created_at").values_list("labels", flat=True).first()
    return remember_instructions(session_id, tuple((labels or {}).get("instructions", ())))


def remember_instructions(session_id: UUID, instructions: tuple[str, ...]) -> tuple[str, ...]:
    """Keeps them at hand; they never change."""
    if len(_instructions) >= MAX_REMEMBERED:
        _instructions.clear()
    return _instructions.setdefault(session_id, instructions)


class _NeverSilent:
    """A store that is down is no miss (OAI-58)."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OperationalError | InterfaceError):
            raise SwitchboardError("store_unavailable", retry_after_s=1) from error


_never_silent = _NeverSilent()
