"""Which runs of an agent a caller sees (AG-4), a page at a time and strictly filtered (AG-35), or those that are not over (AG-39)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Left

from agents.access import Principal
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat import turns
from chat.executions import MAX_SHOWN_MESSAGE_CHARS, begun, is_own, summary
from chat.models import Execution, Wire
from chat.protocols.agents_api.base import manages
from chat.protocols.agents_api.paging import limit_of
from chat.queries import choice_of, query_problem
from chat.store import run
from chat.views import Call, uuid_for

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
MAX_OPEN = 1000
_SHOWN = (
    "id", "agent_id", "agent_name", "agent_version", "status", "trigger", "wire", "schedule_id", "session_id", "started_at",
    "completed_at", "queued_at", "duration_ms", "model_used", "cost_usd", "context_tokens", "context_window", "owner_id", "owner__email",
    "error_code", "skip_reason", "attempt_number", "retry_of_id", "created_at",
)  # fmt: skip
_IS_OPEN = "chat_execution.status IN ('queued', 'running', 'paused')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A checked query of the list. `before`: the last id of the page before; `filters` are look-ups of the ORM."""

    limit: int
    before: UUID | None
    filters: Mapping[str, Any]


def wanted(call: Call) -> Wanted:
    """Raises validation_error for every parameter that is not understood; it is never taken for "no filter" (AG-5)."""
    for name, values in call.query.lists():
        if name in _FILTERS and len(values) > 1:
            raise query_problem(name, "must be given once")
    filters = [(column, read(call, name)) for name, (column, read) in _FILTERS.items()]
    asked = {(column, value) for column, value in filters if value is not None}
    if len(asked) > len(dict(asked)):
        raise query_problem("triggered_by", "must not differ from trigger")
    return Wanted(limit=limit_of(call, DEFAULT_LIMIT, MAX_LIMIT), before=_id(call, "before"), filters=dict(asked))


def _choice(choices: Sequence[str]) -> Any:
    return lambda call, name: choice_of(call, name, tuple(choices))


def _id(call: Call, name: str) -> UUID | None:
    text = call.query.get(name)
    try:
        return None if text is None else uuid_for(text, "not_found")
    except SwitchboardError:
        raise query_problem(name, "must be an id") from None


def _time(call: Call, name: str) -> datetime | None:
    """Without a zone it is UTC. A `+` that nobody escaped arrives as a space."""
    text = call.query.get(name)
    try:
        moment = None if text is None else datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise query_problem(name, "must be an ISO 8601 time") from None


_TRIGGER = ("trigger", _choice(Execution.Trigger.values))
_FILTERS: Mapping[str, tuple[str, Any]] = {
    "status": ("status", _choice(Execution.Status.values)),
    "trigger": _TRIGGER,
    "triggered_by": _TRIGGER,
    "wire": ("wire", _choice(Wire.values)),
    "schedule_id": ("schedule_id", _id),
    "since": ("created_at__gte", _time),
}


def visible(principal: Principal, agent: AgentSpec) -> Q:
    """Managers see all runs of their agent, users their own (AG-4)."""
    if manages(principal, agent):
        return Q(agent_id=agent.id)
    return Q(agent_id=agent.id) & (Q(owner_id=principal.user_id) if principal.user_id is not None else Q(principal=principal.key))


async def page(principal: Principal, agent: AgentSpec, asked: Wanted) -> tuple[list[dict[str, Any]], UUID | None]:
    """The runs, newest first, and the last one's id when there are more. Raises validation_error for an unknown `before`."""
    return await run(_page, visible(principal, agent), asked)


def _page(seen: Q, asked: Wanted) -> tuple[list[dict[str, Any]], UUID | None]:
    rows = list(_listed(_after(seen, asked.before).filter(**asked.filters))[: asked.limit + 1])
    shown = rows[: asked.limit]
    return [_shown(row) for row in shown], shown[-1].id if len(rows) > len(shown) else None


def _after(seen: Q, before: UUID | None) -> QuerySet[Execution]:
    rows = Execution.objects.filter(seen)
    if before is None:
        return rows
    last = rows.filter(id=before).values_list("created_at", flat=True).first()
    if last is None:
        raise query_problem("before", "must be the id of a run in this list")
    return rows.filter(created_at__lte=last).exclude(created_at=last, id__gte=before)


def _listed(rows: QuerySet[Execution]) -> QuerySet[Execution]:
    """Without the large fields: of a message only what is shown is read."""
    head = Left("message", MAX_SHOWN_MESSAGE_CHARS)
    return rows.select_related("owner").only(*_SHOWN).annotate(head=head).order_by("-created_at", "-id")


def _shown(row: Any) -> dict[str, Any]:
    row.message = row.head
    return summary(row)


async def running(principal: Principal, agent: AgentSpec) -> list[dict[str, Any]]:
    """Runs that are queued, running or paused, newest first; also those of this process that are not stored yet (R0.6)."""
    fresh = [row for turn in list(turns.running().values()) if not turn.stored and (row := begun(turn)) and row.agent_id == agent.id]
    mine = [row for row in fresh if manages(principal, agent) or is_own(principal, row)]
    return await run(_open, visible(principal, agent), mine)


def open_runs(seen: Q) -> QuerySet[Execution]:
    """Written out as the index `execution_open` has it: SQLite uses a partial index for nothing else."""
    return Execution.objects.filter(seen).extra(where=[_IS_OPEN])  # noqa: S610 - a constant


def _open(seen: Q, fresh: list[Execution]) -> list[dict[str, Any]]:
    rows = _listed(open_runs(seen))[:MAX_OPEN]
    stored = {row.id: _shown(row) for row in rows}
    begun_only = [summary(row) for row in sorted(fresh, key=lambda row: row.id, reverse=True) if row.id not in stored]
    return [*begun_only, *stored.values()]
