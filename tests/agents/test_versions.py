"""Publishing: drafts stay private, versions never change, access acts at once."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connection

from agents import comparing, versions
from agents.models import Agent, AgentVersion, CatalogVersion, Provider, Tool
from tests.support.schemas import doubling

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner")


@pytest.fixture
def provider() -> Provider:
    return Provider.objects.create(name="main", kind="demo", api_key="sk-upstream-secret", headers='{"X-Team": "ops"}')


@pytest.fixture
def agent(owner: User, provider: Provider) -> Agent:
    return Agent.objects.create(name="helper", provider=provider, model="demo", instructions="Be kind.", owner=owner)


@pytest.fixture
def clock() -> Tool:
    return Tool.objects.create(name="now", kind="clock", description="Tells the time.", masked_arguments=["zone"])


def test_every_column_of_an_agent_is_published_or_live():
    columns = {field.name for field in (*Agent._meta.fields, *Agent._meta.many_to_many)}
    assert columns == set(versions.SETTINGS) | versions.LIVE | {"provider", "fallbacks"}


def test_an_agent_that_was_never_published_has_no_spec(agent):
    assert versions.has_unpublished_changes(agent)
    assert comparing.differences(agent) == []
    assert versions.load_specs() == {}


def test_publishing_makes_version_one_and_a_spec(agent, owner):
    version = versions.publish(agent, owner, "first")
    agent.refresh_from_db()
    assert (version.number, version.note, version.published_by, agent.published) == (1, "first", owner, version)
    spec = versions.load_specs()["helper"]
    assert (spec.id, spec.version, spec.instructions, spec.owner_id) == (agent.pk, 1, "Be kind.", owner.pk)
    assert spec.created_at_s == int(agent.created_at.timestamp())
    assert (spec.model.provider.api_key, spec.model.provider.headers) == ("sk-upstream-secret", {"X-Team": "ops"})
    assert "secret" not in repr(spec)


def test_a_snapshot_is_json_and_holds_no_secret(agent, clock):
    clock.secrets = '{"token": "hidden-token"}'
    clock.save()
    agent.agent_tools.create(tool=clock, requires_approval=True, approver="manager")
    text = json.dumps(versions.snapshot(agent))
    assert "hidden-token" not in text
    assert "sk-upstream-secret" not in text


def test_an_edited_draft_is_not_answered_with_before_it_is_published(agent):
    versions.publish(agent)
    agent.instructions = "Be brief."
    agent.save()
    assert versions.has_unpublished_changes(agent)
    assert versions.load_specs()["helper"].instructions == "Be kind."
    versions.publish(agent)
    assert not versions.has_unpublished_changes(agent)
    assert (versions.load_specs()["helper"].version, versions.load_specs()["helper"].instructions) == (2, "Be brief.")


def test_publishing_an_unchanged_draft_is_refused(agent):
    """UI-64: 409 nothing_to_publish."""
    versions.publish(agent)
    with pytest.raises(versions.NothingToPublish, match="Nothing to publish"):
        versions.publish(agent)
    assert AgentVersion.objects.count() == 1


def test_what_is_not_saved_is_not_published(agent):
    agent.instructions = "Only in memory."
    versions.publish(agent)
    assert versions.load_specs()["helper"].instructions == "Be kind."


def test_rolling_back_publishes_the_old_state_as_a_new_version(agent, clock, owner):
    agent.agent_tools.create(tool=clock, requires_approval=True)
    first = versions.publish(agent)
    agent.agent_tools.all().delete()
    agent.instructions, agent.temperature = "Worse.", 1.5
    agent.save()
    versions.publish(agent)
    third = versions.roll_back(agent, first, owner)
    assert (third.number, third.note, third.published_by) == (3, "Rolled back to version 1", owner)
    assert third.config == first.config
    assert (agent.instructions, agent.temperature, agent.agent_tools.get().requires_approval) == ("Be kind.", None, True)


def test_rolling_back_to_the_version_in_force_changes_nothing(agent):
    version = versions.publish(agent)
    with pytest.raises(versions.NothingToPublish):
        versions.roll_back(agent, version)
    assert AgentVersion.objects.count() == 1


def test_restoring_the_published_version_discards_the_draft(agent):
    version = versions.publish(agent)
    agent.instructions = "A bad idea."
    agent.save()
    versions.restore(agent, version)
    assert (agent.instructions, versions.has_unpublished_changes(agent)) == ("Be kind.", False)


def test_differences_name_the_setting_and_both_values(agent, clock):
    versions.publish(agent)
    other = Provider.objects.create(name="other", kind="demo")
    agent.provider, agent.max_tokens = other, 200
    agent.save()
    agent.agent_tools.create(tool=clock, requires_approval=True)
    found = {row.setting: (row.label, row.before, row.after) for row in comparing.differences(agent)}
    assert found == {
        "provider": ("provider", "main", "other"),
        "max_tokens": ("max output tokens", None, 200),
        "tools": ("tools", [], ["now (approval by the caller)"]),
    }


def test_access_owner_and_enabled_act_without_publishing(agent):
    """R2.1: a withdrawn right counts at once."""
    versions.publish(agent)
    guest = User.objects.create_user("guest")
    agent.access, agent.enabled = "shared", False
    agent.save()
    agent.shared_users.add(guest)
    agent.managers.add(guest)
    spec = versions.load_specs()["helper"]
    assert (spec.access, spec.enabled, spec.shared_user_ids, spec.manager_ids) == ("shared", False, {guest.pk}, {guest.pk})
    assert not versions.has_unpublished_changes(agent)


def test_fallbacks_follow_a_renamed_provider(agent):
    spare = Provider.objects.create(name="spare", kind="demo")
    agent.fallbacks = [{"provider": "spare", "model": "small"}]
    agent.save()
    versions.publish(agent)
    spare.name = "renamed"
    spare.save()
    models = versions.load_specs()["helper"].models
    assert [(model.provider.name, model.name) for model in models] == [("main", "demo"), ("renamed", "small")]
    spare.delete()
    assert [model.name for model in versions.load_specs()["helper"].models] == ["demo"]


def test_an_unknown_fallback_provider_cannot_be_published(agent):
    agent.fallbacks = [{"provider": "nowhere", "model": "small"}]
    agent.save()
    with pytest.raises(versions.CannotPublish, match="'nowhere'"):
        versions.publish(agent)


def test_a_schema_that_no_answer_can_be_checked_against_is_not_published(agent):
    agent.output_schema = doubling(25)
    agent.save()
    with pytest.raises(versions.CannotPublish, match="output schema cannot be used"):
        versions.publish(agent)


def test_who_needs_a_row_is_known_before_it_is_deleted(agent, provider, clock):
    agent.agent_tools.create(tool=clock)
    versions.publish(agent)
    agent.agent_tools.all().delete()
    assert versions.users_of(provider) == versions.users_of(clock) == [agent]
    assert versions.users_of(Provider.objects.create(name="other", kind="demo")) == []


def test_a_broken_agent_is_left_out_and_said_while_others_answer(agent, provider, clock, caplog):
    versions.publish(agent)
    broken = Agent.objects.create(name="broken", provider=provider, model="demo")
    row = broken.agent_tools.create(tool=clock)
    first = versions.publish(broken)
    row.delete()
    clock.delete()
    with caplog.at_level(logging.ERROR):
        assert list(versions.load_specs()) == ["helper"]
    assert "agent broken is left out: its tool" in caplog.text
    with pytest.raises(versions.CannotPublish, match="tool"):
        versions.restore(broken, first)


def test_a_provider_with_broken_headers_takes_only_its_own_agents_down(agent, provider, caplog):
    versions.publish(agent)
    Provider.objects.filter(pk=provider.pk).update(headers="not json")
    assert versions.load_specs() == {}
    assert "provider main is left out" in caplog.text


def test_a_setting_younger_than_the_version_takes_its_default(agent):
    version = versions.publish(agent)
    del version.config["max_steps"], version.config["tools"]
    version.save()
    assert versions.load_specs()["helper"].max_steps == 20


def test_the_tool_of_an_agent_carries_its_approval_and_masks(agent, clock):
    agent.agent_tools.create(tool=clock, requires_approval=True, approver="manager")
    versions.publish(agent)
    tool = versions.load_specs()["helper"].tool("now")
    assert (tool.requires_approval, tool.approver, tool.masked, tool.description) == (True, "manager", {"zone"}, "Tells the time.")


def test_all_specs_are_read_in_six_queries(agent, provider, django_assert_num_queries):
    for number in range(3):
        versions.publish(Agent.objects.create(name=f"agent-{number}", provider=provider, model="demo"))
    with django_assert_num_queries(6):
        assert len(versions.load_specs()) == 3


@pytest.mark.django_db(transaction=True)
def test_publishing_at_the_same_moment_gives_each_its_own_number(agent):
    def edit_and_publish(text: str) -> int | None:
        try:
            Agent.objects.filter(pk=agent.pk).update(instructions=text)
            return versions.publish(Agent.objects.get(pk=agent.pk)).number
        except versions.NothingToPublish:
            return None  # another thread published this very draft
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        numbers = [number for number in pool.map(edit_and_publish, "abcdefgh") if number]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert Agent.objects.get(pk=agent.pk).published.number == max(numbers)


def test_publishing_moves_the_catalog_counter(agent):
    before = CatalogVersion.objects.get(pk=1).counter
    versions.publish(agent)
    assert CatalogVersion.objects.get(pk=1).counter > before
