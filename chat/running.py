"""A run from its launch to its end: a task of its own, the only place where any failure becomes an end. Nobody waits for it but readers."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from agents import ids
from agents.tools.base import ToolContext
from chat import finishing, gates, history, loop, records, sessionbell, store
from chat.claims import Entered, Entry, Waiting
from chat.errors import SessionChanged, TurnError
from chat.eventlog import registry
from chat.events import TurnEvent, TurnStarted
from chat.lateend import announce
from chat.leases import leases
from chat.loop import Ended, Paused, Run
from chat.turn import Turn, claim_of, live
from chat.written import Began, Promotion

logger = logging.getLogger("switchboard.turns")

Work = Callable[[Turn], Coroutine[Any, Any, Ended | Paused]]


def launch(turn: Turn, work: Work) -> None:
    timeout_s = turn.request.timeout_s - (time.monotonic() - turn.started_s)
    loop = asyncio.get_running_loop()
    turn.timer = loop.call_later(max(0, timeout_s), turn.stop, "timeout")
    turn.task = loop.create_task(_to_the_end(turn, work))


async def after_waiting(turn: Turn, entered: Entered | None = None) -> Ended | Paused:
    """Waits for the lock and the slot, becomes running by compare-and-set (R0.6), then runs."""
    assert turn.claim is not None
    entered = entered or await leases.wait(turn.claim)
    turn.entered = True
    turn.queued_s = turn.waited_s + time.monotonic() - turn.started_s
    turn.transcript, turn.began = entered.history, await _promoted(turn, entered)
    return await from_the_start(turn)


async def _promoted(turn: Turn, entered: Entered) -> Began:
    turn.begin.known_version = entered.history.version if entered.history else None
    turn.started_at = datetime.now(UTC)
    if not turn.stored:
        return turn.began
    began: Began = await store.write(records.promote, Promotion(begin=turn.begin, started_at=turn.started_at))
    if began.missing:
        raise SessionChanged
    if began.superseded is not None:
        announce_soon(began.superseded)
    return began


async def from_the_start(turn: Turn) -> Ended | Paused:
    if turn.request.workflow is not None:
        return await _workflow(turn)
    turn.progress.messages = await _messages(turn)
    turn.emit(_started(turn))
    ring(turn)
    return await loop.run(run_of(turn))


def ring(turn: Turn) -> None:
    """Whoever watches the conversation hears that a run of it waits, began or goes on; its log tells the rest."""
    if turn.session is not None:
        sessionbell.ring(turn.session.id, turn.execution_id)


async def take_up(turn: Turn) -> Entry:
    """Begins a run that was stored as queued, held by this process now. `comes_back`: asked to put it back when it is interrupted.

    Raises TurnError when it may not begin, and answers with a Waiting of position 0 when it is to come again in the next minute.
    """
    turn.states = [gate.before(turn.request) for gate in gates.load()]
    turn.claim = claim_of(turn)
    entry = leases.try_enter(turn.claim) or await leases.enter(turn.claim)
    if isinstance(entry, Waiting) and not entry.position:
        return entry
    adopt(turn, lambda turn: after_waiting(turn, entry if isinstance(entry, Entered) else None))
    return entry


def adopt(turn: Turn, work: Work) -> None:
    """Takes over a run that goes on after a pause."""
    turn.states = turn.states or [gate.before(turn.request) for gate in gates.load()]
    live[turn.execution_id] = turn
    registry.live[turn.execution_id] = turn.log
    ring(turn)
    launch(turn, work)


async def _to_the_end(turn: Turn, work: Work) -> None:
    """The run's own task: the only place where any failure becomes the run's end."""
    end: TurnEvent
    turn.begun = True
    try:
        if turn.stop_code:
            raise asyncio.CancelledError
        end = finishing.ended(turn, await work(turn))
    except asyncio.CancelledError:
        if await _came_back(turn):
            return
        end = finishing.stopped(turn)
    except TurnError as error:
        end = finishing.failed(turn, error)
    except SessionChanged:
        end = finishing.failed(turn, TurnError("session_not_found"))
    except Exception:
        logger.exception("run %s failed", turn.execution_id)
        end = finishing.failed(turn, TurnError("internal_error"))
    await finishing.end(turn, end)


async def _came_back(turn: Turn) -> bool:
    """Whether a run that this process cannot finish waits for another one now (AG-32): then it has no end here."""
    if turn.stop_code != "interrupted" or turn.comes_back is None:
        return False
    turn.ending = True
    if not await turn.comes_back(turn):
        return False
    await finishing.give_up(turn)
    return True


async def _workflow(turn: Turn) -> Ended | Paused:
    """The steps of a workflow, in place of the agent's loop."""
    from chat.workflows import engine  # and a template language: for those who run one

    turn.emit(_started(turn))
    ring(turn)
    return await engine.run(run_of(turn))


def run_of(turn: Turn) -> Run:
    request = turn.request
    context = ToolContext(
        execution_id=turn.execution_text,
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
    budget = loop.budget(request)
    if request.session is None:
        cleaned = history.clean([*request.history, *new])
        return b"[" + b",".join(part for part in (system, history.encode(history.fit(cleaned, budget))) if part) + b"]"
    if began.transcript is not None:
        turn.transcript = began.transcript
    elif turn.transcript is None or turn.transcript.version != began.version:
        turn.transcript = await store.run(records.read_transcript, request.session.id, began.version)
    return turn.transcript.messages_json(system, new, budget, request.most_history)


def _started(turn: Turn) -> TurnStarted:
    request, agent = turn.request, turn.request.agent
    return TurnStarted(
        execution_id=turn.execution_text,
        agent=agent.name,
        version=agent.version,
        model=agent.model.name,
        session_id=ids.text(request.session.id) if request.session else "",
        message_id=ids.text(turn.assistant_id),
        tools=tuple(tool.name for tool in agent.tools) if request.tools else (),
        created_s=turn.started_at.timestamp(),
        context_window=agent.model.context_window,
        waited=turn.begin.queued,
    )


def announce_soon(execution_id: UUID) -> None:
    """A paused run was ended by this turn (R8.5): its watchers hear of it."""
    task = asyncio.create_task(announce(execution_id))
    _announcing.add(task)
    task.add_done_callback(_announcing.discard)


_announcing: set[asyncio.Task[None]] = set()
