"""The admin's first page: which agents there are, what they did today, what went wrong, and a line to try one."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Min, Q, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from agents.admin import states
from agents.admin.base import managed_agents, person
from agents.admin.buttons import row_url
from agents.models import Agent
from chat.admin import facts
from chat.models import Approval, Execution
from tasks.cron import zone_for
from tasks.models import Schedule

DAYS = 14
_LATE = timedelta(seconds=30)
"""A run that waits so long while none runs: probably there is no worker."""


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Everything is of the reader's own agents; administrators see all, also runs whose agent is gone."""
    user = person(request)
    agents = list(managed_agents(user).select_related("provider", "published").prefetch_related("agent_tools"))
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    runs = _recent(today)
    runs = runs if user.is_superuser else runs.filter(agent__in=agents)
    return context | {
        "title": "Overview",
        "figures": _figures(runs, today, agents),
        "days": _days(runs, today),
        "agents": [_agent(agent) for agent in agents[:12]],
        "more_agents": max(0, len(agents) - 12),
        "failures": _failures(runs),
        "waiting": _waiting(user.is_superuser, agents),
        "queue": _queue(user.is_superuser, agents),
        "try_it": _try_it(request, agents),
        "links": {name: reverse(f"admin:{name}") for name in ("agents_agent_changelist", "agents_apikey_add", "chat_execution_changelist")},
    }


def _recent(today: datetime) -> QuerySet[Execution]:
    """The runs this page counts. Ids are ordered by time, so the primary key finds them; a day of grace for moved clocks."""
    oldest = today - timedelta(days=DAYS)
    return Execution.objects.filter(pk__gte=UUID(int=int(oldest.timestamp() * 1000) << 80))


def _figures(runs: QuerySet[Execution], today: datetime, agents: list[Agent]) -> list[dict[str, str]]:
    sums = runs.filter(created_at__gte=today).aggregate(
        number=Count("pk"),
        failed=Count("pk", filter=Q(status=Execution.Status.FAILED)),
        incoming=Sum("input_tokens", default=0),
        outgoing=Sum("output_tokens", default=0),
        cost=Sum("cost_usd"),
    )
    running = runs.filter(status__in=("queued", "running", "paused")).count()
    live = sum(1 for agent in agents if agent.published and agent.enabled)
    return [
        {"name": "Agents live", "value": str(live), "note": f"of {len(agents)}"},
        {"name": "Runs today", "value": f"{sums['number']:,}", "note": f"{running} open now" if running else "none open now"},
        {
            "name": "Failed today",
            "value": f"{sums['failed']:,}",
            "note": _share(sums["failed"], sums["number"]),
            "bad": "1" if sums["failed"] else "",
        },
        {
            "name": "Tokens today",
            "value": f"{sums['incoming'] + sums['outgoing']:,}",
            "note": f"{sums['incoming']:,} in, {sums['outgoing']:,} out",
        },
        {"name": "Cost today", "value": facts.money(sums["cost"]), "note": "where prices are known"},
    ]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if part else "all went well" if whole else "no runs yet"


def _days(runs: QuerySet[Execution], today: datetime) -> list[dict[str, Any]]:
    """Runs and failures of the last days, with heights in percent for the bars."""
    since = today - timedelta(days=DAYS - 1)
    counted = {since.date() + timedelta(days=number): [0, 0] for number in range(DAYS)}
    by_day = runs.filter(created_at__gte=since).values_list("created_at__date")
    rows = by_day.annotate(number=Count("pk"), failed=Count("pk", filter=Q(status=Execution.Status.FAILED)))
    for day, number, failed in rows.order_by():
        if day in counted:
            counted[day] = [number, failed]
    top = max((number for number, _ in counted.values()), default=0) or 1
    return [
        {
            "day": day,
            "number": number,
            "failed": failed,
            "height": round(100 * number / top),
            "bad": round(100 * failed / number) if number else 0,
        }
        for day, (number, failed) in counted.items()
    ]


def _agent(agent: Agent) -> dict[str, Any]:
    state = states.state_of(agent)
    return {
        "row": agent,
        "url": row_url(agent),
        "face": agent.avatar or agent.name[:2].upper(),
        "version": f"v{agent.published.number}" if agent.published else "",
        "state": state,
        "colour": states.COLOURS[state],
    }


def _failures(runs: QuerySet[Execution]) -> list[dict[str, Any]]:
    failed = runs.filter(status=Execution.Status.FAILED).order_by("-pk").defer("steps", "response", "paused_state")[:6]
    return [
        {"run": run, "url": row_url(run), "asked": facts.excerpt(run.message, 60), "why": run.error or run.error_code} for run in failed
    ]


def _waiting(is_admin: bool, agents: list[Agent]) -> int:
    waiting = Approval.objects.filter(decision="", expires_at__gt=timezone.now())
    return waiting.count() if is_admin else waiting.filter(execution__agent__in=agents).count()


def _queue(is_admin: bool, agents: list[Agent]) -> dict[str, Any]:
    """Background runs: how many wait, how many workers have taken up, and since when the oldest waits that could start."""
    queued = Execution.objects.filter(work__isnull=False) if is_admin else Execution.objects.filter(work__isnull=False, agent__in=agents)
    ripe = Q(not_before__isnull=True) | Q(not_before__lte=timezone.now())
    waits = queued.filter(status="queued", lease_until__isnull=True).aggregate(depth=Count("pk"), oldest=Min("queued_at", filter=ripe))
    running = queued.filter(lease_until__isnull=False).count()
    waited = timezone.now() - waits["oldest"] if waits["oldest"] else timedelta(0)
    return {
        "depth": waits["depth"],
        "running": running,
        "due": "" if waits["oldest"] else _next_due(is_admin, agents),
        "oldest": facts.duration(round(waited.total_seconds() * 1000)) if waits["oldest"] else "",
        "is_stuck": waited > _LATE and not running,
        "url": f"{reverse('admin:chat_execution_changelist')}?status__exact=queued",
    }


def _next_due(is_admin: bool, agents: list[Agent]) -> str:
    """The schedule that runs next, and when, in its own zone."""
    coming = Schedule.objects.filter(enabled=True, next_run_at__isnull=False).order_by("next_run_at")
    found = (coming if is_admin else coming.filter(agent__in=agents)).first()
    if found is None or found.next_run_at is None:
        return ""
    return f"next {found.name}, {found.next_run_at.astimezone(zone_for(found.timezone)):%Y-%m-%d %H:%M} {found.timezone}"


def _try_it(request: HttpRequest, agents: list[Agent]) -> str:
    """A curl line for the first live agent."""
    live = next((agent.name for agent in agents if agent.published and agent.enabled), "my-agent")
    address = settings.PUBLIC_BASE_URL or request.build_absolute_uri("/").rstrip("/")
    body = f'{{"model": "{live}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    return f"curl {address}/v1/chat/completions \\\n  -H 'Authorization: Bearer sk-…' -H 'Content-Type: application/json' \\\n  -d '{body}'"
