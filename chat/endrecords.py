"""The rows of a turn that ends: its run, its messages, what its conversation counts (R0.7). Runs with the store's other writes."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chat import branches, sql
from chat.events import PendingApproval
from chat.jobs import Job
from chat.models import Approval, ChatSession, ClientCall, Execution, Message
from chat.records import BEGUN, MESSAGE
from chat.toolrows import keep_calls
from chat.written import Finish

OPEN = "status NOT IN ('success', 'failed', 'cancelled', 'skipped')"
"""Said so that PostgreSQL looks rows up by their ids: an index of open runs looks smaller to it, but is full of those that just ended."""
ENDED = (
    *BEGUN, "response", "finish_reason", "error_code", "error", "error_detail", "steps", "usage", "input_tokens", "output_tokens",
    "cost_usd", "context_tokens", "completed_at", "duration_ms", "queue_ms", "first_token_ms", "model_ms", "last_seq", "paused_state",
)  # fmt: skip


class MixedError(Exception):
    """A member of the group had ended before; each is to be tried alone, which tells what to write of it."""


def finish(jobs: Sequence[Job]) -> None:
    """Writes the ends. result True; False when the execution was terminal already, and then nothing of the member is written.

    A stateless run may have been stored meanwhile (begin_late), so its row is inserted first where it is missing.
    """
    for job in jobs:
        job.result = True
    values: list[Finish] = [job.value for job in jobs]
    fresh = [whole_row(value) for value in values if not value.stored]
    stored = values
    if sql.insert(Execution, ENDED, fresh, "ON CONFLICT DO NOTHING").count == len(fresh):
        stored = [value for value in values if value.stored]
    ended = sql.update(
        Execution, END, f"id = %s AND attempt_number = %s AND {OPEN}", END_COLUMNS, [end_row(value) for value in stored]
    ).count
    if ended != len(stored):
        if len(jobs) > 1:
            raise MixedError
        jobs[0].result = _is_ours(values[0])
        return  # written whole by an attempt whose answer was lost, or nothing of it
    _finish_conversations([value for value in values if value.begin.request.session])
    calls = [_client_call_row(value, call_id, messages) for value in values for call_id, messages in value.client_calls]
    sql.insert(Approval, _APPROVAL, [_approval_row(value, approval) for value in values for approval in value.approvals])
    sql.insert(ClientCall, ("principal", "agent_name", "call_id", "messages", "created_at"), calls)
    keep_calls(values)


END = [
    "status", "response", "finish_reason", "error_code", "error", "error_detail", "steps", "usage", "input_tokens", "output_tokens",
    "cost_usd", "context_tokens", "model_used", "completed_at", "duration_ms", "queue_ms", "first_token_ms", "model_ms", "last_seq",
    "paused_state", "lease_until = NULL",
]  # fmt: skip
END_COLUMNS = (*END[:-1], "id", "attempt_number")


def end_row(value: Finish) -> tuple[Any, ...]:
    return (
        value.status, value.text, value.finish_reason, value.error_code, value.error, value.error_detail, value.steps, value.usage,
        value.usage.input_tokens, value.usage.output_tokens, value.cost_usd, value.context_tokens, value.model_used,
        value.completed_at, value.duration_ms, value.queue_ms, value.first_token_ms, value.model_ms, value.last_seq,
        value.paused_state, value.begin.execution_id, value.begin.attempt,
    )  # fmt: skip


def _is_ours(value: Finish) -> bool:
    """Whether the row carries this very end; not when somebody else had ended the run, or taken it up anew (AG-32)."""
    columns = ("status", "last_seq", "error_code", "attempt_number")
    rows = sql.select(Execution, columns, "id = %s", sql.adapted_ids([value.begin.execution_id]))
    return rows == [(value.status, value.last_seq, value.error_code, value.begin.attempt)]


def _finish_conversations(values: Sequence[Finish]) -> None:
    user = [(value.message_status, value.in_history, value.begin.message_id) for value in values]
    sql.update(Message, ("status", "in_history"), "id = %s", ("status", "in_history", "id"), user)
    for value in values:
        if value.waited:
            _give_place(value)
        if not value.in_history:
            branches.rejoin(value.begin.execution_id)
    said = [value for value in values if value.parts and not (value.reopens and _reopened(value))]
    sql.insert(Message, MESSAGE, [answer_row(value) for value in said])
    for some in _each_session_once(values):
        sql.update(ChatSession, COUNTS, "id = %s", COUNT_COLUMNS, [count_row(value) for value in some])
    paused = [(value.begin.execution_id, _session_id(value)) for value in values if value.status == "paused"]
    sql.update(ChatSession, ("paused_execution_id",), "id = %s", ("paused_execution_id", "id"), paused)


def _each_session_once(values: Sequence[Finish]) -> Iterator[Sequence[Finish]]:
    """Turns that waited may end together with the one they waited for; a statement counts a conversation once."""
    left = list(values)
    while left:
        some = list({_session_id(value): value for value in reversed(left)}.values())
        yield some
        left = [value for value in left if value not in some] if len(some) < len(left) else []


def _session_id(value: Finish) -> UUID | None:
    return value.begin.request.session.id if value.begin.request.session else None


def _reopened(value: Finish) -> bool:
    """The message of a turn that went on after a pause takes what came since; False when it had said nothing before."""
    columns = ("parts", "text", "status", "incomplete")
    row = (value.parts, value.text, _assistant_status(value), value.incomplete, value.assistant_id)
    return sql.update(Message, columns, "id = %s", (*columns, "id"), [row]).count == 1


def _give_place(value: Finish) -> None:
    """A turn that ended while it waited gets the place after the running one's, so that its question does not stay last for ever."""
    session = value.begin.request.session
    rows = sql.select(ChatSession, ("next_position",), "id = %s", sql.adapted_ids([session.id])) if session else []
    value.position = rows[0][0] + 2 if rows else 0
    sql.update(Message, ["position"], "id = %s", ("position", "id"), [(value.position, value.begin.message_id)])


def _assistant_status(value: Finish) -> str:
    return "done" if value.status in ("success", "paused") else value.message_status


def answer_row(value: Finish) -> tuple[Any, ...]:
    session = value.begin.request.session
    return (
        value.assistant_id, session.id if session else None, value.begin.execution_id, value.position + 1, "assistant", value.parts,
        value.text, _assistant_status(value), value.incomplete, value.in_history, value.begin.request.source, value.completed_at,
    )  # fmt: skip


COUNTS = [
    "version = version + 1", "next_position = CASE WHEN next_position > %s THEN next_position ELSE %s END",
    "message_count = message_count + %s", "input_tokens = input_tokens + %s",
    "output_tokens = output_tokens + %s", "cost_usd = COALESCE(COALESCE(cost_usd, 0) + %s, cost_usd)", "context_tokens", "last_message_at",
]  # fmt: skip
COUNT_COLUMNS = (
    "next_position", "next_position", "message_count", "input_tokens", "output_tokens", "cost_usd", "context_tokens", "last_message_at",
    "id",
)  # fmt: skip


def count_row(value: Finish) -> tuple[Any, ...]:
    messages = 0 if value.reopens else 1 + bool(value.parts)
    session = value.begin.request.session
    cost = None if value.cost_usd is None else value.cost_usd - value.counted.cost_usd
    return (
        value.position + 2, value.position + 2, messages, value.usage.input_tokens - value.counted.input_tokens,
        value.usage.output_tokens - value.counted.output_tokens, cost,
        value.context_tokens, value.completed_at, session.id if session else None,
    )  # fmt: skip


_APPROVAL = (
    "id", "execution", "tool_call_id", "name", "arguments", "approver", "decision", "reason", "announced", "expires_at", "created_at",
)  # fmt: skip


def _approval_row(value: Finish, approval: PendingApproval) -> tuple[Any, ...]:
    return (
        UUID(approval.approval_id), value.begin.execution_id, approval.tool_call_id, approval.name, approval.arguments,
        approval.approver, "", "", False, datetime.fromisoformat(approval.expires_at), value.completed_at,
    )  # fmt: skip


def _client_call_row(value: Finish, call_id: str, messages: Any) -> tuple[Any, ...]:
    return (value.begin.request.principal.key, value.begin.request.agent.name, call_id, messages, value.completed_at)


def whole_row(value: Finish) -> tuple[Any, ...]:
    """A run that is stored at its end for the first time."""
    begin, request, agent = value.begin, value.begin.request, value.begin.request.agent
    return (
        begin.execution_id, agent.id, agent.name, agent.version, request.session.id if request.session else None,
        request.principal.user_id, request.principal.key, request.principal.api_key_id, request.trigger, request.wire,
        value.status, request.text, agent.model.context_window, value.model_used, begin.created_at if begin.queued else None,
        value.started_at, begin.process, None, request.request_id, request.labels, begin.unreported,
        begin.created_at,
        value.text, value.finish_reason, value.error_code, value.error, value.error_detail, value.steps, value.usage,
        value.usage.input_tokens, value.usage.output_tokens, value.cost_usd, value.context_tokens, value.completed_at,
        value.duration_ms, value.queue_ms, value.first_token_ms, value.model_ms, value.last_seq, value.paused_state,
    )  # fmt: skip
