"""Runs whose process died: found by a free owner lock or a lapsed lease, ended `failed`/`interrupted` with their partial text (R12.5)."""

import logging
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F, Q

from agents.errors import CODES
from agents.ids import uuid7
from chat import eventship, process, records
from chat.events import TextDelta
from chat.fold import fold
from chat.lateend import announce
from chat.models import ChatSession, Checkpoint, Execution, Message
from chat.store import run

logger = logging.getLogger("switchboard.recovery")
_NOT_CHAT = ("task", "schedule", "webhook")
"""Tasks are taken up again by their own floor, not ended here."""


async def recover() -> int:
    """Ends the dead chat runs that this process finds; returns how many. Safe to run everywhere at once."""
    dead_owners = process.dead_owners()
    dead = await run(_dead, dead_owners)
    ended = 0
    for execution_id in dead:
        text, last_seq = await _partial(execution_id)
        try:
            ended += await run(interrupt, execution_id, text, last_seq)
        except DatabaseError as error:
            logger.error("run %s could not be ended: %s", execution_id, error)
            continue
        await announce(execution_id)
    process.forget(dead_owners)
    if ended:
        logger.warning("ended %d runs whose process died", ended)
    return ended


def _dead(owners: list[str]) -> list[UUID]:
    lapsed = Q(process__in=owners) | Q(lease_until__lt=datetime.now(UTC))
    rows = Execution.objects.filter(lapsed, status__in=("queued", "running")).exclude(trigger__in=_NOT_CHAT)
    return list(rows.exclude(process=process.NAME).values_list("id", flat=True)[:500])


async def _partial(execution_id: UUID) -> tuple[str, int]:
    """The text a dead run had produced, and its last known number."""
    if settings.REDIS_URL:
        events = await eventship.stored_events(execution_id)
        if events:
            return fold(events).text, len(events)
    return await run(_checkpointed, execution_id)


def _checkpointed(execution_id: UUID) -> tuple[str, int]:
    rows = list(Checkpoint.objects.filter(execution_id=execution_id).order_by("id").values_list("text", "to_seq"))
    return "".join(text for text, _ in rows), rows[-1][1] if rows else 0


@transaction.atomic
def interrupt(execution_id: UUID, text: str, last_seq: int) -> bool:
    """Ends one run by compare-and-set, with what it had said as an incomplete message; False when another ended it first."""
    now = datetime.now(UTC)
    open_rows = Execution.objects.filter(id=execution_id, status__in=("queued", "running"))
    ended = open_rows.update(
        status="failed", error_code="interrupted", error=CODES["interrupted"][1], completed_at=now, lease_until=None, response=text,
        last_seq=last_seq,
    )  # fmt: skip
    if not ended:
        return False
    records.vacuum_checkpoints([execution_id])
    row = Execution.objects.get(id=execution_id)
    if row.session_id is None:
        Execution.objects.filter(id=execution_id).update(steps=[{"step": 1, "parts": _parts(text)}] if text else [])
        return True
    _end_conversation(row.session_id, execution_id, text, now)
    return True


def _parts(text: str) -> list[dict[str, Any]]:
    return [{"type": "step", "step": 1, "model": ""}, {"type": "text", "block": 1, "text": text}]


def _end_conversation(session_id: UUID, execution_id: UUID, text: str, now: datetime) -> None:
    session = ChatSession.objects.select_for_update().get(id=session_id)
    user = Message.objects.filter(execution_id=execution_id, role="user").first()
    in_history = not session.namespace.startswith("openai:")
    position = session.next_position
    if user is not None:
        position = user.position if user.position != records.WAITING_POSITION else session.next_position
        Message.objects.filter(id=user.id).update(status="failed", position=position, in_history=in_history)
    if text:
        Message.objects.create(
            id=uuid7(), session_id=session_id, execution_id=execution_id, position=position + 1, role="assistant", parts=_parts(text),
            text=text, status="failed", incomplete=True, in_history=in_history, created_at=now,
        )  # fmt: skip
    ChatSession.objects.filter(id=session_id).update(
        version=F("version") + 1, next_position=max(session.next_position, position + 2),
        message_count=F("message_count") + (2 if text else 1), last_message_at=now,
    )  # fmt: skip


def checkpoint_rows(turns: Any) -> list[tuple[UUID, int, str]]:
    """What running turns said since their last checkpoint; moves their marks."""
    rows = []
    for turn in turns:
        if not any(isinstance(event, TextDelta) for event in turn.log.events[-1:]) and turn.log.last_seq == turn.checkpointed_seq:
            continue
        text = fold(turn.log.events).text
        if len(text) > turn.checkpointed:
            rows.append((turn.execution_id, turn.log.last_seq, text[turn.checkpointed :]))
            turn.checkpointed = len(text)
        turn.checkpointed_seq = turn.log.last_seq
    return rows
