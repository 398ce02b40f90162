"""Branches of a conversation (AG-26): what comes before a message in its own, and what is left of the others when one begins."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from chat import branches
from chat.branches import ROOT, WAITING_POSITION
from chat.models import ChatSession, Message
from chat.requests import Branch

pytestmark = pytest.mark.django_db


@pytest.fixture
def row() -> ChatSession:
    return ChatSession.objects.create(namespace="user:1", agent_name="a", wire="agents")


def said(row: ChatSession, *texts: str, at: int = 0, **fields: Any) -> list[Message]:
    roles = ("user", "assistant")
    return [
        Message.objects.create(session=row, position=at + index, role=roles[index % 2], text=text, status="done", **fields)
        for index, text in enumerate(texts)
    ]


def active(row: ChatSession) -> list[str]:
    return list(Message.objects.filter(session=row, active=True).order_by("position").values_list("text", flat=True))


def leave(row: ChatSession, message: Message, *, after: bool = False) -> UUID:
    return branches.leave(row.id, Branch(message_id=message.id, after=after))


def test_what_comes_before_in_a_branch(row: ChatSession) -> None:
    """Four branches: from the beginning, from it, anew, and from that."""
    q1, a1, q2, a2 = said(row, "q1", "a1", "q2", "a2")
    q3, a3 = said(row, "q3", "a3", at=4)
    q4, a4 = said(row, "q4", "a4", at=6)
    q5, a5 = said(row, "q5", "a5", at=8)
    for branch, parent in ((q3, a1.id), (q4, ROOT), (q5, a4.id)):
        branch.parent_id = parent
        branch.save()
    chains = {each: branches.before(each) for each in (q1, a2, q3, a3, q4, a4, a5)}
    assert chains == {
        q1: [], a2: [q2.id, a1.id, q1.id], q3: [a1.id, q1.id], a3: [q3.id, a1.id, q1.id], q4: [], a4: [q4.id],
        a5: [q5.id, a4.id, q4.id],
    }  # fmt: skip


def test_a_branch_of_the_one_that_goes_on(row: ChatSession) -> None:
    q1, a1, q2, _ = said(row, "q1", "a1", "q2", "a2")
    assert leave(row, q2) == a1.id
    assert active(row) == ["q1", "a1"]
    assert leave(row, q1) == ROOT
    assert active(row) == []


def test_a_branch_of_one_that_was_left_brings_back_what_came_before(row: ChatSession) -> None:
    _, a1, q2, a2 = said(row, "q1", "a1", "q2", "a2", active=False)
    said(row, "q3", "a3", at=4, parent_id=ROOT)
    assert leave(row, q2) == a1.id
    assert active(row) == ["q1", "a1"]
    assert leave(row, a2, after=True) == a2.id
    assert active(row) == ["q1", "a1", "q2", "a2"]


def test_a_beginning_that_was_left_has_nothing_before_it(row: ChatSession) -> None:
    said(row, "q1", "a1")
    (q2, _) = said(row, "q2", "a2", at=2, active=False, parent_id=ROOT)
    assert leave(row, q2) == ROOT
    assert active(row) == []


def test_messages_that_wait_stay(row: ChatSession) -> None:
    q1, a1 = said(row, "q1", "a1")
    (waiting,) = said(row, "waits", at=WAITING_POSITION)
    for branch in (Branch(message_id=waiting.id), Branch(message_id=uuid4()), 2):
        assert branches.leave(row.id, branch) == a1.id
    assert leave(row, q1) == ROOT
    assert active(row) == ["waits"]
