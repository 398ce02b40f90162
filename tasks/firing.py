"""Runs of schedules: claimed once per due time, skipped where they may not happen, tried again where they failed (AG-43, AG-44)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

from django.db import transaction

from agents import directory
from agents.access import may_use
from agents.database import run
from agents.ids import uuid7
from agents.specs import AgentSpec
from chat import queued
from chat.errors import TurnError
from chat.models import ChatSession, Execution
from chat.queued import Accepted
from chat.requests import IdempotencyClaim, SessionRef, TaskRequest, WorkflowCall
from chat.sessions import ref_of
from tasks.cron import fire_times, zone_for
from tasks.models import Firing, Schedule
from tasks.skipping import Skip, Trigger, Wanted, skip

GRACE = timedelta(hours=1)
"""A run that is later than this is not made up."""
KEPT = timedelta(days=7)
"""Claims are of no use once nobody can think that their time is still due."""
LONGEST = timedelta(days=7)
"""No run waits, runs and pauses for so long: older ones need not be looked through."""
MAX_DELAY_S = 600
_OPEN = (Execution.Status.QUEUED, Execution.Status.RUNNING, Execution.Status.PAUSED)


# A due time


@transaction.atomic
def fire(schedule_id: UUID, now: datetime, catalog: directory.Catalog) -> UUID | None:
    """Fires what is due of this schedule, unless another scheduler is at it. Returns the agent's id when a run waits. Synchronous.

    Raises invalid_cron or invalid_timezone when its next time cannot be computed (any more).
    """
    rows = Schedule.objects.select_for_update(of=("self",), skip_locked=True).select_related("agent", "workflow")
    schedule = rows.filter(pk=schedule_id, enabled=True, next_run_at__lte=now).first()
    if schedule is None:
        return None
    missed, due = due_times(schedule, now)
    if missed is not None and (execution_id := claim(schedule, missed)):
        skip(wanted_by(schedule), "missed", execution_id)
    waits = False
    if due is not None and (execution_id := claim(schedule, due)):
        waits = _queue_or_skip(schedule, catalog.by_id.get(schedule.agent_id), wanted_by(schedule), execution_id)
        schedule.last_run_at = now if waits else schedule.last_run_at
    _advance(schedule, now)
    return schedule.agent_id if waits else None


def due_times(schedule: Schedule, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The oldest time that came too late to be made up, and the latest one that did not; what lies between is let go (AG-44)."""
    first, since = schedule.next_run_at, now - GRACE
    assert first is not None, "only what has a next run is due"
    missed, due = (first, None) if first < since else (None, first)
    if schedule.cron_expression:
        for moment in fire_times(schedule.cron_expression, zone_for(schedule.timezone), max(first, since - timedelta(seconds=1))):
            if moment > now:
                break
            due = moment
    return missed, due


def claim(schedule: Schedule, due_at: datetime) -> UUID | None:
    """The id of the run that this due time is to have; None when it had one before."""
    execution_id = uuid7()
    values = {"execution_id": execution_id, "open": schedule.max_retries > 0}
    _, made = Firing.objects.get_or_create(schedule=schedule, due_at=due_at, defaults=values)
    return execution_id if made else None


def _advance(schedule: Schedule, now: datetime) -> None:
    """Computes the next time, whatever became of this one; a single run switches itself off."""
    schedule.enabled = bool(schedule.cron_expression)
    schedule.plan(now)
    schedule.save(update_fields=["enabled", "next_run_at", "last_run_at"])
    schedule.firings.filter(due_at__lt=now - KEPT).delete()


# A run


def wanted_by(schedule: Schedule, request_id: str = "") -> Wanted:
    """The run as the schedule says it; `agent` is to be loaded with it."""
    return Wanted(
        text=schedule.message,
        agent_id=schedule.agent_id,
        agent_name=schedule.agent.name,
        owner_id=schedule.created_by_id,
        schedule_id=schedule.pk,
        request_id=request_id,
    )


async def start(schedule: Schedule, agent: AgentSpec, wanted: Wanted, key: IdempotencyClaim | None = None) -> Accepted:
    """A run that somebody asks for, also while another goes or the schedule is off (AG-45). Raises what enqueue() raises."""
    try:
        task = await run(task_of, schedule, agent, wanted)
    except Skip as skipped:
        return Accepted(execution_id=await run(skip, wanted, str(skipped)))
    accepted = await queued.enqueue(task, key)
    if not accepted.replayed:
        await run(_started, schedule, accepted.execution_id)
        await follow_up(accepted.execution_id)  # it may have ended before it was watched
    return accepted


@transaction.atomic
def _started(schedule: Schedule, execution_id: UUID) -> None:
    """A schedule that was deleted at this moment has no firings any more."""
    is_there = Schedule.objects.filter(pk=schedule.pk).update(last_run_at=datetime.now(UTC))
    if is_there and schedule.max_retries:
        Firing.objects.create(schedule=schedule, execution_id=execution_id, open=True)


def _queue_or_skip(schedule: Schedule, agent: AgentSpec | None, wanted: Wanted, execution_id: UUID) -> bool:
    """Stores the run as waiting or as skipped, in the caller's transaction; whether it waits."""
    try:
        task = task_of(schedule, agent, wanted)
        _check_now(schedule, task)
        queued.store_with(task, execution_id)
    except Skip as skipped:
        skip(wanted, str(skipped), execution_id)
    except TurnError as error:
        skip(wanted, error.code, execution_id)
    else:
        return True
    return False


def _check_now(schedule: Schedule, task: TaskRequest) -> None:
    """Raises Skip: agent_not_running, or overlap when a run of the schedule is not over and this is not its retry."""
    if not task.agent.enabled:
        raise Skip("agent_not_running")
    recent = Execution.objects.filter(schedule_id=schedule.pk, created_at__gt=datetime.now(UTC) - LONGEST)
    if task.retry_of is None and recent.filter(status__in=_OPEN).exists():
        raise Skip("overlap")


def task_of(schedule: Schedule, agent: AgentSpec | None, wanted: Wanted) -> TaskRequest:
    """The run as the queue takes it, in the name of the schedule's creator. Raises Skip."""
    task = task_for(agent, wanted)
    return replace(
        task,
        session=_session(schedule),
        model=schedule.model,
        timeout_s=schedule.timeout_s,
        allowed_tools=None if schedule.allowed_tools is None else tuple(schedule.allowed_tools),
        workflow=_call(schedule, wanted),
    )


def task_for(agent: AgentSpec | None, wanted: Wanted) -> TaskRequest:
    """A run in the name of a user who may (still) use the agent. Raises Skip: agent_not_running, owner_lost_access."""
    if agent is None:
        raise Skip("agent_not_running")
    owner = directory.load_user(wanted.owner_id) if wanted.owner_id else None
    if owner is None or not may_use(owner.principal, agent):
        raise Skip("owner_lost_access")
    return TaskRequest(
        principal=owner.principal,
        agent=agent,
        trigger=wanted.trigger,
        parts=({"type": "text", "text": wanted.text},),
        schedule_id=wanted.schedule_id,
        not_before=wanted.not_before,
        retry_of=wanted.retry_of,
        labels=wanted.labels,
        request_id=wanted.request_id,
    )


def _call(schedule: Schedule, wanted: Wanted) -> WorkflowCall | None:
    """The workflow it runs, if it runs one, in its newest version. Raises Skip when that does not take its inputs any more."""
    workflow = schedule.workflow
    if workflow is None:
        return None
    from chat.workflows import calls  # and a template language: for schedules of workflows

    if not workflow.enabled or not workflow.version:
        raise Skip("workflow_not_found")
    try:
        return calls.call_of(workflow, schedule.params or {}, wanted.text)
    except TurnError as error:
        raise Skip(error.code) from error


def _session(schedule: Schedule) -> SessionRef | None:
    """The conversation it runs in, if it has one. Raises Skip when that is gone."""
    if schedule.session_id is None:
        return None
    row = ChatSession.objects.filter(pk=schedule.session_id, owner_id=schedule.created_by_id, agent_id=schedule.agent_id).first()
    if row is None:
        raise Skip("session_not_found")
    return ref_of(row)


# Its end


async def follow_up(execution_id: UUID) -> None:
    """Tries a run again that failed; told of every queued run's end, perhaps twice (chat.finished). Raises store_unavailable."""
    agent_id = await run(_followed_up, execution_id, datetime.now(UTC))
    if agent_id is not None:
        await queued.announce(agent_id)


@transaction.atomic
def _followed_up(execution_id: UUID, now: datetime) -> UUID | None:
    """The agent's id when a retry waits. Whoever is told the second time finds the firing gone on, or closed."""
    rows = Firing.objects.select_for_update(of=("self",)).select_related("schedule__agent", "schedule__workflow")
    firing = rows.filter(execution_id=execution_id, open=True).first()
    ended = Execution.objects.filter(pk=execution_id).exclude(status__in=_OPEN).first() if firing else None
    if firing is None or ended is None:
        return None
    if ended.status == Execution.Status.FAILED and firing.retries < firing.schedule.max_retries and _try_again(firing, ended, now):
        return firing.schedule.agent_id
    _close(firing)
    return None


def _try_again(firing: Firing, failed: Execution, now: datetime) -> bool:
    """Stores the retry, to start after its pause; False when it was skipped instead."""
    schedule = firing.schedule
    wanted = replace(
        wanted_by(schedule),
        text=failed.message,
        trigger=cast(Trigger, failed.trigger),
        not_before=(failed.completed_at or now) + timedelta(seconds=delay_s(schedule.retry_delay_s, firing.retries)),
        retry_of=failed.pk,
        labels=failed.labels,
    )
    firing.execution_id = uuid7()
    firing.retries += 1
    firing.save(update_fields=["execution_id", "retries"])
    return _queue_or_skip(schedule, directory.fresh().by_id.get(schedule.agent_id), wanted, firing.execution_id)


def delay_s(first_s: int, retries: int) -> int:
    """The pause before a retry: doubled with each, up to ten minutes."""
    return int(min(first_s * 2**retries, MAX_DELAY_S))


def _close(firing: Firing) -> None:
    """A claim is kept, so that its due time is not fired again."""
    if firing.due_at is None:
        firing.delete()
    else:
        firing.open = False
        firing.save(update_fields=["open"])
