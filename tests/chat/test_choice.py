"""Which agent answers: RUN-6 (a) … (f), and the refusals of RUN-7 … RUN-9."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from pytest_django.fixtures import Settings

from agents.access import Principal
from agents.directory import Catalog
from agents.errors import SwitchboardError
from agents.specs import AgentSpec, ModelSpec, ProviderSpec
from chat.choice import choose
from chat.requests import SessionRef

OWNER = Principal(kind="user", key="user:1", namespace="user:1", user_id=1)
GUEST = Principal(kind="user", key="user:2", namespace="user:2", user_id=2)
STRANGER = Principal(kind="user", key="user:3", namespace="user:3", user_id=3)
MODEL = ModelSpec(provider=ProviderSpec(id="p", name="p", kind="demo"), name="m")


def agent(name: str, *shared: int) -> AgentSpec:
    return AgentSpec(id=uuid4(), name=name, models=(MODEL,), owner_id=1, access="shared", shared_user_ids=frozenset(shared))


def catalog(*agents: AgentSpec) -> Catalog:
    return Catalog(by_name={agent.name: agent for agent in agents}, by_id={agent.id: agent for agent in agents if agent.id})


def conversation_with(agent: AgentSpec) -> SessionRef:
    return SessionRef(id=UUID(int=1), namespace="user:2", name="c", agent_id=agent.id, agent_name=agent.name, owner_id=2, wire="run")


SUPPORT, SALES, DEMO, OWNERS = agent("support", 2), agent("sales", 2), agent("demo", 2), agent("owners")
ALL = catalog(SUPPORT, SALES, DEMO, OWNERS)


def chosen(principal: Principal = GUEST, among: Catalog = ALL, session: SessionRef | None = None, named: str | None = None) -> str:
    return choose(principal, among, session=session, named=named).name


def refusal(
    principal: Principal = GUEST, among: Catalog = ALL, session: SessionRef | None = None, named: str | None = None
) -> tuple[int, str, str]:
    with pytest.raises(SwitchboardError) as refused:
        choose(principal, among, session=session, named=named)
    return refused.value.status, refused.value.code, refused.value.message


def test_the_first_that_applies(settings: Settings) -> None:
    """RUN-6: (a) conversation, (b) field, (c)/(d) key or claim, (e) profile, (f) setting, demo, the only one."""
    settings.CHAT_DEFAULT_AGENT = "sales"
    profile = replace(GUEST, fallback_agent="support")
    key = replace(profile, default_agent="sales")
    assert chosen(key, session=conversation_with(DEMO)) == "demo"
    assert chosen(key, named="support") == "support"
    assert chosen(key) == "sales"
    assert chosen(profile) == "support"
    assert chosen(GUEST) == "sales"
    settings.CHAT_DEFAULT_AGENT = ""
    assert chosen(GUEST) == "demo"
    assert chosen(GUEST, catalog(SALES, OWNERS)) == "sales"


def test_no_agent_and_several_agents_are_no_choice() -> None:
    """RUN-7."""
    assert refusal(among=catalog()) == refusal(among=catalog(SALES, SUPPORT)) == (404, "agent_not_found", "Agent not found")


@pytest.mark.parametrize("named", ["owners", "nobody", "", "a/b", "x" * 9999, "\0"])
def test_what_one_may_not_use_does_not_exist(named: str) -> None:
    """RUN-7, R2.1: foreign, unknown and impossible names are refused alike, named or preset."""
    unknown = (404, "agent_not_found", "Agent not found")
    assert refusal(named=named) == unknown
    if named:
        assert refusal(replace(GUEST, default_agent=named)) == refusal(replace(GUEST, fallback_agent=named)) == unknown


def test_site_defaults_fall_back_to_what_exists_for_the_caller(settings: Settings) -> None:
    """R2.3: a default that the caller may not use does not exist for him."""
    settings.CHAT_DEFAULT_AGENT = "owners"
    assert chosen(GUEST, catalog(SALES, OWNERS)) == "sales"
    assert chosen(OWNER, catalog(SALES, OWNERS)) == "owners"


def test_a_conversation_belongs_to_its_agent() -> None:
    """RUN-8: another usable agent is a mismatch, an unusable one is not found, the same one is fine."""
    session = conversation_with(SUPPORT)
    assert chosen(session=session, named="support") == "support"
    assert refusal(session=session, named="sales")[:2] == (409, "conversation_agent_mismatch")
    assert refusal(session=session, named="owners")[:2] == (404, "agent_not_found")


def test_lost_access_ends_a_conversation() -> None:
    """RUN-9: also when another agent has taken the name of a deleted one."""
    assert refusal(STRANGER, session=conversation_with(SUPPORT))[:2] == (404, "agent_not_found")
    deleted = replace(conversation_with(SUPPORT), agent_id=None)
    assert refusal(session=deleted)[:2] == (404, "agent_not_found")
    assert refusal(session=conversation_with(agent("support", 2)))[:2] == (404, "agent_not_found")
