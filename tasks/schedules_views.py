"""Schedules of an agent, for its managers: /api/agents/{name}/schedules… (agents.md section 8)."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone

from agents.access import Principal
from agents.database import run
from agents.specs import AgentSpec
from chat.fields import parse
from chat.idempotency import claim_for
from chat.protocols.agents_api import executions
from chat.protocols.agents_api.base import AgentRoute
from chat.protocols.agents_api.paging import next_link
from chat.queries import query_problem
from chat.queued import Accepted
from chat.times import iso, iso_or_none
from chat.views import Call, respond, uuid_for
from tasks import documents, editing, firing
from tasks.analytics import analytics
from tasks.managing import id_of, managed_agent
from tasks.models import Schedule
from tasks.serializers import WINDOWS, NewSchedule, ScheduleChange

_DEFAULT_WINDOW = "168"


class SchedulesView(AgentRoute):
    scopes = {"GET": "", "POST": ""}

    @documents.schedules
    async def get(self, call: Call, name: str) -> HttpResponse:
        agent = await managed_agent(call.principal, name)
        rows = await run(_all, agent)
        return respond([shown(row, agent.name) for row in rows])

    @documents.schedule_create
    async def post(self, call: Call, name: str) -> HttpResponse:
        asked = parse(NewSchedule, call.json())
        agent = await managed_agent(call.principal, name)
        return respond(shown(await run(editing.create, call.principal, agent, asked), agent.name), 201)


class ScheduleView(AgentRoute):
    """PUT and PATCH are the same (AG-41)."""

    scopes = {"GET": "", "PUT": "", "PATCH": "", "DELETE": ""}

    @documents.schedule
    async def get(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        agent, schedule = await managed_schedule(call.principal, name, schedule_id)
        return respond(shown(schedule, agent.name))

    @documents.schedule_put
    async def put(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        return await _changed(call, name, schedule_id)

    @documents.schedule_patch
    async def patch(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        return await _changed(call, name, schedule_id)

    @documents.schedule_delete
    async def delete(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        _, schedule = await managed_schedule(call.principal, name, schedule_id)
        await run(schedule.delete)
        return HttpResponse(status=204)


class SwitchView(AgentRoute):
    """enable and disable, repeatable (AG-45)."""

    scopes = {"POST": ""}
    json_body = False
    enabled = True

    async def _switch(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        agent, schedule = await managed_schedule(call.principal, name, schedule_id)
        asked = ScheduleChange(enabled=self.enabled)
        await run(editing.change, call.principal, agent, schedule.pk, asked)
        return respond({"status": "enabled" if self.enabled else "disabled", "schedule_id": schedule_id})


class EnableView(SwitchView):
    @documents.schedule_enable
    async def post(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        return await self._switch(call, name, schedule_id)


class DisableView(SwitchView):
    enabled = False

    @documents.schedule_disable
    async def post(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        return await self._switch(call, name, schedule_id)


class TriggerView(AgentRoute):
    """A run now, also of a schedule that is off; the next run stays where it is (AG-45)."""

    scopes = {"POST": ""}
    json_body = False

    @documents.schedule_trigger
    async def post(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        agent, schedule = await managed_schedule(call.principal, name, schedule_id)
        header = call.headers.get("idempotency-key")
        key = claim_for(call.principal, f"schedules/{schedule_id}/trigger", agent.name, header, {}, {})
        wanted = firing.wanted_by(schedule, request_id=call.request_id)
        return triggered(await firing.start(schedule, agent, wanted, key), agent.name, schedule)


class RunsView(AgentRoute):
    """Newest first, retries and skipped ones included; the filters of section 7 hold here too (AG-46)."""

    scopes = {"GET": ""}

    @documents.schedule_executions
    async def get(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        asked = executions.wanted(call)
        agent, schedule = await managed_schedule(call.principal, name, schedule_id)
        of_this = replace(asked, filters={**asked.filters, "schedule_id": schedule.pk})
        rows, last = await executions.page(call.principal, agent, of_this)
        return respond(rows, headers=next_link(call, last))


class AnalyticsView(AgentRoute):
    scopes = {"GET": ""}

    @documents.schedule_analytics
    async def get(self, call: Call, name: str, schedule_id: str) -> HttpResponse:
        hours = window_of(call)
        _, schedule = await managed_schedule(call.principal, name, schedule_id)
        return respond(await run(analytics, schedule.pk, hours, timezone.now()))


async def managed_schedule(principal: Principal, name: str, schedule_id: str) -> tuple[AgentSpec, Schedule]:
    """Raises agent_not_found, insufficient_scope, manager_required or schedule_not_found."""
    agent = await managed_agent(principal, name)
    return agent, await run(editing.schedule_of, agent, uuid_for(schedule_id, "schedule_not_found"))


async def _changed(call: Call, name: str, schedule_id: str) -> HttpResponse:
    asked = parse(ScheduleChange, call.json())
    agent = await managed_agent(call.principal, name)
    changed = await run(editing.change, call.principal, agent, uuid_for(schedule_id, "schedule_not_found"), asked)
    return respond(shown(changed, agent.name))


def _all(agent: AgentSpec) -> list[Schedule]:
    return list(Schedule.objects.filter(agent_id=id_of(agent)).select_related("workflow").order_by("name", "pk"))


def window_of(call: Call) -> int:
    """Raises validation_error for another window than the three there are (AG-5)."""
    text = call.query.get("window_hours", _DEFAULT_WINDOW)
    if text not in map(str, WINDOWS):
        raise query_problem("window_hours", "must be 24, 168 or 720")
    return int(text)


def triggered(accepted: Accepted, agent_name: str, schedule: Schedule | None) -> HttpResponse:
    """The 202 of a trigger and of a webhook's call; a repeated key gives it again (R4.3)."""
    replayed = {"Idempotent-Replayed": "true", "X-Idempotent-Replay": "true"} if accepted.replayed else {}
    answer = {
        "status": "triggered",
        "execution_id": str(accepted.execution_id),
        "schedule_id": str(schedule.pk) if schedule else None,
        "schedule_name": schedule.name if schedule else None,
        "agent_name": agent_name,
        "message": "Schedule triggered" if schedule else "Agent triggered",
    }
    return respond(answer, 202, {"X-Execution-Id": str(accepted.execution_id), "X-Switchboard-Agent": agent_name, **replayed})


def shown(schedule: Schedule, agent_name: str) -> dict[str, Any]:
    return {
        "id": str(schedule.pk),
        "agent_name": agent_name,
        "name": schedule.name,
        "cron_expression": schedule.cron_expression or None,
        "run_at": iso_or_none(schedule.run_at),
        "message": schedule.message,
        "enabled": schedule.enabled,
        "timezone": schedule.timezone,
        "description": schedule.description or None,
        "timeout_seconds": schedule.timeout_s,
        "allowed_tools": schedule.allowed_tools,
        "model": schedule.model or None,
        "max_retries": schedule.max_retries,
        "retry_delay_seconds": schedule.retry_delay_s,
        "session_id": _text(schedule.session_id),
        "workflow": schedule.workflow.name if schedule.workflow else None,
        "params": schedule.params,
        "created_at": iso(schedule.created_at),
        "updated_at": iso(schedule.updated_at),
        "last_run_at": iso_or_none(schedule.last_run_at),
        "next_run_at": iso_or_none(schedule.next_run_at),
    }


def _text(value: UUID | None) -> str | None:
    return str(value) if value else None
