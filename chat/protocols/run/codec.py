"""The run wire in bytes (RUN-14 … RUN-25, RUN-30): text events of exactly three keys, then one final event. Pure.

Text of a new block is set off by a blank line where both sides have text (OAI-36), so that the concatenated `content`
of a stream is the `response` of the whole answer.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from chat.events import (
    Batch,
    Gap,
    Numbered,
    PendingApproval,
    RefusalDelta,
    SegmentEnd,
    TextDelta,
    TurnCancelled,
    TurnFailed,
    TurnFinished,
    TurnPaused,
)

_STATUS = {TurnFinished: "success", TurnFailed: "failed", TurnCancelled: "cancelled", TurnPaused: "paused"}


class Encoder:
    """Batches -> SSE frames. `after`: shown the events from 1, it makes bytes only for what comes after that number (R7.3)."""

    keep_alive = b": keep-alive\n\n"

    def __init__(self, conversation_id: str, execution_id: str, after: int = 0) -> None:
        self._ids = {"conversation_id": conversation_id, "execution_id": execution_id}
        self._after = after
        self._text = Text()

    def encode(self, batch: Batch) -> bytes:
        return b"".join(self._frame(item) for item in batch)

    def _frame(self, item: Numbered) -> bytes:
        seq, event = item
        if isinstance(event, TextDelta | RefusalDelta):
            content = self._text.piece(event)
            return text_frame(seq, content) if content and seq > self._after else b""
        if isinstance(event, Gap):
            return self._gap(seq, event)
        if isinstance(event, SegmentEnd) and seq > self._after:
            return b"id: %d\ndata: %b\n\n" % (seq, orjson.dumps(self._final(event)))
        return b""

    def _gap(self, seq: int, gap: Gap) -> bytes:
        told: dict[str, Any] = {"content": "", "is_final": False, "metrics": None, "type": "gap", "from": gap.first, "to": gap.last}
        if gap.restart:
            self._text, self._after = Text(), 0
            told["restart"] = True
        return b"id: %d\ndata: %b\n\n" % (seq, orjson.dumps(told)) if seq > self._after else b""

    def _final(self, event: SegmentEnd) -> dict[str, Any]:
        told: dict[str, Any] = {"content": "", "is_final": True, "metrics": metrics(event), **self._ids, "status": _STATUS[type(event)]}
        if isinstance(event, TurnFailed | TurnCancelled):
            told |= {"error": event.message, "code": event.code}
        if isinstance(event, TurnPaused):
            told["approvals"] = [approval(pending) for pending in event.approvals]
        return told


def text_frame(seq: int, content: str) -> bytes:
    return b'id: %d\ndata: {"content":%b,"is_final":false,"metrics":null}\n\n' % (seq, orjson.dumps(content))


def whole(events: Iterable[Numbered], conversation_id: str, execution_id: str) -> dict[str, Any]:
    """The body of `/chat/run`: exactly two keys, and three more when the turn waits for an approval (RUN-14, RUN-16)."""
    text, pieces, end = Text(), [], None
    for item in events:
        if isinstance(item.event, TextDelta | RefusalDelta):
            pieces.append(text.piece(item.event))
        end = item.event
    answer: dict[str, Any] = {"response": "".join(pieces), "conversation_id": conversation_id}
    if isinstance(end, TurnPaused):
        answer |= {"status": "paused", "execution_id": execution_id, "approvals": [approval(pending) for pending in end.approvals]}
    return answer


class Text:
    """Sets blocks of text apart."""

    __slots__ = ("_begun", "_block")

    def __init__(self) -> None:
        self._block: tuple[type, int] | None = None
        self._begun = False

    def piece(self, event: TextDelta | RefusalDelta) -> str:
        """The delta's text, after a blank line when it begins a further block."""
        if not event.text:
            return ""
        block = (type(event), event.block)
        apart = self._begun and block != self._block
        self._block, self._begun = block, True
        return "\n\n" + event.text if apart else event.text


def metrics(event: SegmentEnd) -> dict[str, Any]:
    """Exactly these eight keys; tokens are sums over all model calls (RUN-21)."""
    usage = event.usage
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cost_usd": None if event.cost_usd is None else round(event.cost_usd, 6),
        "duration_ms": event.duration_ms,
        "first_token_ms": event.first_token_ms,
        "model_calls": usage.model_calls,
        "tool_calls": usage.tool_calls,
    }


def approval(pending: PendingApproval) -> dict[str, Any]:
    return {"tool_call_id": pending.tool_call_id, "name": pending.name, "arguments": dict(pending.arguments)}
