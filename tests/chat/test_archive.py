"""Stored conversations in pages: bounded searches, ties, branches, and the indexes that serve them (AG-5, AG-22, AG-26)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection

from agents.models import Agent, Provider
from chat import archive
from chat.archive import Shelf
from chat.models import ChatSession, Execution, Message

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def shelf() -> Shelf:
    provider = Provider.objects.create(name="p", kind="demo")
    agent = Agent.objects.create(name="a", provider=provider, model="demo")
    return Shelf(agent_id=agent.id, owner_id=User.objects.create_user("owner").pk)


def session(shelf: Shelf, minute: int = 0, **fields: Any) -> ChatSession:
    at = NOON + timedelta(minutes=minute)
    return ChatSession.objects.create(
        namespace="user:1", agent_id=shelf.agent_id, agent_name="a", owner_id=shelf.owner_id, wire="agents", last_message_at=at, **fields
    )


def turn(shelf: Shelf, row: ChatSession | None, minute: int = 0, work: Any = None) -> Execution:
    return Execution.objects.create(
        agent_id=shelf.agent_id, agent_name="a", owner_id=shelf.owner_id, session=row, principal="user:1", status="success",
        created_at=NOON + timedelta(minutes=minute), work=work,
    )  # fmt: skip


def said(row: ChatSession, run: Execution | None, *texts: str, at: int = 0, **fields: Any) -> list[Message]:
    return [
        Message.objects.create(
            session=row, execution_id=run.id if run else None, position=at + index, role=("user", "assistant")[index % 2], text=text,
            parts=[{"type": "text", "text": text}], status="done", **fields,
        )
        for index, text in enumerate(texts)
    ]  # fmt: skip


def walk(read: Any) -> list[list[UUID]]:
    """The ids of every page, each asked for by the end of the one before."""
    pages, before = [], None
    while True:
        page = read(before)
        pages.append([row.id for row in page.rows])
        if page.before is None:
            return pages
        before = page.before


def test_conversations_of_one_moment_are_each_on_one_page(shelf: Shelf) -> None:
    rows = [session(shelf, 0, status=status) for status in ("active", "closed") * 4]
    pages = walk(lambda before: archive.sessions(shelf, limit=3, before=before))
    assert [len(page) for page in pages] == [3, 3, 2]
    assert sorted(id_ for page in pages for id_ in page) == sorted(row.id for row in rows)


@pytest.mark.parametrize("every_branch", [False, True])
def test_a_long_conversation_is_read_to_its_beginning(shelf: Shelf, every_branch: bool) -> None:
    """AG-5, AG-26: page after page, each message once, in order, also where a branch was left; no length ends it."""
    row = session(shelf)
    stored = [
        Message(
            session=row, position=place, role=("user", "assistant")[place % 2], text=str(place), status="done", active=place < 900 or fresh
        )
        for place in range(1500)
        for fresh in ((True,) if place < 900 else (False, True))
    ]
    Message.objects.bulk_create(stored)
    wanted = [(message.position, message.id) for message in stored if every_branch or message.active]
    found: list[tuple[int, UUID]] = []
    before = None
    while (page := archive.messages(row.id, limit=1000, before=before, every_branch=every_branch)).prior:
        found[:0] = [(message.position, message.id) for message in page.rows]
        before = page.rows[0].id
    found[:0] = [(message.position, message.id) for message in page.rows]
    assert found == sorted(wanted)


def test_a_search_looks_so_far_and_goes_on_from_there(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded: a page may be empty and have a next one."""
    monkeypatch.setattr(archive, "SEARCHED_AT_ONCE", 2)
    monkeypatch.setattr(archive, "MAX_SEARCHED", 4)
    rows = [session(shelf, minute, title="needle" if minute in (0, 1, 9) else "hay") for minute in range(10)]
    pages = walk(lambda before: archive.sessions(shelf, limit=50, before=before, search="Needle"))
    assert pages == [[rows[9].id], [], [rows[1].id, rows[0].id]]


def test_a_search_does_not_read_what_was_left(shelf: Shelf) -> None:
    """AG-26: text of a branch that was left is no match; titles are."""
    row = session(shelf, title="Title words")
    said(row, None, "old words", active=False)
    said(row, None, "new words", at=2)
    found = {words: len(archive.sessions(shelf, limit=5, search=words).rows) for words in ("old", "new", "title", "ew wor")}
    assert found == {"old": 0, "new": 1, "title": 1, "ew wor": 1}


def test_history_comes_turn_by_turn(shelf: Shelf) -> None:
    """Also of turns that overlap, of failed ones without an answer, and of tasks that were saved."""
    one, other = session(shelf, 1), session(shelf, 2)
    long, short = turn(shelf, one, 1), turn(shelf, other, 2)
    failed, saved = turn(shelf, one, 3), turn(shelf, None, 4, {"save": True})
    turn(shelf, None, 5)
    expected = [
        *reversed(said(one, saved, "task", "done", at=10, source="task")), *said(one, failed, "failed", at=4),
        *reversed(said(other, short, "q2", "a2")), *reversed(said(one, long, "q1", "a1")),
    ]  # fmt: skip
    for limit in (1, 2, 3, 100):
        pages = walk(lambda before, limit=limit: archive.recent(shelf, limit=limit, before=before))
        assert [id_ for page in pages for id_ in page] == [row.id for row in expected]
        assert {len(page) for page in pages[:-1]} <= {limit}


def test_history_leaves_out_what_a_branch_left(shelf: Shelf) -> None:
    row = session(shelf)
    said(row, turn(shelf, row, 1), "q1", "a1", active=False)
    said(row, turn(shelf, row, 2), "q2", "a2", at=2)
    assert [message.text for message in archive.recent(shelf, limit=1).rows] == ["a2"]
    assert [message.text for message in archive.recent(shelf, limit=9).rows] == ["a2", "q2"]


@pytest.mark.parametrize("read", [archive.sessions, archive.recent])
def test_a_page_after_nothing(shelf: Shelf, read: Any) -> None:
    with pytest.raises(archive.NotThere):
        read(shelf, limit=5, before=uuid4())


def test_lists_are_read_through_their_indexes(shelf: Shelf) -> None:
    """tests/benchmarks/archive.py shows what PostgreSQL makes of them when there is much to read; here there is little."""
    exactly = {"sqlite": "session_list (owner_id=? AND agent_id=? AND status=?)", "postgresql": "using session_list"}[connection.vendor]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
    assert exactly in shelf.sessions().filter(status="active").order_by("-last_message_at", "-id")[:50].explain()
    everybody = Shelf(agent_id=shelf.agent_id, owner_id=None).sessions().order_by("-last_message_at", "-id")[:50]
    assert "session_list_manager" in everybody.explain()
    assert "session_messages" in Message.objects.filter(session_id=uuid4()).order_by("-position", "-id").explain()
