"""Finished runs from storage: the parts of an execution as events again, few and large (R7.4)."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast
from uuid import UUID

from agents.errors import CODES
from chat.eventlog import Log
from chat.events import (
    Gap,
    JobUpdated,
    NodeUpdated,
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
    TurnStarted,
    Usage,
)
from chat.models import Execution, Message
from chat.pausing import stored_approvals
from chat.requests import Part
from chat.store import run

TERMINAL_STATUSES = frozenset(("success", "failed", "cancelled", "skipped"))


async def log_of(execution_id: UUID, after: int = 0) -> Log:
    """The stored run as a complete log. With `after` > 0 it begins with a gap that says to start over (R7.4)."""
    events = await run(_stored_events, execution_id)
    last_seq = await run(_last_seq, execution_id)
    log = Log(execution_id, after - 1 if after else max(0, last_seq - len(events)))
    log.stored = max(1, last_seq)
    if after:
        log.append(Gap(1, after, restart=True))
    for event in events:
        log.append(event)
    return log


async def stored_end(execution_id: UUID) -> TerminalEvent | None:
    """The terminal event the database has for a run; None while it has none."""
    events = await run(_stored_events, execution_id)
    end = events[-1] if events else None
    return end if isinstance(end, TurnFinished | TurnFailed | TurnCancelled) else None


def _last_seq(execution_id: UUID) -> int:
    return Execution.objects.filter(id=execution_id).values_list("last_seq", flat=True).first() or 0


def _stored_events(execution_id: UUID) -> list[TurnEvent]:
    row = Execution.objects.filter(id=execution_id).first()
    return events_of(row) if row else []


def parts_of(row: Execution) -> list[Part]:
    """The assistant's parts of a run: of its Message, or of its steps when it has no conversation."""
    message = _message_of(row)
    return list(message.parts) if message else _parts_of_steps(row)


def _message_of(row: Execution) -> Message | None:
    return Message.objects.filter(execution_id=row.id, role="assistant").first() if row.session_id else None


def _parts_of_steps(row: Execution) -> list[Part]:
    return [part for step in row.steps for part in step.get("parts", ())]


def events_of(row: Execution) -> list[TurnEvent]:
    """A stored run as events, with its end if it has one."""
    started = row.started_at or row.created_at
    message = _message_of(row)
    parts = list(message.parts) if message else _parts_of_steps(row)
    message_id = str(message.id) if message else ""
    begin = TurnStarted(
        execution_id=str(row.id),
        agent=row.agent_name,
        version=row.agent_version,
        model=row.model_used,
        session_id=str(row.session_id or ""),
        message_id=message_id,
        created_s=started.timestamp(),
        context_window=row.context_window,
    )
    events: list[TurnEvent] = [begin, *_job_events(row), *_part_events(parts, row.steps, row.model_used)]
    end = _end(row, message_id, parts)
    return [*events, end] if end else events


def _job_events(row: Execution) -> list[TurnEvent]:
    name = workflow_name(row)
    return [JobUpdated(workflow_id=name, status="running", message="Started")] if name else []


def workflow_name(row: Execution) -> str:
    """The workflow that the run is of, as clients call it; "" for other runs."""
    return str(((row.work or {}).get("workflow") or {}).get("name", ""))


def _job(row: Execution, parts: Sequence[Part]) -> dict[str, Any] | None:
    """How a workflow's run ended, from its parts."""
    name = workflow_name(row)
    if not name:
        return None
    failed = [part["node_id"] for part in parts if part["type"] == "node" and part["status"] == "error"]
    result: dict[str, list[Any]] = {each: [] for part in parts if part["type"] == "job" for each in part["outputs"]}
    for part in parts:
        if part["type"] == "output":
            result.setdefault(part["name"], []).append(part["value"])
    succeeded = row.status == Execution.Status.SUCCESS
    step = failed[0] if failed and row.error_code == "workflow_failed" else ""
    return {"workflow_id": name, "result": result if succeeded else None, "step": step}


def _part_events(parts: Sequence[Part], steps: Sequence[dict[str, Any]], model: str) -> Iterator[TurnEvent]:
    records = {step.get("step"): step for step in steps}
    open_step: Part | None = None
    for part in parts:
        if part["type"] == "step":
            yield from _step_end(open_step, records)
            open_step = part
            yield StepStarted(part["step"])
        else:
            yield from _events(part)
    yield from _step_end(open_step, records)


def _step_end(part: Part | None, records: dict[Any, dict[str, Any]]) -> Iterator[TurnEvent]:
    if part is not None:
        record = records.get(part["step"], {})
        yield StepFinished(
            step=part["step"],
            usage=Usage(**record.get("usage", {})),
            model=part.get("model", ""),
            finish_reason=record.get("finish_reason", "stop"),
        )


def _events(part: Part) -> Iterator[TurnEvent]:
    match part["type"]:
        case "text":
            yield TextDelta(part["block"], part["text"])
        case "reasoning":
            yield ReasoningDelta(part["block"], part["text"])
        case "refusal":
            yield RefusalDelta(part.get("block", 0), part["text"])
        case "tool":
            yield from _tool_events(part)
        case "source":
            yield SourceCited(source_id=part["source_id"], title=part["title"], url=part.get("url", ""))
        case "output":
            yield OutputMade(**{name: value for name, value in part.items() if name != "type"})
        case "node":
            yield NodeUpdated(**{name: value for name, value in part.items() if name != "type"})
        case _:
            return


def _tool_events(part: Part) -> Iterator[TurnEvent]:
    yield ToolCalled(
        call_id=part["call_id"],
        name=part["name"],
        arguments=part["arguments"],
        raw=part.get("raw", ""),
        client=part["client"],
        called_s=part.get("called_s", 0.0),
    )
    if not part["client"] and "ok" in part:
        yield ToolReturned(
            call_id=part["call_id"],
            name=part["name"],
            output=part.get("output"),
            ok=part["ok"],
            error=part.get("error", ""),
            duration_ms=part.get("duration_ms", 0),
        )


def _end(row: Execution, message_id: str, parts: Sequence[Part]) -> TurnEvent | None:
    sums: dict[str, Any] = {
        "usage": Usage(**row.usage) if row.usage else Usage(),
        "duration_ms": row.duration_ms or 0,
        "first_token_ms": row.first_token_ms,
        "cost_usd": None if row.cost_usd is None else float(row.cost_usd),
    }
    final = {**sums, "context_tokens": row.context_tokens, "message_id": message_id, "job": _job(row, parts)}
    match row.status:
        case Execution.Status.SUCCESS:
            reason = cast(Literal["stop", "length", "tool_calls", "content_filter"], row.finish_reason or "stop")
            return TurnFinished(finish_reason=reason, **final)
        case Execution.Status.CANCELLED:
            return TurnCancelled(code=row.error_code or "cancelled", message=row.error, **final)
        case Execution.Status.FAILED | Execution.Status.SKIPPED:
            return TurnFailed(code=row.error_code or "run_failed", message=row.error, status=_status(row.error_code), **final)
        case Execution.Status.PAUSED:
            return TurnPaused(approvals=stored_approvals(row), notice=(row.paused_state or {}).get("notice", ""), **sums)
        case _:
            return None


def _status(code: str) -> int:
    return CODES.get(code, (500, ""))[0]
