"""Ends by the row (R9.1), and what is left of an end that the database refuses."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from agents.access import STATIC
from agents.ids import uuid7
from agents.specs import AgentSpec, ModelSpec, ProviderSpec
from chat import endrecords, records, store
from chat.endings import end_stored, least, storable
from chat.events import Usage
from chat.models import ChatSession, Execution, Message
from chat.requests import SessionRef, TurnRequest
from chat.written import Begin, Counted, Finish

pytestmark = pytest.mark.django_db(transaction=True)
MODEL = ModelSpec(provider=ProviderSpec(id="1", name="fake", kind="demo"), name="demo")
AGENT = AgentSpec(id=None, name="root", models=(MODEL,))
HALF = "Well: \ud83d"
"""Text that ends in half of a character, as a model's or a tool's may."""


def request(**rest: Any) -> TurnRequest:
    session = SessionRef(
        id=uuid7(), namespace="static", name=None, agent_id=None, agent_name="root", owner_id=None, wire="run", is_new=True
    )
    values = {"principal": STATIC, "agent": AGENT, "wire": "run", "parts": ({"type": "text", "text": "Hello?"},), "timeout_s": 60.0}
    return TurnRequest(**{**values, "session": session, **rest})


async def begun(wanted: TurnRequest, *, queued: bool = False) -> Begin:
    """A run of the owner's that began, or waits."""
    value = Begin(
        execution_id=uuid7(), message_id=uuid7(), request=wanted, process="here", created_at=datetime.now(UTC),
        catalog_counter=await store.run(records.catalog_counter), queued=queued,
    )  # fmt: skip
    assert (await store.write(records.begin, value)).admitted
    return value


def end(begin: Begin, text: str, **rest: Any) -> Finish:
    parts: list[Any] = [{"type": "step", "step": 1, "model": "demo"}, {"type": "text", "block": 1, "text": text}]
    values = {"status": "success", "message_status": "done", "in_history": True, "position": 0, "incomplete": False, "stored": True}
    more = {"assistant_id": uuid7(), "parts": parts, "text": text, "steps": [{"step": 1}], "completed_at": datetime.now(UTC)}
    return Finish(**{"begin": begin, **values, **more, **rest})


async def row_of(execution_id: UUID) -> Execution:
    row: Execution = await store.run(Execution.objects.select_related("session").get, id=execution_id)
    return row


async def messages_of(row: Execution) -> list[tuple[str, str, str, bool]]:
    found = Message.objects.filter(session_id=row.session_id).order_by("position")
    return await store.run(lambda: list(found.values_list("role", "text", "status", "incomplete")))


# Refused for good


async def test_an_end_with_text_that_cannot_be_stored_becomes_a_failed_one_with_the_rest_of_it() -> None:
    begin = await begun(request())
    refused = end(begin, HALF, usage=Usage(input_tokens=3, output_tokens=4))
    with pytest.raises(Exception, match="surrogates"):
        await store.write(endrecords.finish, refused)
    assert await store.write(endrecords.finish, least(refused, "UnicodeEncodeError"))
    row = await row_of(begin.execution_id)
    assert (row.status, row.error_code, row.response, row.input_tokens) == ("failed", "internal_error", "Well: \ufffd", 3)
    assert "UnicodeEncodeError" in row.error_detail
    assert await messages_of(row) == [("user", "Hello?", "failed", False), ("assistant", "Well: \ufffd", "failed", True)]


async def test_a_stateless_run_keeps_its_text_in_its_steps() -> None:
    begin = await begun(request(session=None))
    await store.write(endrecords.finish, least(end(begin, HALF, stored=False), "UnicodeEncodeError"))
    row = await row_of(begin.execution_id)
    assert (row.status, row.response) == ("failed", "Well: \ufffd")
    assert row.steps[0]["parts"][1]["text"] == "Well: \ufffd"


@pytest.mark.parametrize(
    "doubtful",
    [
        {"usage": Usage(input_tokens=2**70)},
        {"usage": Usage(output_tokens=-1)},
        {"context_tokens": 2**40},
        {"cost_usd": Decimal("1e20")},
        {"model_used": "m" * 1000},
        {"paused_state": {"progress": HALF}, "status": "paused"},
        {"client_calls": [("c" * 1000, [])]},
    ],
    ids=lambda values: next(iter(values)),
)
async def test_no_number_or_name_that_may_be_refused_is_left(doubtful: dict[str, Any]) -> None:
    begin = await begun(request())
    left = least(end(begin, "Fine.", counted=Counted(input_tokens=0), **doubtful), "DataError")
    assert await store.write(endrecords.finish, left)
    row = await row_of(begin.execution_id)
    assert (row.status, row.response, row.context_tokens, row.cost_usd, row.model_used) == ("failed", "Fine.", 0, None, "demo")
    assert row.paused_state is None
    assert 0 <= row.input_tokens < 2**53


def test_text_is_stored_without_what_no_database_takes() -> None:
    assert storable("a\0b") == "ab"
    assert storable("\ud83d\ude00") == "\U0001f600", "two halves are a character"
    assert storable("plain äöü \U0001f600") == "plain äöü \U0001f600"


# By the row


async def test_a_run_that_died_keeps_its_text_and_its_question() -> None:
    begin = await begun(request())
    assert await store.run(end_stored, begin.execution_id, "failed", "interrupted", "So far\n", 7)
    row = await row_of(begin.execution_id)
    assert (row.status, row.error_code, row.response, row.last_seq) == ("failed", "interrupted", "So far\n", 7)
    assert await messages_of(row) == [("user", "Hello?", "failed", False), ("assistant", "So far\n", "failed", True)]
    assert row.session is not None
    assert row.session.message_count == 2
    assert not await store.run(end_stored, begin.execution_id, "failed", "interrupted"), "R0.8: once"


async def test_a_run_that_died_ends_where_it_began_though_another_turn_came_after_it() -> None:
    """R9.1: its lock lapses before its row does, so that another turn may be over first."""
    dead = await begun(request())
    assert dead.request.session
    after = await begun(request(session=replace(dead.request.session, is_new=False), parts=({"type": "text", "text": "Hello again?"},)))
    waited = await begun(request(session=replace(dead.request.session, is_new=False)), queued=True)
    assert await store.write(endrecords.finish, end(after, "Hello!", position=2))
    assert await store.run(end_stored, waited.execution_id, "cancelled", "cancelled")
    assert await store.run(end_stored, dead.execution_id, "failed", "interrupted", "So far", 7)
    assert await messages_of(await row_of(dead.execution_id)) == [
        ("user", "Hello?", "failed", False), ("assistant", "So far", "failed", True),
        ("user", "Hello again?", "done", False), ("assistant", "Hello!", "done", False),
        ("user", "Hello?", "cancelled", False),
    ]  # fmt: skip
    await begun(request(session=replace(dead.request.session, is_new=False)))
    places = Message.objects.filter(session_id=dead.request.session.id).order_by("position")
    assert await store.run(lambda: list(places.values_list("position", flat=True))) == [0, 1, 2, 3, 4, 6]


async def test_a_run_of_the_openai_wire_that_died_leaves_the_transcript_as_it_was() -> None:
    """OAI-54: what it said is in no history, and the branch that it left goes on."""
    first = await begun(request(wire="openai"))
    assert await store.write(endrecords.finish, end(first, "Hello!"))
    assert first.request.session
    again = request(session=replace(first.request.session, is_new=False), wire="openai", branch=0, forget_failure=True)
    dead = await begun(again)
    assert await store.run(records.stored_messages, first.request.session.id) == []
    assert await store.run(end_stored, dead.execution_id, "failed", "interrupted", "So far", 7)
    kept = await store.run(records.stored_messages, first.request.session.id)
    assert [message.id for message in kept if message.role == "user"] == [first.message_id]
    assert [message.parts[-1]["text"] for message in kept] == ["Hello?", "Hello!"]


async def gone_on(begin: Begin) -> None:
    """The run paused after `Before.`, was approved, and goes on."""
    paused = end(begin, "Before.", status="paused", paused_state={"progress": {}})
    assert await store.write(endrecords.finish, paused)
    await store.run(Execution.objects.filter(id=begin.execution_id).update, status="running", paused_state=None)
    await store.run(ChatSession.objects.all().update, paused_execution_id=None)


@pytest.mark.parametrize("text", ["Before.\n\nAfter.", "After."], ids=["all it said", "what came since"])
async def test_a_run_that_died_after_a_pause_says_nothing_twice(text: str) -> None:
    """R9.1: one answer, counted once, with what was said before and after the pause."""
    begin = await begun(request())
    await gone_on(begin)
    assert await store.run(end_stored, begin.execution_id, "failed", "interrupted", text, 30)
    row = await row_of(begin.execution_id)
    assert row.response == "Before.\n\nAfter."
    assert await messages_of(row) == [("user", "Hello?", "failed", False), ("assistant", "Before.\n\nAfter.", "failed", True)]
    assert row.session is not None
    assert row.session.message_count == 2


async def test_a_stateless_run_that_died_after_a_pause_keeps_what_it_did_before() -> None:
    begin = await begun(request(session=None))
    await gone_on(begin)
    await store.run(end_stored, begin.execution_id, "failed", "interrupted", "Before.\n\nAfter.", 30)
    row = await row_of(begin.execution_id)
    assert row.response == "Before.\n\nAfter."
    assert [part["text"] for step in row.steps for part in step.get("parts", ()) if part["type"] == "text"] == ["After."]
    assert row.steps[0] == {"step": 1}
