"""The whole answer of a turn (AG-12), made from what is stored of it: so a repeated request is given the same body (R4.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, Sum
from django.utils import timezone

from agents.specs import AgentSpec
from chat.events import Numbered, TurnEvent, TurnStarted, Usage
from chat.models import ChatSession, Execution, Message
from chat.replay import events_of
from chat.sessionviews import cost_of, tool_calls
from chat.streamjson import lines
from chat.times import iso

MAX_LOG_LINES = 2000


def answer(execution_id: UUID, agent: AgentSpec, *, again: bool) -> dict[str, Any]:
    """The body for a run that succeeded or paused. `again`: the conversation may have moved on since; it is shown as it was then."""
    row = Execution.objects.select_related("session").get(id=execution_id)
    message = Message.objects.filter(execution_id=row.id, role=Message.Role.ASSISTANT).first()
    told = lines(_numbered(row, agent), execution_id=str(row.id), session_id=str(row.session_id or ""))
    paused = {"approvals": told[-1]["approvals"]} if row.status == Execution.Status.PAUSED else {}
    return {
        "response": told[-1]["result"],
        "session_id": str(row.session_id) if row.session_id else None,
        "execution": _execution(row),
        "metadata": _metadata(row),
        "session": _session(row, again),
        "execution_log": told[-MAX_LOG_LINES:],
        "execution_log_simplified": simplified(message.parts if message else (), row.started_at or row.created_at),
        "timestamp": iso(row.completed_at or timezone.now()),
        **paused,
    }


def _numbered(row: Execution, agent: AgentSpec) -> list[Numbered]:
    """The run's stored events, numbered up to its last; the names of its tools come from the agent, if that is the same version."""
    events: list[TurnEvent] = events_of(row)
    if isinstance(events[0], TurnStarted) and agent.version == row.agent_version:
        events[0] = replace(events[0], tools=tuple(tool.name for tool in agent.tools))
    return [Numbered(seq, event) for seq, event in enumerate(events, max(1, row.last_seq - len(events) + 1))]


def _execution(row: Execution) -> dict[str, Any]:
    waited = row.queued_at is not None
    return {
        "id": str(row.id),
        "task_execution_id": str(row.id),
        "queue_status": "queued" if waited else "running",
        "was_queued": waited,
        "status": row.status,
    }


def _metadata(row: Execution) -> dict[str, Any]:
    usage = Usage(**row.usage)
    return {
        "cost_usd": None if row.cost_usd is None else float(row.cost_usd),
        "duration_ms": row.duration_ms,
        "num_turns": usage.model_calls,
        "tool_count": usage.tool_calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_creation_tokens": usage.cache_write_tokens,
        "context_window": row.context_window,
        "model_name": row.model_used,
        "session_id": str(row.session_id) if row.session_id else None,
        "execution_id": str(row.id),
        "status": row.status,
        "error_code": None,
        "error_type": None,
        "error_message": None,
    }


def _session(row: Execution, again: bool) -> dict[str, Any]:
    cost, count = _sums_then(row) if again and row.session_id else _sums(row.session)
    return {
        "total_cost_usd": cost,
        "context_tokens": row.context_tokens,
        "context_window": row.context_window,
        "message_count": count,
        "model": row.model_used,
    }


def _sums(session: ChatSession | None) -> tuple[float | None, int]:
    return (cost_of(session), session.message_count) if session else (0.0, 0)


def _sums_then(row: Execution) -> tuple[float | None, int]:
    """Cost and messages of the conversation when this run ended."""
    ended = Execution.objects.filter(session_id=row.session_id, completed_at__lte=row.completed_at)
    cost = ended.aggregate(total=Sum("cost_usd"))["total"]
    brought = Q(execution_id__isnull=True) | Q(execution_id__in=ended.values("id"))
    return None if cost is None else round(float(cost), 6), Message.objects.filter(brought, session_id=row.session_id).count()


def simplified(parts: Sequence[Any], started_at: datetime) -> list[dict[str, Any]]:
    """Calls and results of tools as two entries each, in the order of their times."""
    calls = [part for part in parts if part["type"] == "tool"]
    entries = [entry for part in calls for entry in _entries(part, started_at)]
    return [{**entry, "timestamp": iso(moment)} for moment, entry in sorted(entries, key=lambda pair: pair[0])]


def _entries(part: Any, started_at: datetime) -> Iterable[tuple[datetime, dict[str, Any]]]:
    (call,) = tool_calls([part])
    began = datetime.fromtimestamp(part["called_s"], UTC) if part.get("called_s") else started_at
    yield began, {"id": call["id"], "type": "tool_use", "tool": call["tool"], "input": call["input"]}
    if call["success"] is not None:
        ended = began + timedelta(milliseconds=call["duration_ms"] or 0)
        result = {"output": call["output"], "success": call["success"], "duration_ms": call["duration_ms"]}
        yield ended, {"id": call["id"], "type": "tool_result", "tool": call["tool"], **result}
