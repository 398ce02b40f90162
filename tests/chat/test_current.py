"""The pointer to a user's current conversation (AG-10, AG-25, R8.4), as turns move it when they begin."""

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User

from agents.models import Agent, Provider
from chat import current
from chat.models import ChatSession, CurrentSession
from chat.requests import Pointer, SessionRef
from chat.sessions import ref_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def made() -> list[SessionRef]:
    """Three conversations of one user with one agent."""
    agent = Agent.objects.create(name="a", provider=Provider.objects.create(name="p", kind="demo"), model="demo")
    owner = User.objects.create_user("owner")
    fields: dict[str, Any] = {"namespace": "user:1", "agent": agent, "agent_name": "a", "owner": owner, "wire": "agents"}
    return [ref_of(ChatSession.objects.create(**fields)) for _ in range(3)]


def move(session: SessionRef, **pointer: Any) -> bool:
    return current.move(replace(session, pointer=Pointer(**pointer)))


def stands(session: SessionRef) -> tuple[Any, Any]:
    """The current conversation, and where the pointer stands."""
    row, seen = current.find(session.owner_id, session.agent_id)
    return row and row.id, seen


def status(session: SessionRef) -> str:
    return ChatSession.objects.get(id=session.id).status


def test_the_first_of_two_first_messages_wins(made: list[SessionRef]) -> None:
    """R8.4."""
    one, other, _ = made
    assert stands(one) == (None, None)
    assert move(one, seen=None)
    assert not move(other, seen=None)
    assert stands(one) == (one.id, one.id)


def test_a_turn_that_saw_another_pointer_looks_again(made: list[SessionRef]) -> None:
    one, other, third = made
    assert move(one, seen=None)
    assert move(one, seen=one.id)
    assert move(other, seen=one.id)
    assert not move(one, seen=one.id)
    assert not move(third, seen=one.id)
    assert stands(one) == (other.id, other.id)


def test_a_fresh_one_closes_whichever_is_current(made: list[SessionRef]) -> None:
    one, other, third = made
    assert move(one, fresh=True, seen=None)
    assert move(other, fresh=True, seen=None)
    assert move(third, fresh=True, seen=one.id)
    assert [status(each) for each in made] == ["closed", "closed", "active"]
    assert stands(one) == (third.id, third.id)


def test_a_named_one_becomes_current_and_closes_nothing(made: list[SessionRef]) -> None:
    one, other, _ = made
    assert move(one, named=True)
    assert move(other, named=True)
    assert [status(one), status(other)] == ["active", "active"]
    assert stands(one) == (other.id, other.id)


def test_closing_takes_the_pointer_away(made: list[SessionRef]) -> None:
    """AG-25: only its own; repeatable."""
    one, other, _ = made
    move(one, named=True)
    current.close(other.id)
    assert stands(one) == (one.id, one.id)
    for _ in range(2):
        current.close(one.id)
    assert stands(one) == (None, None)
    assert not CurrentSession.objects.exists()
    current.reopen(one.id)
    assert (status(one), stands(one)) == ("active", (None, None))


def test_a_conversation_closed_elsewhere_is_not_current(made: list[SessionRef]) -> None:
    one, other, _ = made
    move(one, named=True)
    ChatSession.objects.filter(id=one.id).update(status="closed")
    assert stands(one) == (None, one.id)
    assert move(other, seen=one.id)


def test_users_and_agents_have_pointers_of_their_own(made: list[SessionRef]) -> None:
    one, other, _ = made
    stranger = User.objects.create_user("stranger")
    theirs = replace(other, owner_id=stranger.pk)
    assert move(one, named=True)
    assert move(theirs, seen=None)
    assert (stands(one)[0], stands(theirs)[0]) == (one.id, other.id)


def test_deleting_a_conversation_deletes_its_pointer(made: list[SessionRef]) -> None:
    move(made[0], named=True)
    ChatSession.objects.filter(id=made[0].id).delete()
    assert stands(made[0]) == (None, None)
