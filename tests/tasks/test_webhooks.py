"""Webhooks whose row, or whose schedule, is deleted by another at the same moment (AG-47)."""

import pytest

from agents.errors import SwitchboardError
from agents.models import Agent, Provider
from tasks import webhooks
from tasks.models import Schedule, Webhook

pytestmark = pytest.mark.django_db


@pytest.fixture
def schedule() -> Schedule:
    provider = Provider.objects.create(name="p", kind="demo")
    agent = Agent.objects.create(name="a", provider=provider, model="demo")
    return Schedule.objects.create(agent=agent, name="s", cron_expression="0 9 * * 1", message="Report")


@pytest.mark.parametrize("on", [True, False])
def test_what_was_revoked_meanwhile_gets_no_secret(schedule: Schedule, on: bool) -> None:
    webhook = webhooks.mint(schedule.agent_id, schedule, None)
    webhooks.revoke(schedule.agent_id, schedule.pk)
    with pytest.raises(SwitchboardError) as refused:
        webhooks.sign(webhook, on=on)
    assert refused.value.code == "no_webhook_url"


def test_a_schedule_that_was_deleted_meanwhile_gets_no_address(schedule: Schedule) -> None:
    Schedule.objects.filter(pk=schedule.pk).delete()
    with pytest.raises(SwitchboardError) as refused:
        webhooks.mint(schedule.agent_id, schedule, None)
    assert refused.value.code == "schedule_not_found"
    assert not Webhook.objects.exists()
