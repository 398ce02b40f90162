"""What every web process does beside its turns: checkpoints each second, leases and recovery each ten, expiry of approvals."""

import asyncio
import logging
import time
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from redis.exceptions import RedisError

from agents import directory
from agents.errors import SwitchboardError
from chat import approvals, bell, idempotency, process, records, recovery, store, turns
from chat.leases import leases

logger = logging.getLogger("switchboard.housekeeping")
_SECOND = 1.0
_LEASE_S = 10.0
_tasks: dict[asyncio.AbstractEventLoop, list[asyncio.Task[None]]] = {}


def ensure() -> None:
    """Starts the housekeeping of this event loop, once."""
    loop = asyncio.get_running_loop()
    if loop in _tasks:
        return
    process.register()
    work = [_seconds, _leases, _catalog, *([_bell] if settings.REDIS_URL else [])]
    _tasks.clear()
    _tasks[loop] = [loop.create_task(_for_ever(step)) for step in work]


async def _for_ever(step: object) -> None:
    """Repeats `step`; an outage of the database or of Redis is logged and outlived."""
    while True:
        try:
            await step()  # type: ignore[operator]
        except (DatabaseError, RedisError, OSError, SwitchboardError) as error:
            logger.warning("housekeeping waits: %s", error)
            await asyncio.sleep(_SECOND)


async def _seconds() -> None:
    """Checkpoints: stateless calls that have run a second are stored; without Redis, so is the text of longer turns."""
    await asyncio.sleep(_SECOND)
    now = time.monotonic()
    old = [turn for turn in list(turns.running().values()) if now - turn.started_s >= _SECOND and turn.entered and not turn.ending]
    for turn in [turn for turn in old if not turn.stored]:
        await store.write(records.begin_late, turn.begin)
        turn.stored = True
    rows = [] if settings.REDIS_URL else recovery.checkpoint_rows(old)
    if rows:
        await store.write(records.checkpoint, rows)
    if _checkpointed and not settings.REDIS_URL:
        ended = [id_ for id_ in _checkpointed if id_ not in turns.running()]
        await store.run(records.vacuum_checkpoints, ended)
        _checkpointed.difference_update(ended)
    _checkpointed.update(row[0] for row in rows)


_checkpointed: set[UUID] = set()


async def _leases() -> None:
    """Renews what this process holds, ends what dead ones held, expires approvals; at start at once (R12.5)."""
    for lost in await leases.renew():
        if (turn := turns.find(lost)) is not None:
            turn.stop("interrupted")
    await store.write(records.renew, process.NAME)
    await recovery.recover()
    await approvals.expire()
    await idempotency.purge()
    await asyncio.sleep(_LEASE_S)


async def _catalog() -> None:
    """Hears of agents published and keys revoked by other processes within two seconds, also without a turn (OAI-10)."""
    await asyncio.sleep(2 * _SECOND)
    await directory.moved()


async def _bell() -> None:
    """Hears from other processes which runs to stop."""
    async for execution_id, code in bell.heard():
        turn = turns.find(execution_id)
        if turn is not None:
            turn.stop(code)


async def stop() -> None:
    """Ends the housekeeping of this event loop."""
    tasks = _tasks.pop(asyncio.get_running_loop(), [])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
