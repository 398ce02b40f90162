"""Ending a run by its row, when no process holds it: by compare-and-set, with what it had said, conversation included (R9.1)."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from agents.errors import CODES
from agents.ids import uuid7
from chat import records
from chat.models import Approval, ChatSession, Execution, Message

_OPEN = ("queued", "running", "paused")


@transaction.atomic
def end_stored(execution_id: UUID, status: str, code: str, text: str = "", last_seq: int = 0) -> bool:
    """Ends one open run as `status` with `code`; pending approvals are denied. False when another ended it first."""
    now = datetime.now(UTC)
    before = Execution.objects.select_for_update().filter(id=execution_id, status__in=_OPEN).first()
    if before is None:
        return False
    changes: dict[str, Any] = {"status": status, "error_code": code, "error": CODES[code][1], "completed_at": now, "lease_until": None}
    if before.status != "paused":
        changes |= {"response": text, "last_seq": max(last_seq, before.last_seq)}
        changes |= {"steps": _steps(text)} if before.session_id is None and text else {}
    Execution.objects.filter(id=execution_id).update(paused_state=None, **changes)
    Approval.objects.filter(execution_id=execution_id, decision="").update(decision="denied", reason=code, decided_at=now)
    ChatSession.objects.filter(paused_execution_id=execution_id).update(paused_execution_id=None)
    records.vacuum_checkpoints([execution_id])
    if before.session_id is not None and before.status != "paused":
        _end_conversation(before.session_id, execution_id, status, text, now)
    return True


def _steps(text: str) -> list[dict[str, Any]]:
    return [{"step": 1, "parts": _parts(text)}]


def _parts(text: str) -> list[dict[str, Any]]:
    return [{"type": "step", "step": 1, "model": ""}, {"type": "text", "block": 1, "text": text}]


def _end_conversation(session_id: UUID, execution_id: UUID, status: str, text: str, now: datetime) -> None:
    session = ChatSession.objects.select_for_update().get(id=session_id)
    in_history = not session.namespace.startswith("openai:")
    position = _placed(session, execution_id, status, in_history)
    if text:
        Message.objects.create(
            id=uuid7(), session_id=session_id, execution_id=execution_id, position=position + 1, role="assistant", parts=_parts(text),
            text=text, status=status, incomplete=True, in_history=in_history, created_at=now,
        )  # fmt: skip
    ChatSession.objects.filter(id=session_id).update(
        version=F("version") + 1, next_position=max(session.next_position, position + 2),
        message_count=F("message_count") + (2 if text else 1), last_message_at=now,
    )  # fmt: skip


def _placed(session: ChatSession, execution_id: UUID, status: str, in_history: bool) -> int:
    """The user message's place; one that still waited for its turn gets the next."""
    user = Message.objects.filter(execution_id=execution_id, role="user").first()
    if user is None:
        return session.next_position
    position = user.position if user.position != records.WAITING_POSITION else session.next_position
    Message.objects.filter(id=user.id).update(status=status, position=position, in_history=in_history)
    return position
