"""Conversations by what callers call them: an own session's UUID first, then a name in the caller's namespace (R2.2).

What a SessionRef says never changes, so found ones are kept in memory; a deleted session is noticed when a turn begins.
"""

from collections import OrderedDict
from dataclasses import replace
from uuid import UUID

from agents.access import Principal
from agents.ids import uuid7
from agents.specs import AgentSpec
from chat import current
from chat.errors import TurnError
from chat.models import ChatSession
from chat.requests import Pointer, SessionRef
from chat.store import run

_MAX_KNOWN = 100_000
_known: OrderedDict[tuple[str, str], SessionRef] = OrderedDict()


async def find_session(principal: Principal, namespace: str, name_or_id: str) -> SessionRef | None:
    """The caller's conversation of that id or name; None when there is none. Others' never show (R2.2)."""
    known = _known.get((_space(principal, namespace), name_or_id))
    if known is not None:
        return known
    found = await run(_find, principal, namespace, name_or_id)
    return _remember(principal, namespace, name_or_id, found) if found else None


async def current_session(principal: Principal, agent: AgentSpec, wire: str, *, fresh: bool = False) -> SessionRef:
    """Where the caller's next message to the agent goes (AG-10): the current conversation, else (or when `fresh`) a new one."""
    row, seen = await run(current.find, principal.user_id, agent.id)
    found = new_session(principal, agent, wire, principal.namespace) if fresh or row is None else ref_of(row)
    return replace(found, pointer=Pointer(seen=seen, fresh=fresh))


def new_session(principal: Principal, agent: AgentSpec, wire: str, namespace: str, name: str | None = None) -> SessionRef:
    """A conversation that is stored with its first turn. Two first turns of one name in this process get the same one (R8.4)."""
    ref = SessionRef(
        id=uuid7(),
        namespace=namespace,
        name=name,
        agent_id=agent.id,
        agent_name=agent.name,
        owner_id=principal.user_id,
        wire=wire,
        is_new=True,
    )
    _remember(principal, namespace, name or str(ref.id), replace(ref, is_new=False))
    return ref


def forget(principal: Principal, ref: SessionRef) -> None:
    """The conversation turned out not to be stored (any more)."""
    for name in (ref.name, str(ref.id)):
        _known.pop((_space(principal, ref.namespace), name or ""), None)


async def resolve_again(principal: Principal, agent: AgentSpec, ref: SessionRef) -> SessionRef | None:
    """After a race or a deletion: the named conversation as it is now, else a fresh one of that name; None for a bare id.

    Raises conversation_agent_mismatch when a turn of another agent was first (RUN-8).
    """
    forget(principal, ref)
    if ref.pointer is not None and not ref.pointer.named:
        return await current_session(principal, agent, ref.wire, fresh=ref.pointer.fresh)
    found = await find_session(principal, ref.namespace, ref.name or str(ref.id))
    if found is not None and found.agent_id != agent.id:
        raise TurnError("conversation_agent_mismatch")
    if found is not None:
        return replace(found, pointer=ref.pointer)
    fresh = ref.is_new or ref.name is not None
    return new_session(principal, agent, ref.wire, ref.namespace, ref.name) if fresh else None


def _space(principal: Principal, namespace: str) -> str:
    return f"{principal.user_id or principal.key}/{namespace}"


def _remember(principal: Principal, namespace: str, name: str, ref: SessionRef) -> SessionRef:
    _known[(_space(principal, namespace), name)] = ref
    if len(_known) > _MAX_KNOWN:
        _known.popitem(last=False)
    return ref


def _find(principal: Principal, namespace: str, name_or_id: str) -> SessionRef | None:
    rows = ChatSession.objects.only("id", "namespace", "name", "agent_id", "agent_name", "owner_id", "wire")
    row = None
    if (session_id := _uuid(name_or_id)) is not None:
        row = rows.filter(id=session_id).first()
        if row is not None and not _is_own(principal, namespace, row):
            row = None
    row = row or rows.filter(namespace=namespace, name=name_or_id).first()
    return ref_of(row) if row else None


def ref_of(row: ChatSession) -> SessionRef:
    """The row's identity."""
    return SessionRef(
        id=row.id,
        namespace=row.namespace,
        name=row.name,
        agent_id=row.agent_id,
        agent_name=row.agent_name,
        owner_id=row.owner_id,
        wire=row.wire,
    )


def _is_own(principal: Principal, namespace: str, row: ChatSession) -> bool:
    if principal.user_id is not None:
        return row.owner_id == principal.user_id
    return row.owner_id is None and row.namespace == namespace


def _uuid(text: str) -> UUID | None:
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text else None
