"""start, follow, cancel, finish: one turn from the request to its one terminal event. The run is its own task; readers only follow.

Order of R0.5: idempotency, gates, enabled, slot and lock, one hop to begin (R0.6); then the loop; then one transaction, the
caches, the lease, and only then the terminal event (R0.7). Every accepted run reaches a terminal, visible state.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from agents import directory
from agents.ids import uuid7
from agents.tools.base import ToolContext
from chat import bell, finished, gates, history, idempotency, loop, metrics, process, records, repeats, sessionbell, sessions, store
from chat.claims import Claim, Entered, Entry, Interrupts, Waiting
from chat.endings import least
from chat.errors import CatalogChanged, TurnError
from chat.eventlog import Log, registry
from chat.events import (
    PRODUCED,
    SEGMENT_ENDS,
    TERMINAL,
    ApprovalRequested,
    Numbered,
    TextDelta,
    TurnCancelled,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnPaused,
    TurnStarted,
)
from chat.eventship import shipper
from chat.lateend import announce
from chat.leases import leases
from chat.loop import Ended, Paused, Run
from chat.pausing import paused_state, pending_approvals
from chat.progress import Progress
from chat.replay import log_of, stored_end
from chat.requests import SessionRef, TurnRequest
from chat.transcripts import Transcript
from chat.watching import log_for

logger = logging.getLogger("switchboard.turns")
_STOPPED = {"cancelled": "cancelled", "client_left": "cancelled", "timeout": "failed", "interrupted": "failed"}
"""What a run that was stopped ends as, by the code of the stop."""


_SHARED = bool(settings.REDIS_URL)


class SessionChanged(Exception):
    """The conversation was deleted, or made by another process, between the look-up and the beginning."""


class Turn:
    """One live run in this process. Followers read `log`; the run itself is `task`."""

    __slots__ = (
        "__weakref__",
        "_begun",
        "_ending",
        "_states",
        "_stop_code",
        "_timer",
        "assistant_id",
        "began",
        "begin",
        "checkpointed",
        "checkpointed_block",
        "claim",
        "comes_back",
        "cost",
        "counted",
        "decided",
        "entered",
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
        "started_at",
        "started_s",
        "stored",
        "task",
        "transcript",
        "waited_s",
    )  # fmt: skip

    def __init__(self, request: TurnRequest, execution_id: UUID, log: Log) -> None:
        self.request = request
        self.log = log
        self.progress = Progress()
        self.started_s = time.monotonic()
        self.started_at = datetime.now(UTC)
        self.begin = _begin_values(request, execution_id, self.started_at)
        self.assistant_id = uuid7()
        self.keep_on_leave = request.keep_on_leave
        self.decided = False
        self.produced = False
        self.replayed = False
        self.resumed = False
        self.stored = False
        self.rate: Any = None
        self.cost: Decimal | None = None
        self.counted = records.Counted()
        self.queue_position = 0
        self.queued_s: float | None = None
        self.checkpointed = self.checkpointed_block = 0
        self.transcript: Transcript | None = None
        self.began = records.Began()
        self.task: asyncio.Task[None] | None = None
        self.claim: Claim | None = None
        self.comes_back: Callable[[Turn], Awaitable[bool]] | None = None
        self.waited_s = 0.0
        self.entered = False
        self._states: list[object | None] = []
        self._begun = False
        self._ending = False
        self._stop_code = ""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def execution_id(self) -> UUID:
        return self.begin.execution_id

    @property
    def session(self) -> SessionRef | None:
        return self.request.session

    @property
    def headers(self) -> dict[str, str]:
        """X-Execution-Id, X-Switchboard-Agent, X-Session-Id, and the six of R14.3."""
        found = {"X-Execution-Id": str(self.execution_id), "X-Switchboard-Agent": self.request.agent.name}
        if self.session is not None:
            found["X-Session-Id"] = str(self.session.id)
        if self.replayed:
            found["Idempotent-Replayed"] = "true"
        return {**found, **gates.rate_headers(self.rate)}

    @property
    def ending(self) -> bool:
        return self._ending

    def emit(self, event: TurnEvent) -> None:
        """Numbers an event; the first produced one decides the HTTP status (R5.1)."""
        if not self.decided and isinstance(event, PRODUCED):
            self.decided = True
            self.produced = not isinstance(event, SEGMENT_ENDS)
        self.log.append(event)
        if _SHARED:
            shipper.note(self.log)

    def check(self, events: Sequence[Numbered]) -> None:
        """Raises what ended the turn before it produced anything (R5.1); later failures are the wire's in-band business."""
        for _, event in events:
            if isinstance(event, TurnFailed):
                raise self.error_of(event)
            if isinstance(event, TurnCancelled):
                raise self.error_of(event)
            if isinstance(event, PRODUCED):
                return

    def error_of(self, event: TurnFailed | TurnCancelled) -> TurnError:
        """The refusal for a run that ended badly: for wires that answer with a status."""
        worked = self.progress.parts or event.usage.model_calls
        headers = {**self.headers, **({"x-should-retry": "false"} if worked else {})}
        status = event.status if isinstance(event, TurnFailed) else 409
        return TurnError(event.code, event.message, status=status, headers=headers, extra={"execution_id": str(self.execution_id)})

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
        if self._ending or self._stop_code:
            return False
        self._stop_code = code
        if self._begun and self.task is not None:
            self.task.cancel()
        return True


_running: dict[UUID, Turn] = {}


def running() -> dict[UUID, Turn]:
    """The live turns of this process."""
    return _running


def find(execution_id: UUID) -> Turn | None:
    return _running.get(execution_id)


def _begin_values(request: TurnRequest, execution_id: UUID, now: datetime) -> records.Begin:
    return records.Begin(
        execution_id=execution_id,
        message_id=uuid7(),
        request=request,
        process=process.NAME,
        created_at=now,
        catalog_counter=request.principal.catalog_counter or directory.current().counter,
        store_execution=request.session is not None or request.idempotency is not None,
        unreported=finished.wanted(request) or None,
    )


# Starting


async def start(request: TurnRequest) -> Turn:
    """Begins a turn and returns at once, running or waiting. Raises TurnError for every refusal; nothing is stored then."""
    process.check_open()
    execution_id = uuid7()
    if request.repeat is not None and request.repeat.again:
        attached = await _attached(request, await repeats.find(request.repeat.key))
        if attached is not None:
            return attached
    if request.idempotency is not None:
        earlier = await idempotency.take(request.idempotency, execution_id)
        if earlier is not None:
            return await _replay(request, earlier)
    try:
        turn = await _start(request, execution_id)
        if request.repeat is not None:
            repeats.remember(request.repeat.key, execution_id)
        return turn
    except BaseException:
        if request.session is not None and request.session.is_new:
            sessions.forget(request.principal, request.session)
        if request.idempotency is not None:
            await idempotency.release(request.idempotency)
        raise


async def _start(request: TurnRequest, execution_id: UUID) -> Turn:
    for _ in range(3):
        try:
            return await _enter(request, execution_id)
        except SessionChanged:
            session = request.session and await sessions.resolve_again(request.principal, request.agent, request.session)
            if session is None:
                raise TurnError("session_not_found") from None
            request = replace(request, session=session, seed=request.seed if session.is_new else ())
    raise TurnError("session_busy")


async def _enter(request: TurnRequest, execution_id: UUID) -> Turn:
    turn = Turn(request, execution_id, Log(execution_id))
    turn._states = [gate.before(request) for gate in gates.load()]
    if not request.agent.enabled:
        raise TurnError("agent_not_running")
    turn.claim = claim_of(turn)
    entry = leases.try_enter(turn.claim)
    if entry is None:
        entry = await leases.enter(turn.claim)
    turn.rate = entry.rate
    _running[execution_id] = turn
    registry.live[execution_id] = turn.log
    try:
        await (_begin_now(turn, entry) if isinstance(entry, Entered) else _begin_queued(turn, entry))
    except asyncio.CancelledError:
        _end_unbegun(turn)
        raise
    except BaseException as error:
        await _undo(turn, again=isinstance(error, CatalogChanged | SessionChanged))
        raise
    metrics.turn_started(request.wire)
    return turn


def _end_unbegun(turn: Turn) -> None:
    """Whoever started the turn was cancelled while it was being stored: it may be there, so it gets its end like any other."""
    turn.stored = turn.begin.store_execution
    turn.stop("client_left")
    if turn.task is None:
        _launch(turn, _from_the_start)


async def _undo(turn: Turn, *, again: bool = False) -> None:
    """The turn was refused, or is begun `again`: the store wrote nothing of it, and it gives back what it held."""
    _running.pop(turn.execution_id, None)
    registry.live.pop(turn.execution_id, None)
    if turn.claim is not None:
        await leases.abandon(turn.claim, again=again)


def claim_of(turn: Turn) -> Claim:
    """What the turn needs to run: rate, slot, lock."""
    request, agent = turn.request, turn.request.agent
    rate = next((state for state in turn._states if isinstance(state, gates.RateClaim)), None)
    return Claim(
        execution_id=turn.execution_id,
        session_id=request.session.id if request.session else request.lock_id,
        owner=request.principal.key if request.principal.user_id is None else f"user:{request.principal.user_id}",
        policy=request.busy or agent.turn_policy,
        agent_key=str(agent.id or agent.name),
        max_parallel=agent.max_parallel_runs,
        max_queued=agent.max_queued_chats,
        rate=rate,
        deadline_s=turn.started_s + request.timeout_s,
        public=request.principal.kind in ("link", "payer"),
    )


async def _begin_now(turn: Turn, entry: Entered) -> None:
    turn.entered = True
    turn.transcript = entry.history
    turn.begin.known_version = entry.history.version if entry.history else None
    await _admit(turn, await store.write(records.begin, turn.begin))
    turn.stored = turn.begin.store_execution
    _launch(turn, _from_the_start)


async def _begin_queued(turn: Turn, entry: Entry) -> None:
    """A turn that has to wait is stored at once as queued when somebody could look for it (R0.6)."""
    turn.begin.queued = True
    turn.queue_position = getattr(entry, "position", 1)
    await _admit(turn, await store.write(records.begin, turn.begin))
    turn.stored = turn.begin.store_execution
    _ring(turn)
    _launch(turn, _after_waiting)
    if isinstance(entry, Interrupts):
        await _interrupt(entry.running)


async def _interrupt(execution_id: UUID) -> None:
    """Stops the running turn of the conversation, here or elsewhere; the new one waits until its lease is free."""
    turn = _running.get(execution_id)
    if turn is not None:
        turn.stop("cancelled")
    elif settings.REDIS_URL:
        await bell.ring(execution_id, "cancelled")


def _announce(execution_id: UUID) -> None:
    """A paused run was ended by this turn (R8.5): its watchers hear of it."""
    task = asyncio.create_task(announce(execution_id))
    _announcing.add(task)
    task.add_done_callback(_announcing.discard)


_announcing: set[asyncio.Task[None]] = set()


async def _admit(turn: Turn, began: records.Began) -> None:
    """What the beginning found: raises for the caller to look again, or to give up."""
    if began.stale is not None:
        await directory.refresh(began.stale)
        raise CatalogChanged
    if began.missing or began.taken:
        raise SessionChanged
    if began.busy:
        raise TurnError("session_busy", retry_after_s=5)
    if began.superseded is not None:
        _announce(began.superseded)
    turn.began = began


Work = Callable[[Turn], Coroutine[Any, Any, Ended | Paused]]


def _launch(turn: Turn, work: Work) -> None:
    timeout_s = turn.request.timeout_s - (time.monotonic() - turn.started_s)
    turn._timer = asyncio.get_running_loop().call_later(max(0, timeout_s), turn.stop, "timeout")
    turn.task = asyncio.create_task(_to_the_end(turn, work))


# Running


async def _after_waiting(turn: Turn, entered: Entered | None = None) -> Ended | Paused:
    """Waits for the lock and the slot, becomes running by compare-and-set (R0.6), then runs."""
    assert turn.claim is not None
    entered = entered or await leases.wait(turn.claim)
    turn.entered = True
    turn.queued_s = turn.waited_s + time.monotonic() - turn.started_s
    turn.transcript, turn.began = entered.history, await _promoted(turn, entered)
    return await _from_the_start(turn)


async def _promoted(turn: Turn, entered: Entered) -> records.Began:
    turn.begin.known_version = entered.history.version if entered.history else None
    turn.started_at = datetime.now(UTC)
    if not turn.stored:
        return turn.began
    began: records.Began = await store.write(records.promote, records.Promotion(begin=turn.begin, started_at=turn.started_at))
    if began.missing:
        raise SessionChanged
    if began.superseded is not None:
        _announce(began.superseded)
    return began


async def _from_the_start(turn: Turn) -> Ended | Paused:
    turn.progress.messages = await _messages(turn)
    turn.emit(_started(turn))
    _ring(turn)
    return await loop.run(run_of(turn))


def _ring(turn: Turn) -> None:
    """Whoever watches the conversation hears that a run of it waits, began or goes on; its log tells the rest."""
    if turn.session is not None:
        sessionbell.ring(turn.session.id, turn.execution_id)


async def take_up(turn: Turn) -> Entry:
    """Begins a run that was stored as queued, held by this process now. `comes_back`: asked to put it back when it is interrupted.

    Raises TurnError when it may not begin, and answers with a Waiting of position 0 when it is to come again in the next minute.
    """
    turn._states = [gate.before(turn.request) for gate in gates.load()]
    turn.claim = claim_of(turn)
    entry = leases.try_enter(turn.claim) or await leases.enter(turn.claim)
    if isinstance(entry, Waiting) and not entry.position:
        return entry
    adopt(turn, lambda turn: _after_waiting(turn, entry if isinstance(entry, Entered) else None))
    return entry


def adopt(turn: Turn, work: Work) -> None:
    """Takes over a run that goes on after a pause."""
    turn._states = turn._states or [gate.before(turn.request) for gate in gates.load()]
    _running[turn.execution_id] = turn
    registry.live[turn.execution_id] = turn.log
    _ring(turn)
    _launch(turn, work)


async def _to_the_end(turn: Turn, work: Work) -> None:
    """The run's own task: the only place where any failure becomes the run's end."""
    end: TurnEvent
    turn._begun = True
    try:
        if turn._stop_code:
            raise asyncio.CancelledError
        end = _ended(turn, await work(turn))
    except asyncio.CancelledError:
        if await _came_back(turn):
            return
        end = _stopped(turn)
    except TurnError as error:
        end = _failed(turn, error)
    except SessionChanged:
        end = _failed(turn, TurnError("session_not_found"))
    except Exception:
        logger.exception("run %s failed", turn.execution_id)
        end = _failed(turn, TurnError("internal_error"))
    await _end(turn, end)


async def _came_back(turn: Turn) -> bool:
    """Whether a run that this process cannot finish waits for another one now (AG-32): then it has no end here."""
    if turn._stop_code != "interrupted" or turn.comes_back is None:
        return False
    turn._ending = True
    if not await turn.comes_back(turn):
        return False
    await _give_up(turn)
    return True


async def _give_up(turn: Turn) -> None:
    """The run is another process's business: its log ends here without an end."""
    if turn._timer is not None:
        turn._timer.cancel()
    if turn.entered:
        await leases.exit(turn.execution_id, real_tokens=turn.progress.usage.total_tokens, transcript=None)
    elif turn.claim is not None:
        await leases.abandon(turn.claim)
    if _running.get(turn.execution_id) is turn:
        del _running[turn.execution_id]
        registry.live.pop(turn.execution_id, None)


def run_of(turn: Turn) -> Run:
    request = turn.request
    context = ToolContext(
        execution_id=str(turn.execution_id),
        agent_name=request.agent.name,
        user_id=request.principal.user_id,
        user_name=request.principal.user_name,
    )
    return Run(request=request, progress=turn.progress, emit=turn.emit, started_s=turn.started_s, context=context)


async def _messages(turn: Turn) -> bytes:
    """The provider's messages: instructions, what history there is, the new input; cut to the context window (R9.2)."""
    request, began = turn.request, turn.began
    text = loop.instructions(request)
    system = orjson.dumps({"role": "system", "content": text}) if text else b""
    new = history.user_messages(request.parts)
    budget = _budget(request)
    if request.session is None:
        cleaned = history.clean([*request.history, *new])
        return b"[" + b",".join(part for part in (system, history.encode(history.fit(cleaned, budget))) if part) + b"]"
    if began.transcript is not None:
        turn.transcript = began.transcript
    elif turn.transcript is None or turn.transcript.version != began.version:
        turn.transcript = await store.run(records.read_transcript, request.session.id, began.version)
    return turn.transcript.messages_json(system, new, budget)


def _budget(request: TurnRequest) -> int:
    """Tokens the messages may take: the window less the answer's share."""
    window = min(model.context_window for model in request.agent.models)
    wanted = request.sampling.max_tokens or request.agent.sampling.max_tokens or window // 8
    return max(window // 4, window - min(wanted, window // 2))


def _started(turn: Turn) -> TurnStarted:
    request, agent = turn.request, turn.request.agent
    return TurnStarted(
        execution_id=str(turn.execution_id),
        agent=agent.name,
        version=agent.version,
        model=agent.model.name,
        session_id=str(request.session.id) if request.session else "",
        message_id=str(turn.assistant_id),
        tools=tuple(tool.name for tool in agent.tools) if request.tools else (),
        created_s=turn.started_at.timestamp(),
        context_window=agent.model.context_window,
        waited=turn.begin.queued,
    )


# Ending


def _ended(turn: Turn, end: Ended | Paused) -> TurnEvent:
    if isinstance(end, Paused):
        approvals = pending_approvals(end)
        for approval in approvals:
            turn.emit(ApprovalRequested(approval=approval))
        turn.begin.paused = paused_state(turn, end)
        return TurnPaused(approvals=approvals, notice=turn.request.agent.approval_notice, **_sums(turn))
    return TurnFinished(finish_reason=end.finish_reason, **_sums(turn), **_final(turn))


def _failed(turn: Turn, error: TurnError) -> TurnFailed:
    turn.begin.error_detail = directory.current().scrubber.text(error.detail)
    if error.detail:
        logger.warning("run %s failed: %s %s", turn.execution_id, error.code, turn.begin.error_detail)
    return TurnFailed(code=error.code, message=error.message, status=error.status, **_sums(turn), **_final(turn))


def _stopped(turn: Turn) -> TurnFailed | TurnCancelled:
    code = turn._stop_code or "cancelled"
    error = TurnError(code, f"The request took longer than {turn.request.timeout_s:g} seconds." if code == "timeout" else "")
    if _STOPPED.get(code, "cancelled") == "failed":
        return _failed(turn, error)
    return TurnCancelled(code=code, message=error.message, **_sums(turn), **_final(turn))


def _sums(turn: Turn) -> dict[str, Any]:
    cost = turn.cost = cost_of(turn)
    first = turn.progress.first_token_s
    return {
        "usage": turn.progress.usage,
        "duration_ms": round((time.monotonic() - turn.started_s) * 1000),
        "first_token_ms": None if first is None else round(first * 1000),
        "cost_usd": None if cost is None else float(round(cost, 6)),
    }


def _final(turn: Turn) -> dict[str, Any]:
    return {"context_tokens": turn.progress.context_tokens, "message_id": str(turn.assistant_id)}


def cost_of(turn: Turn) -> Decimal | None:
    """The first cost a gate knows (R10.2)."""
    spent = gates.Spent(steps=turn.progress.spent, status="success")
    costs = [gate.after(state, spent) for gate, state in zip(gates.load(), turn._states, strict=True)]
    return next((cost for cost in costs if cost is not None), None)


async def _end(turn: Turn, event: TurnEvent) -> None:
    """Stores the end, frees the lease, refreshes the caches, and then says so (R0.7). The terminal event comes whatever fails."""
    turn._ending = True
    if turn._timer is not None:
        turn._timer.cancel()
    finish = _finish_values(turn, event)
    written = await _store_end(turn, finish)
    if not written:
        stored = await _as_stored(turn)
        if stored is None:
            await _give_up(turn)
            return
        event = stored
    await _release(turn, finish, event, written)
    turn.emit(event)
    if written and turn.begin.unreported and isinstance(event, TERMINAL):
        finished.tell(turn.execution_id)
    _running.pop(turn.execution_id, None)
    registry.end(turn.log)
    metrics.turn_finished(
        turn.request.wire,
        _STATUS[type(event)],
        duration_ms=finish.duration_ms,
        first_token_ms=finish.first_token_ms,
        input_tokens=finish.usage.input_tokens,
        output_tokens=finish.usage.output_tokens,
    )


async def _store_end(turn: Turn, finish: records.Finish, *, refused: bool = False) -> bool:
    """False when another end stands in its place: somebody else's, that of a run whose own end the database refuses for good,

    or none (the database is away): recovery finds that row later.
    """
    try:
        return bool(await store.write(records.finish, finish, patient=True))
    except Exception as error:
        logger.exception("the end of run %s could not be stored", turn.execution_id)
        if not (refused or isinstance(error, TurnError)):
            await _store_end(turn, least(finish, type(error).__name__), refused=True)
        return False


async def _as_stored(turn: Turn) -> TurnEvent | None:
    """The end that the database has for a run whose own end came too late. Without one it is told as failed, or, if it is taken up

    again elsewhere, not at all (None).
    """
    try:
        stored = await stored_end(turn.execution_id)
    except Exception:
        logger.exception("the end of run %s could not be read", turn.execution_id)
        stored = None
    if stored is None and turn.comes_back is not None:
        return None
    message = TurnError("store_unavailable").message
    return stored or TurnFailed(code="store_unavailable", message=message, status=503, **_sums(turn))


async def _release(turn: Turn, finish: records.Finish, event: TurnEvent, written: bool) -> None:
    """Gives back lock, slot and reservation in every outcome; a key whose run came to nothing is free again (R4.4)."""
    try:
        if turn.entered:
            after = _transcript_after(turn, finish, written)
            await leases.exit(turn.execution_id, real_tokens=finish.usage.total_tokens, transcript=after)
        elif turn.claim is not None:
            await leases.abandon(turn.claim)
        if turn.request.idempotency is not None and not turn.produced and isinstance(event, TurnFailed | TurnCancelled):
            await idempotency.release(turn.request.idempotency)
    except Exception:
        logger.exception("the lease of run %s is left to lapse", turn.execution_id)


def _transcript_after(turn: Turn, finish: records.Finish, written: bool) -> Transcript | None:
    """The history with this turn in it; None (forget the cached one) when it did not simply grow."""
    if not written or finish.status != "success" or turn.transcript is None or turn.resumed or turn.request.session is None:
        return None
    if turn.request.stored_parts is not None:
        return None
    return turn.transcript.append(
        user=turn.request.parts,
        assistant=finish.parts,
        position=finish.position,
        user_id=turn.begin.message_id,
        assistant_id=turn.assistant_id,
    )


_STATUS = {TurnFinished: "success", TurnFailed: "failed", TurnCancelled: "cancelled", TurnPaused: "paused"}
_MESSAGE_STATUS = {"success": "done", "paused": "done", "failed": "failed", "cancelled": "cancelled"}


def _finish_values(turn: Turn, event: Any) -> records.Finish:
    progress, status = turn.progress, _STATUS[type(event)]
    good = status in ("success", "paused")
    parts = progress.parts if any(part["type"] != "step" for part in progress.parts) else []
    return records.Finish(
        begin=turn.begin,
        stored=turn.stored,
        status=status,
        message_status=_MESSAGE_STATUS[status],
        in_history=good or not turn.request.forget_failure,
        position=turn.began.position,
        assistant_id=turn.assistant_id,
        parts=parts,
        text=progress.text,
        incomplete=not good,
        reopens=turn.resumed,
        waited=turn.begin.queued and not turn.entered,
        counted=turn.counted,
        completed_at=datetime.now(UTC),
        finish_reason=getattr(event, "finish_reason", ""),
        error_code=getattr(event, "code", ""),
        error=getattr(event, "message", ""),
        error_detail=turn.begin.error_detail,
        steps=progress.steps if turn.session is not None else _steps_with_parts(progress),
        usage=event.usage,
        cost_usd=turn.cost,
        context_tokens=progress.context_tokens,
        model_used=progress.model_used or turn.request.agent.model.name,
        started_at=turn.started_at,
        duration_ms=event.duration_ms,
        queue_ms=None if turn.queued_s is None else round(turn.queued_s * 1000),
        first_token_ms=event.first_token_ms,
        model_ms=round(progress.model_s * 1000),
        last_seq=turn.log.last_seq + 1,
        paused_state=turn.begin.paused,
        approvals=list(event.approvals) if isinstance(event, TurnPaused) else [],
        client_calls=progress.client_calls,
    )


def _steps_with_parts(progress: Progress) -> list[dict[str, Any]]:
    """Where no Message keeps the parts, the execution's steps do."""
    steps = [{**step, "parts": []} for step in progress.steps]
    number = -1
    for part in progress.parts:
        number += part["type"] == "step"
        if 0 <= number < len(steps):
            steps[number]["parts"].append(part)
    return steps


# Asking again


async def _replay(request: TurnRequest, execution_id: UUID) -> Turn:
    """The turn of an Idempotency-Key used before: same text, same ids, no model call (R4.3)."""
    log = await log_of(execution_id)
    turn = Turn(replace(request, session=_session_then(request, log)), execution_id, log)
    turn.replayed = True
    turn.decided = any(isinstance(event, PRODUCED) for event in log.events)
    turn.keep_on_leave = True
    return turn


async def _attached(request: TurnRequest, execution_id: UUID | None) -> Turn | None:
    """The run that a silent repeat belongs to: the live one, or its stored answer (R4.1)."""
    if execution_id is None:
        return None
    live = _running.get(execution_id)
    if live is not None:
        return live
    if await stored_end(execution_id) is not None:
        return await _replay(request, execution_id)
    turn = Turn(request, execution_id, await log_for(execution_id))
    turn.keep_on_leave = True
    return turn


def _session_then(request: TurnRequest, log: Log) -> SessionRef | None:
    """The conversation of the first run: a repeated request without an id asked for a new one again."""
    begun = next((event for event in log.events if isinstance(event, TurnStarted)), None)
    if request.session is None or begun is None or not begun.session_id:
        return request.session
    return replace(request.session, id=UUID(begun.session_id))


async def shutdown() -> None:
    """No new runs; up to SHUTDOWN_SECONDS for the running ones, then they end in-band (R12.5)."""
    await process.close(_running, lambda turn: turn.stop("interrupted"))
