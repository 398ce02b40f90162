"""Chat Completions bytes in, deltas out, no I/O: what OpenAI sends and what the servers that imitate it send.

Neighbouring pieces of text in one read become one Text; usage and the finish reason wait for the end, the last ones win.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from agents.providers.base import Delta, Finish, FinishReason, ProviderError, Reasoning, Refusal, Text, Usage
from agents.providers.bursts import Run, only_text
from agents.providers.calls import CallReader
from agents.providers.failures import reported
from agents.providers.sse import MAX_EVENT_BYTES, EventReader

FINISH_REASONS: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
}
"""Any other reason is a normal end; "tool_calls" follows from the calls themselves, which say it more reliably."""

MAX_COUNT = 2**53
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Where servers put reasoning, best first: some send the same text in two of them, so only the first counts."""


class AnswerReader:
    """Fed with the body of one answer, an event stream or (some servers ignore `stream`) one JSON object.

    After each feed: `error` says why reading must stop (what came before it was still returned), `done` that it may.
    """

    def __init__(self) -> None:
        self.error: ProviderError | None = None
        self._events = EventReader()
        self._whole: bytearray | None = None
        self._started = False
        self._calls = CallReader()
        self._model = ""
        self._reason = ""
        self._usage: Mapping[str, Any] | None = None

    @property
    def done(self) -> bool:
        return self._events.done

    @property
    def finished(self) -> bool:
        """The model gave its reason to stop: whatever happens to the connection now, the answer is complete."""
        return bool(self._reason) or self._events.done

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas that `data` completes."""
        if not self._started and (data := data.lstrip(b"\xef\xbb\xbf \t\r\n")):
            self._started = True
            self._whole = bytearray() if data[:1] in (b"{", b"[") else None
        if self._whole is not None:
            return self._keep(data)
        deltas = self._read(self._events.feed(data))
        if self._events.broken and not self.error:
            self.error = ProviderError("invalid", self._events.broken)
        return deltas

    def _keep(self, data: bytes) -> list[Delta]:
        if self._whole is not None:
            self._whole += data
            if len(self._whole) > MAX_EVENT_BYTES:
                self.error = ProviderError("invalid", "the answer is too long")
        return []

    def finish(self) -> list[Delta]:
        """At the end of the body: the last deltas, then Usage if it was told and Finish; or `error` if it was cut."""
        deltas = self._read(self._last_chunks())
        if not self.error:
            self.error = self._incomplete()
        if not self.error:
            if self._usage:
                deltas.append(usage_from(self._usage))
            deltas.append(Finish(self._finish_reason(), self._model))
        return deltas

    def _last_chunks(self) -> list[Any]:
        if self._whole is None:
            return self._events.finish()
        try:
            answer = orjson.loads(self._whole)
            return answer if isinstance(answer, list) else [answer]
        except ValueError as error:
            self.error = ProviderError("invalid", f"not JSON: {error}")
            return []

    def _incomplete(self) -> ProviderError | None:
        if self._calls.nameless:
            return ProviderError("invalid", "a tool call without a name")
        if self.finished:
            return None
        if self._events.foreign:
            return ProviderError("invalid", "not an event stream")
        return ProviderError("network", "the answer was cut")

    def _read(self, chunks: Iterable[Any]) -> list[Delta]:
        deltas: list[Delta] = []
        texts: list[str] = []
        try:
            for chunk in chunks:
                if chunk.__class__ is Run:
                    texts.append(chunk.text)
                    continue
                if text := only_text(chunk):
                    texts.append(text)
                    continue
                _append(deltas, Text, "".join(texts))
                texts.clear()
                self._read_chunk(chunk, deltas)
        except ProviderError as error:
            self.error = error
        except (AttributeError, TypeError, ValueError, LookupError) as error:
            self.error = ProviderError("invalid", f"unreadable chunk: {error}")
        _append(deltas, Text, "".join(texts))
        return deltas

    def _read_chunk(self, chunk: dict[str, Any], deltas: list[Delta]) -> None:
        if chunk.get("error") or chunk.get("object") == "error":
            raise reported(chunk)
        if usage := chunk.get("usage") or ("x_groq" in chunk and chunk["x_groq"].get("usage")):
            self._usage = dict(usage)
        choices = chunk.get("choices")
        if not choices:
            return
        choice = choices[0]
        if not self._model:
            self._model = str(chunk.get("model") or "")
        if delta := choice.get("delta") or choice.get("message"):
            self._read_delta(delta, deltas)
        if reason := choice.get("finish_reason"):
            self._note_reason(str(reason))

    def _note_reason(self, reason: str) -> None:
        if reason == "error":
            raise ProviderError("overloaded", "the model stopped with an error")
        self._reason = reason.lower()

    def _read_delta(self, delta: dict[str, Any], deltas: list[Delta]) -> None:
        """Reasoning comes before text when one chunk has both."""
        _read_thoughts(delta, deltas)
        content = delta.get("content")
        if isinstance(content, str):
            _append(deltas, Text, content)
        elif content:
            _read_parts(content, deltas)
        self._read_calls(delta, deltas)

    def _read_calls(self, delta: dict[str, Any], deltas: list[Delta]) -> None:
        if calls := delta.get("tool_calls"):
            self._calls.read(calls, deltas)
        elif call := delta.get("function_call"):
            self._calls.read([{"index": 0, "function": call}], deltas)

    def _finish_reason(self) -> FinishReason:
        return FINISH_REASONS.get(self._reason) or ("tool_calls" if self._calls.seen else "stop")


def _read_thoughts(delta: dict[str, Any], deltas: list[Delta]) -> None:
    for name in REASONING_FIELDS:
        if (value := delta.get(name)) and (text := _plain(value)):
            _append(deltas, Reasoning, text)
            break
    if refusal := delta.get("refusal"):
        _append(deltas, Refusal, str(refusal))


def _read_parts(parts: Iterable[Any], deltas: list[Delta]) -> None:
    for part in parts:
        if isinstance(part, str):
            _append(deltas, Text, part)
        elif kind := PART_KINDS.get(part.get("type", "text")):
            _append(deltas, kind, _plain(part))


PART_KINDS: Mapping[str, Callable[[str], Text | Reasoning | Refusal]] = {
    "text": Text,
    "output_text": Text,
    "thinking": Reasoning,
    "reasoning": Reasoning,
    "refusal": Refusal,
}


def _append(deltas: list[Delta], kind: Callable[[str], Text | Reasoning | Refusal], text: str) -> None:
    last = deltas[-1] if deltas else None
    if last.__class__ is kind:
        last.text += text
    elif text:
        deltas.append(kind(text))


def _plain(value: Any) -> str:
    """The text of what may be a string, an object with a text in one of several fields, or a list of both."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_plain, value))
    if isinstance(value, dict):
        return next((text for name in ("text", "summary", "thinking", "refusal", "content") if (text := _plain(value.get(name)))), "")
    return ""


def usage_from(raw: Mapping[str, Any]) -> Usage:
    """Usage as OpenAI, DeepSeek, OpenRouter and xAI write it; the last counts reasoning beside the completion tokens."""
    given, made = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    details = raw.get("prompt_tokens_details") or {}
    reasoning = _count(raw.get("completion_tokens_details") or {}, "reasoning_tokens")
    beside = bool(reasoning) and _count(raw, "total_tokens") == given + made + reasoning
    return Usage(
        input_tokens=given,
        output_tokens=made + reasoning if beside else made,
        cache_read_tokens=_count(details, "cached_tokens") or _count(raw, "prompt_cache_hit_tokens"),
        cache_write_tokens=_count(details, "cache_write_tokens"),
        reasoning_tokens=reasoning,
    )


def _count(fields: Any, name: str) -> int:
    value = fields.get(name) if isinstance(fields, dict) else None
    return int(value) if isinstance(value, int | float) and 0 <= value < MAX_COUNT else 0
