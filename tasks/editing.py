"""Schedules made and changed: what is given is checked against the agent, and the next run follows every change (AG-41 … AG-43)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agents.access import Principal
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat.choice import asked_with
from chat.models import ChatSession, Workflow
from chat.protocols.agents_api.errors import field_problem
from chat.views import uuid_for
from chat.workflows import rows
from tasks.cron import check_cron, instant, zone_for
from tasks.managing import id_of
from tasks.models import Schedule
from tasks.serializers import NewSchedule, ScheduleChange

COLUMNS: Mapping[str, tuple[str, Any]] = {
    "name": ("name", ""),
    "message": ("message", ""),
    "cron_expression": ("cron_expression", ""),
    "run_at": ("run_at", None),
    "timezone": ("timezone", "UTC"),
    "enabled": ("enabled", True),
    "description": ("description", ""),
    "timeout_seconds": ("timeout_s", None),
    "allowed_tools": ("allowed_tools", None),
    "model": ("model", ""),
    "max_retries": ("max_retries", 0),
    "retry_delay_seconds": ("retry_delay_s", 60),
    "session_id": ("session_id", None),
    "workflow": ("workflow", None),
    "params": ("params", None),
}
"""Field -> its column, and what null sets there."""
_TIMING = ("cron_expression", "run_at", "timezone", "enabled")


def create(principal: Principal, agent: AgentSpec, asked: NewSchedule) -> Schedule:
    """A new schedule of the caller's. Raises what check() raises."""
    schedule = Schedule(agent_id=id_of(agent), created_by_id=principal.user_id)
    _apply(schedule, asked, principal, agent)
    schedule.save(force_insert=True)
    return schedule


def change(principal: Principal, agent: AgentSpec, schedule_id: UUID, asked: ScheduleChange) -> Schedule:
    """Absent fields stay, null clears (AG-41). Raises schedule_not_found and what check() raises."""
    with transaction.atomic():
        schedule = schedule_of(agent, schedule_id, lock=True)
        _apply(schedule, asked, principal, agent)
        schedule.save()
    return schedule


def schedule_of(agent: AgentSpec, schedule_id: UUID, *, lock: bool = False) -> Schedule:
    """Raises schedule_not_found for an unknown one and for one of another agent alike (AG-46)."""
    schedules = Schedule.objects.select_for_update(of=("self",)) if lock else Schedule.objects.all()
    schedule = schedules.select_related("agent", "workflow").filter(pk=schedule_id, agent_id=id_of(agent)).first()
    if schedule is None:
        raise SwitchboardError("schedule_not_found")
    return schedule


def _apply(schedule: Schedule, asked: ScheduleChange, principal: Principal, agent: AgentSpec) -> None:
    given, before = asked.model_fields_set, timing(schedule)
    for field in given:
        column, cleared = COLUMNS[field]
        value = _workflow(agent, asked.workflow) if field == "workflow" else getattr(asked, field)
        setattr(schedule, column, cleared if value is None else value)
    if asked.session_id is not None:
        schedule.session_id = _own_session(schedule, asked.session_id, principal, agent)
    now = timezone.now()
    check(schedule, agent, now, given)
    if timing(schedule) != before or not is_due(schedule, now):
        replan(schedule, now)


def timing(schedule: Schedule) -> tuple[Any, ...]:
    """What decides when it runs."""
    return tuple(getattr(schedule, column) for column in _TIMING)


def is_due(schedule: Schedule, now: datetime) -> bool:
    """It is about to be fired: an edit that leaves its times alone must not take that run away."""
    return schedule.next_run_at is not None and schedule.next_run_at <= now


def check(schedule: Schedule, agent: AgentSpec, now: datetime, given: frozenset[str] | set[str]) -> None:
    """The given fields, by the code that will use them.

    Raises invalid_timezone, invalid_cron, schedule_timeout_exceeds_agent_cap, model_not_allowed or validation_error,
    and for a workflow workflow_not_found or invalid_params.
    """
    zone = zone_for(schedule.timezone)
    if bool(schedule.cron_expression) == (schedule.run_at is not None):
        raise field_problem("cron_expression", "exactly one of cron_expression and run_at is needed")
    if schedule.cron_expression and given & {"cron_expression", "timezone"}:
        schedule.cron_expression = check_cron(schedule.cron_expression, zone, now)
    if schedule.run_at is not None and schedule.run_at.tzinfo is None:
        schedule.run_at = instant(schedule.run_at, zone)
    if schedule.run_at is not None and "run_at" in given and schedule.run_at <= now:
        raise _in_the_past()
    if schedule.timeout_s is not None and "timeout_seconds" in given and schedule.timeout_s > agent.run_timeout_s:
        raise _over_the_cap(schedule.timeout_s, int(agent.run_timeout_s))
    if "model" in given:
        asked_with(agent, schedule.model)
    if schedule.workflow is not None or "params" in given:
        _check_workflow(schedule, given)
    unknown = [name for name in schedule.allowed_tools or () if agent.tool(name) is None]
    if unknown and "allowed_tools" in given:
        raise field_problem("allowed_tools", f"the agent has no tool named {unknown[0][:64]!r}")


def _workflow(agent: AgentSpec, name_or_id: str | None) -> Workflow | None:
    """A workflow of this agent. Raises workflow_not_found."""
    found = [row for row in rows.listed(id_of(agent)) if name_or_id in (row.name, str(row.pk))] if name_or_id else []
    if name_or_id and not found:
        raise SwitchboardError("workflow_not_found")
    return found[0] if found else None


def _check_workflow(schedule: Schedule, given: frozenset[str] | set[str]) -> None:
    """Its inputs, as it is now. Raises workflow_not_found for one of another agent, invalid_params, or validation_error."""
    if schedule.workflow is None:
        if schedule.params:
            raise field_problem("params", "needs a workflow")
        return
    if schedule.workflow.agent_id != schedule.agent_id:
        raise SwitchboardError("workflow_not_found")
    if given & {"workflow", "params", "message"}:
        from chat.workflows import calls  # and YAML: for schedules of workflows

        calls.call_of(schedule.workflow, schedule.params or {}, schedule.message)


def replan(schedule: Schedule, now: datetime) -> None:
    """Sets the next run. Raises validation_error for a single run that is switched on after its time."""
    schedule.plan(now)
    if schedule.enabled and schedule.next_run_at is None:
        raise _in_the_past()


def _own_session(schedule: Schedule, text: str, principal: Principal, agent: AgentSpec) -> UUID:
    """A conversation with this agent of the schedule's creator, in whose name it runs. Raises session_not_found."""
    session_id = uuid_for(text, "session_not_found")
    own = ChatSession.objects.filter(pk=session_id, agent_id=id_of(agent), owner_id=principal.user_id)
    if schedule.created_by_id != principal.user_id or not own.exists():
        raise SwitchboardError("session_not_found")
    return session_id


def _in_the_past() -> SwitchboardError:
    return field_problem("run_at", "must be in the future")


def _over_the_cap(requested_s: int, cap_s: int) -> SwitchboardError:
    """`detail` is an object here: clients of the reference server read it (R3.2)."""
    code, message = "schedule_timeout_exceeds_agent_cap", f"This agent's runs may take {cap_s} seconds at most."
    return SwitchboardError(
        code, message, extra={"detail": {"error": code, "message": message, "agent_cap_seconds": cap_s, "requested_seconds": requested_s}}
    )
