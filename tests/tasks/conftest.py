"""A published agent of the owner's, and schedules of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User

from agents import directory, versions
from agents.models import Agent, Provider
from tasks.models import Schedule

NewSchedule = Callable[..., Schedule]
NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner")


@pytest.fixture
def agent(owner: User) -> Agent:
    agent = Agent.objects.create(name="helper", provider=Provider.objects.create(name="main", kind="demo"), model="demo", owner=owner)
    versions.publish(agent)
    directory.load()  # what an earlier test left in memory was rolled back
    return agent


@pytest.fixture
def new_schedule(agent: Agent, owner: User) -> NewSchedule:
    def make(**fields: Any) -> Schedule:
        values = {"name": "Report", "message": "Report, please.", "cron_expression": "0 * * * *", "next_run_at": NOON, **fields}
        return Schedule.objects.create(agent=agent, created_by=owner, **values)

    return make
