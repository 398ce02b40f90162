"""stream-json: one JSON object per line or SSE frame (AG-16 … AG-21), spoken by agents, executions, public links and paid calls.

Pure: imports only chat.events. A step's `assistant` object waits for the step's usage, so it and the results of its
tools are made when the step ends, with the numbers of their own events; numbers in the stream never fall.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

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
    PendingApproval,
    ReasoningDelta,
    RefusalDelta,
    SourceCited,
    StepFinished,
    StepStarted,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnCancelled,
    TurnFailed,
    TurnFinished,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    Usage,
)

Form = Literal["sse", "ndjson"]
Object = dict[str, Any]
KEEP_ALIVE: Mapping[Form, bytes] = {"sse": b": keep-alive\n\n", "ndjson": b'{"type":"keep_alive"}\n'}
CONTENT_TYPES: Mapping[Form, str] = {"sse": "text/event-stream; charset=utf-8", "ndjson": "application/x-ndjson"}

_DELTA = (
    b'{"type":"stream_event","seq":%d,"session_id":%b,'
    b'"event":{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%b}}}'
)
_SUBTYPES = {"max_steps_reached": "error_max_turns", "timeout": "error_timeout"}
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_RETRYABLE = frozenset((429, 502, 503, 504))


def wanted_form(stream: bool | None, accept: str, query: str | None) -> Form | None:
    """How an answer is to be sent, by the body's `stream`, the header `Accept` and `?stream=` (AG-9). None: one JSON body."""
    if stream is False or query == "false":
        return None
    named = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if "text/event-stream" in named or ("application/x-ndjson" not in named and query == "sse"):
        return "sse"
    return "ndjson" if "application/x-ndjson" in named or query in ("ndjson", "true") or stream else None


class Encoder:
    """Batches -> bytes. `after`: shown the events from 1, it makes bytes only for what comes after that number (R7.3)."""

    def __init__(
        self,
        *,
        form: Form = "sse",
        execution_id: str = "",
        session_id: str = "",
        partial: bool = True,
        public: bool = False,
        after: int = 0,
    ) -> None:
        self.keep_alive = KEEP_ALIVE[form]
        self._form: Form = form
        self._partial = partial
        self._after = after
        self._teller = Teller(execution_id=execution_id, session_id=session_id, public=public)

    def queued(self, position: int) -> None:
        """Until its first event, silence says that the run waits (AG-20)."""
        self.keep_alive = self._frame({"type": "status", "status": "queued", "position": position}, None)

    def encode(self, batch: Batch) -> bytes:
        self.keep_alive = KEEP_ALIVE[self._form]
        return b"".join(self._told(item) for item in batch)

    def _told(self, item: Numbered) -> bytes:
        seq, event = item
        if isinstance(event, Gap) and event.restart:
            self._after = 0
        if isinstance(event, NodeSaid) and not self._partial:
            return b""
        if isinstance(event, TextDelta | RefusalDelta):
            index = self._teller.hear(event)
            return self._delta(seq, index, event.text) if self._partial and event.text and seq > self._after else b""
        frames = [self._frame(told, told.get("seq", seq)) for told in self._teller.tell(item) if told.get("seq", seq) > self._after]
        if type(event) in SEGMENT_ENDS and self._form == "sse":
            frames.append(self._frame({"type": "stream_end"}, seq))
        return b"".join(frames)

    def _delta(self, seq: int, index: int, text: str) -> bytes:
        """The hot path: a constant around the text."""
        line = _DELTA % (seq, orjson.dumps(self._teller.session_id), index, orjson.dumps(text))
        return b"id: %d\ndata: %b\n\n" % (seq, line) if self._form == "sse" else line + b"\n"

    def _frame(self, told: Object, seq: int | None) -> bytes:
        line = orjson.dumps(told)
        if self._form == "ndjson":
            return line + b"\n"
        return b"data: %b\n\n" % line if seq is None else b"id: %d\ndata: %b\n\n" % (seq, line)


def lines(events: Iterable[Numbered], *, execution_id: str = "", session_id: str = "") -> list[Object]:
    """The objects of a run without `stream_event`: what `execution_log` holds (AG-12, AG-36)."""
    teller = Teller(execution_id=execution_id, session_id=session_id)
    told: list[Object] = []
    for item in events:
        if isinstance(item.event, TextDelta | RefusalDelta):
            teller.hear(item.event)
        elif not isinstance(item.event, NodeSaid):
            told += teller.tell(item)
    return told


@dataclass(slots=True)
class _Step:
    """One model step until it is told. `anchor`: the number of its last call, unless text came after it."""

    texts: dict[int, list[str]] = field(default_factory=dict)
    calls: list[Object] = field(default_factory=list)
    results: list[Object] = field(default_factory=list)
    anchor: int = 0

    def content(self) -> list[Object]:
        texts = ("".join(pieces) for pieces in self.texts.values())
        return [{"type": "text", "text": text} for text in texts if text] + self.calls


class Teller:
    """Events -> objects. Keeps the open step, the texts told so far and the usage told so far."""

    def __init__(self, *, execution_id: str = "", session_id: str = "", public: bool = False) -> None:
        self.execution_id = execution_id
        self.session_id: str | None = session_id or None
        self._public = public
        self._model = ""
        self._window = 0
        self._forget()

    def _forget(self) -> None:
        self._step = _Step()
        self._texts: list[str] = []
        self._spent = Usage()

    def hear(self, event: TextDelta | RefusalDelta) -> int:
        """Takes text in; returns its content index in the step."""
        if event.block not in self._step.texts:
            self._step.texts[event.block] = []
        self._step.texts[event.block].append(event.text)
        self._step.anchor = 0
        return list(self._step.texts).index(event.block)

    def tell(self, item: Numbered) -> list[Object]:
        seq, event = item
        match event:
            case TurnStarted():
                return [self._init(seq, event)]
            case ToolCalled():
                self._call(seq, event)
            case ToolReturned():
                self._step.results.append(self._result(seq, event))
            case StepFinished():
                return self._told_step(seq, event.usage)
            case TurnPaused() | TurnFinished() | TurnCancelled():
                return [*self._last_step(seq, event.usage), self._end(seq, event)]
            case TurnFailed():
                return [*self._last_step(seq, event.usage), self._error(seq, event), self._end(seq, event)]
            case Gap():
                return [self._gap(event)]
            case TextDelta() | RefusalDelta():
                self.hear(event)
            case StepStarted() | ReasoningDelta() | ApprovalRequested() | ApprovalResolved() | SourceCited() | FileMade():
                pass
            case JobUpdated() | NodeUpdated() | NodeProgressed() | NodeSaid() | OutputMade() | LogLine():
                return self._job(seq, event)
            case TurnResumed():
                pass
            case _:
                assert_never(event)
        return []

    def _object(self, kind: str, seq: int, **rest: Any) -> Object:
        return {"type": kind, "seq": seq, "session_id": self.session_id, **rest}

    def _init(self, seq: int, event: TurnStarted) -> Object:
        self.execution_id = event.execution_id
        self.session_id = event.session_id or None
        self._model, self._window = event.model, event.context_window
        model = {} if self._public else {"model": event.model}
        head = {"type": "system", "subtype": "init", "seq": seq, "session_id": self.session_id, "execution_id": self.execution_id}
        return {**head, **model, "tools": list(event.tools), "mcp_servers": []}

    def _call(self, seq: int, event: ToolCalled) -> None:
        arguments = {} if self._public else dict(event.arguments)
        self._step.calls.append({"type": "tool_use", "id": event.call_id, "name": event.name, "input": arguments})
        if not self._step.results:
            self._step.anchor = seq

    def _result(self, seq: int, event: ToolReturned) -> Object:
        content = "" if self._public else tool_text(event)
        block = {"type": "tool_result", "tool_use_id": event.call_id, "content": content, "is_error": not event.ok}
        return self._object("user", seq, message={"role": "user", "content": [block]})

    def _told_step(self, seq: int, usage: Usage) -> list[Object]:
        step, self._step = self._step, _Step()
        self._texts += ["".join(pieces) for pieces in step.texts.values()]
        self._spent = _sum(self._spent, usage)
        content = step.content()
        if not step.anchor:
            step.results = [{**result, "seq": seq} for result in step.results]
        return [self._assistant(step.anchor or seq, content, usage), *step.results] if content else step.results

    def _last_step(self, seq: int, total: Usage) -> list[Object]:
        """What was open when the segment ended; its usage is what the steps before did not use."""
        if not self._step.texts and not self._step.calls and not self._step.results:
            return []
        return self._told_step(seq, _difference(total, self._spent))

    def _assistant(self, seq: int, content: list[Object], usage: Usage) -> Object:
        if self._public:
            return self._object("assistant", seq, message={"role": "assistant", "content": content})
        message = {"role": "assistant", "model": self._model, "content": content, "usage": step_usage(usage)}
        return self._object("assistant", seq, message=message)

    def _job(self, seq: int, event: JobUpdated | NodeUpdated | NodeProgressed | NodeSaid | OutputMade | LogLine) -> list[Object]:
        """What a workflow's steps do, for who follows the run: objects of a type of their own, which other clients pass over."""
        if self._public or (isinstance(event, OutputMade) and not event.node_id):
            return []
        subtype, values = _told_job(event)
        return [{"type": "workflow", "subtype": subtype, "seq": seq, "session_id": self.session_id, **values}]

    def _error(self, seq: int, event: TurnFailed) -> Object:
        return self._object("error", seq, message=event.message, code=event.code, retryable=event.status in _RETRYABLE)

    def _end(self, seq: int, event: TurnFinished | TurnFailed | TurnCancelled | TurnPaused) -> Object:
        subtype, reason, errors = _verdict(event)
        usage = event.usage
        told = {"type": "result", "subtype": subtype, "seq": seq, "session_id": self.session_id, "execution_id": self.execution_id}
        told |= {"is_error": subtype not in ("success", "paused"), "result": "\n\n".join(text for text in self._texts if text)}
        told |= {"num_turns": usage.model_calls, "duration_ms": event.duration_ms}
        if not self._public:
            told["total_cost_usd"] = None if event.cost_usd is None else round(event.cost_usd, 6)
        told |= {"terminal_reason": reason, "errors": errors}
        if not self._public:
            told["usage"] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
            told["modelUsage"] = {self._model: {"contextWindow": self._window}} if self._model else {}
        if isinstance(event, TurnPaused):
            told["approvals"] = [_approval(approval, self._public) for approval in event.approvals]
        return told

    def _gap(self, event: Gap) -> Object:
        if not event.restart:
            return {"type": "gap", "from": event.first, "to": event.last}
        self._forget()
        return {"type": "gap", "from": event.first, "to": event.last, "restart": True}


def _told_job(event: JobUpdated | NodeUpdated | NodeProgressed | NodeSaid | OutputMade | LogLine) -> tuple[str, Object]:
    """`subtype` and what is told of it."""
    match event:
        case JobUpdated():
            return "job", {"workflow_id": event.workflow_id, "status": event.status, "message": event.message}
        case NodeUpdated():
            told = {"node_id": event.node_id, "node_name": event.node_name, "node_type": event.node_type, "status": event.status}
            return "node", {**told, "skipped": event.skipped, "result": event.result, "error": event.error or None}
        case NodeProgressed():
            return "progress", {"node_id": event.node_id, "progress": event.progress, "total": event.total}
        case NodeSaid():
            return "text", {"node_id": event.node_id, "text": event.text}
        case OutputMade():
            return "output", {"node_id": event.node_id, "name": event.name, "value": event.value, "output_type": event.output_type}
        case LogLine():
            return "log", {"node_id": event.node_id, "content": event.content, "severity": event.severity}


def tool_text(event: ToolReturned) -> str:
    """A tool's output as text; nothing is `(no output)` (AG-17)."""
    output = event.output if event.ok or event.output is not None else event.error
    text = output if isinstance(output, str) else "" if output is None else orjson.dumps(output).decode()
    return text or "(no output)"


def step_usage(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
    }


def _verdict(event: TurnFinished | TurnFailed | TurnCancelled | TurnPaused) -> tuple[str, str, list[str]]:
    """`subtype`, `terminal_reason` and `errors` of a result (AG-19)."""
    match event:
        case TurnFinished():
            return "success", _REASONS[event.finish_reason], []
        case TurnPaused():
            return "paused", "paused", []
        case TurnCancelled():
            return "cancelled", event.code, [event.message]
        case TurnFailed():
            return _SUBTYPES.get(event.code, "error_during_execution"), event.code, [event.message]


def _approval(approval: PendingApproval, public: bool) -> Object:
    shown = {"tool_call_id": approval.tool_call_id, "name": approval.name}
    return shown if public else {**shown, "arguments": dict(approval.arguments)}


def _sum(left: Usage, right: Usage) -> Usage:
    return Usage(
        input_tokens=left.input_tokens + right.input_tokens,
        output_tokens=left.output_tokens + right.output_tokens,
        cache_read_tokens=left.cache_read_tokens + right.cache_read_tokens,
        cache_write_tokens=left.cache_write_tokens + right.cache_write_tokens,
    )


def _difference(total: Usage, spent: Usage) -> Usage:
    return Usage(
        input_tokens=max(0, total.input_tokens - spent.input_tokens),
        output_tokens=max(0, total.output_tokens - spent.output_tokens),
        cache_read_tokens=max(0, total.cache_read_tokens - spent.cache_read_tokens),
        cache_write_tokens=max(0, total.cache_write_tokens - spent.cache_write_tokens),
    )
