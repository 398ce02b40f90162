"""The rows of one turn: what is written when it begins and when it ends (R0.6, R0.7). Runs on the store's thread."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from agents.ids import uuid7
from agents.models import CatalogVersion
from chat import branches, current, process, sql
from chat.branches import WAITING_POSITION
from chat.events import PendingApproval, Usage
from chat.history import StoredMessage
from chat.models import Approval, ChatSession, Checkpoint, ClientCall, Execution, Message
from chat.requests import Part, SessionRef, TurnRequest
from chat.store import Job
from chat.toolrows import keep_calls
from chat.transcripts import Transcript, build

LEASE = timedelta(seconds=30)
MAX_STORED = 4000
"""Messages read back at most; a longer conversation is cut from its oldest end anyway (R9.2g)."""

_PLAIN, _SHORT_PARTS, _SHORT_CHARACTERS = frozenset(("text", "reasoning", "step")), 16, 20_000
_OPEN = "status NOT IN ('success', 'failed', 'cancelled', 'skipped')"
"""Said so that PostgreSQL looks rows up by their ids: an index of open runs looks smaller to it, but is full of those that just ended."""


@dataclass(slots=True, kw_only=True)
class Begin:
    """A turn about to run. `message_id` is the user message's; `known_version` the cached transcript's (None: none cached)."""

    execution_id: UUID
    message_id: UUID
    request: TurnRequest
    process: str
    created_at: datetime
    catalog_counter: int
    known_version: int | None = None
    queued: bool = False
    store_execution: bool = True
    attempt: int = 1
    unreported: bool | None = None
    paused: Mapping[str, Any] | None = None
    error_detail: str = ""

    @property
    def short(self) -> bool:
        """Little is written, and history is not read."""
        request, session = self.request, self.request.session
        reads = request.branch is not None or (session and not session.is_new and (request.seed or self.known_version is None))
        return not reads and not request.seed and is_short(request.parts)


@dataclass(slots=True, kw_only=True)
class Began:
    """`stale`: the catalog moved. `missing`/`taken`: the session row is not there / its name is another's. `busy`: it waits

    for an approval and the policy is reject (R8.5). In all four nothing was written. `superseded`: the paused run that ended for this.
    `transcript`: the conversation read anew, when the cached version was not the stored one. `parent`: where a branch begins (AG-26);
    `left`: the last message of the branch that it left, where the turn may have to give it back (OAI-54).
    `first`: the first of the messages that the client says came before (OAI-52), None: the turn's own is the branch's first.
    """

    stale: int | None = None
    missing: bool = False
    taken: bool = False
    version: int = 0
    position: int = 0
    transcript: Transcript | None = None
    superseded: UUID | None = None
    busy: bool = False
    parent: UUID | None = None
    left: UUID | None = None
    first: UUID | None = None

    @property
    def admitted(self) -> bool:
        return self.stale is None and not (self.missing or self.taken or self.busy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the conversation's counters hold already of a run that paused."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(slots=True, kw_only=True)
class Finish:
    """A turn that ended. `parts` of the assistant are empty when it said nothing; `stored` False: the Execution row is not there yet.

    `reopens`: it went on after a pause, its assistant message is there. `waited`: it ended before it had a place (position).
    """

    begin: Begin
    stored: bool
    status: str
    message_status: str
    in_history: bool
    position: int
    assistant_id: UUID
    parts: list[Part]
    text: str
    incomplete: bool
    reopens: bool = False
    waited: bool = False
    counted: Counted = field(default_factory=Counted)
    completed_at: datetime
    finish_reason: str = ""
    error_code: str = ""
    error: str = ""
    error_detail: str = ""
    steps: list[Any] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal | None = None
    context_tokens: int = 0
    model_used: str = ""
    started_at: datetime | None = None
    duration_ms: int = 0
    queue_ms: int | None = None
    first_token_ms: int | None = None
    model_ms: int = 0
    last_seq: int = 0
    paused_state: Mapping[str, Any] | None = None
    approvals: list[PendingApproval] = field(default_factory=list)
    client_calls: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def short(self) -> bool:
        """Little is written."""
        return is_short(self.parts) and len(self.steps) <= _SHORT_PARTS


def is_short(parts: Sequence[Part]) -> bool:
    """Text alone, of a few pages."""
    plain = len(parts) <= _SHORT_PARTS and all(part["type"] in _PLAIN for part in parts)
    return plain and sum(len(part.get("text", "")) for part in parts) <= _SHORT_CHARACTERS


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
    columns = ("id", "version", _NEXT_PLACE, "message_count", "paused_execution_id", "status", "name")
    return {row[0]: row for row in sql.select(ChatSession, columns, *sql.among("id", ids))}


_NEXT_PLACE = f"""(COALESCE(
    (SELECT MAX(position) + 2 FROM chat_message WHERE session_id = chat_chatsession.id AND position >= next_position
        AND position < {WAITING_POSITION}),
    next_position))"""  # noqa: S608 - a number of ours
"""Of a turn whose process died only the question is there, at `next_position`: its answer is still to get the place after that."""


def next_place(session_id: UUID) -> int:
    """Where the next turn of a conversation is to stand."""
    return int(sql.select(ChatSession, (_NEXT_PLACE,), "id = %s", sql.adapted_ids([session_id]))[0][0])


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
_MESSAGE = (
    "id", "session", "execution_id", "position", "role", "parts", "text", "status", "incomplete", "in_history", "source",
    "created_at",
)  # fmt: skip
_ASKED = (*_MESSAGE, "client_id", "client_metadata")
_BEGUN = (
    "id", "agent", "agent_name", "agent_version", "session", "owner", "principal", "api_key", "trigger", "wire", "status", "message",
    "context_window", "model_used", "queued_at", "started_at", "process", "lease_until", "request_id", "labels", "unreported",
    "created_at",
)  # fmt: skip
"""What is known of an execution that begins; the database has the defaults of all else."""
_EXECUTION = (
    *_BEGUN, "response", "finish_reason", "error_code", "error", "error_detail", "steps", "usage", "input_tokens", "output_tokens",
    "cost_usd", "context_tokens", "completed_at", "duration_ms", "queue_ms", "first_token_ms", "model_ms", "last_seq", "paused_state",
)  # fmt: skip


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
    sql.insert(Message, _MESSAGE, rows)
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
    sql.insert(Execution, _BEGUN, [_begun_row(value) for value, _ in members])
    sql.insert(Message, _ASKED, [_user_row(value, position) for value, position in members if value.request.session])


def _user_row(value: Begin, position: int) -> tuple[Any, ...]:
    request = value.request
    return (
        value.message_id, request.session.id if request.session else None, value.execution_id,
        WAITING_POSITION if value.queued else position, "user", list(request.parts), request.text, "pending", False, True,
        request.source, value.created_at, request.client_message_id, request.client_metadata,
    )  # fmt: skip


def _begun_row(value: Begin) -> tuple[Any, ...]:
    request, agent, queued = value.request, value.request.agent, value.queued
    return (
        value.execution_id, agent.id, agent.name, agent.version, request.session.id if request.session else None,
        request.principal.user_id, request.principal.key, request.principal.api_key_id, request.trigger, request.wire,
        "queued" if queued else "running", request.text, agent.model.context_window, agent.model.name,
        value.created_at if queued else None, None if queued else value.created_at, value.process, datetime.now(UTC) + LEASE,
        request.request_id, request.labels, value.unreported, value.created_at,
    )  # fmt: skip


def _whole_row(value: Finish) -> tuple[Any, ...]:
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


@dataclass(slots=True, kw_only=True)
class Promotion:
    """A queued turn whose time has come."""

    begin: Begin
    started_at: datetime


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


def finish(jobs: Sequence[Job]) -> None:
    """Writes the ends. result True; False when the execution was terminal already, and then nothing of the member is written.

    A stateless run may have been stored meanwhile (begin_late), so its row is inserted first where it is missing.
    """
    for job in jobs:
        job.result = True
    values: list[Finish] = [job.value for job in jobs]
    fresh = [_whole_row(value) for value in values if not value.stored]
    stored = values
    if sql.insert(Execution, _EXECUTION, fresh, "ON CONFLICT DO NOTHING").count == len(fresh):
        stored = [value for value in values if value.stored]
    ended = sql.update(
        Execution, _END, f"id = %s AND attempt_number = %s AND {_OPEN}", _END_COLUMNS, [_end_row(value) for value in stored]
    ).count
    if ended != len(stored):
        lost = _not_ended_by_us(stored)
        for job in jobs:
            job.result = job.value.begin.execution_id not in lost
        values = [job.value for job in jobs if job.result]
    _finish_conversations([value for value in values if value.begin.request.session])
    calls = [_client_call_row(value, call_id, messages) for value in values for call_id, messages in value.client_calls]
    sql.insert(Approval, _APPROVAL, [_approval_row(value, approval) for value in values for approval in value.approvals])
    sql.insert(ClientCall, ("principal", "agent_name", "call_id", "messages", "created_at"), calls)
    keep_calls(values)


_END = [
    "status", "response", "finish_reason", "error_code", "error", "error_detail", "steps", "usage", "input_tokens", "output_tokens",
    "cost_usd", "context_tokens", "model_used", "completed_at", "duration_ms", "queue_ms", "first_token_ms", "model_ms", "last_seq",
    "paused_state", "lease_until = NULL",
]  # fmt: skip
_END_COLUMNS = (*_END[:-1], "id", "attempt_number")


def _end_row(value: Finish) -> tuple[Any, ...]:
    return (
        value.status, value.text, value.finish_reason, value.error_code, value.error, value.error_detail, value.steps, value.usage,
        value.usage.input_tokens, value.usage.output_tokens, value.cost_usd, value.context_tokens, value.model_used,
        value.completed_at, value.duration_ms, value.queue_ms, value.first_token_ms, value.model_ms, value.last_seq,
        value.paused_state, value.begin.execution_id, value.begin.attempt,
    )  # fmt: skip


def _not_ended_by_us(values: Sequence[Finish]) -> set[UUID]:
    """Those that somebody else had ended, or taken up anew (AG-32): their row does not carry what we just wrote."""
    ids = [value.begin.execution_id for value in values]
    columns = ("id", "status", "last_seq", "error_code", "attempt_number")
    rows = {row[0]: row for row in sql.select(Execution, columns, *sql.among("id", ids))}
    ours = {value.begin.execution_id: (value.status, value.last_seq, value.error_code, value.begin.attempt) for value in values}
    return {id_ for id_ in ids if id_ not in rows or rows[id_][1:] != ours[id_]}


def _finish_conversations(values: Sequence[Finish]) -> None:
    user = [(value.message_status, value.in_history, value.begin.message_id) for value in values]
    sql.update(Message, ("status", "in_history"), "id = %s", ("status", "in_history", "id"), user)
    for value in values:
        if value.waited:
            _give_place(value)
        if not value.in_history:
            branches.rejoin(value.begin.execution_id)
    said = [value for value in values if value.parts and not (value.reopens and _reopened(value))]
    sql.insert(Message, _MESSAGE, [_assistant_row(value) for value in said])
    for some in _each_session_once(values):
        sql.update(ChatSession, _COUNTS, "id = %s", _COUNT_COLUMNS, [_count_row(value) for value in some])
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


def _assistant_row(value: Finish) -> tuple[Any, ...]:
    session = value.begin.request.session
    return (
        value.assistant_id, session.id if session else None, value.begin.execution_id, value.position + 1, "assistant", value.parts,
        value.text, _assistant_status(value), value.incomplete, value.in_history, value.begin.request.source, value.completed_at,
    )  # fmt: skip


_COUNTS = [
    "version = version + 1", "next_position = CASE WHEN next_position > %s THEN next_position ELSE %s END",
    "message_count = message_count + %s", "input_tokens = input_tokens + %s",
    "output_tokens = output_tokens + %s", "cost_usd = COALESCE(COALESCE(cost_usd, 0) + %s, cost_usd)", "context_tokens", "last_message_at",
]  # fmt: skip
_COUNT_COLUMNS = (
    "next_position", "next_position", "message_count", "input_tokens", "output_tokens", "cost_usd", "context_tokens", "last_message_at",
    "id",
)  # fmt: skip


def _count_row(value: Finish) -> tuple[Any, ...]:
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


def checkpoint(jobs: Sequence[Job]) -> None:
    """Appends text that was produced since the last checkpoint: values (execution id, last number, text)."""
    rows = [row for job in jobs for row in job.value]
    sql.insert(Checkpoint, ("execution_id", "to_seq", "text"), rows)


def begin_late(jobs: Sequence[Job]) -> None:
    """Stores stateless executions that have run for a second (R0.6): values are lists of Begin. One that ended meanwhile is there."""
    rows = [_begun_row(value) for job in jobs for value in job.value]
    sql.insert(Execution, _BEGUN, rows, "ON CONFLICT DO NOTHING")


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
