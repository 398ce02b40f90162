"""One live run of this process: what was asked, where it stands, how it is stopped. Readers follow its log; `live` finds it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings

from agents import directory, ids
from chat import finished, gates, process
from chat.claims import Claim
from chat.errors import TurnError
from chat.eventlog import Log
from chat.events import PRODUCED, SEGMENT_ENDS, Numbered, TextDelta, TurnCancelled, TurnEvent, TurnFailed
from chat.eventship import shipper
from chat.progress import Progress
from chat.requests import SessionRef, TurnRequest
from chat.transcripts import Transcript
from chat.written import Began, Begin, Counted

_SHARED = bool(settings.REDIS_URL)


class Turn:
    """One live run in this process. Followers read `log`; the run itself is `task`."""

    __slots__ = (
        "__weakref__",
        "assistant_id",
        "began",
        "begin",
        "begun",
        "checkpointed",
        "checkpointed_block",
        "claim",
        "comes_back",
        "cost",
        "counted",
        "decided",
        "ending",
        "entered",
        "execution_text",
        "keep_on_leave",
        "log",
        "produced",
        "progress",
        "queue_position",
        "queued_s",
        "rate",
        "replayed",
        "request",
        "resumed",
        "retry_after_s",
        "started_at",
        "started_s",
        "states",
        "stop_code",
        "stored",
        "task",
        "timer",
        "transcript",
        "waited_s",
    )  # fmt: skip

    def __init__(self, request: TurnRequest, execution_id: UUID, log: Log) -> None:
        self.request = request
        self.log = log
        self.progress = Progress()
        self.started_s = time.monotonic()
        self.started_at = datetime.now(UTC)
        self.begin = begin_values(request, execution_id, self.started_at)
        self.assistant_id = ids.uuid7()
        self.execution_text = ids.text(execution_id)
        self.keep_on_leave = request.keep_on_leave
        self.decided = False
        self.produced = False
        self.replayed = False
        self.resumed = False
        self.stored = False
        self.rate: Any = None
        self.cost: Decimal | None = None
        self.counted = Counted()
        self.queue_position = 0
        self.queued_s: float | None = None
        self.checkpointed = self.checkpointed_block = 0
        self.transcript: Transcript | None = None
        self.began = Began()
        self.task: asyncio.Task[None] | None = None
        self.claim: Claim | None = None
        self.comes_back: Callable[[Turn], Awaitable[bool]] | None = None
        self.waited_s = 0.0
        self.entered = False
        self.states: list[object | None] = []
        self.begun = False
        self.ending = False
        self.stop_code = ""
        self.retry_after_s: int | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def execution_id(self) -> UUID:
        return self.begin.execution_id

    @property
    def session(self) -> SessionRef | None:
        return self.request.session

    @property
    def headers(self) -> dict[str, str]:
        """X-Execution-Id, X-Switchboard-Agent, X-Session-Id, and the six of R14.3."""
        found = {"X-Execution-Id": self.execution_text, "X-Switchboard-Agent": self.request.agent.name}
        if self.session is not None:
            found["X-Session-Id"] = ids.text(self.session.id)
        if self.replayed:
            found["Idempotent-Replayed"] = "true"
        return {**found, **gates.rate_headers(self.rate)}

    def emit(self, event: TurnEvent) -> None:
        """Numbers an event; the first produced one decides the HTTP status (R5.1)."""
        if not self.decided and type(event) in PRODUCED:
            self.decided = True
            self.produced = type(event) not in SEGMENT_ENDS
        self.log.append(event)
        if _SHARED:
            shipper.note(self.log)

    def check(self, events: Sequence[Numbered]) -> None:
        """Raises what ended the turn before it produced anything (R5.1); later failures are the wire's in-band business."""
        for _, event in events:
            if type(event) in PRODUCED:
                if isinstance(event, TurnFailed | TurnCancelled):
                    raise self.error_of(event)
                return

    def error_of(self, event: TurnFailed | TurnCancelled) -> TurnError:
        """The refusal for a run that ended badly: for wires that answer with a status."""
        worked = self.progress.parts or event.usage.model_calls
        headers = {**self.headers, **({"x-should-retry": "false"} if worked else {})}
        status = event.status if isinstance(event, TurnFailed) else 409
        extra = {"execution_id": str(self.execution_id)}
        return TurnError(event.code, event.message, status=status, retry_after_s=self.retry_after_s, headers=headers, extra=extra)

    def unsaved_text(self) -> str:
        """Text that came since the last call, with the blank lines between blocks: what a checkpoint appends."""
        pieces: list[str] = []
        for _, event in self.log.after(self.checkpointed):
            if isinstance(event, TextDelta):
                if event.block != self.checkpointed_block and self.checkpointed_block:
                    pieces.append("\n\n")
                self.checkpointed_block = event.block
                pieces.append(event.text)
        self.checkpointed = self.log.last_seq
        return "".join(pieces)

    def keep(self) -> None:
        """From now on the run goes on without readers."""
        self.keep_on_leave = True

    def leave(self) -> None:
        """The client that asked left: that ends a stateless call, whoever else may watch it (R6.1)."""
        if not self.keep_on_leave:
            self.stop("client_left")

    def stop(self, code: str = "cancelled") -> bool:
        """Stops the run, whatever it waits for; False when it is ending already (a success in the making wins, R0.8).

        A run whose task has not taken its first step (or is not there yet) ends when it would begin: a task that is cancelled
        before its first step would never come to its end.
        """
        if self.ending or self.stop_code:
            return False
        self.stop_code = code
        if self.begun and self.task is not None:
            self.task.cancel()
        return True


live: dict[UUID, Turn] = {}
"""By execution."""


def running() -> dict[UUID, Turn]:
    """The live turns of this process."""
    return live


def find(execution_id: UUID) -> Turn | None:
    return live.get(execution_id)


def begin_values(request: TurnRequest, execution_id: UUID, now: datetime) -> Begin:
    return Begin(
        execution_id=execution_id,
        message_id=ids.uuid7(),
        request=request,
        process=process.NAME,
        created_at=now,
        catalog_counter=request.principal.catalog_counter or directory.current().counter,
        store_execution=request.session is not None or request.idempotency is not None,
        unreported=finished.wanted(request) or None,
    )


def claim_of(turn: Turn) -> Claim:
    """What the turn needs to run: rate, slot, lock."""
    request, agent = turn.request, turn.request.agent
    rate = next((state for state in turn.states if isinstance(state, gates.RateClaim)), None)
    return Claim(
        execution_id=turn.execution_id,
        session_id=request.session.id if request.session else request.lock_id,
        owner=request.principal.key if request.principal.user_id is None else f"user:{request.principal.user_id}",
        policy=request.busy or agent.turn_policy,
        agent_key=ids.text(agent.id) if agent.id else agent.name,
        max_parallel=agent.max_parallel_runs,
        max_queued=agent.max_queued_chats,
        rate=rate,
        deadline_s=turn.started_s + request.timeout_s,
        public=request.principal.kind in ("link", "payer"),
    )
