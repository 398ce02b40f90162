"""Stop (§5.2): from the connection that began the turn, or from any device of whoever may write to its thread."""

from uuid import UUID

from agents.errors import SwitchboardError
from chat import readings
from chat.cancelling import cancel
from chat.live import OPEN
from chat.models import Execution
from chat.protocols.websocket import begun, threads
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.frames import Body
from chat.protocols.websocket.serializers import Stop
from chat.store import run


async def stop(connection: Connection, asked: Stop) -> None:
    """Stops what is meant. One `generation_stopped` per turn comes from the turn itself; one without a turn says there was none (WS-27)."""
    connection.principal.check_scope("run")
    stopped = False
    for execution_id in await _meant(connection, asked):
        watched = any(execution_id in readings.followed(watch) for watch in connection.watches.values())
        if await _stopped(execution_id):
            stopped = True
            if not watched:
                connection.send(_told(asked.thread_id, execution_id))
    if not stopped:
        connection.send(_told(asked.thread_id, None))


async def _stopped(execution_id: UUID) -> bool:
    try:
        return (await cancel(execution_id)).result != "already_finished"
    except SwitchboardError:
        return False


def _told(thread_id: str | None, execution_id: UUID | None) -> Body:
    """For who does not watch the turn; without one there was nothing to stop."""
    message, stopped = ("Generation stopped", str(execution_id)) if execution_id else ("Nothing to stop", None)
    return {"type": "generation_stopped", "message": message, "thread_id": thread_id, "job_id": None, "execution_id": stopped, "seq": None}


async def _meant(connection: Connection, asked: Stop) -> list[UUID]:
    """The turns to stop; those that wait come first, so that none of them begins when the running one ends."""
    if asked.execution_id is not None:
        return await run(_named, asked.execution_id, connection.principal.user_id, connection.principal.key)
    if asked.thread_id is None:
        return await _youngest(connection)
    try:
        session = await threads.writable(connection.principal, asked.thread_id)
    except SwitchboardError:
        session = None
    if session is None:
        return []
    queued = [execution_id for execution_id, session_id in connection.began.items() if session_id == session.id]
    running = await run(_running, session.id)
    return [*(each for each in reversed(queued) if each not in running), *running]


async def _youngest(connection: Connection) -> list[UUID]:
    """The youngest turn that this connection began, and what it queued on that thread (WS-26)."""
    await begun.forget_ended(connection)
    if not connection.began:
        return []
    thread = list(connection.began.values())[-1]
    return [execution_id for execution_id, session_id in reversed(connection.began.items()) if session_id == thread]


def _running(session_id: UUID) -> list[UUID]:
    """The run that has the thread at the moment."""
    rows = Execution.objects.filter(session_id=session_id, status__in=("running", "paused"))
    return list(rows.order_by("-created_at").values_list("id", flat=True)[:5])


def _named(text: str, user_id: int | None, principal: str) -> list[UUID]:
    """That run, if it is the caller's and not over."""
    try:
        execution_id = UUID(text)
    except ValueError:
        return []
    row = Execution.objects.filter(id=execution_id, status__in=OPEN).values_list("owner_id", "principal").first()
    if row is None:
        return []
    own = row[0] == user_id if user_id is not None else row[1] == principal
    return [execution_id] if own else []
