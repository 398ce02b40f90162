"""Tool calls that are over, with what they said: rows have the numbers, the parts of their runs the rest."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chat.events import ToolReturned
from chat.models import Execution, Message, ToolCall
from chat.protocols.agents_api.activity_calls import Seen
from chat.requests import Part
from chat.streamjson import tool_text


def told(rows: Iterable[ToolCall]) -> list[Seen]:
    """The calls of these rows; two queries for the parts of all of them."""
    found = list(rows)
    parts = _parts({row.execution_id for row in found})
    return [_seen(row, parts.get(row.call_id, {})) for row in found]


def _parts(runs: set[UUID]) -> dict[str, Part]:
    """Tool parts by call id: of the runs' messages, and of the steps of runs without a conversation."""
    said = Message.objects.filter(execution_id__in=runs, role=Message.Role.ASSISTANT).values_list("parts", flat=True)
    steps = Execution.objects.filter(id__in=runs, session=None).values_list("steps", flat=True)
    alone = [step.get("parts", ()) for each in steps for step in each]
    return {part["call_id"]: part for parts in (*said, *alone) for part in parts if part["type"] == "tool"}


def _seen(row: ToolCall, part: Part) -> Seen:
    return Seen(
        id=row.call_id,
        execution_id=row.execution_id,
        name=row.name,
        arguments=part.get("arguments", {}),
        started_at=row.started_at,
        duration_ms=row.duration_ms,
        ok=row.ok,
        output=output_of(part),
    )


def output_of(part: Part) -> str | None:
    """What a stored call answered, as text (AG-22); None when it was cut off, or is gone."""
    if "ok" not in part:
        return None
    returned = ToolReturned(
        call_id=part["call_id"], name=part["name"], output=part.get("output"), ok=part["ok"], error=part.get("error", "")
    )
    return tool_text(returned)


def seen_of_parts(execution_id: UUID, parts: Sequence[Part]) -> list[Seen]:
    """The agent's own calls among the parts of a run that goes on."""
    return [_of_part(execution_id, part) for part in list(parts) if "called_s" in part]


def _of_part(execution_id: UUID, part: Mapping[str, Any]) -> Seen:
    return Seen(
        id=part["call_id"],
        execution_id=execution_id,
        name=part["name"],
        arguments=part["arguments"],
        started_at=datetime.fromtimestamp(part["called_s"], UTC),
        duration_ms=part["duration_ms"],
        ok=part.get("ok"),
        output=output_of(part),
    )
