"""Runs whose process died: found by a free owner lock or a lapsed lease, ended `failed`/`interrupted` with their partial text (R12.5)."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Q

from chat import eventship, process, turns
from chat.endings import end_stored
from chat.fold import fold
from chat.lateend import announce
from chat.leases import leases
from chat.models import Checkpoint, Execution
from chat.store import run

logger = logging.getLogger("switchboard.recovery")
GRACE_S = 15.0
"""After the database was away nobody could renew leases: living processes get this long to do so."""
_no_sooner_s = 0.0
Step = Callable[[Sequence[str]], Awaitable[None]]
_also: list[Step] = []


def also(step: Step) -> None:
    """Has every recovery of this process call `step` with the names of dead processes: what was queued is taken back by its own floor."""
    _also.append(step)


async def recover() -> int:
    """Ends the dead chat runs that this process finds; returns how many. Safe to run everywhere at once."""
    global _no_sooner_s
    dead_owners = process.dead_owners()
    try:
        ended = await _end_dead(dead_owners)
        for step in _also:
            await step(dead_owners)
    except DatabaseError:
        _no_sooner_s = time.monotonic() + GRACE_S
        raise
    process.forget(dead_owners)
    if ended:
        logger.warning("ended %d runs whose process died", ended)
    return ended


def lapses_count() -> bool:
    """Whether a lease that lapsed means that its process is dead: not right after an outage of the database."""
    return time.monotonic() >= _no_sooner_s


async def _end_dead(owners: list[str]) -> int:
    ended = 0
    for execution_id in await run(_dead, owners, lapses_count()):
        text, last_seq = await partial(execution_id)
        try:
            ended += await run(end_stored, execution_id, "failed", "interrupted", text, last_seq)
        except DatabaseError as error:
            logger.error("run %s could not be ended: %s", execution_id, error)
            continue
        await announce(execution_id)
        await leases.free(execution_id, *await run(_held, execution_id))
    return ended


def _dead(owners: list[str], lapsed: bool) -> list[UUID]:
    """Runs of dead processes, and rows whose lease nobody renews: this process renews those of its live runs only."""
    gone = Q(process__in=owners) | (Q(lease_until__lt=datetime.now(UTC)) if lapsed else Q(pk__in=[]))
    rows = Execution.objects.filter(gone, status__in=("queued", "running")).filter(work__isnull=True)
    return [execution_id for execution_id in rows.values_list("id", flat=True)[:500] if turns.find(execution_id) is None]


def _held(execution_id: UUID) -> tuple[UUID | None, str]:
    """What the lease of a run is for: its conversation and its agent."""
    row = Execution.objects.only("session_id", "agent_id", "agent_name").get(id=execution_id)
    return row.session_id, str(row.agent_id or row.agent_name)


async def partial(execution_id: UUID) -> tuple[str, int]:
    """The text a dead run had produced, and its last known number."""
    if settings.REDIS_URL:
        events, last_seq = await eventship.stored_events(execution_id)
        if events:
            return fold(events).text, last_seq
    return await run(_checkpointed, execution_id)


def _checkpointed(execution_id: UUID) -> tuple[str, int]:
    rows = list(Checkpoint.objects.filter(execution_id=execution_id).order_by("id").values_list("text", "to_seq"))
    return "".join(text for text, _ in rows), rows[-1][1] if rows else 0
