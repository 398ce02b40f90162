"""Watching threads (§8): attach, resume, detach."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings

from agents import directory
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat import eventship, readings
from chat.eventlog import registry
from chat.live import OPEN, Asked
from chat.models import Execution
from chat.protocols.websocket import history, threads
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.errors import refusal
from chat.protocols.websocket.serializers import Attach, Detach, Resume
from chat.protocols.websocket.watch import Watch
from chat.protocols.websocket.watches import watch_for
from chat.requests import SessionRef
from chat.store import run
from chat.views import uuid_for


async def attach(connection: Connection, asked: Attach) -> None:
    """`session` attached, the newest messages, each open run, then all that happens (WS-62)."""
    connection.principal.check_scope("read")
    session, own = await threads.readable(connection.principal, asked.thread_id)
    agent = await _agent_of(session)
    watch = watch_for(connection, session, asked.thread_id, own=own, agent=agent)
    found = await watch.attach(partial(history.rows, session.id, asked.history))
    row = found.session
    if row is None:
        watch.detach()
        raise SwitchboardError("session_not_found")
    connection.send(
        {
            "type": "session", "event": "attached", "thread_id": watch.thread_id, "session_id": str(session.id),
            "agent": {"id": str(row.agent_id) if row.agent_id else None, "name": row.agent_name}, "status": row.status, "title": row.title,
            "message_count": row.message_count, "active": [await _active(each.execution) for each in found.runs],
        }
    )  # fmt: skip
    for body in history.bodies(found.also, thread_id=watch.thread_id, agent=row.agent_name):
        connection.send(body)
    await _follow(watch, found.runs, asked)


async def _follow(watch: Watch, found: Sequence[Asked], asked: Attach) -> None:
    for each in found:
        watch.note(each)
        execution_id = each.execution.id
        after = asked.after if asked.execution_id in (None, str(execution_id)) else 0
        await readings.follow(execution_id, watch, after)


async def resume(connection: Connection, asked: Resume) -> None:
    """`session` attached, then every frame of the run above `after`, then live ones (WS-60, WS-61)."""
    connection.principal.check_scope("read")
    row = await _wanted(connection, asked)
    if row.session is None:
        from chat.protocols.websocket import jobs  # and a template language: for who runs one

        await jobs.reconnect(connection, row, asked.after)
        return
    session, own = await threads.readable(connection.principal, asked.thread_id or str(row.session_id))
    if session.id != row.session_id:
        raise SwitchboardError("session_not_found")
    watch = watch_for(connection, session, asked.thread_id or session.name or str(session.id), own=own, agent=await _agent_of(session))
    if row.principal == connection.principal.key:
        watch.mine.add(row.id)
    active = await _active(row)
    connection.send(
        {
            "type": "session", "event": "attached", "thread_id": watch.thread_id, "session_id": str(session.id),
            "agent": {"id": str(row.agent_id) if row.agent_id else None, "name": row.agent_name}, "title": row.session.title,
            "message_count": row.session.message_count, "after": asked.after, **active,
        }
    )  # fmt: skip
    await readings.follow(row.id, watch, asked.after)


async def detach(connection: Connection, asked: Detach) -> None:
    """Stops watching; a thread that is not watched is no error."""
    for watch in list(connection.watches.values()):
        if asked.thread_id in (watch.thread_id, str(watch.session.id), watch.session.name):
            watch.detach()
            connection.send({"type": "session", "event": "detached", "thread_id": asked.thread_id, "session_id": str(watch.session.id)})


async def _wanted(connection: Connection, asked: Resume) -> Execution:
    """The run of that id, or the thread's newest. What may not be seen is session_not_found, like what is not there (WS-64)."""
    if asked.execution_id is not None:
        row = await run(_run, uuid_for(asked.execution_id, "session_not_found"))
    elif asked.thread_id is not None:
        session, _ = await threads.readable(connection.principal, asked.thread_id)
        row = await run(_newest, session.id)
    else:
        raise refusal("invalid_message", "thread_id: Field required")
    if row is None:
        raise SwitchboardError("session_not_found")
    return row


def _run(execution_id: UUID) -> Execution | None:
    return Execution.objects.select_related("session").filter(id=execution_id).first()


def _newest(session_id: UUID) -> Execution | None:
    return Execution.objects.select_related("session").filter(session_id=session_id).order_by("-created_at").first()


async def _active(row: Execution) -> dict[str, Any]:
    """A run as `attached` names it; while it lives, the log knows its newest number."""
    log = registry.get(row.id)
    if log is None and row.status in OPEN and settings.REDIS_URL:
        log = await eventship.mirror.open(row.id)
    return {"execution_id": str(row.id), "last_seq": log.last_seq if log else row.last_seq, "status": row.status}


async def _agent_of(session: SessionRef) -> AgentSpec | None:
    return (await directory.catalog()).by_id.get(session.agent_id) if session.agent_id else None
