"""The rows of runs that wait for a worker, or are held by one: stored, taken, put back. Synchronous.

Whoever counts or claims runs of an agent holds the agent's row: so a limit holds, and two workers never get one run (AG-31).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, F, Min, Q, QuerySet

from agents.errors import CODES
from agents.ids import uuid7
from agents.models import Agent, ApiKey
from chat import process, records, sql
from chat.branches import WAITING_POSITION
from chat.errors import TurnError
from chat.eventlog import ATTEMPT_NUMBERS
from chat.models import ChatSession, Execution, Message
from chat.records import LEASE, vacuum_checkpoints
from chat.requests import SessionRef, TaskRequest, text_of
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


# Taking


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A worker looks for a run of this agent, which may run `limit` at a time."""

    agent_id: UUID
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A run that this process holds now, as far as it takes to start it. `question`: its user message. `key_hash`: of its caller's key.

    `counter`: the catalog as it is. `more`: another may start.
    """

    row: Execution
    key_hash: str
    session: ChatSession | None
    question: UUID | None
    counter: int
    more: bool


def take(jobs: Sequence[Job]) -> None:
    """Holds the next run of each Look's agent: by priority, then arrival, within its capacity (AG-31). The result is Taken or None."""
    for job in sorted(jobs, key=lambda job: str(job.value.agent_id)):
        job.result = _take(job.value)


def _take(look: Look) -> Taken | None:
    lock(look.agent_id)
    agent_id = sql.adapted_ids([look.agent_id])
    free = look.limit - len(sql.select(Execution, ("id",), _HELD, agent_id))
    found = sql.select(Execution, _COLUMNS, _NEXT, [*agent_id, sql.adapted_time(datetime.now(UTC))]) if free > 0 else []
    if not found:
        return None
    row = Execution(**dict(zip(_COLUMNS, found[0], strict=True)))
    lease = [(process.NAME, datetime.now(UTC) + LEASE, row.id)]
    sql.update(Execution, ("process", "lease_until"), "id = %s", ("process", "lease_until", "id"), lease)
    return Taken(
        row=row,
        key_hash=_key_hash(row),
        session=ChatSession.objects.filter(id=row.session_id).first() if row.session_id else None,
        question=_question_of(row),
        counter=records.catalog_counter(),
        more=free > 1 and len(found) > 1,
    )


_HELD = "agent_id = %s AND work IS NOT NULL AND lease_until IS NOT NULL"
"""The runs of an agent that a process has taken up: they count against its capacity."""
_NEXT = (
    "agent_id = %s AND status = 'queued' AND work IS NOT NULL AND lease_until IS NULL AND (not_before IS NULL OR not_before <= %s) "
    "AND NOT EXISTS (SELECT 1 FROM chat_execution other WHERE other.session_id = chat_execution.session_id "
    "AND other.work IS NOT NULL AND other.lease_until IS NOT NULL) ORDER BY priority DESC, created_at, id LIMIT 2"
)
"""What may start now, in its order, and one more. Runs of one conversation start one by one: they would only wait for each other."""
_COLUMNS = (
    "id", "agent_id", "agent_name", "session_id", "owner_id", "principal", "api_key_id", "trigger", "wire", "message", "work", "labels",
    "request_id", "attempt_number", "last_seq", "unreported", "queued_at", "created_at",
)  # fmt: skip


def _key_hash(row: Execution) -> str:
    found = sql.select(ApiKey, ("hash",), "id = %s", sql.adapted_ids([row.api_key_id])) if row.api_key_id else []
    return str(found[0][0]) if found else ""


def _question_of(row: Execution) -> UUID | None:
    asked = Message.objects.filter(execution_id=row.id, role="user") if row.session_id else Message.objects.none()
    return asked.values_list("id", flat=True).first()


def position(row: Execution) -> int:
    """The place of a waiting run in its agent's queue; 1 is next."""
    sooner = Q(priority__gt=row.priority) | Q(priority=row.priority, created_at__lt=row.created_at)
    return 1 + (waiting(row.agent_id).filter(sooner).count() if row.agent_id else 0)


def startable(limits: Mapping[UUID, int]) -> list[UUID]:
    """Agents with runs that may start now: those with the fewest running first, then the longest waiting.

    `limits`: how many an agent may run at a time; one that is not in it any more has its runs ended, one by one.
    """
    ripe = Q(not_before__isnull=True) | Q(not_before__lte=datetime.now(UTC))
    rows = Execution.objects.filter(ripe, status="queued", work__isnull=False, lease_until__isnull=True, agent_id__isnull=False)
    since = dict(rows.values_list("agent_id").annotate(Min("created_at")))
    busy = dict.fromkeys(since, 0) | busy_counts()
    free = [agent_id for agent_id in since if busy[agent_id] < limits.get(agent_id, 1)]
    return sorted(free, key=lambda agent_id: (busy[agent_id], since[agent_id]))


def busy_counts() -> dict[UUID, int]:
    """How many runs of each agent are taken up."""
    rows = Execution.objects.filter(work__isnull=False, lease_until__isnull=False, agent_id__isnull=False)
    return dict(rows.values_list("agent_id").annotate(Count("id")))


# Putting back

Back = Literal["waits", "spent", "not ours"]
"""What became of a run that was put back: it waits again; it has had its last attempt; or another attempt, or an end, came first."""


@transaction.atomic
def put_back(execution_id: UUID, attempt: int, last_seq: int, seen: datetime | None = None) -> Back:
    """The run waits again, for its next attempt if it had begun (AG-32). `seen`: only if its lease is still the one that lapsed then."""
    row = Execution.objects.select_for_update().filter(id=execution_id, status__in=("queued", "running"), attempt_number=attempt).first()
    if row is None or (seen is not None and row.lease_until != seen):
        return "not ours"
    if row.status == "running":
        if attempt >= row.max_attempts:
            return "spent"
        row.status, row.started_at, row.attempt_number = "queued", None, attempt + 1
        row.last_seq = max(last_seq, row.last_seq) + ATTEMPT_NUMBERS
        _take_back_messages(row)
        vacuum_checkpoints([execution_id])
    row.process, row.lease_until = "", None
    row.save(update_fields=["status", "started_at", "attempt_number", "last_seq", "process", "lease_until"])
    return "waits"


def _take_back_messages(row: Execution) -> None:
    """The question waits for its place again; what was said before a pause goes, as all that the attempt said."""
    said = Message.objects.filter(execution_id=row.id)
    said.filter(role="user").update(position=WAITING_POSITION)
    gone, _ = said.filter(role="assistant").delete()
    if gone and row.session_id:
        less = {"version": F("version") + 1, "message_count": F("message_count") - gone - 1}
        ChatSession.objects.filter(id=row.session_id).update(**less)


def postpone(execution_id: UUID, until: datetime, *, others: bool) -> None:
    """A run that may not begin yet waits; with `others` those of the same caller with the same agent too: one rate binds them."""
    row = Execution.objects.get(id=execution_id)
    rows = Execution.objects.filter(id=execution_id, status="queued", process=process.NAME)
    rows.update(process="", lease_until=None, not_before=until)
    if others and row.agent_id is not None:
        later = waiting(row.agent_id).filter(principal=row.principal)
        later.filter(Q(not_before__isnull=True) | Q(not_before__lt=until)).update(not_before=until)
