"""What an agent's tools are doing and did (AG-28, AG-29): calls of open runs from memory and Redis, those that are over from rows.

Live calls are looked at first, and rows of the same calls left out: a call that ends meanwhile is told once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Min, Q, Sum
from django.utils import timezone

from agents.access import Principal
from agents.specs import AgentSpec
from chat.models import ActivityCleared, Execution, ToolCall
from chat.protocols.agents_api import activity_parts, activity_watch
from chat.protocols.agents_api.activity_calls import Seen, detailed, shown, shown_active
from chat.protocols.agents_api.base import manages
from chat.protocols.agents_api.executions import open_runs, visible
from chat.store import run
from chat.times import iso_or_none

WINDOW = timedelta(hours=24)
MAX_ELSEWHERE = 50
"""Runs of other processes that are looked into; beyond that, their calls show when they are over."""
_LONGEST_ID = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the database says first: since when calls count for this caller, and which visible runs are running."""

    since: datetime
    running: list[UUID]


async def summary(principal: Principal, agent: AgentSpec, limit: int) -> dict[str, Any]:
    """The whole of AG-28's answer."""
    here = activity_watch.here(principal, agent, everybody=manages(principal, agent))
    standing = await run(_standing, principal, agent)
    elsewhere = await activity_watch.elsewhere([id_ for id_ in standing.running if id_ not in here.runs])
    live = [call for call in (*here.calls, *elsewhere) if call.started_at > standing.since]
    counts, rows = await run(_over, _rows_of(principal, agent, standing.since, live), limit)
    timeline = sorted((*live, *rows), key=lambda call: call.started_at, reverse=True)[:limit]
    return {
        "status": "running" if standing.running or here.runs else "idle",
        "active_tool": shown_active(live),
        **_totals(counts, live),
        "timeline": [shown(call) for call in timeline],
    }


def _standing(principal: Principal, agent: AgentSpec) -> Standing:
    own = ActivityCleared.objects.filter(Q(owner_id=principal.user_id) & Q(agent_id=agent.id))
    cleared = own.values_list("cleared_at", flat=True).first()
    floor = timezone.now() - WINDOW
    running = open_runs(visible(principal, agent)).filter(status=Execution.Status.RUNNING).order_by("-created_at")
    return Standing(since=max(floor, cleared) if cleared else floor, running=list(running.values_list("id", flat=True)[:MAX_ELSEWHERE]))


def _rows_of(principal: Principal, agent: AgentSpec, since: datetime, live: Iterable[Seen]) -> Q:
    own = Q(owner_id=principal.user_id) if principal.user_id is not None else Q(pk__in=())
    mine = Q() if manages(principal, agent) else own
    return Q(agent_id=agent.id, started_at__gt=since) & mine & ~Q(call_id__in=[call.id for call in live])


def _over(which: Q, limit: int) -> tuple[list[Mapping[str, Any]], list[Seen]]:
    """Counts by tool of all calls that are over, and the newest of them with what they said."""
    rows = ToolCall.objects.filter(which)
    sums = rows.order_by().values("name").annotate(calls=Count("call_id"), duration_ms=Sum("duration_ms"), first=Min("started_at"))
    return list(sums), activity_parts.told(rows.order_by("-started_at")[:limit])


def _totals(counts: Iterable[Mapping[str, Any]], live: Iterable[Seen]) -> dict[str, Any]:
    each = [(count["name"], count["calls"], count["duration_ms"], count["first"]) for count in counts]
    each += [(call.name, 1, call.duration_ms or 0, call.started_at) for call in live]
    by_name: dict[str, int] = {}
    for name, calls, _, _ in each:
        by_name[name] = by_name.get(name, 0) + calls
    first = min((first for *_, first in each), default=None)
    totals = {"calls": sum(by_name.values()), "duration_ms": sum(duration for _, _, duration, _ in each)}
    return {"tool_counts": by_name, "totals": {**totals, "started_at": iso_or_none(first)}}


async def one(principal: Principal, agent: AgentSpec, tool_id: str) -> dict[str, Any] | None:
    """One call with its whole input and output; None for an unknown, a foreign and an impossible id alike."""
    if len(tool_id) > _LONGEST_ID or not tool_id.isprintable():
        return None
    here = activity_watch.here(principal, agent, everybody=manages(principal, agent))
    found = next((call for call in here.calls if call.id == tool_id), None)
    if found is None:
        which = _rows_of(principal, agent, datetime.min.replace(tzinfo=UTC), ()) & Q(call_id=tool_id)
        found = next(iter(await run(lambda: activity_parts.told(ToolCall.objects.filter(which)))), None)
    if found is None:
        standing = await run(_standing, principal, agent)
        others = await activity_watch.elsewhere([id_ for id_ in standing.running if id_ not in here.runs])
        found = next((call for call in others if call.id == tool_id), None)
    return detailed(found) if found else None


async def clear(principal: Principal, agent: AgentSpec) -> None:
    """What is there now is no longer in this user's own summary (AG-29)."""
    if principal.user_id is not None and agent.id is not None:
        await run(_clear, principal.user_id, agent.id)


def _clear(user_id: int, agent_id: UUID) -> None:
    ActivityCleared.objects.update_or_create(owner_id=user_id, agent_id=agent_id, defaults={"cleared_at": timezone.now()})
