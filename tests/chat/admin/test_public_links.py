"""Public links in the admin: who makes them, what is shown, switched off and deleted (AG-53)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from agents.admin.buttons import row_url
from agents.models import Agent
from chat.models import ShareToken
from tests.agents.admin.forms import said, submit

ADD, LIST = "/admin/chat/sharetoken/add/", "/admin/chat/sharetoken/"


@pytest.fixture
def link(agent: Agent, owner: User) -> ShareToken:
    return ShareToken.objects.create(agent=agent, token="A" * 32, name="Website", created_by=owner)


def test_a_manager_makes_a_link_and_copies_its_address(owners: Client, owner: User, agent: Agent) -> None:
    page = submit(owners, ADD, "sharetoken_form", agent=str(agent.pk), name="Website", max_messages="50")
    made = ShareToken.objects.get()
    assert (made.created_by, len(made.token), made.max_messages, made.enabled) == (owner, 32, 50, True)
    assert f"http://testserver/chat/{made.token}" in page.content.decode()
    html = owners.get(LIST).content.decode()
    assert "Website" in html
    assert made.token not in html


def test_others_neither_see_nor_make_links_of_the_agent(strangers: Client, link: ShareToken, agent: Agent) -> None:
    assert "Website" not in strangers.get(LIST).content.decode()
    assert strangers.get(row_url(link)).status_code == 302
    assert strangers.post(row_url(link, "switch")).status_code == 403
    assert strangers.post(ADD, {"agent": str(agent.pk), "name": "x"}).status_code == 403
    assert ShareToken.objects.get().enabled


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"max_messages": "0"}, "max_messages"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "10:00"}, "expires_at"),
        ({"agent": ""}, "agent"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(owners: Client, agent: Agent, fields: dict[str, Any], at_fault: str) -> None:
    page = submit(owners, ADD, "sharetoken_form", **{"agent": str(agent.pk), "name": "x", **fields})
    assert at_fault in page.context["adminform"].form.errors
    assert not ShareToken.objects.exists()


def test_switching_off_and_on(owners: Client, link: ShareToken) -> None:
    assert "is dead" in said(owners.post(row_url(link, "switch"), follow=True))
    assert not ShareToken.objects.get().enabled
    assert "works again" in said(owners.post(row_url(link, "switch"), follow=True))
    owners.post(LIST, {"action": "switch_off", "_selected_action": [str(link.pk)]})
    assert not ShareToken.objects.get().enabled


def test_neither_token_nor_agent_can_be_changed(owners: Client, link: ShareToken, agent: Agent) -> None:
    other = Agent.objects.create(name="other", provider=agent.provider, model="demo", owner=agent.owner)
    submit(owners, row_url(link), "sharetoken_form", name="renamed", agent=str(other.pk), token="B" * 32)
    changed = ShareToken.objects.get()
    assert (changed.name, changed.agent, changed.token) == ("renamed", agent, link.token)


@pytest.mark.parametrize(
    ("fields", "agent_fields", "state"),
    [
        ({}, {}, "open"),
        ({"enabled": False}, {}, "off"),
        ({"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}, {}, "expired"),
        ({"max_messages": 2, "total_messages": 2}, {}, "used up"),
        ({}, {"shareable": False}, "not shareable"),
    ],
    ids=str,
)
def test_the_page_says_whether_it_works(
    owners: Client, link: ShareToken, agent: Agent, fields: dict[str, Any], agent_fields: dict[str, Any], state: str
) -> None:
    ShareToken.objects.update(**fields) if fields else None
    Agent.objects.filter(pk=agent.pk).update(**agent_fields) if agent_fields else None
    page = owners.get(row_url(link))
    assert page.context["state"] == state


def test_an_agent_says_whether_it_may_be_shared(owners: Client, agent: Agent) -> None:
    submit(owners, row_url(agent), "agent_form", shareable=None, require_email="on")
    agent.refresh_from_db()
    assert (agent.shareable, agent.require_email) == (False, True)


def test_wanting_addresses_without_a_mail_server_is_warned_of(owners: Client, agent: Agent, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    assert "set EMAIL_URL" in said(submit(owners, row_url(agent), "agent_form", require_email="on"))
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert "EMAIL_URL" not in said(submit(owners, row_url(agent), "agent_form", require_email="on"))
