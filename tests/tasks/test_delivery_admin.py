"""Endpoints and deliveries in the admin (AG-52): secrets shown once, rotation, the log, sending again."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents.admin.buttons import row_url
from agents.models import Agent, CatalogVersion, UserProfile
from chat.models import Execution
from tasks.models import Delivery, Endpoint
from tests.agents.admin.conftest import admin, agent, owner, owners, provider, strangers
from tests.agents.admin.forms import said, submit

__all__ = ["admin", "agent", "owner", "owners", "provider", "strangers"]
ADD, LIST, LOG = "/admin/tasks/endpoint/add/", "/admin/tasks/endpoint/", "/admin/tasks/delivery/"
FIELDS = {"name": "Books", "url": "https://books.example.com/hook", "statuses": ["failed"], "triggers": ["task", "schedule"]}


@pytest.fixture
def endpoint(agent: Agent) -> Endpoint:
    return Endpoint.objects.create(name="Books", url="https://books.example.com/hook", agent=agent, secret="whsec_first")


@pytest.fixture
def delivery(endpoint: Endpoint, agent: Agent, owner: User) -> Delivery:
    run = Execution.objects.create(agent=agent, agent_name="helper", owner=owner, principal="user:1", status="success", response="Forty.")
    tries = [{"at": "2026-01-05T09:30:00.000Z", "status": 500, "error": "The receiver answered 500.", "duration_ms": 12}]
    return Delivery.objects.create(endpoint=endpoint, execution_id=run.pk, url=endpoint.url, status="failed", tries=tries, tries_made=8)


def secret_on(page: Any) -> str:
    found = re.search(r"whsec_[A-Za-z0-9_-]{43}", page.content.decode())
    assert found, page.content.decode()
    return found[0]


def test_a_new_endpoint_shows_its_secret_once(owners: Client, owner: User, agent: Agent) -> None:
    page = submit(owners, ADD, "endpoint_form", agent=str(agent.pk), **FIELDS)
    made = Endpoint.objects.get()
    assert secret_on(page) == made.secret
    assert (made.owner, made.agent, made.statuses, made.triggers) == (owner, agent, ["failed"], ["task", "schedule"])
    later = [owners.get(url).content.decode() for url in (LIST, row_url(made), row_url(made, "history"))]
    assert not any(made.secret in html for html in later)
    assert not any(made.secret in str(entry.__dict__) for entry in LogEntry.objects.all())


def test_an_endpoint_is_heard_of_by_every_process(owners: Client, agent: Agent) -> None:
    before = CatalogVersion.objects.get().counter
    submit(owners, ADD, "endpoint_form", agent=str(agent.pk), **FIELDS)
    assert CatalogVersion.objects.get().counter > before


def test_rotating_shows_the_new_secret_once_and_keeps_the_old_for_a_day(owners: Client, endpoint: Endpoint) -> None:
    new = secret_on(owners.post(row_url(endpoint, "rotate")))
    endpoint.refresh_from_db()
    assert (endpoint.secret, endpoint.previous_secret) == (new, "whsec_first")
    assert endpoint.rotated_at is not None
    assert new not in owners.get(row_url(endpoint)).content.decode()


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://169.254.169.254/", "ftp://example.com/", "http://2130706433/", "nonsense"])
def test_an_address_that_could_never_be_reached_is_refused(admin: Client, url: str) -> None:
    page = submit(admin, ADD, "endpoint_form", **{**FIELDS, "url": url})
    assert "url" in page.context["adminform"].form.errors
    assert not Endpoint.objects.exists()


def test_runs_of_all_agents_are_for_administrators(owners: Client, admin: Client, agent: Agent) -> None:
    page = submit(owners, ADD, "endpoint_form", **FIELDS)
    assert "agent" in page.context["adminform"].form.errors
    submit(admin, ADD, "endpoint_form", **FIELDS)
    assert Endpoint.objects.get().agent is None
    assert "Books" not in owners.get(LIST).content.decode()


def test_others_see_neither_endpoints_nor_deliveries(strangers: Client, endpoint: Endpoint, delivery: Delivery) -> None:
    for url in (LIST, LOG):
        assert "books.example.com" not in strangers.get(url).content.decode()
    assert strangers.get(row_url(delivery)).status_code == 302
    assert strangers.post(row_url(delivery, "again")).status_code == 403
    assert strangers.post(row_url(endpoint, "rotate")).status_code == 403


def test_the_log_tells_every_try_and_what_is_sent(owners: Client, delivery: Delivery) -> None:
    html = owners.get(row_url(delivery)).content.decode()
    assert "The receiver answered 500." in html
    assert "Forty." in html
    assert "Books" in owners.get(LOG).content.decode()
    assert "Books" in owners.get(f"{LOG}?q={delivery.execution_id}").content.decode()


def test_sending_again(owners: Client, delivery: Delivery) -> None:
    assert "sent again" in said(owners.post(row_url(delivery, "again"), follow=True))
    delivery.refresh_from_db()
    assert (delivery.status, delivery.tries_made, len(delivery.tries)) == ("pending", 0, 1)
    assert delivery.next_try_at is not None
    assert delivery.next_try_at <= timezone.now()
    assert owners.get(row_url(delivery, "again")).status_code == 405


def test_a_user_s_callback_secret_is_shown_once(admin: Client, owner: User) -> None:
    new = secret_on(admin.post(row_url(owner, "callback_secret")))
    assert UserProfile.objects.get(user=owner).callback_secret == new
    assert new not in admin.get(row_url(owner)).content.decode()
    assert secret_on(admin.post(row_url(owner, "callback_secret"))) != new


def test_staff_make_no_secrets_for_others(owners: Client, admin: Client) -> None:
    someone = User.objects.get(username="admin")
    assert owners.post(row_url(someone, "callback_secret")).status_code == 403


def test_a_private_address_is_called_that_and_the_way_out_named(owners: Client, agent: Agent) -> None:
    page = submit(owners, ADD, "endpoint_form", name="Inside", url="http://10.0.0.7/", agent=str(agent.pk))
    (said,) = page.context["adminform"].form.errors["url"]
    assert "private" in said
    assert "ALLOW_PRIVATE_ADDRESSES" in said
