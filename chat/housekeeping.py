"""What every web process does beside its turns: checkpoints each second, leases and recovery each ten, expiry of approvals.

The one place besides chat.turns and chat.store with a broad `except`: these loops must not end while the process lives.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from django.conf import settings

from agents import directory, orphans
from chat import approvals, bell, idempotency, process, records, recovery, store, toolrows, turns
from chat.claims import RENEW_S
from chat.eventlog import registry
from chat.leases import leases

logger = logging.getLogger("switchboard.housekeeping")
_SECOND = 1.0
_MINUTE, _DAY = 60.0, 86_400.0
_SLICE = 200
Step = Callable[[], Awaitable[None]]
_tasks: dict[asyncio.AbstractEventLoop, list[asyncio.Task[None]]] = {}


def ensure() -> None:
    """Starts the housekeeping of this event loop, once."""
    loop = asyncio.get_running_loop()
    if loop in _tasks:
        return
    process.register()
    work: list[Step] = [_checkpoints, _leases, _recovery, _catalog, _tidying, *([_bell] if settings.REDIS_URL else [])]
    _tasks.clear()
    _tasks[loop] = [loop.create_task(_for_ever(step)) for step in work]


async def _for_ever(step: Step) -> None:
    """Repeats `step`: whatever fails in it is logged and outlived, or every run of this process would be given up by the others."""
    while True:
        try:
            await step()
        except Exception:
            logger.exception("housekeeping goes on after a failure")
            await asyncio.sleep(_SECOND)


async def _checkpoints() -> None:
    """Stateless calls that have run a second are stored (R0.6); without Redis, so is the text of longer turns."""
    await asyncio.sleep(_SECOND)
    now = time.monotonic()
    old = [turn for turn in list(turns.running().values()) if now - turn.started_s >= _SECOND and turn.entered and not turn.ending]
    late = [turn for turn in old if not turn.stored]
    if late:
        await store.write(records.begin_late, [turn.begin for turn in late], patient=True)
        for turn in late:
            turn.stored = True
    if not settings.REDIS_URL:
        await _store_text(old)


async def _store_text(old: list[turns.Turn]) -> None:
    """Appends what was said since the last second, a few hundred turns at a time so that nobody waits for it."""
    for start in range(0, len(old), _SLICE):
        said = [(turn, text) for turn in old[start : start + _SLICE] if (text := turn.unsaved_text())]
        if said:
            rows = [(turn.execution_id, turn.log.last_seq, text) for turn, text in said]
            await store.write(records.checkpoint, rows, patient=True)
            _checkpointed.update(turn.execution_id for turn, _ in said)
        await asyncio.sleep(0)
    ended = [execution_id for execution_id in _checkpointed if execution_id not in turns.running()]
    if ended:
        await store.run(records.vacuum_checkpoints, ended[:500])
        _checkpointed.difference_update(ended[:500])


_checkpointed: set[UUID] = set()


async def _renew() -> None:
    """Tells Redis what the live runs of this process hold; also as soon as it hears this process again: it may have lost all."""
    for lost in await leases.renew():
        if (turn := turns.find(lost)) is not None:
            turn.stop("interrupted")


async def _leases() -> None:
    """Renews what the live runs of this process hold, and nothing else: what no run stands behind lapses."""
    await _renew()
    if held := list(turns.running()):
        await store.write(records.renew, held)
    await asyncio.sleep(RENEW_S)


async def _recovery() -> None:
    """Ends what dead processes held, resumes or ends what waits for nothing, expires approvals; at start at once (R12.5)."""
    await recovery.recover()
    await approvals.expire()
    await approvals.revive()
    await idempotency.purge()
    await asyncio.sleep(RENEW_S)


async def _catalog() -> None:
    """Hears of agents published and keys revoked by other processes within two seconds, also without a turn (OAI-10)."""
    await asyncio.sleep(2 * _SECOND)
    await directory.newest()


async def _tidying() -> None:
    """Once a day, first a minute after the start: what nobody will look for again goes."""
    await asyncio.sleep(_MINUTE)
    await toolrows.purge()
    await orphans.sweep()
    await asyncio.sleep(_DAY)


async def _bell() -> None:
    """Hears from other processes which runs to stop, and which ended ones to forget."""
    async for execution_id, code in bell.heard(_renew):
        if code == bell.FORGET:
            registry.forget(execution_id)
            continue
        turn = turns.find(execution_id)
        if turn is not None:
            turn.stop(code)


async def stop() -> None:
    """Ends the housekeeping of this event loop."""
    tasks = _tasks.pop(asyncio.get_running_loop(), [])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
