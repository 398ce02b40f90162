"""What is due fires, once; what may not run is stored as skipped, with its reason (AG-43, AG-44)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from agents import directory, versions
from agents.models import Agent
from chat.models import ChatSession, Execution, Workflow
from tasks import editing, firing
from tasks.firing import delay_s
from tasks.models import Firing, Schedule
from tasks.schedules import tick
from tasks.serializers import ScheduleChange
from tests.tasks.conftest import NOON, NewSchedule

pytestmark = pytest.mark.django_db


def runs(schedule: Schedule) -> list[tuple[str, str]]:
    """Status and reason of the schedule's runs, oldest first."""
    return list(Execution.objects.filter(schedule_id=schedule.pk).order_by("created_at").values_list("status", "skip_reason"))


def next_run(schedule: Schedule) -> str:
    schedule.refresh_from_db()
    return f"{schedule.next_run_at:%m-%d %H:%M}" if schedule.next_run_at else "never"


def end(schedule: Schedule, status: str = "success", **fields: object) -> None:
    Execution.objects.filter(schedule_id=schedule.pk, status="queued").update(status=status, work=None, **fields)


def test_what_is_due_is_queued_in_the_name_of_its_creator(new_schedule: NewSchedule, owner: User, agent: Agent) -> None:
    schedule = new_schedule(timeout_s=90, allowed_tools=["now"], model="demo")
    assert tick(NOON) == 1
    run = Execution.objects.get(schedule_id=schedule.pk)
    assert (run.status, run.trigger, run.wire, run.message) == ("queued", "schedule", None, "Report, please.")
    assert (run.owner, run.principal, run.agent, run.session) == (owner, f"user:{owner.pk}", agent, None)
    assert run.work
    assert (run.work["timeout_s"], run.work["allowed_tools"], run.work["model"]) == (90, ["now"], "demo")
    assert next_run(schedule) == "01-07 13:00"
    assert schedule.last_run_at == NOON


def test_nothing_fires_before_its_time(new_schedule: NewSchedule) -> None:
    schedule = new_schedule()
    assert tick(NOON - timedelta(seconds=1)) == 0
    assert runs(schedule) == []


def test_a_disabled_schedule_does_not_fire(new_schedule: NewSchedule) -> None:
    schedule = new_schedule(enabled=False)
    assert tick(NOON) == 0
    assert runs(schedule) == []


def test_the_same_time_fires_once_even_if_it_is_asked_for_again(new_schedule: NewSchedule) -> None:
    """The clock went back, or a second scheduler had read the row before: the claim stays."""
    schedule = new_schedule()
    tick(NOON)
    end(schedule)
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=NOON)
    tick(NOON + timedelta(seconds=1))
    assert runs(schedule) == [("success", "")]
    assert next_run(schedule) == "01-07 13:00"


def test_a_run_that_is_due_while_the_last_one_goes_is_skipped(new_schedule: NewSchedule) -> None:
    schedule = new_schedule()
    tick(NOON)
    tick(NOON + timedelta(hours=1))
    assert runs(schedule) == [("queued", ""), ("skipped", "overlap")]
    assert next_run(schedule) == "01-07 14:00"
    end(schedule)
    tick(NOON + timedelta(hours=2))
    assert runs(schedule)[2:] == [("queued", "")]


def test_another_schedules_run_is_no_overlap(new_schedule: NewSchedule) -> None:
    first, second = new_schedule(), new_schedule(name="Other")
    tick(NOON)
    assert (runs(first), runs(second)) == ([("queued", "")], [("queued", "")])


@pytest.mark.parametrize(
    ("cron", "late", "expected", "following"),
    [
        ("0 * * * *", timedelta(minutes=59), [("queued", "")], "01-07 13:00"),
        ("0 * * * *", timedelta(hours=1), [("queued", "")], "01-07 14:00"),
        ("0 12 * * *", timedelta(minutes=60), [("queued", "")], "01-08 12:00"),
        ("0 12 * * *", timedelta(minutes=60, seconds=1), [("skipped", "missed")], "01-08 12:00"),
        ("0 12 * * *", timedelta(days=40, hours=2), [("skipped", "missed")], "02-17 12:00"),
        ("* * * * *", timedelta(minutes=30), [("queued", "")], "01-07 12:31"),
        ("* * * * *", timedelta(days=400), [("skipped", "missed"), ("queued", "")], "02-11 12:01"),
    ],
)
def test_after_downtime(new_schedule: NewSchedule, cron: str, late: timedelta, expected: list[object], following: str) -> None:
    """At most one missed run within the last 3600 s is made up, older ones are stored once."""
    schedule = new_schedule(cron_expression=cron)
    tick(NOON + late)
    assert sorted(runs(schedule)) == sorted(expected)
    assert next_run(schedule) == following
    tick(NOON + late)
    assert len(runs(schedule)) == len(expected)


def test_a_single_run_fires_once_and_switches_its_schedule_off(new_schedule: NewSchedule) -> None:
    schedule = new_schedule(cron_expression="", run_at=NOON)
    tick(NOON)
    schedule.refresh_from_db()
    assert (runs(schedule), schedule.enabled, schedule.next_run_at) == ([("queued", "")], False, None)


def test_a_single_run_that_was_missed_is_not_made_up_a_day_later(new_schedule: NewSchedule) -> None:
    schedule = new_schedule(cron_expression="", run_at=NOON)
    tick(NOON + timedelta(days=1))
    schedule.refresh_from_db()
    assert (runs(schedule), schedule.enabled) == ([("skipped", "missed")], False)


def test_a_disabled_agent_is_not_run(new_schedule: NewSchedule, agent: Agent) -> None:
    schedule = new_schedule()
    agent.enabled = False
    agent.save()
    tick(NOON)
    assert runs(schedule) == [("skipped", "agent_not_running")]
    assert next_run(schedule) == "01-07 13:00"
    skipped = Execution.objects.get(schedule_id=schedule.pk)
    assert (skipped.error_code, skipped.error) == ("agent_not_running", "Skipped: the agent was not running.")
    assert skipped.completed_at
    assert schedule.last_run_at is None


def test_an_agent_that_is_not_published_is_not_run(new_schedule: NewSchedule, agent: Agent) -> None:
    schedule = new_schedule()
    agent.published = None
    agent.save()
    tick(NOON)
    assert runs(schedule) == [("skipped", "agent_not_running")]


@pytest.mark.parametrize("loss", ["inactive", "not the owner any more", "deleted"])
def test_a_creator_without_access_runs_nothing(new_schedule: NewSchedule, agent: Agent, owner: User, loss: str) -> None:
    schedule = new_schedule()
    if loss == "deleted":
        owner.delete()
    elif loss == "inactive":
        User.objects.filter(pk=owner.pk).update(is_active=False)
    else:
        agent.owner = None
        agent.save()
    tick(NOON)
    assert runs(schedule) == [("skipped", "owner_lost_access")]


def test_a_full_queue_skips(new_schedule: NewSchedule, agent: Agent) -> None:
    agent.max_queued_tasks = 1
    agent.save()
    versions.publish(agent)
    first, second = new_schedule(next_run_at=NOON - timedelta(minutes=1)), new_schedule(name="Second")
    tick(NOON)
    assert (runs(first), runs(second)) == ([("queued", "")], [("skipped", "queue_full")])


def test_a_run_inside_a_conversation(new_schedule: NewSchedule, agent: Agent, owner: User) -> None:
    session = ChatSession.objects.create(namespace="user:1", agent=agent, agent_name="helper", owner=owner, wire="agents")
    schedule = new_schedule(session_id=session.pk)
    tick(NOON)
    assert Execution.objects.get(schedule_id=schedule.pk).session == session


def test_a_conversation_that_is_gone_skips(new_schedule: NewSchedule) -> None:
    schedule = new_schedule(session_id=uuid4())
    tick(NOON)
    assert runs(schedule) == [("skipped", "session_not_found")]


def test_one_schedule_that_cannot_fire_is_switched_off_and_keeps_no_other(new_schedule: NewSchedule) -> None:
    broken, sound = new_schedule(timezone="Mars/Base", next_run_at=NOON - timedelta(minutes=1)), new_schedule()
    tick(NOON)
    broken.refresh_from_db()
    assert (broken.enabled, broken.next_run_at, runs(broken)) == (False, None, [])
    assert runs(sound) == [("queued", "")]


def test_claims_are_kept_for_a_week(new_schedule: NewSchedule) -> None:
    schedule = new_schedule()
    for days in range(10):
        Schedule.objects.filter(pk=schedule.pk).update(next_run_at=NOON + timedelta(days=days))
        tick(NOON + timedelta(days=days))
    assert Firing.objects.filter(schedule=schedule).count() == 8


# Retries


def follow_up(schedule: Schedule) -> None:
    """Every end is told twice: nothing happens twice (chat.finished)."""
    for execution_id in list(Execution.objects.filter(schedule_id=schedule.pk).values_list("pk", flat=True)):
        firing._followed_up(execution_id, datetime.now(UTC))
        firing._followed_up(execution_id, datetime.now(UTC))


def test_a_failed_run_is_tried_again_with_growing_pauses(new_schedule: NewSchedule) -> None:
    schedule = new_schedule(max_retries=2, retry_delay_s=40)
    tick(NOON)
    follow_up(schedule)
    assert runs(schedule) == [("queued", "")]
    for pause_s, attempts in ((40, 2), (80, 3)):
        end(schedule, "failed", completed_at=NOON)
        follow_up(schedule)
        found = list(Execution.objects.filter(schedule_id=schedule.pk).order_by("created_at"))
        assert len(found) == attempts
        assert (found[-1].status, found[-1].retry_of) == ("queued", found[-2])
        assert found[-1].not_before == NOON + timedelta(seconds=pause_s)
        assert (found[-1].trigger, found[-1].message) == ("schedule", "Report, please.")
    end(schedule, "failed", completed_at=NOON)
    follow_up(schedule)
    assert len(runs(schedule)) == 3
    assert not Firing.objects.filter(open=True).exists()


def test_the_pause_is_ten_minutes_at_most() -> None:
    assert [delay_s(60, retries) for retries in range(5)] == [60, 120, 240, 480, 600]
    assert delay_s(600, 4) == 600


@pytest.mark.parametrize("status", ["success", "cancelled"])
def test_other_ends_are_final(new_schedule: NewSchedule, status: str) -> None:
    schedule = new_schedule(max_retries=2)
    tick(NOON)
    end(schedule, status)
    follow_up(schedule)
    assert runs(schedule) == [(status, "")]
    assert not Firing.objects.filter(open=True).exists()


def test_without_retries_a_failure_is_final(new_schedule: NewSchedule) -> None:
    schedule = new_schedule()
    tick(NOON)
    end(schedule, "failed")
    follow_up(schedule)
    assert runs(schedule) == [("failed", "")]


def test_a_retry_that_may_not_run_is_skipped_and_the_last(new_schedule: NewSchedule, agent: Agent) -> None:
    schedule = new_schedule(max_retries=3)
    tick(NOON)
    end(schedule, "failed")
    agent.enabled = False
    agent.save()
    follow_up(schedule)
    assert runs(schedule) == [("failed", ""), ("skipped", "agent_not_running")]
    assert Execution.objects.get(schedule_id=schedule.pk, status="skipped").retry_of_id
    follow_up(schedule)
    assert len(runs(schedule)) == 2


def test_a_pending_retry_holds_the_next_run_off(new_schedule: NewSchedule) -> None:
    schedule = new_schedule(max_retries=1)
    tick(NOON)
    end(schedule, "failed")
    follow_up(schedule)
    tick(NOON + timedelta(hours=1))
    assert runs(schedule) == [("failed", ""), ("queued", ""), ("skipped", "overlap")]


def test_the_catalog_is_read_anew_when_it_moved(new_schedule: NewSchedule, agent: Agent) -> None:
    """A scheduler of its own process never saw the agent being published."""
    schedule = new_schedule()
    directory.load()
    Agent.objects.filter(pk=agent.pk).update(enabled=False)
    from agents.models import CatalogVersion

    CatalogVersion.objects.update_or_create(pk=1, defaults={"counter": directory.current().counter + 1})
    tick(NOON)
    assert runs(schedule) == [("skipped", "agent_not_running")]


FLOW = {
    "inputs": [{"name": "city", "type": "string"}],
    "steps": [{"id": "ask", "kind": "agent", "agent": "helper", "message": "{{ inputs.city }}"}],
}


@pytest.mark.parametrize(
    ("changes", "reason"), [({"enabled": False}, "workflow_not_found"), ({"version": 0}, "workflow_not_found"), ({}, "invalid_params")]
)
def test_a_workflow_that_may_not_run_any_more_is_told_and_keeps_no_other_schedule_from_firing(
    new_schedule: NewSchedule, agent: Agent, changes: dict[str, Any], reason: str
) -> None:
    workflow = Workflow.objects.create(agent=agent, name="flow", definition=FLOW, **{"version": 1, **changes})
    schedule, other = new_schedule(workflow=workflow), new_schedule(name="Other")
    tick(NOON)
    assert (runs(schedule), runs(other)) == ([("skipped", reason)], [("queued", "")])
    assert Execution.objects.get(schedule_id=schedule.pk).error.startswith("Skipped: ")


@pytest.mark.parametrize(
    ("changes", "stays"), [({"message": "Now"}, True), ({"cron_expression": "0 * * * *"}, True), ({"timezone": "Europe/Oslo"}, False)]
)
def test_an_edit_that_leaves_the_times_alone_takes_no_due_run_away(
    new_schedule: NewSchedule, agent: Agent, owner: User, changes: dict[str, Any], stays: bool
) -> None:
    """AG-43: also one that writes all fields back, as forms do."""
    schedule, principal = new_schedule(), directory.load_user(owner.pk)
    assert principal
    editing.change(principal.principal, directory.current().by_id[agent.pk], schedule.pk, ScheduleChange.model_validate(changes))
    tick(NOON)
    assert runs(schedule) == ([("queued", "")] if stays else [])
