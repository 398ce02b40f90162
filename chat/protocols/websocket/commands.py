"""From a client's frame to what it does (websocket.md §5): decoded, checked, handed over. Reading never waits for a turn (WS-76).

The only broad `except`s of this room are here: whatever goes wrong with a frame is logged, and told as an error of ours.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from agents.errors import SwitchboardError
from agents.ids import new_request_id
from chat import clientcalls
from chat.fields import Shape, parse
from chat.live import OPEN
from chat.models import Execution
from chat.protocols.websocket import approving, attaching, clienttools, messages, stopping
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.decoding import Unreadable, decode
from chat.protocols.websocket.errors import now, refusal
from chat.protocols.websocket.serializers import (
    ApprovalResponse,
    Attach,
    Auth,
    ChatMessage,
    Detach,
    GetStatus,
    Manifest,
    Ping,
    Resume,
    RunJob,
    SetMode,
    Stop,
    ToolResult,
)
from chat.replay import workflow_name
from chat.store import run
from chat.views import uuid_for

logger = logging.getLogger("switchboard.websocket")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`shape` of the frame and what it does. `at_once`: it does not wait for the frames before it."""

    shape: type[Shape]
    do: Callable[[Connection, Any], Awaitable[None]]
    at_once: bool = False
    needs: tuple[str, ...] = ()
    said: str = ""


async def receive(connection: Connection, data: str | bytes) -> None:
    """One frame of the client. Returns as soon as it is handed over; a fault of ours ends the connection (4500)."""
    try:
        await _receive(connection, data)
    except Exception:
        logger.exception("a frame could not be taken")
        connection.end("internal_error")


async def _receive(connection: Connection, data: str | bytes) -> None:
    outbox = connection.outbox
    if not connection.pinned:
        outbox.mode = "text" if isinstance(data, str) else "binary"
    try:
        frame = decode(data)
    except Unreadable as error:
        if connection.may_take():
            connection.fault(refusal("invalid_frame", str(error)), kind="connection")
        return
    kind = frame.get("type")
    if not (kind in _UNCOUNTED or connection.may_take()):
        return
    if "command" in frame:
        await _envelope(connection, frame)
    else:
        await _plain(connection, frame, "message" if kind is None else kind)


async def do(connection: Connection, frame: Mapping[str, Any]) -> None:
    """A plain frame that did not come over the wire."""
    await _plain(connection, frame, frame["type"])


_UNCOUNTED = ("tool_result", "pong")
"""Clients answer what they are asked as often as they are asked (§10)."""


async def _plain(connection: Connection, frame: Mapping[str, Any], kind: object) -> None:
    command = FRAMES.get(kind) if isinstance(kind, str) else None
    if command is None:
        connection.fault(refusal("unknown_type"))
        return
    asked = _parsed(connection, command, frame, {})
    if asked is not None:
        await _hand_over(connection, command, asked, {})


async def _envelope(connection: Connection, frame: Mapping[str, Any]) -> None:
    """`{"command", "data"}`: acknowledged first, then as the plain frame (WS-32)."""
    name, data, request_id = frame["command"], frame.get("data", {}), frame.get("request_id")
    named = {"command": name if isinstance(name, str) else None, "request_id": request_id if isinstance(request_id, str) else None}
    command = ENVELOPES.get(name) if isinstance(name, str) else None
    if command is None:
        connection.fault(refusal("unsupported" if name in UNSUPPORTED else "unknown_command"), **named)
        return
    asked = _parsed(connection, command, data, named)
    if asked is None:
        return
    if isinstance(asked, SetMode):
        connection.outbox.mode, connection.pinned = asked.mode, True
    connection.send(_ack(command, named, data))
    await _hand_over(connection, command, asked, named)


def _ack(command: Command, named: Mapping[str, str | None], data: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: data[name] for name in ("thread_id", "job_id", "workflow_id") if isinstance(data.get(name), str)}
    asked_as = {"request_id": named["request_id"]} if named["request_id"] else {}
    message = command.said or f"{str(named['command']).replace('_', ' ').capitalize()} accepted"
    return {"type": "ack", "command": named["command"], "message": message, **known, **asked_as}


def _parsed(connection: Connection, command: Command, data: Any, named: Mapping[str, Any]) -> Shape | None:
    """The frame in its shape; None when it was refused."""
    thread_id = data.get("thread_id") if isinstance(data, dict) else None
    place = {"thread_id": thread_id if isinstance(thread_id, str) else None, **named}
    try:
        if not isinstance(data, dict):
            raise refusal("invalid_message", "data: must be an object")
        missing = [name for name in command.needs if data.get(name) is None]
        if missing:
            raise refusal("invalid_message", f"{missing[0]}: Field required")
        return parse(command.shape, data)
    except SwitchboardError as error:
        connection.fault(refusal("invalid_manifest") if command.shape is Manifest else error, **place)
        return None


async def _hand_over(connection: Connection, command: Command, asked: Shape, named: Mapping[str, Any]) -> None:
    job = _done(connection, command, asked, named)
    if command.at_once or (isinstance(asked, Stop) and asked.execution_id is not None):
        connection.work(job)
    else:
        await connection.in_order(job)


async def _done(connection: Connection, command: Command, asked: Shape, named: Mapping[str, Any]) -> None:
    """Does it; the one place where what goes wrong becomes an error frame."""
    place = {"thread_id": getattr(asked, "thread_id", None), **named}
    place["request_id"] = place.get("request_id") or new_request_id()
    try:
        await command.do(connection, asked)
    except SwitchboardError as error:
        connection.refuse(error, **place)
    except DatabaseError as error:
        logger.warning("a frame of type %s waits for the database: %s", command.shape.__name__, error)
        connection.refuse(SwitchboardError("store_unavailable", retry_after_s=1), **place)
    except Exception:
        logger.exception("a frame of type %s failed", command.shape.__name__)
        connection.refuse(SwitchboardError("internal_error"), **place)


# Frames that need little


async def _ping(connection: Connection, asked: Ping) -> None:
    connection.send({"type": "pong", "ts": now(), "client_ts": asked.ts})


async def _pong(connection: Connection, asked: Ping) -> None:
    """Nothing is demanded of a client's pong, and nothing made of it (WS-42)."""


async def _manifest(connection: Connection, asked: Manifest) -> None:
    tools = clienttools.declared(asked)
    agent = await messages.agent_of(connection)
    if agent is not None:
        clienttools.check(tools, agent)
    connection.manifest = tools
    if tools:
        await clientcalls.enter(connection.id)


async def _auth(connection: Connection, asked: Auth) -> None:
    if await connection.renew(asked.token):
        connection.send({"type": "session", "event": "auth", "expires_at": connection.principal.expires_at_s})


async def _set_mode(connection: Connection, asked: SetMode) -> None:
    """Done when it was acknowledged (WS-13)."""


async def _chat(connection: Connection, message: ChatMessage) -> None:
    if message.workflow_id is None:
        await messages.chat(connection, message)
        return
    from chat.protocols.websocket import jobs  # and a template language: for who runs one

    await jobs.said(connection, message)


async def _run_job(connection: Connection, asked: RunJob) -> None:
    from chat.protocols.websocket import jobs

    await jobs.run_job(connection, asked)


async def _get_status(connection: Connection, asked: GetStatus) -> None:
    principal = connection.principal
    principal.check_scope("read")
    job_id = uuid_for(asked.job_id, "session_not_found") if asked.job_id is not None else None
    connection.send({"type": "status", "jobs": await run(_jobs, principal.user_id, principal.key, job_id)})


def _jobs(user_id: int | None, principal: str, job_id: UUID | None) -> list[dict[str, Any]]:
    """The caller's unfinished turns, or the one that is asked for."""
    rows = Execution.objects.filter(owner_id=user_id) if user_id is not None else Execution.objects.filter(principal=principal)
    rows = rows.filter(id=job_id) if job_id is not None else rows.filter(status__in=OPEN)
    return [
        {
            "job_id": str(row.id),
            "workflow_id": workflow_name(row) or None,
            "thread_id": (row.session.name or str(row.session_id)) if row.session else None,
            "status": row.status,
            "last_seq": row.last_seq,
        }
        for row in rows.select_related("session").order_by("-created_at")[:100]
    ]


_CHAT = Command(shape=ChatMessage, do=_chat)
_RESUME = Command(shape=Resume, do=attaching.resume)
_APPROVAL = Command(shape=ApprovalResponse, do=approving.decide)
_STOP = Command(shape=Stop, do=stopping.stop)
_CONTROL: Mapping[str, Command] = {
    "stop": _STOP,
    "ping": Command(shape=Ping, do=_ping, at_once=True),
    "client_tools_manifest": Command(shape=Manifest, do=_manifest),
    "tool_result": Command(shape=ToolResult, do=clienttools.answered, at_once=True),
    "approval_response": _APPROVAL,
    "tool_approval_response": _APPROVAL,
}
FRAMES: Mapping[str, Command] = {
    **_CONTROL,
    "message": _CHAT,
    "chat_message": _CHAT,
    "pong": Command(shape=Ping, do=_pong, at_once=True),
    "resume": _RESUME,
    "resume_chat": _RESUME,
    "attach": Command(shape=Attach, do=attaching.attach),
    "detach": Command(shape=Detach, do=attaching.detach),
    "auth": Command(shape=Auth, do=_auth),
}
ENVELOPES: Mapping[str, Command] = {
    **_CONTROL,
    "chat_message": Command(shape=ChatMessage, do=_chat, needs=("thread_id",)),
    "run_job": Command(shape=RunJob, do=_run_job, needs=("workflow_id",)),
    "cancel_job": Command(shape=Stop, do=stopping.stop, needs=("job_id",)),
    "reconnect_job": Command(shape=Resume, do=attaching.resume, needs=("job_id",)),
    "resume_chat": Command(shape=Resume, do=attaching.resume, needs=("thread_id",)),
    "get_status": Command(shape=GetStatus, do=_get_status),
    "set_mode": Command(shape=SetMode, do=_set_mode, at_once=True, said="Mode set"),
}
UNSUPPORTED = frozenset(("stream_input", "end_input_stream", "pause_job", "resume_job", "clear_models", "get_workers"))
"""Commands of newer NodeTool servers that we know and do not have."""
