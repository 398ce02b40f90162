"""Tools, people, files and the first page."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib import admin as site
from django.contrib.auth.models import User
from django.test import Client
from django.utils.html import escape

from agents.admin.buttons import row_url
from agents.admin.tools import EXAMPLES
from agents.models import Agent, Attachment, Tool, UserProfile
from agents.tools import TOOLS, kind_for
from config.sidebar import GROUPS
from tests.agents.admin.forms import said, submit


@pytest.mark.parametrize("model", site.site._registry, ids=lambda model: model._meta.label_lower)
def test_every_list_and_form_opens_for_an_administrator(admin: Client, agent: Agent, model: type) -> None:
    opts = model._meta
    base = f"/admin/{opts.app_label}/{opts.model_name}/"
    assert admin.get(base).status_code == 200
    assert admin.get(f"{base}?q=something").status_code == 200
    form = admin.get(f"{base}add/")
    assert form.status_code in (200, 403)
    assert form.status_code == 403 or b"warn-unsaved-form" in form.content, "what was typed is not lost by a click"


@pytest.mark.parametrize("label", [label for labels in GROUPS.values() for label in labels])
def test_an_empty_list_says_what_it_is_for(admin: Client, label: str) -> None:
    pages = {model._meta.label_lower: page for model, page in site.site._registry.items()}
    if label not in pages or label == "auth.user":
        return  # of a part that is not installed; and somebody is always there
    address = f"/admin/{label.replace('.', '/')}/"
    help_text = escape(pages[label].empty_help)
    assert help_text
    if label != "billing.price":  # the bundled list is always there
        assert help_text in admin.get(address).content.decode()
    assert "Nothing matches" in admin.get(f"{address}?q=nothing-is-called-so").content.decode()


def test_the_first_page_shows_agents_and_a_line_to_try(admin: Client, agent: Agent) -> None:
    html = admin.get("/admin/").content.decode()
    assert "helper" in html
    assert "/v1/chat/completions" in html


def test_who_may_not_use_the_admin_is_told_so(client: Client, db: None) -> None:
    client.force_login(User.objects.create_user("guest"))
    page = client.get("/admin/", follow=True).content.decode()
    assert "You are signed in as guest, who may not use the admin." in page


def test_nobody_is_let_in_without_signing_in(client: Client, agent: Agent) -> None:
    assert client.get("/admin/").status_code == 302
    assert client.post(row_url(agent, "publish")).status_code == 302
    assert agent.versions.count() == 1


@pytest.mark.parametrize(("title", "config"), EXAMPLES.items())
def test_the_examples_of_the_tool_page_work(title: str, config: Mapping[str, Any]) -> None:
    if "openapi" not in config:  # whose document would be fetched
        kind_for(title.partition(":")[0]).check(config)


def test_every_kind_of_tool_has_an_example() -> None:
    assert {title.partition(":")[0] for title in EXAMPLES} == set(TOOLS)


def test_a_tool_is_checked_when_it_is_saved(admin: Client) -> None:
    fields = {"name": "call", "kind": "http", "description": "Calls."}
    page = submit(admin, "/admin/agents/tool/add/", "tool_form", **fields, config='{"url": "nonsense"}')
    assert page.context["adminform"].form.errors["config"]
    assert not Tool.objects.exists()
    page = submit(admin, "/admin/agents/tool/add/", "tool_form", **fields, config="[]")
    assert "The settings are a JSON object." in page.content.decode()


def test_a_tool_shows_what_the_model_sees_and_no_secret(admin: Client) -> None:
    tool = Tool.objects.create(name="now", kind="clock", secrets='{"token": "very-secret-token"}')
    html = admin.get(row_url(tool)).content.decode()
    assert "&quot;parameters&quot;" in html
    assert "very-secret-token" not in html
    submit(admin, row_url(tool), "tool_form", masked_arguments="zone\r\ncity", config="{}")
    tool.refresh_from_db()
    assert (tool.masked_arguments, tool.secrets) == (["zone", "city"], '{"token": "very-secret-token"}')


def test_signing_out_everywhere_raises_the_generation(admin: Client, owner: User) -> None:
    """R1.2: revoked tokens are refused at once."""
    page = admin.post("/admin/auth/user/", {"action": "sign_out", "_selected_action": [str(owner.pk)]}, follow=True)
    assert "tokens are refused" in said(page)
    assert UserProfile.objects.get(user=owner).token_generation == 1


def test_the_default_agent_of_a_user_is_set_on_the_user_s_page(admin: Client, owner: User, agent: Agent) -> None:
    """RUN-6 (e)."""
    submit(admin, row_url(owner), "user_form", **{"profile-0-default_agent": str(agent.pk)})
    assert UserProfile.objects.get(user=owner).default_agent == agent


def test_a_file_is_listed_and_its_bytes_are_not_linked(admin: Client, owner: User) -> None:
    file = Attachment.objects.create(owner=owner, namespace="user:1", name="sales.csv", mime_type="text/csv", size_bytes=48_213)
    html = admin.get(row_url(file)).content.decode()
    assert "47.1\xa0KB" in html
    assert admin.post(row_url(file), {"name": "x"}).status_code == 403
