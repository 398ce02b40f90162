"""Who may see a run, and how it is shown (AG-35, AG-36): the owner, managers of its agent, administrators; nobody else (AG-4)."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from agents import directory
from agents.access import Principal, may_manage
from agents.errors import SwitchboardError
from agents.models import Agent
from chat import eventship, turns
from chat.eventlog import registry
from chat.events import Numbered, ToolCalled, ToolReturned, Usage
from chat.fold import fold
from chat.models import ChatSession, Execution
from chat.pausing import stored_approvals
from chat.progress import as_dict
from chat.replay import events_of
from chat.store import run
from chat.streamjson import lines, tool_text
from chat.times import iso_or_none
from chat.views import Call, uuid_for

MAX_LOG_LINES = 2000
MAX_SHOWN_MESSAGE_CHARS = 500
_OPEN = (Execution.Status.QUEUED, Execution.Status.RUNNING)
_NUMBER = re.compile(r"[0-9]+\Z")
_BEYOND_ALL = 2**53 - 1
"""No event has such a number; a larger one says the same, and JSON clients could not read it back."""


async def execution_for(principal: Principal, text: str, agent_id: UUID | None = None) -> Execution:
    """The run of that id, stored or just begun. Raises execution_not_found for unknown, foreign and impossible ids alike,

    and for a run of another agent than `agent_id`, where the path named one.
    """
    execution_id = uuid_for(text, "execution_not_found")
    running = turns.find(execution_id)  # before the row: a run that ends meanwhile is one or the other
    row = await run(_stored, execution_id) or begun(running)
    if row is None or agent_id not in (None, row.agent_id) or not (is_own(principal, row) or await manages(principal, row)):
        raise SwitchboardError("execution_not_found")
    return row


def check_read(principal: Principal, row: Execution) -> None:
    """The scope `read`, which a key needs not have for what it started itself (R1.4)."""
    if row.principal != principal.key:
        principal.check_scope("read")


def is_own(principal: Principal, row: Execution) -> bool:
    return row.principal == principal.key if principal.user_id is None else row.owner_id == principal.user_id


async def manages(principal: Principal, row: Execution | ChatSession) -> bool:
    """A manager of the agent of this run or conversation, by a credential that may manage (AG-3); also when it is unpublished."""
    if "manage" not in principal.scopes or principal.user_id is None or not _reaches(principal, row):
        return False
    if principal.is_admin:
        return True
    spec = (await directory.catalog()).by_id.get(row.agent_id) if row.agent_id else None
    return may_manage(principal, spec) if spec else await run(_manages_stored, principal.user_id, row.agent_id)


def _reaches(principal: Principal, row: Execution | ChatSession) -> bool:
    return principal.agent_ids is None or row.agent_id in principal.agent_ids


def _manages_stored(user_id: int, agent_id: UUID | None) -> bool:
    return agent_id is not None and Agent.objects.filter(Q(owner=user_id) | Q(managers=user_id), id=agent_id).exists()


def _stored(execution_id: UUID) -> Execution | None:
    return Execution.objects.filter(id=execution_id).select_related("owner").first()


def begun(turn: "turns.Turn | None") -> Execution | None:
    """A run of this process that is not stored yet (R0.6), as the row it will be."""
    if turn is None:
        return None
    request, principal = turn.request, turn.request.principal
    status = Execution.Status.RUNNING if turn.entered else Execution.Status.QUEUED
    return Execution(
        id=turn.execution_id,
        agent_id=request.agent.id,
        agent_name=request.agent.name,
        agent_version=request.agent.version,
        owner_id=principal.user_id,
        principal=principal.key,
        trigger=request.trigger,
        wire=request.wire,
        status=status,
        message=request.text,
        model_used=request.agent.model.name,
        context_window=request.agent.model.context_window,
        queued_at=turn.begin.created_at if turn.begin.queued else None,
        started_at=turn.started_at if turn.entered else None,
        request_id=request.request_id,
    )


def number_after(call: Call) -> int:
    """Where to go on: `Last-Event-ID`, else `?after=`, else 0. The header wins: a browser that reconnects repeats the old URL (R7.3)."""
    text = call.headers.get("last-event-id", call.query.get("after", "0"))
    if not _NUMBER.match(text):
        raise SwitchboardError("invalid_request", "Last-Event-ID and after are whole numbers from 0.")
    return min(int(text.lstrip("0")[:18] or "0"), _BEYOND_ALL)


def summary(row: Execution) -> dict[str, Any]:
    """One run as lists show it (AG-35): the message cut, large fields left out."""
    return {
        "id": str(row.id),
        "agent_name": row.agent_name,
        "agent_version": row.agent_version,
        "status": row.status,
        "trigger": row.trigger,
        "triggered_by": row.trigger,
        "wire": row.wire,
        "schedule_id": _text(row.schedule_id),
        "session_id": _text(row.session_id),
        "message": row.message[:MAX_SHOWN_MESSAGE_CHARS],
        "started_at": iso_or_none(row.started_at),
        "completed_at": iso_or_none(row.completed_at),
        "queued_at": iso_or_none(row.queued_at),
        "duration_ms": row.duration_ms,
        "model_used": row.model_used or None,
        "cost": None if row.cost_usd is None else float(row.cost_usd),
        "context_used": row.context_tokens,
        "context_max": row.context_window,
        "source_user_id": row.owner_id,
        "source_user_email": row.owner.email if row.owner else None,
        "error_code": row.error_code or None,
        "skip_reason": row.skip_reason or None,
        "attempt_number": row.attempt_number,
        "retry_of_execution_id": _text(row.retry_of_id),
    }


async def detail(row: Execution, *, for_manager: bool) -> dict[str, Any]:
    """One run with everything (AG-36)."""
    return await run(_detail, row, await _events(row), for_manager)


async def log_lines(row: Execution) -> list[dict[str, Any]]:
    """The run as stream-json, all of it (AG-37)."""
    return await run(_told, row, await _events(row))


def _told(row: Execution, events: list[Numbered] | None) -> list[dict[str, Any]]:
    return lines(_stored_events(row) if events is None else events, execution_id=str(row.id), session_id=_text(row.session_id) or "")


def _detail(row: Execution, live: list[Numbered] | None, for_manager: bool) -> dict[str, Any]:
    events = _stored_events(row) if live is None else live
    told = _told(row, events)
    paused = row.status == Execution.Status.PAUSED
    shown = {
        **_with_answer(row, events),
        "execution_log": told[-MAX_LOG_LINES:] or None,
        "log_truncated": not told or len(told) > MAX_LOG_LINES,
        "approvals": [_approval(pending) for pending in stored_approvals(row)] if paused else [],
    }
    return {**shown, "error_detail": row.error_detail or None} if for_manager else shown


def report(row: Execution) -> dict[str, Any]:
    """An ended run as it is delivered (AG-52): everything but its log. Synchronous."""
    return _with_answer(row, _stored_events(row))


def _with_answer(row: Execution, events: list[Numbered]) -> dict[str, Any]:
    return {
        **summary(row),
        "message": row.message,
        "response": row.response if row.response or row.status == Execution.Status.SUCCESS else None,
        "error": row.error or None,
        "tool_calls": tool_calls(events),
        "usage": {**as_dict(Usage()), **row.usage},
    }


async def _events(row: Execution) -> list[Numbered] | None:
    """The run's events as they happened: held by this process, or told by the one that runs it; None: storage has them."""
    log = registry.get(row.id)
    if log is None and settings.REDIS_URL and row.status in _OPEN:
        log = await eventship.mirror.open(row.id)
    return log.after(0) if log is not None and log.base == 0 else None


def _stored_events(row: Execution) -> list[Numbered]:
    stored = events_of(row)
    return [Numbered(seq, event) for seq, event in enumerate(stored, max(1, row.last_seq - len(stored) + 1))]


def tool_calls(events: list[Numbered]) -> list[dict[str, Any]]:
    """The calls of a run with what came of them (AG-22)."""
    outcome = fold(events)
    client = [(called, None) for called in outcome.client_calls]
    return [_tool_call(called, returned) for called, returned in (*outcome.server_calls.values(), *client)]


def _tool_call(called: ToolCalled, returned: ToolReturned | None) -> dict[str, Any]:
    return {
        "id": called.call_id,
        "tool": called.name,
        "input": dict(called.arguments),
        "output": tool_text(returned) if returned else None,
        "success": returned.ok if returned else None,
        "duration_ms": returned.duration_ms if returned else None,
    }


def _approval(pending: Any) -> Mapping[str, Any]:
    return {
        "tool_call_id": pending.tool_call_id,
        "name": pending.name,
        "arguments": dict(pending.arguments),
        "approver": pending.approver,
        "expires_at": pending.expires_at,
    }


def _text(value: UUID | None) -> str | None:
    return str(value) if value else None
