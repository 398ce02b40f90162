"""The first page's row of background runs: how many wait and run, how long the oldest has waited, and whether a worker seems missing."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.models import Agent
from chat.models import Execution
from tasks.models import Schedule
from tests.chat.queueing import agent, queue, take

pytestmark = pytest.mark.django_db


def row(person: User) -> str:
    """The row's words as this person reads them."""
    client = Client()
    client.force_login(person)
    html = client.get("/admin/").content.decode()
    (found,) = re.findall(r'<span class="sb-strong">Background runs</span>(.*?)</a>', html, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("admin")


def wait_since(seconds: int) -> None:
    Execution.objects.update(queued_at=datetime.now(UTC) - timedelta(seconds=seconds))


def test_an_empty_queue(admin: User) -> None:
    assert row(admin) == "0 waiting 0 running none is due"


def test_the_next_schedule_is_named_with_its_time(admin: User) -> None:
    spec = agent()
    fixed = {"message": "?", "cron_expression": "0 9 5 * *", "timezone": "Europe/Oslo"}
    for name, month in (("Later", 3), ("Report", 1)):
        due = datetime(2100, month, 5, 8, tzinfo=UTC)
        Schedule.objects.create(agent_id=spec.id, name=name, next_run_at=due, **fixed)
    assert row(admin) == "0 waiting 0 running none is due; next Report, 2100-01-05 09:00 Europe/Oslo"


def test_what_waits_and_what_runs(admin: User) -> None:
    spec = agent()
    for _ in range(3):
        queue(spec)
    wait_since(75)
    take(spec)
    assert re.fullmatch(r"2 waiting 1 running the oldest has waited 1 min 1\d s", row(admin))


def test_a_queue_that_nobody_works_on(admin: User) -> None:
    queue(agent())
    wait_since(40)
    assert row(admin).endswith("Is a worker running?")


def test_a_run_whose_time_has_not_come_is_not_late(admin: User) -> None:
    queue(agent(), not_before=datetime.now(UTC) + timedelta(hours=1))
    wait_since(40)
    assert row(admin) == "1 waiting 0 running none is due"


def test_a_manager_sees_the_queues_of_his_own_agents() -> None:
    owner = User.objects.create_user("manager", is_staff=True)
    mine, theirs = agent("mine"), agent("theirs")
    Agent.objects.filter(id=mine.id).update(owner=owner)
    for spec in (mine, theirs, theirs):
        queue(spec)
    assert row(owner).startswith("1 waiting 0 running")
