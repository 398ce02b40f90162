"""What this room reads of the database: kept steps of client calls (OAI-29), and how long conversations live (OAI-56)."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from agents.access import Principal
from agents.errors import SwitchboardError
from chat.models import ChatSession, ClientCall, Execution
from chat.protocols.openai import conversations, lifetimes
from chat.protocols.openai.clientcalls import with_kept_steps
from chat.protocols.openai.lifetimes import is_alive, opened
from chat.protocols.openai.messages import Entry, parse_messages
from tests.protocols.openai.agents import CLOCK, agent
from tests.protocols.openai.test_history import STEP, calls, result

pytestmark = pytest.mark.django_db(transaction=True)
OWNER = Principal(kind="static", key="static", namespace="static")
STRANGER = Principal(kind="anonymous", key="anonymous", namespace="anonymous")


def brought() -> tuple[Entry, ...]:
    return parse_messages([{"role": "user", "content": "x"}, calls("call_1"), result("call_1")]).entries


async def kept(principal: Principal = OWNER, name: str = "root", hours: float = 0) -> bool:
    await ClientCall.objects.all().adelete()
    made = timezone.now() - timedelta(hours=hours)
    await ClientCall.objects.acreate(principal="static", agent_name="root", call_id="call_1", messages=list(STEP), created_at=made)
    entries = await with_kept_steps(principal, agent(name=name, tools=(CLOCK,)), brought())
    return entries[1].step == STEP


async def test_a_kept_step_is_found_by_its_caller_and_agent_for_a_day() -> None:
    """OAI-29: unknown ids use the client's copy."""
    assert await kept()
    assert await kept(hours=23.9)
    assert not await kept(hours=24.1)
    assert not await kept(principal=STRANGER)
    assert not await kept(name="other")


async def test_agents_without_tools_have_nothing_kept() -> None:
    entries = brought()
    assert await with_kept_steps(OWNER, agent(), entries) is entries


async def test_a_store_that_is_down_is_no_miss(limits: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """OAI-58."""

    async def down(*_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(conversations, "find_session", down)
    with pytest.raises(SwitchboardError) as caught:
        await conversations.look_up(OWNER, agent(), "c1")
    assert (caught.value.code, caught.value.status) == ("store_unavailable", 503)
    limits.CHAT_CONVERSATIONS_MAX = 0
    assert (await conversations.look_up(OWNER, agent(), "c1")).cache == "off"


@pytest.fixture
def limits(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings.CHAT_CONVERSATIONS_MAX, settings.CHAT_CONVERSATION_TTL, settings.REDIS_URL = 2, 60, ""
    monkeypatch.setattr(lifetimes, "_memory", lifetimes._Memory())
    return settings


async def conversation(name: str, idle_s: float = 0, namespace: str = "openai:static:1", running: bool = False) -> UUID:
    used = timezone.now() - timedelta(seconds=idle_s)
    row = await ChatSession.objects.acreate(namespace=namespace, name=name, agent_name="root", wire="openai", last_message_at=used)
    if running:
        await Execution.objects.acreate(session=row, agent_name="root", principal="static", status="running")
    return row.id


async def names() -> set[str | None]:
    return {name async for name in ChatSession.objects.values_list("name", flat=True)}


async def test_a_conversation_lives_for_its_time_and_while_it_runs(limits: Settings) -> None:
    """OAI-56: what it loses is its name."""
    assert await is_alive(await conversation("young", idle_s=50))
    assert await is_alive(await conversation("busy", idle_s=70, running=True))
    old = await conversation("old", idle_s=70)
    assert not await is_alive(old)
    assert await names() == {"young", "busy", None}
    assert await ChatSession.objects.filter(id=old).aexists()


async def test_beyond_the_limit_the_least_recently_used_go(limits: Settings) -> None:
    """OAI-56: with those that are too old; sessions of other wires and running ones are not touched."""
    await conversation("too old", idle_s=80)
    await conversation("older", idle_s=30)
    await conversation("oldest", idle_s=40)
    await conversation("elsewhere", idle_s=90, namespace="user:1")
    await conversation("busy", idle_s=50, running=True)
    await opened(await conversation("new", running=True))
    assert await names() == {"elsewhere", "busy", "new", None}


async def test_counting_waits_until_the_limit_is_near(limits: Settings) -> None:
    """It costs milliseconds, so a process that serves alone remembers what it counted."""
    limits.CHAT_CONVERSATIONS_MAX = 3
    for name in "abcd":
        await opened(await conversation(name))
    assert lifetimes._memory.count == 3
    assert len(await names() - {None}) == 3
