"""What follows a run's end (deliveries, retries): told once the end is stored, by whoever stored it.

The mark `unreported` in the run's row makes up for a process that died in between: sweep() finds it. So followers may be told
twice, and must do the same thing once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import DatabaseError

from chat.models import Execution
from chat.requests import TurnRequest
from chat.store import run

logger = logging.getLogger("switchboard.finished")
Wants = Callable[[TurnRequest], bool]
Told = Callable[[UUID], Awaitable[None]]
_followers: list[Told] = []
_wishes: list[Wants] = []
_telling: set[asyncio.Task[None]] = set()
_AT_LEAST = timedelta(seconds=10)
_ENDED = ("success", "failed", "cancelled", "skipped")


def follow(told: Told, wants: Wants | None = None) -> None:
    """Has `told` called with the id of every queued run that ended (the trigger says which kind), and of the runs that it `wants`.

    `wants` is asked when a run begins, on the event loop: no I/O. `told` finds the end in the database; raising has it told again.
    """
    _followers.append(told)
    if wants is not None:
        _wishes.append(wants)


def wanted(request: TurnRequest) -> bool:
    """Whether the end of this run is to be told: then its row carries the mark."""
    return any(wants(request) for wants in _wishes)


def tell(execution_id: UUID) -> None:
    """Tells the end of a marked run, without waiting for what comes of it."""
    task = asyncio.create_task(_tell(execution_id))
    _telling.add(task)
    task.add_done_callback(_telling.discard)


async def _tell(execution_id: UUID) -> None:
    results = await asyncio.gather(*(told(execution_id) for told in _followers), return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in failures:
        logger.error("the end of run %s is told again later", execution_id, exc_info=failure)
    if not failures:
        with contextlib.suppress(DatabaseError):  # the mark stays, and it is told again
            await run(Execution.objects.filter(id=execution_id).update, unreported=None)


async def sweep() -> None:
    """Tells the ends that nobody told: their process died, or a follower failed."""
    for execution_id in await run(_untold):
        await _tell(execution_id)


def _untold() -> list[UUID]:
    before = datetime.now(UTC) - _AT_LEAST
    rows = Execution.objects.filter(unreported=True, completed_at__lt=before, status__in=_ENDED)
    return list(rows.order_by("completed_at").values_list("id", flat=True)[:200])
