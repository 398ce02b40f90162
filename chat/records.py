"""The rows of a turn that begins, waits or goes on (R0.6), and its history. Runs with the store's other writes, like chat.endrecords."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from agents.ids import uuid7
from agents.models import CatalogVersion
from chat import branches, current, process, sql
from chat.branches import WAITING_POSITION
from chat.history import StoredMessage
from chat.jobs import Job
from chat.models import Approval, ChatSession, Checkpoint, Execution, Message
from chat.requests import SessionRef, TurnRequest
from chat.transcripts import Transcript, build
from chat.written import Began, Begin

LEASE = timedelta(seconds=30)
MAX_STORED = 4000
"""Messages read back at most; a longer conversation is cut from its oldest end anyway (R9.2g)."""


def begin(jobs: Sequence[Job]) -> None:
    """Writes what is missing of session, user message and execution for every member whose catalog is current."""
    asked = _ask_counter()  # one round trip for both
    states = _sessions([job.value.request.session for job in jobs])
    counter = _counter(asked)
    writable: list[tuple[Begin, int]] = []
    for job in jobs:
        job.result = _admit(job.value, counter, states, enters=not job.value.queued)
        if job.result.admitted and job.value.store_execution:
            writable.append((job.value, job.result.position))
    _store_begun(writable)
    _mark_branches([(job.result, job.value) for job in jobs if job.result.parent])


def catalog_counter() -> int:
    """The catalog as it stands in the database (agents.directory)."""
    return _counter(_ask_counter())


def _ask_counter() -> sql.Answer:
    return sql.ask(CatalogVersion, ("counter",), "id = 1")


def _counter(answer: sql.Answer) -> int:
    return int(answer.rows[0][0]) if answer.rows else 0


def _sessions(refs: Sequence[SessionRef | None], *, begun: bool = False) -> dict[UUID, tuple[Any, ...]]:
    """The rows of conversations that are there; `begun`: those that were new when their turn began are, too."""
    ids = [ref.id for ref in refs if ref is not None and (begun or not ref.is_new)]
    if not ids:
        return {}
    columns = ("id", "version", NEXT_PLACE, "message_count", "paused_execution_id", "status", "name")
    return {row[0]: row for row in sql.select(ChatSession, columns, *sql.among("id", ids))}


NEXT_PLACE = f"""(COALESCE(
    (SELECT MAX(position) + 2 FROM chat_message WHERE session_id = chat_chatsession.id AND position >= next_position
        AND position < {WAITING_POSITION}),
    next_position))"""  # noqa: S608 - a number of ours
"""Of a turn whose process died only the question is there, at `next_position`: its answer is still to get the place after that."""


def next_place(session_id: UUID) -> int:
    """Where the next turn of a conversation is to stand."""
    return int(sql.select(ChatSession, (NEXT_PLACE,), "id = %s", sql.adapted_ids([session_id]))[0][0])


def _admit(value: Begin, counter: int, states: Mapping[UUID, tuple[Any, ...]], *, enters: bool) -> Began:
    """`enters`: the turn has its place in the conversation; one that waits for it brings its own version of history then."""
    if counter != value.catalog_counter:
        return Began(stale=counter)
    session, begins = value.request.session, enters != value.queued
    if session is None:
        return Began()
    if session.is_new and begins:
        fresh = None if value.request.seed else build(session.id, 0, [])
        taken = not (current.move(session) and _insert_session(value, session))
        return Began(taken=taken, position=len(value.request.seed), transcript=fresh)
    state = states.get(session.id)
    if state is None or (session.by_name and state[6] is None):
        return Began(missing=True)
    began = Began(version=state[1], position=state[2], busy=bool(state[4]) and _policy(value.request) == "reject")
    if began.busy:
        return began
    if begins and not _come_to(session, state[5]):
        return Began(missing=True)
    if state[4]:
        began.superseded = _supersede(session.id, UUID(str(state[4])))
    if value.request.branch is not None and enters:
        began.left = branches.newest(session.id) if value.request.forget_failure else None
        began.parent = branches.leave(session.id, value.request.branch)
    if enters and value.request.seed and not session.is_new:
        began.first = _insert_seeds(value, began.position)
        began.position += len(value.request.seed)
    if value.known_version != began.version or value.request.branch is not None or value.request.seed:
        began.transcript = read_transcript(session.id, began.version)
    return began


def _come_to(session: SessionRef, status: str) -> bool:
    """A turn is accepted here: the conversation is open again (AG-25) and current (AG-10). False: it was current, and is no more."""
    if not current.move(session):
        return False
    if status == "closed":
        current.reopen(session.id)
    return True


def _policy(request: TurnRequest) -> str:
    return request.busy or request.agent.turn_policy


def _supersede(session_id: UUID, paused: UUID) -> UUID | None:
    """A new turn on a paused conversation denies what is open and ends the paused run (R8.5)."""
    now = datetime.now(UTC)
    Approval.objects.filter(execution_id=paused, decision="").update(decision="denied", reason="superseded", decided_at=now)
    ended = Execution.objects.filter(id=paused, status="paused").update(
        status="cancelled", error_code="cancelled", error="The run was superseded by a new message.", completed_at=now, paused_state=None
    )
    ChatSession.objects.filter(id=session_id).update(paused_execution_id=None)
    return paused if ended else None


def read_transcript(session_id: UUID, version: int) -> Transcript:
    """The conversation's history from the database."""
    return build(session_id, version, stored_messages(session_id))


def stored_messages(session_id: UUID) -> list[StoredMessage]:
    """The conversation as history sees it, oldest first."""
    sql.take_time()
    columns = ("id", "role", "parts", "status", "incomplete", "position", "in_history", "active")
    where = "session_id = %s AND active AND in_history AND status <> 'pending' ORDER BY position DESC LIMIT %s"
    rows = sql.select(Message, columns, where, [*sql.adapted_ids([session_id]), MAX_STORED])
    return [
        StoredMessage(
            id=row[0], role=row[1], parts=row[2], status=row[3], incomplete=bool(row[4]), position=row[5], in_history=True, active=True
        )
        for row in reversed(rows)
    ]


_SESSION = (
    "id", "namespace", "name", "agent", "agent_name", "owner", "wire", "title", "status", "version", "next_position", "message_count",
    "input_tokens", "output_tokens", "cost_usd", "context_tokens", "created_at", "last_message_at",
)  # fmt: skip
MESSAGE = (
    "id", "session", "execution_id", "position", "role", "parts", "text", "status", "incomplete", "in_history", "source",
    "created_at",
)  # fmt: skip
ASKED = (*MESSAGE, "client_id", "client_metadata")
BEGUN = (
    "id", "agent", "agent_name", "agent_version", "session", "owner", "principal", "api_key", "trigger", "wire", "status", "message",
    "context_window", "model_used", "queued_at", "started_at", "process", "lease_until", "request_id", "labels", "unreported",
    "created_at",
)  # fmt: skip
"""What is known of an execution that begins; the database has the defaults of all else."""


def _insert_session(value: Begin, session: SessionRef) -> bool:
    """False when another process made a conversation of this name first (R8.4)."""
    now, seeds = value.created_at, value.request.seed
    row = (
        session.id, session.namespace, session.name, session.agent_id, session.agent_name, session.owner_id, session.wire,
        _title(value.request), "active", 0, len(seeds), len(seeds), 0, 0, None, 0, now, now,
    )  # fmt: skip
    if sql.insert(ChatSession, _SESSION, [row], "ON CONFLICT DO NOTHING").count != 1:
        return False
    _insert_seeds(value, 0)
    return True


def _insert_seeds(value: Begin, position: int) -> UUID | None:
    """What the client says was said before, from `position` on (OAI-52, OAI-53); returns the id of the first message."""
    rows = [_seed_row(value, index, position + index) for index in range(len(value.request.seed))]
    sql.insert(Message, MESSAGE, rows)
    return rows[0][0] if rows else None


def _title(request: TurnRequest) -> str:
    text = " ".join(request.text.split())
    return text if len(text) <= 80 else text[:79].rstrip() + "…"


def _seed_row(value: Begin, index: int, position: int) -> tuple[Any, ...]:
    seed, session = value.request.seed[index], value.request.session
    text = "\n\n".join(part["text"] for part in seed.parts if part["type"] == "text")
    session_id = session.id if session else None
    return (
        uuid7(), session_id, None, position, seed.role, list(seed.parts), text, "done", False, True, "text", value.created_at,
    )  # fmt: skip


def _mark_branches(members: Sequence[tuple[Began, Begin]]) -> None:
    """The first message of a new branch knows which one it follows, the run which branch it left."""
    first = [(began.parent, began.first or value.message_id) for began, value in members]
    sql.update(Message, ["parent_id"], "id = %s", ("parent_id", "id"), first)
    left = [({**value.request.labels, branches.LEFT: str(began.left)}, value.execution_id) for began, value in members if began.left]
    sql.update(Execution, ["labels"], "id = %s", ("labels", "id"), left)


def _store_begun(members: Sequence[tuple[Begin, int]]) -> None:
    sql.insert(Execution, BEGUN, [begun_row(value) for value, _ in members])
    sql.insert(Message, ASKED, [asked_row(value, position) for value, position in members if value.request.session])


def asked_row(value: Begin, position: int) -> tuple[Any, ...]:
    request = value.request
    return (
        value.message_id, request.session.id if request.session else None, value.execution_id,
        WAITING_POSITION if value.queued else position, "user", list(request.parts), request.text, "pending", False, True,
        request.source, value.created_at, request.client_message_id, request.client_metadata,
    )  # fmt: skip


def begun_row(value: Begin) -> tuple[Any, ...]:
    request, agent, queued = value.request, value.request.agent, value.queued
    return (
        value.execution_id, agent.id, agent.name, agent.version, request.session.id if request.session else None,
        request.principal.user_id, request.principal.key, request.principal.api_key_id, request.trigger, request.wire,
        "queued" if queued else "running", request.text, agent.model.context_window, agent.model.name,
        value.created_at if queued else None, None if queued else value.created_at, value.process, datetime.now(UTC) + LEASE,
        request.request_id, request.labels, value.unreported, value.created_at,
    )  # fmt: skip


def promote(jobs: Sequence[Job]) -> None:
    """queued -> running by compare-and-set; result Began, `missing` when it was ended meanwhile or the session is gone."""
    states = _sessions([job.value.begin.request.session for job in jobs], begun=True)
    for job in jobs:
        value: Begin = job.value.begin
        job.result = _admit(value, value.catalog_counter, states, enters=True)
        if job.result.missing:
            continue
        version, lease = value.request.agent.version, datetime.now(UTC) + LEASE
        row = (job.value.started_at, lease, version, value.execution_id, value.process, value.attempt)
        if not sql.update(Execution, _PROMOTED, _PROMOTABLE, _PROMOTED_COLUMNS, [row]).count:
            job.result.missing = True
            continue
        sql.update(Message, ["position"], "id = %s", ("position", "id"), [(job.result.position, value.message_id)])
        if job.result.parent:
            _mark_branches([(job.result, value)])


_PROMOTED = ["status = 'running'", "started_at", "lease_until", "agent_version"]
_PROMOTED_COLUMNS = ("started_at", "lease_until", "agent_version", "id", "process", "attempt_number")
_PROMOTABLE = "id = %s AND status = 'queued' AND process = %s AND attempt_number = %s"


def checkpoint(jobs: Sequence[Job]) -> None:
    """Appends text that was produced since the last checkpoint: values (execution id, last number, text)."""
    rows = [row for job in jobs for row in job.value]
    sql.insert(Checkpoint, ("execution_id", "to_seq", "text"), rows)


def begin_late(jobs: Sequence[Job]) -> None:
    """Stores stateless executions that have run for a second (R0.6): values are lists of Begin. One that ended meanwhile is there."""
    rows = [begun_row(value) for job in jobs for value in job.value]
    sql.insert(Execution, BEGUN, rows, "ON CONFLICT DO NOTHING")


def renew(jobs: Sequence[Job]) -> None:
    """Moves the leases of runs that live here: values are lists of execution ids. A row without a run lapses and is found."""
    until = datetime.now(UTC) + LEASE
    rows = [(until, execution_id, process.NAME) for job in jobs for execution_id in job.value]
    where = "id = %s AND process = %s AND status IN ('queued', 'running')"
    sql.update(Execution, ("lease_until",), where, ("lease_until", "id", "process"), rows)


def vacuum_checkpoints(ids: Sequence[UUID]) -> None:
    """Drops the checkpoints of ended executions."""
    if ids:
        with connection.cursor() as cursor:
            marks = ", ".join(["%s"] * len(ids))
            statement = f"DELETE FROM {Checkpoint._meta.db_table} WHERE execution_id IN ({marks})"  # noqa: S608 - a table's name
            cursor.execute(statement, sql.adapted_ids(ids))
