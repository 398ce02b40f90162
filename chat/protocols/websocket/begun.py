"""The turns that a connection began: at most four threads work side by side (WS-24); a bare `stop` means the youngest (WS-26)."""

from collections.abc import Collection
from uuid import UUID

from chat import turns
from chat.live import OPEN
from chat.models import Execution
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.errors import refusal
from chat.requests import SessionRef
from chat.store import run

MAX_TURNS = 4


async def check_turns(connection: Connection, session: SessionRef | None) -> None:
    """Raises too_many_turns; what waits on the same thread is the agent's to limit."""
    if _has_room(connection, session):
        return
    await forget_ended(connection)
    if not _has_room(connection, session):
        raise refusal("too_many_turns", status=429, retry_after_s=2)


def _has_room(connection: Connection, session: SessionRef | None) -> bool:
    working = set(connection.began.values())
    return len(working) < MAX_TURNS or (session is not None and session.id in working)


async def forget_ended(connection: Connection) -> None:
    """The end of a turn that the connection stopped watching was not told to it."""
    unknown = [execution_id for execution_id in connection.began if turns.find(execution_id) is None]
    if unknown:
        for execution_id in set(unknown) - await run(_open, unknown):
            connection.began.pop(execution_id, None)


def _open(ids: Collection[UUID]) -> set[UUID]:
    return set(Execution.objects.filter(id__in=ids, status__in=OPEN).values_list("id", flat=True))
