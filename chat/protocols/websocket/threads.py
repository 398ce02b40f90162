"""Threads: sessions as this wire calls them (§5.3): an own session's UUID first, then the client's own name for one (WS-29)."""

from uuid import UUID

from agents.access import Principal
from agents.errors import SwitchboardError
from chat.executions import manages
from chat.models import ChatSession
from chat.requests import SessionRef
from chat.sessions import find_session, ref_of
from chat.store import run


async def readable(principal: Principal, thread_id: str) -> tuple[SessionRef, bool]:
    """The thread, and whether it is the caller's own; managers of its agent read it by its id. Raises session_not_found (WS-64)."""
    own = await find_session(principal, principal.namespace, thread_id)
    if own is not None and (principal.agent_ids is None or own.agent_id in principal.agent_ids):
        return own, True
    foreign = await _managed(principal, thread_id)
    if foreign is None:
        raise SwitchboardError("session_not_found")
    return foreign, False


async def writable(principal: Principal, thread_id: str) -> SessionRef | None:
    """The caller's own thread; None: there is none of this name yet. Managers do not write into others' (WS-64)."""
    own = await find_session(principal, principal.namespace, thread_id)
    if own is None and await _managed(principal, thread_id) is not None:
        raise SwitchboardError("session_not_found")
    return own


async def _managed(principal: Principal, thread_id: str) -> SessionRef | None:
    """Somebody else's session of an agent that the caller manages."""
    try:
        session_id = UUID(thread_id)
    except ValueError:
        return None
    if str(session_id) != thread_id or "manage" not in principal.scopes:
        return None
    row = await run(_row, session_id)
    return ref_of(row) if row is not None and await manages(principal, row) else None


def _row(session_id: UUID) -> ChatSession | None:
    return ChatSession.objects.filter(id=session_id).first()
