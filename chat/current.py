"""Which conversation a user's next message to an agent goes to (AG-10): a pointer row per user and agent, moved by compare-and-set.

`move` runs in the transaction in which a turn begins, so at most one conversation is made by parallel first messages (R8.4).
"""

from uuid import UUID

from django.db import transaction

from chat import sql
from chat.models import ChatSession, CurrentSession, Wire
from chat.requests import SessionRef

WIRES = frozenset((Wire.AGENTS, Wire.VOICE))
"""Only conversations that were opened on these are ever picked up without being named."""

_TRIES = 10
_COLUMNS = ("owner", "agent", "session")
_NAMED = "ON CONFLICT (owner_id, agent_id) DO UPDATE SET session_id = excluded.session_id"


def find(owner_id: int | None, agent_id: UUID | None) -> tuple[ChatSession | None, UUID | None]:
    """The current conversation, None when there is none that is open; and where the pointer stands."""
    if owner_id is None or agent_id is None:
        return None, None
    pointer = CurrentSession.objects.select_related("session").filter(owner_id=owner_id, agent_id=agent_id).first()
    if pointer is None:
        return None, None
    is_open = pointer.session.status == ChatSession.Status.ACTIVE
    return pointer.session if is_open else None, pointer.session_id


def move(session: SessionRef) -> bool:
    """Makes the conversation the current one as its turn asks. False: another moved the pointer since it was read; nothing is written."""
    pointer = session.pointer
    if pointer is None:
        return True
    if pointer.named:
        return _stands_at(session) or sql.insert(CurrentSession, _COLUMNS, [_row(session)], _NAMED).count == 1
    if pointer.fresh:
        return _begin_anew(session)
    return _stands_at(session) if pointer.seen == session.id else _replace(session, pointer.seen)


def _row(session: SessionRef) -> tuple[int | None, UUID | None, UUID]:
    return session.owner_id, session.agent_id, session.id


def _stands_at(session: SessionRef) -> bool:
    return _stand(session) == session.id


def _stand(session: SessionRef) -> UUID | None:
    """Where the pointer stands now."""
    where = "owner_id = %s AND agent_id = %s"
    rows = sql.select(CurrentSession, ("session",), where, [session.owner_id, *sql.adapted_ids([session.agent_id or session.id])])
    return rows[0][0] if rows else None


def _replace(session: SessionRef, seen: UUID | None) -> bool:
    if seen is None:
        return sql.insert(CurrentSession, _COLUMNS, [_row(session)], "ON CONFLICT DO NOTHING").count == 1
    where, columns = "owner_id = %s AND agent_id = %s AND session_id = %s", ("session", "owner", "agent", "session")
    return sql.update(CurrentSession, ["session"], where, columns, [(session.id, session.owner_id, session.agent_id, seen)]).count == 1


def _begin_anew(session: SessionRef) -> bool:
    """The conversation takes the place of whichever is current at this moment, and that one is closed."""
    for _ in range(_TRIES):
        left = _stand(session)
        if _replace(session, left):
            if left is not None:
                sql.update(ChatSession, ["status = 'closed'"], "id = %s", ("id",), [(left,)])
            return True
    return False


@transaction.atomic
def close(session_id: UUID) -> None:
    """Nobody's next message goes there by itself any more (AG-25); a running turn of it goes on. Repeatable."""
    ChatSession.objects.filter(id=session_id).update(status=ChatSession.Status.CLOSED)
    CurrentSession.objects.filter(session_id=session_id).delete()


def reopen(session_id: UUID) -> None:
    """A turn begins in a conversation that was closed (AG-25)."""
    sql.update(ChatSession, ["status = 'active'"], "id = %s", ("id",), [(session_id,)])
