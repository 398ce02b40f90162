"""TurnEvents as frames of the WebSocket wire (websocket.md §4, §6, §7). Pure.

Of the frames of one event only the last bears its number (WS-18).
"""

from collections.abc import Mapping
from typing import Any, assert_never

from chat.events import (
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
from chat.protocols.websocket.frames import Body, Frame, error_body, message_body
from chat.protocols.websocket.jobframes import BODIES, job_body
from chat.protocols.websocket.values import cut, iso, part_of, safe

End = TurnFinished | TurnFailed | TurnCancelled
_UNANSWERED = "The turn ended before this call was answered."
_STATUS = {TurnFinished: "success", TurnFailed: "failed", TurnCancelled: "cancelled"}


class Teller:
    """One run as frames. Keeps what the frames of its end need: the text so far, calls without a result, sources, files.

    `reasoning`: the agent shows it and the client asked for it (WS-35). `replay`: told from the stored messages (WS-61).
    """

    def __init__(self, *, thread_id: str | None, execution_id: str, reasoning: bool = False, replay: bool = False) -> None:
        self._ids: Body = {"thread_id": thread_id, "execution_id": execution_id}
        self._reasoning, self._replay = reasoning, replay
        self._forget()

    def _forget(self) -> None:
        self._agent, self._started_s, self._message_id = "", 0.0, ""
        self._texts: list[str] = []
        self._block: tuple[type, int] | None = None
        self._open: dict[str, str] = {}
        self._sources: list[Body] = []
        self._files: list[Body] = []
        self._outputs: list[Any] = []
        self._workflow_id: str | None = None

    def tell(self, batch: Batch) -> list[Frame]:
        return [frame for item in batch for frame in self._told(item)]

    def _told(self, item: Numbered) -> list[Frame]:
        seq, event = item
        if isinstance(event, TextDelta | RefusalDelta):
            content = self._piece(event)
            return [Frame(self._chunk(content, seq))] if content and not self._workflow_id else []
        bodies = self._bodies(event, seq)
        if not bodies:
            return []
        if not isinstance(event, Gap):
            bodies[-1]["seq"] = seq
        awaits = event.call_id if isinstance(event, ToolCalled) and event.awaited else ""
        return [Frame(body, awaits) for body in bodies]

    def _bodies(self, event: TurnEvent | Gap, seq: int) -> list[Body]:
        match event:
            case TurnStarted():
                return self._begin(event)
            case ReasoningDelta():
                return [self._chunk(event.text, seq, thinking=True)] if self._reasoning and event.text else []
            case ToolCalled() | ToolReturned() | ApprovalRequested() | ApprovalResolved():
                return [self._tool(event)]
            case TurnPaused() | TurnResumed():
                return self._rest(event)
            case TurnFinished() | TurnFailed() | TurnCancelled():
                return self._end(event)
            case Gap():
                return [self._gap(event)]
            case NodeSaid():
                return [self._chunk(event.text, seq, node_id=event.node_id)] if event.text else []
            case JobUpdated() | NodeUpdated() | NodeProgressed() | OutputMade() | LogLine():
                return self._job(event)
            case SourceCited() | FileMade():
                self._keep(event)
            case StepStarted() | StepFinished() | TextDelta() | RefusalDelta():
                pass
            case _:
                assert_never(event)
        return []

    def _keep(self, event: SourceCited | FileMade) -> None:
        """What stands with the final message."""
        if isinstance(event, SourceCited):
            self._sources.append({"id": event.source_id, "title": event.title, "url": event.url})
        else:
            self._files.append(_file(event))

    # Text

    def _piece(self, event: TextDelta | RefusalDelta) -> str:
        """The delta's text, after a blank line when it begins a further block (WS-36)."""
        if not event.text:
            return ""
        block = (type(event), event.block)
        content = "\n\n" + event.text if self._texts and block != self._block else event.text
        self._block = block
        self._texts.append(content)
        return content

    def _chunk(self, content: str, seq: int | None, *, done: bool = False, thinking: bool = False, node_id: str | None = None) -> Body:
        return {
            "type": "chunk", "content": content, "done": done, "content_type": "text", "content_metadata": {}, "node_id": node_id,
            "thinking": thinking, **self._ids, "seq": seq,
        }  # fmt: skip

    # Tools and approvals

    def _tool(self, event: ToolCalled | ToolReturned | ApprovalRequested | ApprovalResolved) -> Body:
        match event:
            case ToolCalled():
                return self._call(event)
            case ToolReturned():
                return self._returned(event)
            case ApprovalRequested():
                return self._requested(event)
            case ApprovalResolved():
                return self._resolved(event)
            case _:
                assert_never(event)

    def _call(self, event: ToolCalled) -> Body:
        self._open[event.call_id] = event.name
        return {
            "type": "tool_call", "tool_call_id": event.call_id, "id": event.call_id, "name": event.name, "args": safe(event.arguments),
            "client": False, **self._ids, "seq": None,
        }  # fmt: skip

    def _returned(self, event: ToolReturned) -> Body:
        self._open.pop(event.call_id, None)
        result = cut(safe(event.output)) if event.ok else None
        error = None if event.ok else event.error or "The tool failed."
        return self._result(event.call_id, event.name, result, error, event.duration_ms)

    def _result(self, call_id: str, name: str, result: Any, error: str | None, duration_ms: int) -> Body:
        return {
            "type": "tool_result", "tool_call_id": call_id, "id": call_id, "name": name, "result": result, "ok": error is None,
            "error": error, "duration_ms": duration_ms, **self._ids, "seq": None,
        }  # fmt: skip

    def _requested(self, event: ApprovalRequested) -> Body:
        approval = event.approval
        return {
            "type": "approval_request", "approval_id": approval.approval_id, "tool_call_id": approval.tool_call_id, "name": approval.name,
            "args": safe(approval.arguments), "message": f"The agent wants to run {approval.name}.", "approver": approval.approver,
            "expires_at": approval.expires_at, **self._ids, "seq": None,
        }  # fmt: skip

    def _resolved(self, event: ApprovalResolved) -> Body:
        return {
            "type": "approval_resolved", "approval_id": event.approval_id, "tool_call_id": event.tool_call_id,
            "approved": event.approved, "reason": event.reason or None, "by": event.by, **self._ids, "seq": None,
        }  # fmt: skip

    # Beginning and end

    def _begin(self, event: TurnStarted) -> list[Body]:
        """Only a run that had to wait is told to have started (WS-43)."""
        self._agent, self._started_s, self._message_id = event.agent, event.created_s, event.message_id
        return [self._session("started", status="running", queue_position=0)] if event.waited else []

    def _rest(self, event: TurnPaused | TurnResumed) -> list[Body]:
        """A pause ends with a done chunk as well, or clients show a spinner for ever (WS-34)."""
        if isinstance(event, TurnResumed):
            return [*self._job_update("running", "Goes on"), self._session("resumed", status="running")]
        waiting = [approval.approval_id for approval in event.approvals]
        paused = self._session("paused", status="paused", approvals=waiting, message=event.notice)
        return [*self._job_update("paused", event.notice), paused, self._chunk("", None, done=True)]

    def _session(self, event: str, **values: Any) -> Body:
        return {"type": "session", "event": event, **self._ids, **values, "seq": None}

    def _end(self, event: End) -> list[Body]:
        """What WS-38, WS-44, WS-45 and WS-26 order: open calls, why it ended, the done chunk, the message, `finished`."""
        unanswered = [self._result(call_id, name, None, _UNANSWERED, 0) for call_id, name in self._open.items()]
        self._open.clear()
        job = self._job_end(event, event.job) if event.job is not None else []
        chunk, message = self._chunk("", None, done=True), self._message(event)
        return [*unanswered, *job, *self._why(event), chunk, *([message] if message else []), self._finished(event)]

    def _why(self, event: End) -> list[Body]:
        if isinstance(event, TurnFinished):
            return []
        if isinstance(event, TurnCancelled) and event.code != "approval_expired":
            job_id = self._ids["execution_id"] if self._workflow_id else None
            ids = {"thread_id": self._ids["thread_id"], "job_id": job_id, "execution_id": self._ids["execution_id"]}
            return [{"type": "generation_stopped", "message": "Generation stopped", **ids, "seq": None}]
        kind = "workflow" if self._workflow_id else "agent"
        return [error_body(event.code, event.message, kind=kind, ts=self._ended_s(event), **self._ids)]

    def _message(self, event: End) -> Body | None:
        """The final answer (WS-36): a string, or a list of parts for jobs; None where there is nothing to say."""
        text, succeeded = "".join(self._texts), isinstance(event, TurnFinished)
        content = [part_of(value) for value in self._outputs] if self._workflow_id else text
        if not succeeded and not content:
            return None
        return message_body(
            id=event.message_id or self._message_id,
            role="assistant",
            content=content,
            workflow_id=self._workflow_id,
            output_files=self._files,
            agent=self._agent,
            model=self._agent,
            status="complete" if succeeded else "incomplete",
            error_type=None if succeeded else event.code,  # type: ignore[union-attr]  # the other two have a code
            created_at=iso(self._ended_s(event)),
            replay=self._replay,
            sources=self._sources,
            **self._ids,
        )

    def _finished(self, event: End) -> Body:
        return self._session(
            "finished",
            status=_STATUS[type(event)],
            finish_reason=event.finish_reason if isinstance(event, TurnFinished) else None,
            usage=usage_of(event.usage),
            cost=None if event.cost_usd is None else round(event.cost_usd, 6),
            error_code=None if isinstance(event, TurnFinished) else event.code,
        )

    def _ended_s(self, event: End) -> float:
        return round(self._started_s + event.duration_ms / 1000, 3)

    def _gap(self, gap: Gap) -> Body:
        if gap.restart:
            self._forget()
        return {"type": "gap", **self._ids, "from": gap.first, "to": gap.last, "restart": gap.restart}

    # Jobs (§7.4)

    def _job_end(self, event: End, job: Mapping[str, Any]) -> list[Body]:
        """The one end of a job (WS-54); its outputs in the order of its steps (WS-57)."""
        self._workflow_id = job["workflow_id"]
        if isinstance(event, TurnFinished):
            self._outputs = [value for values in (job["result"] or {}).values() for value in values]
            seconds = event.duration_ms / 1000
            return self._job_update("completed", f"Completed in {seconds:.2f} seconds", event)
        if isinstance(event, TurnCancelled):
            return self._job_update("cancelled", "Cancelled", event)
        return self._job_update("failed", f"Failed at step {job['step']}" if job["step"] else "Failed", event)

    def _job_update(self, status: str, message: str, end: End | None = None) -> list[Body]:
        """A state of the job that follows from one of its run; nothing for other runs."""
        if self._workflow_id is None:
            return []
        body = job_body(status, message, job_id=self._ids["execution_id"], workflow_id=self._workflow_id, **self._ids)
        if end is not None:
            body["duration"] = round(end.duration_ms / 1000, 3)
            body["result"] = safe((end.job or {}).get("result"))
        if isinstance(end, TurnFailed | TurnCancelled):
            body |= {"error": end.message, "error_code": end.code}
        return [body]

    def _job(self, event: JobUpdated | NodeUpdated | NodeProgressed | OutputMade | LogLine) -> list[Body]:
        if isinstance(event, JobUpdated | NodeUpdated):
            self._workflow_id = event.workflow_id
        if isinstance(event, OutputMade):
            if not event.node_id:
                return []
            self._outputs.append(event.value)
        ids = {"job_id": self._ids["execution_id"], "workflow_id": self._workflow_id, **self._ids, "seq": None}
        return [{**BODIES[type(event)](event), **ids}]


def _file(event: FileMade) -> Body:
    return {"type": "document", "uri": event.url, "asset_id": event.file_id, "mime_type": event.media_type, "name": event.filename}


def usage_of(usage: Usage) -> Body:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "total_tokens": usage.total_tokens}
