"""Watching any execution from anywhere: this process's log, another's through Redis, or the stored run (R7). Access is checked before."""

import asyncio
import logging
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError

from chat import eventship, replay
from chat.eventlog import Log, batches, registry
from chat.events import Gap
from chat.models import Execution
from chat.store import run

logger = logging.getLogger("switchboard.watching")
_POLL_S = 1.0
_PAUSED_LOOKS = 10
"""Of so many looks at silent runs, one is for those that are paused: a bell that was not heard costs seconds, not the end."""


async def log_for(execution_id: UUID, after: int = 0) -> Log:
    """The log to follow from `after`. A run that is known nowhere but in storage is replayed; a queued one waits for its first event."""
    log = registry.get(execution_id)
    if log is not None and log.covers(after) and not await _went_on_elsewhere(log):
        return log
    if settings.REDIS_URL:
        mirrored = await eventship.mirror.open(execution_id)
        if mirrored is not None and mirrored.covers(after):
            await _look_up_paused(mirrored)
            _keep_honest(mirrored)
            return mirrored
    status = await run(_status, execution_id)
    if status in replay.TERMINAL_STATUSES or status == "paused":
        return await replay.log_of(execution_id, after)
    return _expected(execution_id) if status == "queued" else _awaited(execution_id, after)


def _expected(execution_id: UUID) -> Log:
    """A log for a run that waits: it fills at once when the run begins, here or elsewhere."""
    if not settings.REDIS_URL:
        return registry.expect(execution_id)
    log = eventship.mirror.expect(execution_id)
    _keep_honest(log)
    return log


async def _went_on_elsewhere(log: Log) -> bool:
    """A run that paused here may have been decided, or ended, by another process; the database knows."""
    if log.complete or log.execution_id in registry.live or not log.at_rest():
        return False
    return await run(_status, log.execution_id) != "paused"


def _status(execution_id: UUID) -> str | None:
    return Execution.objects.filter(id=execution_id).values_list("status", flat=True).first()


def _awaited(execution_id: UUID, after: int) -> Log:
    """A log for a run that lives elsewhere and has no events yet, or none that can be had: ends when the database has its end."""
    log = Log(execution_id, after)
    task = asyncio.get_running_loop().create_task(_await_events(log))
    _waiting.add(task)
    task.add_done_callback(_waiting.discard)
    return log


_waiting: set[asyncio.Task[None]] = set()


async def _await_events(log: Log) -> None:
    while not log.complete:
        source = registry.get(log.execution_id)
        if source is None and settings.REDIS_URL:
            source = await eventship.mirror.open(log.execution_id)
        if source is not None:
            await _copy(source, log)
            return
        await asyncio.sleep(_POLL_S)
        if not log.watched:
            return
        await _finish_from_storage(log)


async def _copy(source: Log, log: Log) -> None:
    """Follows `source`. What it does not have (a run that went on after its process died) is a gap, never hidden (R7.5)."""
    if not log.events and not source.covers(log.base):
        gap = Gap(log.base + 1, source.base)
        log.base = source.base - 1
        log.append(gap)
    async for _ in batches(source, log.last_seq):
        if source.base > log.last_seq:  # another attempt began (AG-32)
            log.restart(source.base + 1)
        for event in source.events[log.last_seq - source.base :]:
            log.append(event)
    if not log.at_rest() and source.events:
        log.append(source.events[-1])  # who claims to have seen more than there is still hears of the end


async def _look_up_paused(log: Log) -> None:
    """A paused run is looked up when it is asked for, which its conversation's bell has every watcher do: it may be over."""
    if log.at_rest() and not log.complete:
        log.watched += 1  # or the mirror would drop it meanwhile
        try:
            await _finish_from_storage(log)
        finally:
            log.watched -= 1


def _keep_honest(log: Log) -> None:
    """A mirrored run whose stream fell silent may have lost it (Redis restarted): the database tells whether it ended."""
    if log.complete or log in _kept:
        return
    _kept.add(log)
    task = asyncio.get_running_loop().create_task(_watch_storage(log))
    _waiting.add(task)
    task.add_done_callback(_waiting.discard)


_kept: set[Log] = set()


async def _watch_storage(log: Log) -> None:
    """Looks again and again while the run is silent; hardly ever while it is paused: its stream or its bell tells when it moves."""
    seen, silent = -1, 0
    try:
        while not log.complete:
            await asyncio.sleep(2 * _POLL_S)
            if not log.watched:
                return
            silent = silent + 1 if seen == log.last_seq else 0
            seen = log.last_seq
            if silent and (silent % _PAUSED_LOOKS == 0 or not log.at_rest()):
                await _finish_from_storage(log)
    finally:
        _kept.discard(log)


async def _finish_from_storage(log: Log) -> None:
    """If the run ended, what is missing comes from storage, after a gap that says to start over (R7.5).

    A database that is away is asked again at the next look; a log that somebody else completed meanwhile is left alone.
    """
    try:
        if await run(_status, log.execution_id) not in replay.TERMINAL_STATUSES:
            return
        await asyncio.sleep(4 * eventship.FLUSH_S)  # its last events may be on their way
        stored = await replay.log_of(log.execution_id, max(1, log.last_seq) if log.events or log.base else 0)
    except DatabaseError as error:
        logger.warning("a watched run cannot be looked up: %s", error)
        return
    if log.complete:
        return
    for event in stored.events:
        log.append(event)
