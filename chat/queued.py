"""A turn to be run later, by whichever process has a worker: stored as a queued Execution, which is the truth (AG-31).

A broker only carries "look at the queue" calls; whoever sends them says so with announce_by(). chat.working runs what is queued.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from agents.ids import uuid7
from chat import backlog, idempotency, process, store
from chat.errors import TurnError
from chat.models import Execution
from chat.requests import IdempotencyClaim, TaskRequest

Announce = Callable[[UUID], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """`replayed`: the run of an Idempotency-Key that was used before."""

    execution_id: UUID
    replayed: bool = False


async def enqueue(task: TaskRequest, claim: IdempotencyClaim | None = None, *, answered: bool = True) -> Accepted:
    """Stores the run, then has a worker look at the queue (AG-30). `answered`: its caller does not wait for its end (R4.3).

    Raises agent_not_running, queue_full, store_unavailable, shutting_down, request_in_progress or idempotency_key_reused; then
    nothing waits, and the key is free.
    """
    process.check_open()
    execution_id = uuid7()
    earlier = await idempotency.take(claim, execution_id, answered=answered) if claim else None
    if earlier is not None:
        return Accepted(execution_id=earlier, replayed=True)
    try:
        await _enqueue(task, execution_id)
    except TurnError:
        if claim is not None:
            await idempotency.release(claim)
        raise
    return Accepted(execution_id=execution_id)


async def _enqueue(task: TaskRequest, execution_id: UUID) -> None:
    if not task.agent.enabled:
        raise TurnError("agent_not_running")
    refused: TurnError | None = await store.write(backlog.add, (task, execution_id))
    if refused is not None:
        raise refused
    try:
        await announce(backlog.agent_id_of(task))
    except TurnError as error:
        if await store.run(backlog.withdraw, execution_id, error.code):
            raise


def store_with(task: TaskRequest, execution_id: UUID | None = None) -> Execution:
    """Stores the run in the caller's own transaction (synchronous): announce() it when that has committed. Raises queue_full."""
    return backlog.stored(task, execution_id or uuid7())


def announce_by(announce: Announce) -> None:
    """Has `announce` called with the agent's id when a run of it waits; it raises store_unavailable when it cannot be heard."""
    global _announce
    _announce = announce


async def announce(agent_id: UUID) -> None:
    """Has a worker look at the queue of this agent. Raises store_unavailable; the row is found later all the same."""
    await _announce(agent_id)


async def _nobody(agent_id: UUID) -> None:
    """Without a broker the row waits until a worker looks by itself."""


_announce: Announce = _nobody
