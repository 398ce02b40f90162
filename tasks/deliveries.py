"""Ended runs on their way out (AG-52): which go where, when they are tried, and what became of each try.

The row is there before the first try, and every process sends what is due: a delivery outlives whoever began it. Whoever tries
one claims it by compare-and-set; a claim that nobody ends lapses.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from agents.database import run
from chat.models import Execution
from chat.requests import TurnRequest
from chat.times import iso
from tasks import sending
from tasks.models import Delivery, Endpoint

logger = logging.getLogger("switchboard.deliveries")
PAUSES_S = (60, 300, 900, 3600, 7200, 21_600, 50_400)
"""After each try but the last: eight tries in about a day."""
MAX_TRIES = len(PAUSES_S) + 1
CLAIM = timedelta(seconds=60)
KEPT = timedelta(days=30)
_AT_ONCE = 20
_GONE = 410
_ENDED = (Execution.Status.SUCCESS, Execution.Status.FAILED, Execution.Status.CANCELLED)


# Which runs are wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """What an endpoint wants to hear of; empty: all."""

    agent_id: UUID | None
    triggers: frozenset[str]


_interests: tuple[Interest, ...] = ()


def load() -> None:
    """Reads the endpoints into memory; called with the catalog, so that no turn pays for them."""
    global _interests
    rows = Endpoint.objects.filter(enabled=True).values_list("agent_id", "triggers")
    _interests = tuple(Interest(agent_id=agent_id, triggers=frozenset(triggers)) for agent_id, triggers in rows)


def wants(request: TurnRequest) -> bool:
    """Whether some endpoint may want to hear how this run ends; asked when it begins."""
    return any(
        interest.agent_id in (None, request.agent.id) and (not interest.triggers or request.trigger in interest.triggers)
        for interest in _interests
    )


async def told(execution_id: UUID) -> None:
    """A run ended: its deliveries are stored, then begun. Told twice it does this once."""
    if await run(plan, execution_id):
        begin()


@transaction.atomic
def plan(execution_id: UUID) -> int:
    """Stores what is to be delivered of a run; how many. Synchronous."""
    row = Execution.objects.filter(id=execution_id, status__in=_ENDED).first()
    if row is None:
        return 0
    now = timezone.now()
    wanted = [Delivery(endpoint=endpoint, execution_id=row.id, url=endpoint.url, next_try_at=now) for endpoint in _wanting(row)]
    if row.callback_url:
        wanted.append(Delivery(execution_id=row.id, url=row.callback_url, next_try_at=now))
    Delivery.objects.bulk_create(wanted, ignore_conflicts=True)
    return len(wanted)


def _wanting(row: Execution) -> Iterable[Endpoint]:
    endpoints = Endpoint.objects.filter(Q(agent=None) | Q(agent=row.agent_id), enabled=True)
    for endpoint in endpoints:
        if (not endpoint.statuses or row.status in endpoint.statuses) and (not endpoint.triggers or row.trigger in endpoint.triggers):
            yield endpoint


# Trying


async def sweep(_dead_owners: Sequence[str] = ()) -> None:
    """Begins what is due and forgets what is long past; part of every process's housekeeping, which does not wait for receivers."""
    begin()
    await run(Delivery.objects.filter(created_at__lt=timezone.now() - KEPT).exclude(status=Delivery.Status.PENDING).delete)


def begin() -> None:
    """Sends what is due, in the background of this event loop; what comes while it does is sent too."""
    loop = asyncio.get_running_loop()
    if loop in _senders and not _senders[loop].done():
        _again.add(loop)
        return
    _senders.clear()
    _senders[loop] = loop.create_task(_send_all(loop))


_senders: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}
_again: set[asyncio.AbstractEventLoop] = set()


async def _send_all(loop: asyncio.AbstractEventLoop) -> None:
    try:
        while await send_due() or loop in _again:
            _again.discard(loop)
    except DatabaseError as error:
        logger.warning("what is due is sent later: %s", error)


async def send_due() -> int:
    """Tries everything that is due, once; how many there were."""
    claimed = await run(_claim)
    await asyncio.gather(*(_try(delivery) for delivery in claimed))
    return len(claimed)


def _claim() -> list[Delivery]:
    """Some of what is due, ours for a minute."""
    now = timezone.now()
    due = Delivery.objects.filter(status=Delivery.Status.PENDING, next_try_at__lte=now).select_related("endpoint")
    claimed = []
    for delivery in due.order_by("next_try_at")[:_AT_ONCE]:
        mine = Delivery.objects.filter(pk=delivery.pk, status=Delivery.Status.PENDING, next_try_at=delivery.next_try_at)
        if mine.update(next_try_at=now + CLAIM):
            delivery.next_try_at = now + CLAIM
            claimed.append(delivery)
    return claimed


async def _try(delivery: Delivery) -> None:
    begun = timezone.now()
    outcome = await sending.send(delivery)
    await run(_record, delivery, begun, outcome)
    if not outcome.delivered:
        logger.warning("delivery %s was not taken: %s", delivery.pk, outcome.error)


def _record(delivery: Delivery, begun: datetime, outcome: sending.Outcome) -> None:
    """Writes the try and what follows, unless the claim has lapsed and another has it."""
    now, made = timezone.now(), delivery.tries_made + 1
    tries = [*delivery.tries, _told(begun, now, outcome)]
    changes: dict[str, Any] = {"tries": tries, "tries_made": made, "url": sending.address_of(delivery), "next_try_at": None}
    if outcome.delivered:
        changes["status"] = Delivery.Status.DELIVERED
    elif outcome.status == _GONE or outcome.hopeless or made >= MAX_TRIES:
        changes["status"] = Delivery.Status.FAILED
    else:
        changes["next_try_at"] = now + timedelta(seconds=PAUSES_S[made - 1])
    Delivery.objects.filter(pk=delivery.pk, status=Delivery.Status.PENDING, next_try_at=delivery.next_try_at).update(**changes)


def _told(begun: datetime, now: datetime, outcome: sending.Outcome) -> dict[str, Any]:
    took_ms = round((now - begun).total_seconds() * 1000)
    return {"at": iso(begun), "status": outcome.status, "error": outcome.error, "duration_ms": took_ms}


def again(delivery: Delivery) -> None:
    """Sends it again, now and as patiently as the first time. Synchronous."""
    fresh = {"status": Delivery.Status.PENDING, "tries_made": 0, "next_try_at": timezone.now()}
    Delivery.objects.filter(pk=delivery.pk).update(**fresh)
