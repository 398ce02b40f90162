"""How a run ends: its outcome as the one terminal event, stored first, told last (R0.7). The end comes whatever fails."""

import logging
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from agents import directory, ids
from chat import endrecords, finished, gates, idempotency, metrics, store, usual
from chat.claims import nothing
from chat.endings import least
from chat.errors import TurnError
from chat.eventlog import registry
from chat.events import TERMINAL, ApprovalRequested, TurnCancelled, TurnEvent, TurnFailed, TurnFinished, TurnPaused
from chat.leases import leases
from chat.loop import Ended, Paused
from chat.pausing import paused_state, pending_approvals
from chat.progress import Progress
from chat.replay import stored_end
from chat.transcripts import Transcript
from chat.turn import Turn, live
from chat.written import Finish

logger = logging.getLogger("switchboard.turns")
_STOPPED = {"cancelled": "cancelled", "client_left": "cancelled", "timeout": "failed", "interrupted": "failed"}
"""What a run that was stopped ends as, by the code of the stop."""


def ended(turn: Turn, end: Ended | Paused) -> TurnEvent:
    if isinstance(end, Paused):
        approvals = pending_approvals(end)
        for approval in approvals:
            turn.emit(ApprovalRequested(approval=approval))
        turn.begin.paused = paused_state(turn, end)
        return TurnPaused(approvals=approvals, notice=turn.request.agent.approval_notice, **sums(turn))
    return TurnFinished(finish_reason=end.finish_reason, **sums(turn), **_final(turn))


def failed(turn: Turn, error: TurnError) -> TurnFailed:
    turn.begin.error_detail, turn.retry_after_s = directory.current().scrubber.text(error.detail), error.retry_after_s
    if error.detail:
        logger.warning("run %s failed: %s %s", turn.execution_id, error.code, turn.begin.error_detail)
    return TurnFailed(code=error.code, message=error.message, status=error.status, **sums(turn), **_final(turn))


def stopped(turn: Turn) -> TurnFailed | TurnCancelled:
    code = turn.stop_code or "cancelled"
    error = TurnError(code, f"The request took longer than {turn.request.timeout_s:g} seconds." if code == "timeout" else "")
    if _STOPPED.get(code, "cancelled") == "failed":
        return failed(turn, error)
    return TurnCancelled(code=code, message=error.message, **sums(turn), **_final(turn))


def sums(turn: Turn) -> dict[str, Any]:
    cost = turn.cost = cost_of(turn)
    first = turn.progress.first_token_s
    return {
        "usage": turn.progress.usage,
        "duration_ms": round((time.monotonic() - turn.started_s) * 1000),
        "first_token_ms": None if first is None else round(first * 1000),
        "cost_usd": None if cost is None else float(round(cost, 6)),
    }


def _final(turn: Turn) -> dict[str, Any]:
    return {"context_tokens": turn.progress.context_tokens, "message_id": ids.text(turn.assistant_id), "job": _job(turn)}


def _job(turn: Turn) -> dict[str, Any] | None:
    """How a workflow's run ended, beside what every end says."""
    called, state = turn.request.workflow, turn.progress.job
    return None if called is None else {"workflow_id": called.name, "result": state.get("result"), "step": state.get("step", "")}


def cost_of(turn: Turn) -> Decimal | None:
    """The first cost a gate knows (R10.2)."""
    spent = gates.Spent(steps=turn.progress.spent, status="success")
    costs = [gate.after(state, spent) for gate, state in zip(gates.load(), turn.states, strict=True)]
    return next((cost for cost in costs if cost is not None), None)


async def end(turn: Turn, event: TurnEvent) -> None:
    """Stores the end, frees the lease, refreshes the caches, and then says so (R0.7). The terminal event comes whatever fails."""
    turn.ending = True
    if turn.timer is not None:
        turn.timer.cancel()
    finish = _finish_values(turn, event)
    written = await _store_end(turn, finish)
    if not written:
        stored = await _as_stored(turn)
        if stored is None:
            await give_up(turn)
            return
        event = stored
    leaving = _leave(turn, finish, written)
    if type(event) is TurnPaused:
        await _left(turn, leaving)  # it may go on at once, and then enters under the same id
    await _free_key(turn, event)
    _tell(turn, event, finish, reported=written and bool(turn.begin.unreported))
    if type(event) is not TurnPaused:
        await _left(turn, leaving)


def _tell(turn: Turn, event: TurnEvent, finish: Finish, *, reported: bool) -> None:
    turn.emit(event)
    if reported and type(event) in TERMINAL:
        finished.tell(turn.execution_id)
    live.pop(turn.execution_id, None)
    registry.end(turn.log)
    metrics.turn_finished(
        turn.request.wire,
        _STATUS[type(event)],
        duration_ms=finish.duration_ms,
        first_token_ms=finish.first_token_ms,
        input_tokens=finish.usage.input_tokens,
        output_tokens=finish.usage.output_tokens,
    )


async def _store_end(turn: Turn, finish: Finish, *, refused: bool = False) -> bool:
    """False when another end stands in its place: somebody else's, that of a run whose own end the database refuses for good,

    or none (the database is away): recovery finds that row later.
    """
    try:
        return bool(await store.write(endrecords.finish, finish, patient=True, short=finish.short, usual=usual.end))
    except Exception as error:
        logger.exception("the end of run %s could not be stored", turn.execution_id)
        if not (refused or isinstance(error, TurnError)):
            await _store_end(turn, least(finish, type(error).__name__), refused=True)
        return False


async def _as_stored(turn: Turn) -> TurnEvent | None:
    """The end that the database has for a run whose own end came too late. Without one it is told as failed, or, if it is taken up

    again elsewhere, not at all (None).
    """
    try:
        stored = await stored_end(turn.execution_id)
    except Exception:
        logger.exception("the end of run %s could not be read", turn.execution_id)
        stored = None
    if stored is None and turn.comes_back is not None:
        return None
    message = TurnError("store_unavailable").message
    return stored or TurnFailed(code="store_unavailable", message=message, status=503, **sums(turn))


def _leave(turn: Turn, finish: Finish, written: bool) -> Awaitable[None]:
    """Gives back lock, slot and reservation, in every outcome: on its way when this returns. What it returns is to be awaited.

    So whoever has heard of the end comes after it, and need not wait for the store's answer.
    """
    try:
        if turn.entered:
            after = _transcript_after(turn, finish, written)
            return leases.exit(turn.execution_id, real_tokens=finish.usage.total_tokens, transcript=after)
        return leases.abandon(turn.claim) if turn.claim is not None else nothing()
    except Exception:
        logger.exception("the lease of run %s is left to lapse", turn.execution_id)
        return nothing()


async def _left(turn: Turn, leaving: Awaitable[None]) -> None:
    try:
        await leaving
    except Exception:
        logger.exception("the lease of run %s is left to lapse", turn.execution_id)


async def _free_key(turn: Turn, event: TurnEvent) -> None:
    """A key whose run came to nothing is free again (R4.4)."""
    if turn.request.idempotency is None or turn.produced or not isinstance(event, TurnFailed | TurnCancelled):
        return
    try:
        await idempotency.release(turn.request.idempotency)
    except Exception:
        logger.exception("the idempotency key of run %s is left as it is", turn.execution_id)


def _transcript_after(turn: Turn, finish: Finish, written: bool) -> Transcript | None:
    """The history with this turn in it; None (forget the cached one) when it did not simply grow."""
    if not written or finish.status != "success" or turn.transcript is None or turn.resumed or turn.request.session is None:
        return None
    if turn.request.stored_parts is not None:
        return None
    return turn.transcript.append(
        user=turn.request.parts,
        assistant=finish.parts,
        position=finish.position,
        user_id=turn.begin.message_id,
        assistant_id=turn.assistant_id,
    )


_STATUS = {TurnFinished: "success", TurnFailed: "failed", TurnCancelled: "cancelled", TurnPaused: "paused"}
_MESSAGE_STATUS = {"success": "done", "paused": "done", "failed": "failed", "cancelled": "cancelled"}


def _finish_values(turn: Turn, event: Any) -> Finish:
    progress, status = turn.progress, _STATUS[type(event)]
    good = status in ("success", "paused")
    parts = progress.parts if any(part["type"] != "step" for part in progress.parts) else []
    return Finish(
        begin=turn.begin,
        stored=turn.stored,
        status=status,
        message_status=_MESSAGE_STATUS[status],
        in_history=good or not turn.request.forget_failure,
        position=turn.began.position,
        assistant_id=turn.assistant_id,
        parts=parts,
        text=progress.text,
        incomplete=not good,
        reopens=turn.resumed,
        waited=turn.begin.queued and not turn.entered,
        counted=turn.counted,
        completed_at=datetime.now(UTC),
        finish_reason=getattr(event, "finish_reason", ""),
        error_code=getattr(event, "code", ""),
        error=getattr(event, "message", ""),
        error_detail=turn.begin.error_detail,
        steps=progress.steps if turn.session is not None else _steps_with_parts(progress),
        usage=event.usage,
        cost_usd=turn.cost,
        context_tokens=progress.context_tokens,
        model_used=progress.model_used or turn.request.agent.model.name,
        started_at=turn.started_at,
        duration_ms=event.duration_ms,
        queue_ms=None if turn.queued_s is None else round(turn.queued_s * 1000),
        first_token_ms=event.first_token_ms,
        model_ms=round(progress.model_s * 1000),
        last_seq=turn.log.last_seq + 1,
        paused_state=turn.begin.paused,
        approvals=list(event.approvals) if isinstance(event, TurnPaused) else [],
        client_calls=progress.client_calls,
    )


def _steps_with_parts(progress: Progress) -> list[dict[str, Any]]:
    """Where no Message keeps the parts, the execution's steps do."""
    steps = [{**step, "parts": []} for step in progress.steps]
    number = -1
    for part in progress.parts:
        number += part["type"] == "step"
        if 0 <= number < len(steps):
            steps[number]["parts"].append(part)
    return steps


async def give_up(turn: Turn) -> None:
    """The run is another process's business: its log ends here without an end."""
    if turn.timer is not None:
        turn.timer.cancel()
    if turn.entered:
        await leases.exit(turn.execution_id, real_tokens=turn.progress.usage.total_tokens, transcript=None)
    elif turn.claim is not None:
        await leases.abandon(turn.claim)
    if live.get(turn.execution_id) is turn:
        del live[turn.execution_id]
        registry.live.pop(turn.execution_id, None)
