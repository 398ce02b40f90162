"""Schedules and webhooks in the admin: who sees what, what is checked, and what the buttons do."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents import directory
from agents.admin.buttons import row_url
from agents.models import Agent
from chat.models import Execution
from tasks import webhooks
from tasks.models import Schedule, Webhook
from tests.agents.admin.conftest import admin, agent, owner, owners, provider, signed_in, staff, strangers
from tests.agents.admin.forms import said, submit

__all__ = ["admin", "agent", "owner", "owners", "provider", "strangers"]
ADD, LIST = "/admin/tasks/schedule/add/", "/admin/tasks/schedule/"
FIELDS = {"name": "Report", "message": "Report, please.", "cron_expression": "0 9 * * 1", "timezone": "Europe/Oslo"}


@pytest.fixture(autouse=True)
def known(agent: Agent) -> None:
    directory.load()


@pytest.fixture
def schedule(agent: Agent, owner: User) -> Schedule:
    made = Schedule(agent=agent, created_by=owner, **FIELDS)
    made.plan(timezone.now())
    made.save()
    return made


def errors(page: Any) -> dict[str, Any]:
    found: dict[str, Any] = page.context["adminform"].form.errors
    return found


def test_a_manager_makes_a_schedule(owners: Client, owner: User, agent: Agent) -> None:
    page = submit(owners, ADD, "schedule_form", agent=str(agent.pk), **FIELDS)
    assert "was added" in said(page)
    made = Schedule.objects.get()
    assert (made.created_by, made.cron_expression, made.allowed_tools, made.max_retries) == (owner, "0 9 * * 1", None, 0)
    assert made.next_run_at
    html = owners.get(LIST).content.decode()
    assert "0 9 * * 1 · Europe/Oslo" in html


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"cron_expression": "@daily"}, "cron_expression"),
        ({"cron_expression": "0 0 30 2 *"}, "cron_expression"),
        ({"cron_expression": ""}, "cron_expression"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"timeout_s": "86000"}, "timeout_s"),
        ({"model": "other"}, "model"),
        ({"allowed_tools": "nothing"}, "allowed_tools"),
        ({"max_retries": "6"}, "max_retries"),
        ({"retry_delay_s": "5"}, "retry_delay_s"),
        ({"cron_expression": "", "run_at_0": "2020-01-01", "run_at_1": "09:00:00"}, "run_at"),
        ({"run_at_0": "2040-01-01", "run_at_1": "09:00:00"}, "cron_expression"),
        ({"message": ""}, "message"),
    ],
)
def test_what_the_api_refuses_the_form_refuses_at_its_field(owners: Client, agent: Agent, fields: dict[str, str], at_fault: str) -> None:
    page = submit(owners, ADD, "schedule_form", agent=str(agent.pk), **{**FIELDS, **fields})
    assert list(errors(page)) == [at_fault]
    assert not Schedule.objects.exists()


def test_a_change_plans_anew(owners: Client, schedule: Schedule) -> None:
    before = schedule.next_run_at
    submit(owners, row_url(schedule), "schedule_form", timezone="UTC", allowed_tools="")
    schedule.refresh_from_db()
    assert schedule.next_run_at != before
    submit(owners, row_url(schedule), "schedule_form", enabled=None)
    schedule.refresh_from_db()
    assert (schedule.enabled, schedule.next_run_at) == (False, None)


def test_none_of_the_tools_stays_none(owners: Client, schedule: Schedule) -> None:
    """Only the API can say so."""
    Schedule.objects.update(allowed_tools=[])
    submit(owners, row_url(schedule), "schedule_form", name="Renamed")
    schedule.refresh_from_db()
    assert (schedule.name, schedule.allowed_tools) == ("Renamed", [])


def test_others_see_nothing_and_change_nothing(strangers: Client, schedule: Schedule, agent: Agent) -> None:
    webhook = webhooks.mint(agent.pk, schedule, None)
    assert schedule.name not in strangers.get(LIST).content.decode()
    assert strangers.get(ADD).status_code == 403
    for row in (schedule, webhook):
        assert strangers.get(row_url(row)).status_code in (302, 403)
    for row, name in ((schedule, "trigger"), (schedule, "webhook"), (webhook, "rotate"), (webhook, "sign"), (webhook, "unsign")):
        assert strangers.post(row_url(row, name)).status_code == 403
    assert Execution.objects.count() == 0
    assert Webhook.objects.get().token_hash == webhook.token_hash


def test_a_manager_of_one_agent_cannot_choose_another(db: None, provider: Any, agent: Agent) -> None:
    manager = staff("manager")
    own = Agent.objects.create(name="own", provider=provider, model="demo", owner=manager)
    client = signed_in(manager)
    assert [str(choice[1]) for choice in client.get(ADD).context["adminform"].form.fields["agent"].choices][1:] == [str(own)]
    page = submit(client, ADD, "schedule_form", **{**FIELDS, "agent": str(agent.pk)})
    assert "agent" in errors(page)


def test_the_page_tells_how_it_goes(owners: Client, schedule: Schedule, agent: Agent) -> None:
    for status, ms in (("success", 1000), ("success", 3000), ("failed", 500)):
        Execution.objects.create(agent=agent, agent_name="helper", principal="user:1", trigger="schedule", status=status, duration_ms=ms,
                                 schedule_id=schedule.pk)  # fmt: skip
    html = owners.get(row_url(schedule)).content.decode()
    assert "67%" in html
    assert "1.00\xa0s" in html
    assert f"/admin/chat/execution/?schedule_id={schedule.pk}" in html
    Execution.objects.create(agent=agent, agent_name="helper", principal="user:1")
    assert len(owners.get(f"/admin/chat/execution/?schedule_id={schedule.pk}").context["cl"].result_list) == 3
    assert "failed" in owners.get(LIST).content.decode()


@pytest.mark.django_db(transaction=True)
def test_running_it_now(owners: Client, schedule: Schedule, owner: User) -> None:
    answer = owners.post(row_url(schedule, "trigger"))
    run = Execution.objects.get(schedule_id=schedule.pk)
    assert answer.headers["Location"] == row_url(run)
    assert (run.status, run.trigger, run.owner) == ("queued", "schedule", owner)


@pytest.mark.django_db(transaction=True)
def test_an_agent_that_is_off_is_not_run(owners: Client, schedule: Schedule, agent: Agent) -> None:
    agent.enabled = False
    agent.save()
    page = owners.post(row_url(schedule, "trigger"), follow=True)
    assert "Agent is not running" in said(page)
    assert not Execution.objects.exists()


def test_a_schedule_is_given_a_webhook_once(owners: Client, schedule: Schedule) -> None:
    first, second = (owners.post(row_url(schedule, "webhook")).headers["Location"] for _ in range(2))
    webhook = Webhook.objects.get()
    assert first == second == row_url(webhook)
    assert f"/api/webhooks/{webhook.token}" in owners.get(first).content.decode()


def test_a_webhook_of_an_agent_is_made_with_the_form(owners: Client, owner: User, agent: Agent) -> None:
    submit(owners, "/admin/tasks/webhook/add/", "webhook_form", agent=str(agent.pk))
    webhook = Webhook.objects.get()
    assert (webhook.schedule, webhook.created_by, len(webhook.token)) == (None, owner, 43)
    page = submit(owners, "/admin/tasks/webhook/add/", "webhook_form", agent=str(agent.pk))
    assert "has a webhook already" in str(errors(page))


def test_a_secret_is_shown_once(owners: Client, schedule: Schedule, agent: Agent) -> None:
    webhook = webhooks.mint(agent.pk, schedule, None)
    html = owners.post(row_url(webhook, "sign")).content.decode()
    secret = Webhook.objects.get().secret
    assert secret in html
    assert secret not in owners.get(row_url(webhook)).content.decode()
    owners.post(row_url(webhook, "unsign"))
    assert Webhook.objects.get().secret == ""
    owners.post(row_url(webhook, "rotate"))
    assert Webhook.objects.get().token != webhook.token


def test_a_webhook_is_switched_off(owners: Client, schedule: Schedule, agent: Agent) -> None:
    webhook = webhooks.mint(agent.pk, schedule, None)
    submit(owners, row_url(webhook), "webhook_form", enabled=None)
    found = Webhook.objects.get()
    assert (found.enabled, found.token) == (False, webhook.token)


def test_one_moment_is_on_the_clocks_of_the_schedules_own_zone(owners: Client, agent: Agent) -> None:
    """Not on those of the site; and it is shown as it was typed."""
    fields = {**FIELDS, "cron_expression": "", "timezone": "America/New_York", "run_at_0": "2100-01-05", "run_at_1": "09:00:00"}
    submit(owners, ADD, "schedule_form", agent=str(agent.pk), **fields)
    made = Schedule.objects.get()
    assert made.run_at is not None
    assert made.run_at.isoformat() == "2100-01-05T14:00:00+00:00"
    assert 'value="09:00:00"' in owners.get(row_url(made)).content.decode()
    submit(owners, row_url(made), "schedule_form", timezone="Europe/Oslo")
    made.refresh_from_db()
    assert made.run_at.isoformat() == "2100-01-05T08:00:00+00:00"


def test_a_new_webhook_leads_to_the_page_with_its_address(owners: Client, agent: Agent) -> None:
    page = submit(owners, "/admin/tasks/webhook/add/", "webhook_form", agent=str(agent.pk))
    assert f"/api/webhooks/{Webhook.objects.get().token}" in page.content.decode()
