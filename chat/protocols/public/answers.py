"""Answers to visitors: the whole answer, refusals, and streams with or without the text as HTML beside it."""

from collections.abc import Sequence
from typing import Any

import orjson

from agents.errors import CODES, SwitchboardError
from chat.events import Batch, Gap, Numbered, RefusalDelta, TextDelta, ToolCalled, ToolReturned, TurnPaused
from chat.fold import fold
from chat.protocols.public.codec import SENTENCES, code_for, veiled
from chat.rendering import Painting
from chat.streamjson import Encoder, Form

_HEADERS = frozenset(("x-should-retry", "x-execution-id", "allow"))
"""What else a refusal of the spine carries tells limits."""


def told(error: SwitchboardError) -> SwitchboardError:
    """The refusal as visitors may see it (AG-60)."""
    code = code_for(error.code)
    return SwitchboardError(
        code,
        SENTENCES.get(code, "" if code != error.code else error.message),
        status=0 if code in CODES else error.status,
        retry_after_s=error.retry_after_s,
        errors=error.errors,
        extra={name: value for name, value in error.extra.items() if name == "execution_id"},
        headers={name: value for name, value in error.headers.items() if name.lower() in _HEADERS},
    )


def sentence_for(code: str) -> str | None:
    """What a visitor is told of a run that ended with this code; None for one that ended well."""
    if not code:
        return None
    shown = code_for(code)
    return SENTENCES.get(shown) or CODES.get(shown, CODES["run_failed"])[1]


def response_of(events: Sequence[Numbered]) -> str:
    """The text of the run; of a paused one with the notice that it waits (OAI-41)."""
    outcome = fold(events)
    notice = outcome.end.notice if isinstance(outcome.end, TurnPaused) else ""
    return "\n\n".join(text for text in (outcome.text or outcome.refusal, notice) if text)


class VisitorEncoder(Encoder):
    """stream-json of what visitors may see (AG-59)."""

    def __init__(self, session_id: str | None, *, form: Form = "sse", execution_id: str = "", partial: bool = True, after: int = 0) -> None:
        super().__init__(form=form, execution_id=execution_id, session_id=session_id or "", partial=partial, public=True, after=after)
        self._session_id = session_id

    def encode(self, batch: Batch) -> bytes:
        return super().encode(veiled(batch, self._session_id))


class RenderedEncoder(VisitorEncoder):
    """SSE for our own page: beside the objects, and in place of text as it is written, what changed of it as HTML, block by block.

    `{"type": "rendered", "block", "from", "html": […]}` replaces the blocks of that text from number `from` on, `{"type": "tool", "id",
    "name", "ok"}` tells a call as it begins (`ok` null) and ends. They have no number: who resumes begins anew.
    """

    def __init__(self, session_id: str | None, *, execution_id: str = "") -> None:
        super().__init__(session_id, execution_id=execution_id, partial=False)
        self._painting = Painting()

    def encode(self, batch: Batch) -> bytes:
        frames = [frame for item in veiled(batch, self._session_id) for frame in self._with_html(item)]
        return b"".join(frames + _rendered(self._painting.changed()))

    def _with_html(self, item: Numbered) -> list[bytes]:
        """The item's own frame, after the HTML of a text that it ends."""
        match item.event:
            case TextDelta(block, text) | RefusalDelta(block, text):
                finished = _rendered(self._painting.add(block, text))
            case Gap(restart=True):
                self._painting.clear()
                finished = []
            case ToolCalled(call_id=call_id, name=name):
                finished = [*_rendered(self._painting.rest()), _frame({"type": "tool", "id": call_id, "name": name, "ok": None})]
            case ToolReturned(call_id=call_id, name=name, ok=ok):
                finished = [_frame({"type": "tool", "id": call_id, "name": name, "ok": ok})]
            case _:
                finished = _rendered(self._painting.rest())
        return [*finished, Encoder.encode(self, [item])]


def _rendered(changes: Sequence[dict[str, Any]]) -> list[bytes]:
    return [_frame({"type": "rendered", **change}) for change in changes]


def _frame(told: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(told)
