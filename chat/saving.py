"""Adds question and answer of a run that was no turn of it to its owner's current conversation with the agent (`save_to_session`).

Done once, after the run's end, by whoever comes first: who waits for the answer, or chat.finished, which tells again until it is done.
"""

import time
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce

from agents import directory
from agents.ids import uuid7
from chat import current, records, sessions
from chat.claims import Claim, Entered
from chat.errors import TurnError
from chat.leases import leases
from chat.models import ChatSession, Execution, Message
from chat.replay import parts_of
from chat.requests import SessionRef, text_of
from chat.store import run

_PATIENCE_S = 240.0
_TRIES = 3


async def told(execution_id: UUID) -> None:
    """A queued run ended (chat.finished)."""
    if await run(_is_to_save, execution_id):
        await save(execution_id)


async def save(execution_id: UUID) -> UUID | None:
    """The conversation that has question and answer now; None when its owner or its agent is gone. Raises TurnError: try again."""
    row = await run(Execution.objects.get, id=execution_id)
    user = await directory.user(row.owner_id) if row.owner_id else None
    agent = (await directory.catalog()).by_id.get(row.agent_id) if row.agent_id else None
    if user is None or agent is None:
        return None
    for _ in range(_TRIES):
        session = await sessions.current_session(user.principal, agent, "agents")
        kept = await _with_lock(row, session)
        if kept is not None:
            return kept
        sessions.forget(user.principal, session)
    raise TurnError("session_busy", retry_after_s=5)


def _is_to_save(execution_id: UUID) -> bool:
    row = Execution.objects.only("status", "work").get(id=execution_id)
    return row.status == Execution.Status.SUCCESS and bool((row.work or {}).get("save"))


async def _with_lock(row: Execution, session: SessionRef) -> UUID | None:
    """Between two turns of the conversation; None when it is not the current one any more."""
    claim = Claim(
        execution_id=uuid7(), session_id=session.id, owner=f"user:{session.owner_id}", agent_key=str(session.agent_id),
        deadline_s=time.monotonic() + _PATIENCE_S,
    )  # fmt: skip
    entry = leases.try_enter(claim) or await leases.enter(claim)
    if not isinstance(entry, Entered):
        await leases.wait(claim)
    try:
        return await run(_append, row, session)
    finally:
        await leases.exit(claim.execution_id, real_tokens=0, transcript=None)


@transaction.atomic
def _append(row: Execution, session: SessionRef) -> UUID | None:
    """Question and answer, once: the run's row is held meanwhile."""
    Execution.objects.select_for_update().only("id").get(id=row.id)
    kept = Message.objects.filter(execution_id=row.id).values_list("session_id", flat=True).first()
    if kept is not None:
        return kept
    if not current.move(session):
        return None
    if session.is_new:
        _make(row, session)
    state = ChatSession.objects.select_for_update().filter(id=session.id).first()
    if state is None:
        return None
    place = records.next_place(session.id)
    Message.objects.bulk_create(_messages(row, session.id, place))
    ChatSession.objects.filter(id=session.id).update(
        version=F("version") + 1, next_position=place + 2, message_count=F("message_count") + 2,
        input_tokens=F("input_tokens") + row.input_tokens, output_tokens=F("output_tokens") + row.output_tokens,
        last_message_at=datetime.now(UTC), **_cost_with(row),
    )  # fmt: skip
    return session.id


def _cost_with(row: Execution) -> dict[str, CombinedExpression]:
    """A cost that nobody knows changes nothing (R0.3)."""
    return {} if row.cost_usd is None else {"cost_usd": Coalesce(F("cost_usd"), Decimal(0)) + row.cost_usd}


def _make(row: Execution, session: SessionRef) -> None:
    ChatSession.objects.create(
        id=session.id, namespace=session.namespace, agent_id=session.agent_id, agent_name=session.agent_name, owner_id=session.owner_id,
        wire=session.wire, title=" ".join(text_of(_question(row)).split())[:80],
    )  # fmt: skip


def _question(row: Execution) -> list[dict[str, object]]:
    work = row.work or {}
    return list(work["stored_parts"] or work["parts"])


def _messages(row: Execution, session_id: UUID, position: int) -> list[Message]:
    question, response = _question(row), parts_of(row)
    common = {"session_id": session_id, "execution_id": row.id, "status": Message.Status.DONE, "source": "task"}
    return [
        Message(
            **common, position=position, role="user", parts=question, text=text_of(question), created_at=row.created_at
        ),
        Message(
            **common, position=position + 1, role="assistant", parts=response, text=row.response,
            created_at=row.completed_at or datetime.now(UTC),
        ),
    ]  # fmt: skip
