"""start, follow, cancel, finish: one turn from the request to its one terminal event. The run is its own task; readers only follow.

Order of R0.5: idempotency, gates, enabled, slot and lock, one hop to begin (R0.6); then the loop; then one transaction, the
caches, the lease, and only then the terminal event (R0.7). Every accepted run reaches a terminal, visible state.
"""

import asyncio
from dataclasses import replace
from uuid import UUID

from django.conf import settings

from agents import directory
from agents.ids import uuid7
from chat import bell, gates, idempotency, metrics, process, records, repeats, sessions, store, usual
from chat.claims import Entered, Entry, Interrupts
from chat.errors import CatalogChanged, SessionChanged, TurnError
from chat.eventlog import Log, registry
from chat.events import PRODUCED, TurnStarted
from chat.leases import leases
from chat.replay import log_of, stored_end
from chat.requests import SessionRef, TurnRequest
from chat.running import adopt, after_waiting, announce_soon, from_the_start, launch, ring, take_up
from chat.turn import Turn, claim_of, find, live, running
from chat.watching import log_for
from chat.written import Began

__all__ = ["Turn", "adopt", "find", "running", "shutdown", "start", "take_up"]


async def start(request: TurnRequest) -> Turn:
    """Begins a turn and returns at once, running or waiting. Raises TurnError for every refusal; nothing is stored then.

    SessionChanged: the conversation that was meant by its name has it no more, and what is asked is to be planned anew.
    """
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
            if request.session is not None and request.session.by_name:
                raise
            session = request.session and await sessions.resolve_again(request.principal, request.agent, request.session)
            if session is None:
                raise TurnError("session_not_found") from None
            request = replace(request, session=session, seed=request.seed if session.is_new else ())
    raise TurnError("session_busy")


async def _enter(request: TurnRequest, execution_id: UUID) -> Turn:
    turn = Turn(request, execution_id, Log(execution_id))
    turn.states = [gate.before(request) for gate in gates.load()]
    if not request.agent.enabled:
        raise TurnError("agent_not_running")
    turn.claim = claim_of(turn)
    entry = leases.try_enter(turn.claim)
    if entry is None:
        entry = await leases.enter(turn.claim)
    turn.rate = entry.rate
    live[execution_id] = turn
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
        launch(turn, from_the_start)


async def _undo(turn: Turn, *, again: bool = False) -> None:
    """The turn was refused, or is begun `again`: the store wrote nothing of it, and it gives back what it held."""
    live.pop(turn.execution_id, None)
    registry.live.pop(turn.execution_id, None)
    if turn.claim is not None:
        await leases.abandon(turn.claim, again=again)


async def _begin_now(turn: Turn, entry: Entered) -> None:
    turn.entered = True
    turn.transcript = entry.history
    turn.begin.known_version = entry.history.version if entry.history else None
    await _admit(turn, await store.write(records.begin, turn.begin, short=turn.begin.short, usual=usual.begin))
    turn.stored = turn.begin.store_execution
    launch(turn, from_the_start)


async def _begin_queued(turn: Turn, entry: Entry) -> None:
    """A turn that has to wait is stored at once as queued when somebody could look for it (R0.6)."""
    turn.begin.queued = True
    turn.queue_position = getattr(entry, "position", 1)
    await _admit(turn, await store.write(records.begin, turn.begin, short=turn.begin.short))
    turn.stored = turn.begin.store_execution
    ring(turn)
    launch(turn, after_waiting)
    if isinstance(entry, Interrupts):
        await _interrupt(entry.running)


async def _interrupt(execution_id: UUID) -> None:
    """Stops the running turn of the conversation, here or elsewhere; the new one waits until its lease is free."""
    turn = find(execution_id)
    if turn is not None:
        turn.stop("cancelled")
    elif settings.REDIS_URL:
        await bell.ring(execution_id, "cancelled")


async def _admit(turn: Turn, began: Began) -> None:
    """What the beginning found: raises for the caller to look again, or to give up."""
    if began.stale is not None:
        await directory.refresh(began.stale)
        raise CatalogChanged
    if began.missing or began.taken:
        raise SessionChanged
    if began.busy:
        raise TurnError("session_busy", retry_after_s=5)
    if began.superseded is not None:
        announce_soon(began.superseded)
    turn.began = began


async def _replay(request: TurnRequest, execution_id: UUID) -> Turn:
    """The turn of an Idempotency-Key used before: same text, same ids, no model call (R4.3)."""
    log = await log_of(execution_id)
    turn = Turn(replace(request, session=_session_then(request, log)), execution_id, log)
    turn.replayed = True
    turn.decided = any(type(event) in PRODUCED for event in log.events)
    turn.keep_on_leave = True
    return turn


async def _attached(request: TurnRequest, execution_id: UUID | None) -> Turn | None:
    """The run that a silent repeat belongs to: the live one, or its stored answer (R4.1)."""
    if execution_id is None:
        return None
    going_on = find(execution_id)
    if going_on is not None:
        return going_on
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
    await process.close(live, lambda turn: turn.stop("interrupted"))
