"""The rows of runs that wait for a worker (chat.taking takes them): stored, counted, withdrawn. Synchronous.

Whoever adds to an agent's queue holds the agent's row meanwhile, so that its limit holds.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from agents.errors import CODES
from agents.ids import uuid7
from agents.models import Agent
from chat import sql
from chat.branches import WAITING_POSITION
from chat.errors import TurnError
from chat.jobs import Job
from chat.models import ChatSession, Execution, Message
from chat.requests import SessionRef, TaskRequest, text_of


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
    if task.session is not None and task.session.is_new:
        _new_session(task, task.session)
    row = _row(task, execution_id)
    row.save(force_insert=True)
    if task.session is not None:
        _question(task, task.session, row).save(force_insert=True)
    return row


def agent_id_of(task: TaskRequest) -> UUID:
    assert task.agent.id is not None, "agents of a configuration file have no queue"
    return task.agent.id


def lock(agent_id: UUID) -> None:
    """Holds the agent's row until the transaction ends (SQLite has one writer anyway). Turns that begin are not kept waiting."""
    hold = " FOR NO KEY UPDATE" if connection.features.has_select_for_no_key_update else ""
    sql.select(Agent, ("id",), f"id = %s{hold}", sql.adapted_ids([agent_id]))


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
        workflow_id=UUID(task.workflow.id) if task.workflow else None,
        workflow_version=task.workflow.version if task.workflow else None,
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
        "in_session": task.session is not None,
        "save": task.save,
        "instructions": list(task.instructions),
        "allowed_tools": None if task.allowed_tools is None else list(task.allowed_tools),
        "model": task.model,
        "max_steps": task.max_steps,
        "timeout_s": task.timeout_s,
        **({"workflow": asdict(task.workflow)} if task.workflow else {}),
        **({"client_tools": [asdict(tool) for tool in task.client_tools], "answerer": task.answerer} if task.client_tools else {}),
    }


def _new_session(task: TaskRequest, session: SessionRef) -> None:
    """A conversation that begins with this run. Raises session_busy when one of its name was made just now: to be asked again (R8.4)."""
    values = {
        "namespace": session.namespace, "agent_id": session.agent_id, "agent_name": session.agent_name, "owner_id": session.owner_id,
        "wire": session.wire, "title": " ".join(task.text.split())[:80],
    }  # fmt: skip
    rows = [ChatSession(id=session.id, name=session.name, **values)]
    ChatSession.objects.bulk_create(rows, ignore_conflicts=True)
    if not ChatSession.objects.filter(id=session.id).exists():
        raise TurnError("session_busy", retry_after_s=1)


def _question(task: TaskRequest, session: SessionRef, row: Execution) -> Message:
    parts = task.parts if task.stored_parts is None else task.stored_parts
    return Message(
        id=uuid7(), session_id=session.id, execution_id=row.id, position=WAITING_POSITION, role="user", parts=list(parts),
        text=text_of(parts), status=Message.Status.PENDING, source=task.source, client_id=task.client_message_id, created_at=row.created_at,
    )  # fmt: skip


def withdraw(execution_id: UUID, code: str) -> bool:
    """Fails a run that could not be announced (AG-30); False when a worker has found it all the same."""
    rows = Execution.objects.filter(id=execution_id, status="queued", lease_until__isnull=True)
    failed = rows.update(status="failed", error_code=code, error=CODES[code][1], completed_at=datetime.now(UTC), unreported=None)
    if failed:
        Message.objects.filter(execution_id=execution_id).delete()
    return bool(failed)


def position(row: Execution) -> int:
    """The place of a waiting run in its agent's queue; 1 is next."""
    sooner = Q(priority__gt=row.priority) | Q(priority=row.priority, created_at__lt=row.created_at)
    return 1 + (waiting(row.agent_id).filter(sooner).count() if row.agent_id else 0)


def place_of(execution_id: UUID) -> int:
    """The same by the run's id; 0 when it does not wait any more."""
    row = Execution.objects.filter(id=execution_id, status="queued", lease_until__isnull=True).first()
    return position(row) if row else 0
