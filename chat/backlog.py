"""The rows of runs that wait for a worker, or are held by one: stored, claimed, given back. On the store's thread, synchronous.

Whoever counts or claims runs of an agent holds the agent's row: so a limit holds, and two workers never get one run (AG-31).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from agents.errors import CODES
from agents.ids import uuid7
from agents.models import Agent
from chat.errors import TurnError
from chat.models import Execution, Message
from chat.records import WAITING_POSITION
from chat.requests import TaskRequest, text_of
from chat.store import Job


def add(jobs: Sequence[Job]) -> None:
    """Stores runs: values are (TaskRequest, execution id). The result is what refused one, or None."""
    for job in jobs:
        try:
            stored(*job.value)
        except TurnError as error:
            job.result = error


def stored(task: TaskRequest, execution_id: UUID) -> Execution:
    """The run as a queued row; with a conversation its question too, which gets its place when it starts. Raises queue_full."""
    agent_id = agent_id_of(task)
    lock(agent_id)
    waits = waiting(agent_id).count()
    if waits >= task.agent.max_queued_tasks:
        raise TurnError("queue_full", retry_after_s=30, extra={"queue_length": waits})
    row = _row(task, execution_id)
    row.save(force_insert=True)
    if task.session is not None:
        _question(task, row).save(force_insert=True)
    return row


def agent_id_of(task: TaskRequest) -> UUID:
    assert task.agent.id is not None, "agents of a configuration file have no queue"
    return task.agent.id


def lock(agent_id: UUID) -> None:
    """Holds the agent's row until the transaction ends (SQLite has one writer anyway). Turns that begin are not kept waiting."""
    Agent.objects.select_for_update(no_key=True).filter(id=agent_id).values_list("id").first()


def waiting(agent_id: UUID) -> QuerySet[Execution]:
    """The runs of this agent that nobody has taken up yet."""
    return Execution.objects.filter(agent_id=agent_id, status="queued", work__isnull=False, lease_until__isnull=True)


def _row(task: TaskRequest, execution_id: UUID) -> Execution:
    now, principal = datetime.now(UTC), task.principal
    return Execution(
        id=execution_id,
        agent_id=task.agent.id,
        agent_name=task.agent.name,
        agent_version=task.agent.version,
        session_id=task.session.id if task.session else None,
        owner_id=principal.user_id,
        principal=principal.key,
        api_key_id=principal.api_key_id,
        trigger=task.trigger,
        wire=task.wire,
        status=Execution.Status.QUEUED,
        message=task.text,
        context_window=task.agent.model.context_window,
        model_used=task.model or task.agent.model.name,
        queued_at=now,
        created_at=now,
        not_before=task.not_before,
        priority=task.priority,
        max_attempts=task.max_attempts,
        schedule_id=task.schedule_id,
        retry_of_id=task.retry_of,
        callback_url=task.callback_url,
        request_id=task.request_id,
        labels=dict(task.labels),
        unreported=True,
        work=_work(task),
    )


def _work(task: TaskRequest) -> dict[str, Any]:
    """What the row's other columns do not say."""
    return {
        "parts": list(task.parts),
        "stored_parts": None if task.stored_parts is None else list(task.stored_parts),
        "save": task.save,
        "instructions": list(task.instructions),
        "allowed_tools": None if task.allowed_tools is None else list(task.allowed_tools),
        "model": task.model,
        "max_steps": task.max_steps,
        "timeout_s": task.timeout_s,
    }


def _question(task: TaskRequest, row: Execution) -> Message:
    parts = task.parts if task.stored_parts is None else task.stored_parts
    return Message(
        id=uuid7(), session_id=row.session_id, execution_id=row.id, position=WAITING_POSITION, role="user", parts=list(parts),
        text=text_of(parts), status=Message.Status.PENDING, source="task", created_at=row.created_at,
    )  # fmt: skip


def withdraw(execution_id: UUID, code: str) -> bool:
    """Fails a run that could not be announced (AG-30); False when a worker has found it all the same."""
    rows = Execution.objects.filter(id=execution_id, status="queued", lease_until__isnull=True)
    failed = rows.update(status="failed", error_code=code, error=CODES[code][1], completed_at=datetime.now(UTC), unreported=None)
    if failed:
        Message.objects.filter(execution_id=execution_id).delete()
    return bool(failed)
