"""Stopping a run from any process (R6.5): here at once, elsewhere by a bell, and by the database when nobody answers."""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from django.conf import settings

from chat import bell, turns
from chat.endings import end_stored
from chat.errors import TurnError
from chat.lateend import announce
from chat.models import Execution
from chat.replay import TERMINAL_STATUSES
from chat.store import run

_PATIENCE_S = 2.0

Result = Literal["terminated", "cancelled_while_queued", "cancelled_while_paused", "already_finished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """`status` is the execution's final one; `result` as in R6.5."""

    status: str
    result: Result


async def cancel(execution_id: UUID, code: str = "cancelled") -> Cancelled:
    """Stops the run; idempotent. Raises execution_not_found. The caller's right was checked before."""
    turn = turns.find(execution_id)
    if turn is not None:
        return await _stop_here(turn, code)
    found = await run(_state, execution_id)
    if found is None:
        raise TurnError("execution_not_found")
    before, is_held = found
    if before in TERMINAL_STATUSES:
        return Cancelled(status=before, result="already_finished")
    if before == "paused":
        return await _stop_stored(execution_id, code, "cancelled_while_paused")
    return await _stop_elsewhere(execution_id, before, code, is_held)


async def _stop_here(turn: "turns.Turn", code: str) -> Cancelled:
    result: Result = "terminated" if turn.entered else "cancelled_while_queued"
    stopped = turn.stop(code)
    if turn.task is not None:
        await asyncio.wait([turn.task], timeout=_PATIENCE_S * 5)
    status = _STATUS.get(type(turn.log.events[-1]).__name__, "cancelled") if turn.log.events else "cancelled"
    return _told(status, result if stopped else "already_finished")


_STATUS = {"TurnFinished": "success", "TurnFailed": "failed", "TurnCancelled": "cancelled", "TurnPaused": "paused"}


async def _stop_elsewhere(execution_id: UUID, before: str, code: str, is_held: bool) -> Cancelled:
    """`is_held`: some process has it; one that still waits in the queue is known to nobody (AG-31)."""
    result: Result = "cancelled_while_queued" if before == "queued" else "terminated"
    if settings.REDIS_URL and is_held:
        await bell.ring(execution_id, code)
        give_up = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up:
            await asyncio.sleep(0.05)
            status = await run(_status, execution_id)
            if status in TERMINAL_STATUSES:
                return _told(status, result)
    return await _stop_stored(execution_id, code, result)


async def _stop_stored(execution_id: UUID, code: str, result: Result) -> Cancelled:
    """By its row alone."""
    if await run(end_stored, execution_id, "cancelled", code):
        await announce(execution_id)
        await _stop_latecomer(execution_id, code)
    return _told(await run(_status, execution_id), result)


def _told(status: str | None, result: Result) -> Cancelled:
    """What ended otherwise in this very moment was not stopped by us (R0.8). Raises execution_not_found for what was deleted."""
    if status is None:
        raise TurnError("execution_not_found")
    return Cancelled(status=status, result=result if status == "cancelled" else "already_finished")


async def _stop_latecomer(execution_id: UUID, code: str) -> None:
    """A process may have taken the run up, or gone on with it, in this very moment: it stops; its end would not be written anyway."""
    if (turn := turns.find(execution_id)) is not None:
        turn.stop(code)
    if settings.REDIS_URL:
        await bell.ring(execution_id, code)


def _state(execution_id: UUID) -> tuple[str, bool] | None:
    row = Execution.objects.filter(id=execution_id).values_list("status", "lease_until").first()
    return (row[0], row[1] is not None) if row else None


def _status(execution_id: UUID) -> str | None:
    return Execution.objects.filter(id=execution_id).values_list("status", flat=True).first()
