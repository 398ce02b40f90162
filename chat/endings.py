"""Ending a run by its row, when no process holds it: by compare-and-set, with what it had said, conversation included (R9.1)."""

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from agents.errors import CODES
from agents.ids import uuid7
from chat import branches, records
from chat.branches import WAITING_POSITION
from chat.events import Usage
from chat.models import Approval, ChatSession, Execution, Message
from chat.requests import Part
from chat.written import Counted, Finish

_OPEN = ("queued", "running", "paused")
_LARGEST = 2**53
"""Above this no provider's count is a count."""


def least(end: Finish, reason: str) -> Finish:
    """What is left of an end that the database refuses for good: a failed run with the text that can be stored, and no doubtful number."""
    text, counts = storable(end.text), [getattr(end.usage, each.name) for each in fields(end.usage)]
    sane = all(0 <= count < _LARGEST for count in counts)
    return replace(
        end,
        status="failed",
        message_status="failed",
        finish_reason="",
        error_code="internal_error",
        error=CODES["internal_error"][1],
        error_detail=f"The end could not be stored as it was: {reason}",
        text=text,
        parts=_parts(text) if text and end.begin.request.session else [],
        steps=_steps(text) if text and not end.begin.request.session else [],
        incomplete=True,
        usage=end.usage if sane else Usage(),
        counted=end.counted if sane else Counted(),
        cost_usd=None,
        context_tokens=0,
        model_used=end.begin.request.agent.model.name,
        paused_state=None,
        approvals=[],
        client_calls=[],
    )


def storable(text: str) -> str:
    """Text as every database takes it: no U+0000, no half of a character."""
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@transaction.atomic
def end_stored(execution_id: UUID, status: str, code: str, text: str = "", last_seq: int = 0) -> bool:
    """Ends one open run as `status` with `code`; pending approvals are denied. False when another ended it first.

    `text` is what it had said; of a run that went on after a pause it may be all or what came since.
    """
    now = datetime.now(UTC)
    before = Execution.objects.select_for_update().filter(id=execution_id, status__in=_OPEN).first()
    if before is None:
        return False
    changes: dict[str, Any] = {"status": status, "error_code": code, "error": CODES[code][1], "completed_at": now, "lease_until": None}
    rest = _unsaid(before, storable(text)) if before.status != "paused" else ""
    if before.status != "paused":
        changes |= {"response": _joined(before.response, rest), "last_seq": max(last_seq, before.last_seq)}
        changes |= {"steps": [*before.steps, *_steps(rest, len(before.steps) + 1)]} if before.session_id is None and rest else {}
    Execution.objects.filter(id=execution_id).update(paused_state=None, **changes)
    Approval.objects.filter(execution_id=execution_id, decision="").update(decision="denied", reason=code, decided_at=now)
    ChatSession.objects.filter(paused_execution_id=execution_id).update(paused_execution_id=None)
    records.vacuum_checkpoints([execution_id])
    if before.session_id is not None and before.status != "paused":
        _end_conversation(before.session_id, before, status, rest, now)
    return True


def _unsaid(run: Execution, text: str) -> str:
    """What the row does not have of `text`; a pause stored what was said before it."""
    return text.removeprefix(run.response).lstrip("\n") if run.response else text


def _joined(said: str, rest: str) -> str:
    return "\n\n".join(filter(None, (said, rest)))


def _steps(text: str, step: int = 1) -> list[dict[str, Any]]:
    return [{"step": step, "parts": _parts(text, step)}]


def _parts(text: str, step: int = 1, block: int = 1) -> list[Part]:
    return [{"type": "step", "step": step, "model": ""}, {"type": "text", "block": block, "text": text}]


def _end_conversation(session_id: UUID, run: Execution, status: str, text: str, now: datetime) -> None:
    """`run` as it was before its end; `text` is what its message does not have yet."""
    session = ChatSession.objects.select_for_update().get(id=session_id)
    in_history = run.wire != "openai"
    position = _placed(session, run.id, status, in_history)
    if not in_history:
        branches.rejoin(run.id)
    counted = bool(run.steps)  # a run that went on after a pause
    added = int(not counted) + _said(session, run, position, status, text, in_history, now)
    ChatSession.objects.filter(id=session.id).update(
        version=F("version") + 1, next_position=max(session.next_position, position + 2),
        message_count=F("message_count") + added, last_message_at=now,
    )  # fmt: skip


def _said(session: ChatSession, run: Execution, position: int, status: str, text: str, in_history: bool, now: datetime) -> int:
    """Writes the assistant's message, or adds to the one there is of a run that went on after a pause. Returns how many are new."""
    message = Message.objects.filter(execution_id=run.id, role="assistant").first()
    if message is not None:
        parts = [*message.parts, *(_parts(text, len(run.steps) + 1, _next_block(message)) if text else [])]
        said = {"parts": parts, "text": _joined(message.text, text)}
        Message.objects.filter(id=message.id).update(status=status, incomplete=True, in_history=in_history, **said)
        return 0
    if text:
        Message.objects.create(
            id=uuid7(), session=session, execution_id=run.id, position=position + 1, role="assistant", parts=_parts(text),
            text=text, status=status, incomplete=True, in_history=in_history, created_at=now,
        )  # fmt: skip
    return int(bool(text))


def _next_block(message: Message) -> int:
    return 1 + max((part.get("block", 0) for part in message.parts), default=0)


def _placed(session: ChatSession, execution_id: UUID, status: str, in_history: bool) -> int:
    """The user message's place; one that still waited for its turn gets the next."""
    user = Message.objects.filter(execution_id=execution_id, role="user").first()
    if user is None:
        return session.next_position
    position = user.position if user.position != WAITING_POSITION else records.next_place(session.id)
    Message.objects.filter(id=user.id).update(status=status, position=position, in_history=in_history)
    return position
