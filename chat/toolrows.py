"""Rows of tool calls that are over (AG-28): written in the transaction that ends, or pauses, their run; kept for two days."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from chat import sql
from chat.models import ToolCall
from chat.store import run
from chat.written import Finish

KEPT = timedelta(days=2)
_COLUMNS = ("call_id", "execution_id", "agent_id", "owner_id", "name", "started_at", "duration_ms", "ok")


def keep_calls(ended: Sequence[Finish]) -> None:
    """The calls of these runs. Those of a run that had paused before may be there."""
    sql.insert(ToolCall, _COLUMNS, [row for value in ended for row in _rows(value)], "ON CONFLICT DO NOTHING")


def _rows(value: Finish) -> Iterator[tuple[Any, ...]]:
    """The agent's own calls: those of callers have no `called_s`. An inline agent has no id, and nobody to ask for its activity."""
    request = value.begin.request
    for part in value.parts:
        if part["type"] == "tool" and "called_s" in part and request.agent.id is not None:
            name = part["name"].replace("\0", "")[:64]  # a model may call what nobody has, by any name
            began = datetime.fromtimestamp(part["called_s"], UTC)
            yield (
                part["call_id"], value.begin.execution_id, request.agent.id, request.principal.user_id, name, began,
                part["duration_ms"], part.get("ok"),
            )  # fmt: skip


async def purge() -> None:
    """Deletes what is too old to be shown, an agent at a time: that is how it is indexed."""
    await run(_purge)


def _purge() -> None:
    old = timezone.now() - KEPT
    for agent_id in ToolCall.objects.order_by().values_list("agent_id", flat=True).distinct():
        ToolCall.objects.filter(agent_id=agent_id, started_at__lt=old).delete()
