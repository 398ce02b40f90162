"""TurnEvents as Chat Completions JSON and SSE frames (wires/openai.md §8, §9). Pure: events in, bytes out.

Law: a codec adds nothing to a turn and never invents a finish reason; frames are spliced from constant pieces.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import orjson

from chat.events import (
    SEGMENT_ENDS,
    ApprovalRequested,
    ApprovalResolved,
    Batch,
    FileMade,
    Gap,
    JobUpdated,
    LogLine,
    NodeProgressed,
    NodeSaid,
    NodeUpdated,
    Numbered,
    OutputMade,
    ReasoningDelta,
    RefusalDelta,
    SourceCited,
    StepFinished,
    StepStarted,
    TerminalEvent,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnCancelled,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    Usage,
)

_DONE = b"data: [DONE]\n\n"

WIRE_CODES: Mapping[str, str] = {
    "invalid_request": "invalid_value",
    "validation_error": "invalid_value",
    "invalid_credentials": "invalid_api_key",
    "agent_not_found": "model_not_found",
    "not_found": "unknown_url",
    "session_busy": "conversation_busy",
    "rate_limited": "rate_limit_exceeded",
    "budget_exhausted": "insufficient_quota",
    "circuit_open": "agent_not_running",
    "client_left": "cancelled",
    "approval_expired": "cancelled",
}
"""What this wire calls the codes of agents.errors (OAI-59); the others keep their names."""

_TYPES: Mapping[str, str] = {
    "rate_limit_exceeded": "requests",
    "queue_full": "requests",
    "session_queue_full": "requests",
    "insufficient_quota": "insufficient_quota",
}


def error_object(code: str, message: str, status: int, param: str | None = None) -> dict[str, Any]:
    """The inner object of the error envelope, all four keys always there (OAI-59). `code` is one of agents.errors."""
    name = WIRE_CODES.get(code, code)
    kind = _TYPES.get(name, "server_error" if status >= 500 else "invalid_request_error")
    return {"message": message, "type": kind, "param": param, "code": name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What one answer is to look like. `model` as requested (OAI-14); `execution_id`: 32 hex digits; `created_s`: Unix seconds."""

    model: str
    execution_id: str
    created_s: int
    tool_events: bool = False
    show_reasoning: bool = False


def completion(events: Iterable[Numbered], form: Form, metadata: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The whole answer of a turn that finished or paused (OAI-35 … OAI-42)."""
    answer = _Answer()
    for _, event in events:
        answer.take(event)
        if type(event) in SEGMENT_ENDS:
            break
    message = answer.message(form)
    whole: dict[str, Any] = {
        "id": f"chatcmpl-{form.execution_id}",
        "object": "chat.completion",
        "created": form.created_s,
        "model": form.model,
        "choices": [{"index": 0, "finish_reason": answer.finish_reason, "logprobs": None, "message": message}],
        "usage": usage_object(answer.usage),
        "system_fingerprint": None,
        "service_tier": None,
    }
    if metadata is not None:
        whole["metadata"] = dict(metadata)
    if answer.paused is not None:
        whole["switchboard"] = _pause_object(answer.paused, form.execution_id)
    return whole


_HEAD = b',"choices":['
_DELTA = _HEAD + b'{"index":0,"delta":'
_CONTENT = _DELTA + b'{"content":'
_CONTENT_ENDS = (b'},"logprobs":null,"finish_reason":null}]}\n\n', b'},"logprobs":null,"finish_reason":null}],"usage":null}\n\n')
"""Without and with `stream_options.include_usage`."""


class Encoder:
    """Batches of one execution, in order, as SSE frames. One encoder serves one response."""

    keep_alive = b": keep-alive\n\n"

    def __init__(self, form: Form, include_usage: bool = False) -> None:
        head = {"id": f"chatcmpl-{form.execution_id}", "object": "chat.completion.chunk", "created": form.created_s, "model": form.model}
        self._content = b"data: " + orjson.dumps({**head, "system_fingerprint": None})[:-1] + _CONTENT
        self._content_end = _CONTENT_ENDS[include_usage]
        self._form, self._include_usage = form, include_usage
        self._text, self._reasoning = _Blocks(), _Blocks()
        self._sources: list[SourceCited] = []
        self._calls = 0
        self._begun = self._ended = False

    @property
    def _head(self) -> bytes:
        """What chunks begin with; made of the one for texts, so that a waiting encoder holds one."""
        return self._content.removesuffix(_CONTENT) + _HEAD

    @property
    def _delta(self) -> bytes:
        return self._content.removesuffix(_CONTENT) + _DELTA

    @property
    def _open(self) -> bytes:
        return self._content_end[1:]

    def encode(self, batch: Batch) -> bytes:
        """The frames of `batch`; b"" when nothing of it shows on this wire. Neighbouring texts become one chunk."""
        frames: list[bytes] = []
        text = ""
        for _, event in batch:
            if self._ended:
                break
            if isinstance(event, TextDelta):
                if not self._begun:
                    self._begin(frames, b'""')
                text += self._text.add(event.block, event.text)
                continue
            if text:
                frames += (self._content, orjson.dumps(text), self._content_end)
                text = ""
            self._write(frames, event)
        if text:
            frames += (self._content, orjson.dumps(text), self._content_end)
        return b"".join(frames)

    def _write(self, frames: list[bytes], event: TurnEvent | Gap) -> None:
        match event:
            case ReasoningDelta(block, text):
                self._begin(frames, b'""')
                if self._form.show_reasoning:
                    self._chunk(frames, {"reasoning_content": self._reasoning.add(block, text)})
            case RefusalDelta(_, text):
                self._begin(frames, b"null")
                self._chunk(frames, {"refusal": text})
            case ToolCalled():
                self._call(frames, event)
            case SourceCited():
                self._sources.append(event)
            case TurnFinished() | TurnPaused() | TurnFailed() | TurnCancelled() | Gap():
                self._close(frames, event)
            case TextDelta() | TurnStarted() | TurnResumed() | StepStarted() | StepFinished() | ToolReturned() | ApprovalRequested():
                pass
            case ApprovalResolved() | FileMade() | OutputMade() | LogLine():
                pass
            case JobUpdated() | NodeUpdated() | NodeProgressed() | NodeSaid():
                pass
            case _:
                assert_never(event)

    def _close(self, frames: list[bytes], event: TerminalEvent | TurnPaused | Gap) -> None:
        match event:
            case TurnFinished(finish_reason=reason, usage=usage):
                self._finish(frames, reason, usage)
            case TurnPaused(notice=notice, usage=usage):
                self._begin(frames, b'""')
                if notice:
                    self._chunk(frames, {"content": self._text.close(notice)})
                self._finish(frames, "stop", usage, {"switchboard": _pause_object(event, self._form.execution_id)})
            case TurnFailed(code=code, message=message, status=status):
                self._fail(frames, error_object(code, message, status))
            case TurnCancelled(code=code, message=message):
                self._fail(frames, error_object(code, message, 409))
            case Gap(restart=restart):
                if self._begun or not restart:
                    self._fail(frames, error_object("interrupted", "A part of this answer was lost.", 500))
            case _:
                assert_never(event)

    def _begin(self, frames: list[bytes], content: bytes) -> None:
        """The role chunk, once, with the first event (OAI-45)."""
        if not self._begun:
            self._begun = True
            frames += (self._delta, b'{"role":"assistant","content":', content, self._content_end)

    def _chunk(self, frames: list[bytes], delta: Mapping[str, Any]) -> None:
        frames += (self._delta, orjson.dumps(delta), self._open)

    def _call(self, frames: list[bytes], call: ToolCalled) -> None:
        """A client call in two deltas (OAI-47); a server call whole, if asked for (OAI-30), else only the role chunk (R5.1)."""
        shown = call.client or self._form.tool_events
        self._begin(frames, b"null" if shown else b'""')
        if not shown:
            return
        whole = {"index": self._calls, **_call_object(call)}
        self._calls += 1
        if not call.client:
            self._chunk(frames, {"tool_calls": [whole]})
            return
        self._chunk(frames, {"tool_calls": [{**whole, "function": {"name": call.name, "arguments": ""}}]})
        if arguments := whole["function"]["arguments"]:
            self._chunk(frames, {"tool_calls": [{"index": whole["index"], "function": {"arguments": arguments}}]})

    def _finish(self, frames: list[bytes], reason: str, usage: Usage, extra: Mapping[str, Any] | None = None) -> None:
        """Citations, the empty delta with the finish reason, usage if asked for, the end mark (OAI-45, OAI-46)."""
        self._begin(frames, b'""')
        if annotations := _annotations(self._sources, self._text.length):
            self._chunk(frames, {"annotations": annotations})
        end = b"}\n\n" if extra is None else b"," + orjson.dumps(extra)[1:] + b"\n\n"
        frames += (self._delta, b'{},"logprobs":null,"finish_reason":', orjson.dumps(reason), b"}]")
        frames += (b',"usage":null', end) if self._include_usage else (end,)
        if self._include_usage:
            frames += (self._head, b'],"usage":', orjson.dumps(usage_object(usage)), b"}\n\n")
        frames.append(_DONE)
        self._ended = True

    def _fail(self, frames: list[bytes], error: Mapping[str, Any]) -> None:
        """The in-band error and the end mark: no invented finish reason, no usage (OAI-48)."""
        frames += (b"data: ", orjson.dumps({"error": error}), b"\n\n", _DONE)
        self._ended = True


class _Blocks:
    """Joins the blocks of a turn by one blank line where both sides have text (OAI-36), piece by piece."""

    __slots__ = ("block", "length")

    def __init__(self) -> None:
        self.block: int | None = None
        self.length = 0

    def add(self, block: int, text: str) -> str:
        """`text` as it continues what was added before, separator included."""
        if text and block != self.block:
            self.block = block
            text = "\n\n" + text if self.length else text
        self.length += len(text)
        return text

    def close(self, text: str) -> str:
        """`text` as a block of its own after all others."""
        return self.add(-1, text)


class _Answer:
    """What one segment's events amount to, for a whole answer."""

    def __init__(self) -> None:
        self.text, self.reasoning, self.refusal = "", "", ""
        self._text, self._reasoning = _Blocks(), _Blocks()
        self.calls: list[ToolCalled] = []
        self.sources: list[SourceCited] = []
        self.finish_reason = "stop"
        self.usage = Usage()
        self.paused: TurnPaused | None = None

    def take(self, event: TurnEvent | Gap) -> None:
        match event:
            case TextDelta(block, text):
                self.text += self._text.add(block, text)
            case ReasoningDelta(block, text):
                self.reasoning += self._reasoning.add(block, text)
            case RefusalDelta(_, text):
                self.refusal += text
            case ToolCalled():
                self.calls.append(event)
            case SourceCited():
                self.sources.append(event)
            case TurnFinished(finish_reason=reason, usage=usage):
                self.finish_reason, self.usage = reason, usage
            case TurnPaused(notice=notice, usage=usage):
                self.paused, self.usage = event, usage
                self.text += self._text.close(notice)
            case _:
                pass

    def message(self, form: Form) -> dict[str, Any]:
        """`content` is null when there is no text but calls or a refusal (OAI-35)."""
        calls = [_call_object(call) for call in self.calls if call.client or form.tool_events]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self.text if self.text or not (calls or self.refusal) else None,
            "refusal": self.refusal or None,
            "annotations": _annotations(self.sources, len(self.text)),
        }
        if form.show_reasoning and self.reasoning:
            message["reasoning_content"] = self.reasoning
        if calls:
            message["tool_calls"] = calls
        return message


def usage_object(usage: Usage) -> dict[str, Any]:
    """Sums over all steps; cached input is part of prompt_tokens (OAI-38)."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _call_object(call: ToolCalled) -> dict[str, Any]:
    """A client call keeps the model's own text (OAI-28); a server call is marked as executed (OAI-30)."""
    arguments = call.raw if call.client else orjson.dumps(call.arguments).decode()
    shown = {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
    return shown if call.client else {**shown, "server_executed": True}


def _annotations(sources: Iterable[SourceCited], length: int) -> list[dict[str, Any]]:
    """Citations with a URL, each once; they stand for the whole text, since the model does not say for which part (OAI-39)."""
    cited = {source.url: source.title for source in sources if source.url}
    return [
        {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": length, "title": title, "url": url}}
        for url, title in cited.items()
    ]


def _pause_object(paused: TurnPaused, execution_id: str) -> dict[str, Any]:
    """What waits for a decision (OAI-41); the id as a UUID, as /api/executions takes it."""
    parts = execution_id[:8], execution_id[8:12], execution_id[12:16], execution_id[16:20], execution_id[20:]
    return {
        "status": "paused",
        "execution_id": "-".join(parts),
        "approvals": [{"tool_call_id": each.tool_call_id, "name": each.name, "arguments": each.arguments} for each in paused.approvals],
    }
