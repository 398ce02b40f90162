"""One tool call as the activity shows it: cut to a line in the summary, whole when it is asked for (AG-28, AG-29). Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from chat.times import iso

MAX_CHARS = 200
MAX_MEMBERS = 20
_CUT = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A call of one of the agent's own tools. `duration_ms` is None while it runs; `ok` also when it was cut off.

    `output` is text; None: there is none yet, or it was deleted with its conversation.
    """

    id: str
    execution_id: UUID
    name: str
    arguments: Mapping[str, Any]
    started_at: datetime
    duration_ms: int | None = None
    ok: bool | None = None
    output: str | None = None


def shown(call: Seen) -> dict[str, Any]:
    """One line of the timeline."""
    return {
        "id": call.id,
        "execution_id": str(call.execution_id),
        "tool": call.name,
        "input": short_input(call.arguments),
        "input_summary": input_line(call.arguments),
        "output_summary": None if call.output is None else line(call.output),
        "duration_ms": call.duration_ms,
        "started_at": iso(call.started_at),
        "ended_at": ended_at(call),
        "success": call.ok,
        "status": "running" if call.duration_ms is None else "completed",
    }


def detailed(call: Seen) -> dict[str, Any]:
    """The call in full (AG-29)."""
    return {
        "id": call.id,
        "tool": call.name,
        "input": dict(call.arguments),
        "output": call.output,
        "duration_ms": call.duration_ms,
        "started_at": iso(call.started_at),
        "ended_at": ended_at(call),
        "success": call.ok,
    }


def shown_active(calls: Iterable[Seen]) -> dict[str, Any] | None:
    """The call that began last of those that run."""
    newest = max((call for call in calls if call.duration_ms is None), key=lambda call: call.started_at, default=None)
    if newest is None:
        return None
    return {"name": newest.name, "input_summary": input_line(newest.arguments), "started_at": iso(newest.started_at)}


def ended_at(call: Seen) -> str | None:
    return None if call.duration_ms is None else iso(call.started_at + timedelta(milliseconds=call.duration_ms))


def input_line(arguments: Mapping[str, Any]) -> str:
    """The arguments in one line: the value alone where there is one, else `name: value` of each."""
    if len(arguments) == 1:
        return line(text_of(next(iter(arguments.values()))))
    return line(", ".join(f"{name}: {text_of(value)}" for name, value in arguments.items()))


def short_input(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as they are when they are short; else the first of them, each cut to a line."""
    if len(orjson.dumps(dict(arguments), default=str)) <= MAX_CHARS:
        return dict(arguments)
    first = list(arguments.items())[:MAX_MEMBERS]
    return {line(name): value if isinstance(value, int | float | None) else line(text_of(value)) for name, value in first}


def line(text: str) -> str:
    """At most 200 characters, without line breaks."""
    words = " ".join(text[: MAX_CHARS * 10].split())
    return words if len(words) <= MAX_CHARS else words[: MAX_CHARS - 1] + _CUT


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
