"""Agents in the admin: edit, publish, go back; a model that is not served is said at once; managers see their own only."""

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents import versions
from agents.admin.buttons import row_url
from agents.models import Agent, AgentVersion, Provider, Tool
from tests.agents.admin.forms import said, submit
from tests.support.schemas import doubling

LIST = "/admin/agents/agent/"
ADD = LIST + "add/"


def test_a_new_agent_is_saved_and_published_in_one_go(admin: Client, provider: Provider) -> None:
    page = submit(admin, ADD, "agent_form", name="fresh", provider=str(provider.pk), model="demo", _publish="")
    agent = Agent.objects.get(name="fresh")
    assert "Version 1 is live" in said(page)
    assert page.redirect_chain[-1][0] == row_url(agent)
    assert versions.load_specs()["fresh"].version == 1


def test_saving_a_draft_leaves_callers_alone(admin: Client, agent: Agent) -> None:
    page = submit(admin, row_url(agent), "agent_form", instructions="Be brief.", _continue="")
    assert versions.load_specs()["helper"].instructions == "Be kind."
    html = page.content.decode()
    assert "Changes not published" in html
    assert "What publishing would change" in html


def test_tools_added_with_the_same_click_are_in_the_published_version(admin: Client, agent: Agent) -> None:
    tool = Tool.objects.create(name="now", kind="clock")
    row = {"agent_tools-TOTAL_FORMS": "1", "agent_tools-0-id": "", "agent_tools-0-agent": str(agent.pk)}
    row |= {"agent_tools-0-tool": str(tool.pk), "agent_tools-0-requires_approval": "on", "agent_tools-0-approver": "manager"}
    page = submit(admin, row_url(agent), "agent_form", _publish="", **row)
    assert "Version 2 is live" in said(page)
    assert versions.load_specs()["helper"].tools[0].requires_approval


def test_the_publish_button_publishes_the_stored_draft(owners: Client, agent: Agent, owner: User) -> None:
    Agent.objects.filter(pk=agent.pk).update(instructions="Be brief.")
    page = owners.post(row_url(agent, "publish"), follow=True)
    assert "Version 2 is live" in said(page)
    assert AgentVersion.objects.get(number=2).published_by == owner
    page = owners.post(row_url(agent, "publish"), follow=True)
    assert "Nothing to publish" in said(page)


def test_rolling_back_and_discarding(admin: Client, agent: Agent) -> None:
    Agent.objects.filter(pk=agent.pk).update(instructions="Worse.")
    admin.post(row_url(agent, "publish"))
    assert "Version 3 is live; it is what version 1 was" in said(admin.post(row_url(agent, "rollback"), {"number": "1"}, follow=True))
    assert Agent.objects.get(pk=agent.pk).instructions == "Be kind."
    Agent.objects.filter(pk=agent.pk).update(instructions="A bad idea.")
    assert "The draft is what version 3 is" in said(admin.post(row_url(agent, "discard"), follow=True))
    assert Agent.objects.get(pk=agent.pk).instructions == "Be kind."
    assert "no such version" in said(admin.post(row_url(agent, "rollback"), {"number": "77"}, follow=True))


@pytest.mark.parametrize("name", ["publish", "discard", "rollback"])
def test_a_link_publishes_nothing(admin: Client, agent: Agent, name: str) -> None:
    Agent.objects.filter(pk=agent.pk).update(instructions="Worse.")
    assert admin.get(row_url(agent, name)).status_code == 405
    assert AgentVersion.objects.count() == 1


def test_a_model_the_provider_does_not_serve_is_refused_with_a_sentence(admin: Client, provider: Provider) -> None:
    fields = {"name": "wrong", "provider": str(provider.pk), "model": "gpt-99"}
    page = submit(admin, ADD, "agent_form", **fields)
    assert "main does not serve “gpt-99”. It serves, for example: demo" in page.content.decode()
    assert not Agent.objects.filter(name="wrong").exists()
    submit(admin, ADD, "agent_form", **fields, save_anyway="on")
    assert Agent.objects.get(name="wrong").model == "gpt-99"


def test_an_unreachable_provider_is_a_warning_and_the_agent_is_saved(admin: Client) -> None:
    dead = Provider.objects.create(name="dead", kind="openai_compatible", base_url="http://127.0.0.1:9/v1", connect_timeout_s=1)
    page = submit(admin, ADD, "agent_form", name="early", provider=str(dead.pk), model="any", _continue="")
    assert "The model could not be checked. dead: The provider could not be reached" in said(page)
    assert Agent.objects.filter(name="early").exists()


def test_lists_are_written_as_lines(admin: Client, agent: Agent, provider: Provider) -> None:
    changes = {"stop": "END\r\n\\n\\n", "conversation_starters": "Hi\r\n\r\nWhat now?", "fallbacks": "main: demo-slow"}
    submit(admin, row_url(agent), "agent_form", _continue="", **changes)
    saved = Agent.objects.get(pk=agent.pk)
    assert saved.stop == ["END", "\n\n"]
    assert saved.conversation_starters == ["Hi", "What now?"]
    assert saved.fallbacks == [{"provider": str(provider.pk), "model": "demo-slow"}]
    html = admin.get(row_url(agent)).content.decode()
    assert "END\n\\n\\n</textarea>" in html
    assert "main: demo-slow</textarea>" in html


def test_a_fallback_at_an_unknown_provider_is_refused(admin: Client, agent: Agent) -> None:
    page = submit(admin, row_url(agent), "agent_form", fallbacks="nowhere: x")
    assert "There is no provider “nowhere”. There are: main." in page.content.decode()


def test_an_output_schema_is_asked_for_where_it_is_needed(admin: Client, agent: Agent) -> None:
    page = submit(admin, row_url(agent), "agent_form", output_mode="json_schema")
    assert "This output needs a schema." in page.content.decode()


def test_a_schema_that_no_answer_can_be_checked_against_is_refused(admin: Client, agent: Agent) -> None:
    page = submit(admin, row_url(agent), "agent_form", output_schema=json.dumps(doubling(25)))
    assert "No answer can be checked against it: it has more than 10000 parts" in page.content.decode()
    agent.refresh_from_db()
    assert agent.output_schema is None


def test_the_owner_edits_the_agent_and_cannot_give_it_away(owners: Client, agent: Agent, owner: User) -> None:
    submit(owners, row_url(agent), "agent_form", display_name="Mine", owner="1", _continue="")
    agent.refresh_from_db()
    assert (agent.display_name, agent.owner) == ("Mine", owner)


def test_a_co_manager_is_as_good_as_the_owner(strangers: Client, agent: Agent) -> None:
    agent.managers.add(User.objects.get(username="stranger"))
    assert "helper" in strangers.get(LIST).content.decode()
    assert strangers.get(row_url(agent)).status_code == 200


def test_a_stranger_sees_nothing_of_the_agent(strangers: Client, agent: Agent) -> None:
    """R2: what one may not use does not exist, here neither, whatever Django's model permissions say."""
    for url in (LIST, "/admin/", "/admin/agents/agentversion/", "/admin/search/?s=helper&extended=1"):
        assert "helper" not in strangers.get(url).content.decode()
    assert strangers.get(row_url(agent)).status_code == 302
    for name in ("publish", "discard", "rollback"):
        assert strangers.post(row_url(agent, name)).status_code == 403
    assert strangers.get(row_url(agent.versions.get())).status_code == 302


def test_autocomplete_offers_people_by_name_and_only_own_agents(strangers: Client, agent: Agent) -> None:
    asked = {"app_label": "agents", "model_name": "agent", "field_name": "managers", "term": "own"}
    assert strangers.get(reverse("admin:autocomplete"), asked).json()["results"][0]["text"] == "owner"
    asked = {"app_label": "agents", "model_name": "apikey", "field_name": "default_agent", "term": "help"}
    assert strangers.get(reverse("admin:autocomplete"), asked).json()["results"] == []
    assert strangers.get("/admin/auth/user/").status_code == 403


def test_a_version_is_shown_and_never_changed(admin: Client, agent: Agent) -> None:
    version = agent.versions.get()
    html = admin.get(row_url(version)).content.decode()
    assert "The first version." in html
    assert "Be kind." in html
    assert admin.post(row_url(version), {"note": "changed"}).status_code == 403


def test_an_agent_with_versions_can_be_deleted_by_an_administrator(admin: Client, agent: Agent) -> None:
    admin.post(row_url(agent, "delete"), {"post": "yes"})
    assert not Agent.objects.filter(pk=agent.pk).exists()
