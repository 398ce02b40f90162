"""Deleting a conversation for good (AG-22): its run is stopped first; messages are gone, its executions keep their numbers without text.

Copies go too: files that came with its messages, cached history, events of runs that can still be resumed, in every process.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from agents import attachments
from agents.models import Attachment
from chat import bell, eventship, records, redis, sessionbell
from chat.cancelling import cancel
from chat.errors import TurnError
from chat.eventlog import registry
from chat.leases import leases
from chat.models import Approval, ChatSession, Execution, Message
from chat.store import run

_OPEN = ("queued", "running", "paused")
_TRIES = 5
"""How often a run that begins in the meantime is stopped as well."""
_RUNG = 1000
"""Runs that other processes are told of, newest first: of older ones they have nothing at hand."""
_TEXTS: dict[str, Any] = {"message": "", "response": "", "error_detail": "", "labels": {}, "paused_state": None, "work": None}


async def delete_session(session_id: UUID, owner: str) -> None:
    """`owner` as claims name it. Raises session_busy when new turns begin faster than they can be stopped."""
    for _ in range(_TRIES):
        for execution_id in await run(_open_runs, session_id):
            with contextlib.suppress(TurnError):  # it was deleted by another at the same moment
                await cancel(execution_id)
        wiped = await run(_wipe, session_id)
        if wiped is not None:
            break
    else:
        raise TurnError("session_busy", retry_after_s=1)
    await leases.forget(owner, session_id)
    await _forget_events(wiped.runs)
    for row in wiped.files:
        await attachments.discard(row)
    sessionbell.ring(session_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiped:
    """What is left to do: `runs`, newest first, whose events may be at hand, and the files that came with messages."""

    runs: list[UUID]
    files: list[Attachment]


def _open_runs(session_id: UUID) -> list[UUID]:
    return list(Execution.objects.filter(session_id=session_id, status__in=_OPEN).values_list("id", flat=True))


@transaction.atomic
def _wipe(session_id: UUID) -> Wiped | None:
    """Its runs, and tasks that were saved there; None, and nothing is changed, while a run is open."""
    session = ChatSession.objects.select_for_update().filter(id=session_id).first()
    if session is None:
        return Wiped(runs=[], files=[])
    runs = Execution.objects.filter(session_id=session_id)
    if runs.filter(status__in=_OPEN).exists():
        return None
    saved = Message.objects.filter(session_id=session_id, source="task").values_list("execution_id", flat=True)
    ids = [*runs.order_by("-created_at").values_list("id", flat=True), *filter(None, saved)]
    _wipe_steps(ids)
    Execution.objects.filter(id__in=ids).update(**_TEXTS)
    Approval.objects.filter(execution__in=ids).update(arguments={}, decided_arguments=None, reason="")
    records.vacuum_checkpoints(ids)
    files = list(Attachment.objects.filter(id__in=_inline_files(session_id)))
    session.delete()
    return Wiped(runs=ids, files=files)


def _inline_files(session_id: UUID) -> set[str]:
    asked = Message.objects.filter(session_id=session_id, role=Message.Role.USER).values_list("parts", flat=True)
    return {part["attachment_id"] for parts in asked.iterator() for part in parts if part.get("inline")}


def _wipe_steps(ids: list[UUID]) -> None:
    """Where a step keeps what was said itself, that goes and its numbers stay."""
    for execution_id, steps in Execution.objects.filter(id__in=ids).values_list("id", "steps"):
        if any("parts" in step for step in steps):
            bare = [{name: value for name, value in step.items() if name != "parts"} for step in steps]
            Execution.objects.filter(id=execution_id).update(steps=bare)


async def _forget_events(ids: list[UUID]) -> None:
    for execution_id in ids:
        registry.forget(execution_id)
    if not settings.REDIS_URL or not ids:
        return
    await asyncio.sleep(4 * eventship.FLUSH_S)  # what a run that was just stopped has said is on its way
    with contextlib.suppress(*redis.failures()):  # they expire by themselves
        await redis.client().delete(*map(eventship.key, ids))
    for execution_id in ids[:_RUNG]:
        await bell.ring(execution_id, bell.FORGET)
