"""Taking runs out of the queue (chat.backlog), and putting them back. Synchronous; take() runs on the store's thread.

Whoever takes a run holds the agent's row meanwhile: so its capacity holds, and two workers never get one run (AG-31).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Min, Q

from agents.models import ApiKey
from chat import process, records, sql
from chat.backlog import lock, waiting
from chat.branches import WAITING_POSITION
from chat.eventlog import ATTEMPT_NUMBERS
from chat.jobs import Job
from chat.models import ChatSession, Execution, Message
from chat.records import LEASE, vacuum_checkpoints


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
