"""A usual turn is written alike by the event loop's one statement (PostgreSQL) and by the statements for every case (R0.6, R0.7)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from django.db import connection, connections

from agents.access import Principal
from agents.ids import uuid7
from agents.models import CatalogVersion
from agents.specs import AgentSpec
from chat import endrecords, lane, records, sqlline, store, usual
from chat.errors import TurnError
from chat.events import Usage
from chat.models import ChatSession, ClientCall, Execution, Message
from chat.requests import SessionRef, TurnRequest
from chat.sqlline import Line
from chat.turn import begin_values
from chat.written import Began, Begin, Finish
from tests.chat import queueing

pytestmark = pytest.mark.django_db(transaction=True)
POSTGRES = connection.vendor == "postgresql"
"""On SQLite every turn is written by the statements for every case."""
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


class Site:
    """An agent, its owner, and what was asked of PostgreSQL by the event loop."""

    def __init__(self, spec: AgentSpec, owner: Principal, counter: int) -> None:
        self.spec, self.owner, self.counter = spec, owner, counter
        self.sent: list[int] = []

    @property
    def line(self) -> Line | None:
        return store.lanes[asyncio.get_running_loop()]._line

    async def conversation(self, **fields: Any) -> SessionRef:
        ref: SessionRef = await store.run(queueing.session, self.spec, self.owner)
        await store.run(ChatSession.objects.filter(id=ref.id).update, **{"created_at": WHEN, **fields})
        return ref

    def turn(self, session: SessionRef | None, **fields: Any) -> Begin:
        said = fields.pop("text", "Hello")
        request = TurnRequest(
            principal=self.owner,
            agent=self.spec,
            wire="openai",
            timeout_s=60,
            session=session,
            parts=({"type": "text", "text": said},),
            **fields,
        )
        value = begin_values(request, uuid7(), WHEN)
        value.catalog_counter = self.counter
        value.known_version = 0 if session else None
        return value

    def ways(self) -> int:
        """How many groups went to PostgreSQL in the short way since this was last asked."""
        found = len(self.sent)
        self.sent.clear()
        return found


@pytest_asyncio.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """The event loop's own connection is made beside the first write: here it is there from the start."""
    spec, owner = await store.run(queueing.agent), await store.run(queueing.principal)
    made = Site(spec, owner, await store.run(records.catalog_counter))
    await store.write(records.renew, [], short=True)
    opening = store.lanes[asyncio.get_running_loop()].opening
    if opening is not None:
        await opening
    send = Line.send

    def counted(line: Line, statements: Sequence[Any], done: Callable[..., None]) -> None:
        made.sent.append(len(statements))
        send(line, statements, done)

    monkeypatch.setattr(Line, "send", counted)
    return made


async def begin(*values: Begin) -> list[Began]:
    return await asyncio.gather(*[store.write(records.begin, value, short=value.short, usual=usual.begin) for value in values])


async def end(*values: Finish) -> list[bool]:
    return await asyncio.gather(
        *[store.write(endrecords.finish, value, patient=True, short=value.short, usual=usual.end) for value in values]
    )


def ended(value: Begin, began: Began, **fields: Any) -> Finish:
    said = fields.pop("said", "Hi!")
    return Finish(
        begin=value,
        **{
            "stored": value.store_execution,
            "status": "success",
            "message_status": "done",
            "in_history": True,
            "position": began.position,
            "assistant_id": uuid7(),
            "parts": [{"type": "text", "text": said}] if said else [],
            "text": said,
            "incomplete": False,
            "completed_at": WHEN,
            "usage": Usage(input_tokens=3, output_tokens=2),
            "cost_usd": Decimal("0.000123"),
            "last_seq": 5,
            **fields,
        },
    )


async def rows() -> list[dict[str, Any]]:
    """All that a turn writes, without its ids and its lease's end."""

    def read() -> list[dict[str, Any]]:
        found = [*Execution.objects.order_by("created_at", "id").values(), *Message.objects.order_by("session_id", "position").values()]
        found += ChatSession.objects.order_by("id").values()
        return [
            {name: value for name, value in row.items() if name not in ("id", "lease_until", "execution_id", "session_id")} for row in found
        ]

    return await store.run(read)


ENDS: dict[str, dict[str, Any]] = {
    "answered": {},
    "said nothing": {"said": ""},
    "a character that PostgreSQL refuses": {"said": "a\0b"},
    "failed": {"status": "failed", "message_status": "failed", "incomplete": True, "error_code": "upstream_error", "error": "It broke."},
    "cancelled": {"status": "cancelled", "message_status": "cancelled", "incomplete": True, "said": "Hal"},
    "without a price": {"cost_usd": None},
    "with steps": {"steps": [{"model": "a", "n": 1}], "model_used": "other", "first_token_ms": 7, "queue_ms": 0, "context_tokens": 9},
    "its failure is forgotten": {"status": "failed", "message_status": "failed", "in_history": False, "said": ""},
}


@pytest.mark.parametrize("fields", ENDS.values(), ids=ENDS)
async def test_both_ways_write_the_same(site: Site, fields: dict[str, Any]) -> None:
    said = {}
    for is_short in (True, False):
        await store.run(ChatSession.objects.all().delete)
        await store.run(Execution.objects.all().delete)
        value = site.turn(await site.conversation(next_position=4, message_count=4), text="Grüße\0")
        kind = {"short": is_short, "usual": usual.begin if is_short else None}
        began = await store.write(records.begin, value, **kind)
        finish = ended(value, began, **fields)
        kind = {"short": is_short, "usual": usual.end if is_short else None}
        assert await store.write(endrecords.finish, finish, **kind) is True
        said[is_short] = [began, await rows()]
    assert said[True] == said[False]
    assert site.ways() == (0 if not POSTGRES else 1 if fields.get("in_history") is False else 2)


async def test_those_of_a_moment_share_one_statement(site: Site) -> None:
    values = [site.turn(await site.conversation()) for _ in range(5)]
    began = await begin(*values)
    assert site.ways() == POSTGRES
    assert await end(*[ended(value, each) for value, each in zip(values, began, strict=True)]) == [True] * 5
    assert site.ways() == POSTGRES
    assert [row["version"] for row in await store.run(lambda: list(ChatSession.objects.values("version")))] == [1] * 5


async def test_a_question_without_an_answer_keeps_its_place(site: Site) -> None:
    """Its process died: the next turn stands after the place of its answer."""
    session = await site.conversation(next_position=2)
    first, second = await begin(site.turn(session)), await begin(site.turn(session))
    assert [first[0].position, second[0].position] == [2, 4]


MOVED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "deleted": ({"namespace": "gone"}, {"missing": True}),
    "another version": ({"version": 3}, {"version": 3}),
    "closed": ({"status": "closed"}, {}),
    "paused": ({"paused_execution_id": uuid7()}, {}),
}


@pytest.mark.parametrize(("fields", "expected"), MOVED.values(), ids=MOVED)
async def test_one_that_is_unusual_is_found_so_and_the_others_begin(site: Site, fields: Any, expected: Any) -> None:
    usual_ones = [site.turn(await site.conversation()) for _ in range(2)]
    session = await site.conversation(**fields)
    if expected.get("missing"):
        await store.run(ChatSession.objects.filter(id=session.id).delete)
    unusual = site.turn(session)
    found = await begin(usual_ones[0], unusual, usual_ones[1])
    assert [each.admitted for each in found] == [True, not expected.get("missing"), True]
    assert {name: getattr(found[1], name) for name in expected} == expected
    assert (found[1].transcript is not None) == ("version" in expected)
    stored = await store.run(lambda: set(Execution.objects.values_list("id", flat=True)))
    assert stored == {
        value.execution_id for value, each in zip((usual_ones[0], unusual, usual_ones[1]), found, strict=True) if each.admitted
    }


async def test_a_name_that_was_taken_away_is_missing(site: Site) -> None:
    session = replace(await site.conversation(), by_name=True)
    assert (await begin(site.turn(session)))[0].missing
    await store.run(ChatSession.objects.filter(id=session.id).update, name="mine")
    assert (await begin(site.turn(session)))[0].admitted


async def test_a_catalog_that_moved_is_told_and_nothing_is_written(site: Site) -> None:
    values = [site.turn(await site.conversation()), site.turn(None)]
    await store.run(CatalogVersion.objects.filter(id=1).update, counter=site.counter + 1)
    assert [each.stale for each in await begin(*values)] == [site.counter + 1] * 2
    assert not await store.run(Execution.objects.exists)


async def test_of_two_catalogs_at_once_each_turn_hears_of_its_own(site: Site) -> None:
    new, old = site.turn(await site.conversation()), site.turn(await site.conversation())
    old.catalog_counter -= 1
    assert [each.stale for each in await begin(new, old)] == [None, site.counter]


async def test_a_stateless_run_is_stored_once_at_its_end(site: Site) -> None:
    value = site.turn(None)
    began = (await begin(value))[0]
    assert began.admitted
    assert not await store.run(Execution.objects.exists)
    assert await end(ended(value, began, stored=False)) == [True]
    assert site.ways() == 2 * POSTGRES
    assert await end(ended(value, began, stored=False)) == [True]
    assert await end(ended(value, began, stored=False, status="failed")) == [False]
    assert await store.run(lambda: list(Execution.objects.values_list("status", "response"))) == [("success", "Hi!")]


async def test_an_end_counts_once(site: Site) -> None:
    value = site.turn(await site.conversation())
    began = (await begin(value))[0]
    finish = ended(value, began)
    late = replace(finish, status="failed", assistant_id=uuid7())
    assert await end(finish) == [True]
    assert await end(late) == [False]
    assert await end(finish) == [True]  # said again, since the answer to the first was lost
    assert await store.run(lambda: [Message.objects.count(), ChatSession.objects.get().version]) == [2, 1]


async def test_one_that_somebody_else_ended_leaves_the_others_theirs(site: Site) -> None:
    values = [site.turn(await site.conversation()) for _ in range(3)]
    began = await begin(*values)
    await store.run(Execution.objects.filter(id=values[1].execution_id).update, status="cancelled")
    assert await end(*[ended(value, each) for value, each in zip(values, began, strict=True)]) == [True, False, True]
    assert await store.run(Message.objects.filter(role="assistant").count) == 2


async def test_of_several_ends_said_again_those_that_were_stored_are_not_stored_twice(site: Site) -> None:
    values = [site.turn(await site.conversation()) for _ in range(3)]
    ends = [ended(value, each, said="") for value, each in zip(values, await begin(*values), strict=True)]
    assert await end(ends[0]) == [True]
    assert await end(*ends) == [True] * 3
    assert await store.run(lambda: list(ChatSession.objects.values_list("version", "message_count"))) == [(1, 1)] * 3


async def test_a_late_row_keeps_its_calls_beside_one_that_somebody_else_ended(site: Site) -> None:
    ours, other = site.turn(None), site.turn(None)
    began = (await begin(ours, other))[0]
    await store.write(records.begin_late, [other])
    await store.run(Execution.objects.filter(id=other.execution_id).update, status="cancelled")
    calls = [("call_1", [{"role": "assistant"}])]
    ends = [ended(ours, began, stored=False, client_calls=calls), ended(other, began, stored=False)]
    assert await end(*ends) == [True, False]
    assert await store.run(lambda: list(ClientCall.objects.values_list("call_id", flat=True))) == ["call_1"]


async def test_what_no_database_takes_fails_alone(site: Site) -> None:
    values = [site.turn(await site.conversation()) for _ in range(3)]
    ends = [ended(value, each) for value, each in zip(values, await begin(*values), strict=True)]
    ends[1] = replace(ends[1], text="half a character: \ud83d")
    found = await asyncio.gather(*[end(each) for each in ends], return_exceptions=True)
    assert [each == [True] for each in found] == [True, False, True]


async def test_two_ends_of_one_conversation_are_both_counted(site: Site) -> None:
    session = await site.conversation()
    values = [site.turn(session), site.turn(session)]
    began = [(await begin(value))[0] for value in values]
    assert await end(*[ended(value, each) for value, each in zip(values, began, strict=True)]) == [True, True]
    row = await store.run(ChatSession.objects.get)
    assert (row.version, row.message_count, row.next_position) == (2, 4, 4)


async def test_a_bad_member_fails_alone(site: Site) -> None:
    values = [site.turn(await site.conversation()) for _ in range(3)]
    values[1].message_id = values[0].message_id
    found = await asyncio.gather(*[begin(value) for value in values], return_exceptions=True)
    assert [type(each) for each in found].count(list) == 2
    assert await store.run(Execution.objects.count) == 2


async def test_what_refers_to_nothing_fails_alone_and_at_the_end_of_the_transaction(site: Site) -> None:
    """Foreign keys are looked at by its commit: on the event loop's own connection, by what ends the exchange."""
    values = [site.turn(await site.conversation()) for _ in range(3)]
    values[1].request = replace(values[1].request, agent=replace(site.spec, id=uuid7()))
    found = await asyncio.gather(*[begin(value) for value in values], return_exceptions=True)
    assert [type(each) for each in found].count(list) == 2
    assert await store.run(Execution.objects.count) == 2
    assert (await begin(site.turn(await site.conversation())))[0].admitted


async def test_what_is_unusual_waits_for_what_came_before(site: Site) -> None:
    session = await site.conversation()
    value = site.turn(session)
    first = asyncio.ensure_future(begin(value))
    await asyncio.sleep(0)
    renewed = store.write(records.renew, [value.execution_id])
    began = (await first)[0]
    await renewed
    assert began.admitted
    assert await store.run(Execution.objects.filter(lease_until__isnull=False).count) == 1


async def test_what_is_usual_waits_for_the_thread_and_goes_the_short_way(site: Site) -> None:
    value = site.turn(await site.conversation())
    renewed = store.write(records.renew, [])
    for _ in range(3):
        await asyncio.sleep(0)
    assert (await begin(value))[0].admitted
    await renewed
    assert site.ways() == POSTGRES


def backend(line: Line) -> int:
    return int(line._pg.backend_pid)


def terminate(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


async def test_a_connection_that_ended_is_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread writes meanwhile."""
    monkeypatch.setattr(lane, "_REDIAL_S", 0.0)
    if site.line is not None:
        await store.run(terminate, backend(site.line))
        await asyncio.sleep(0.1)
    assert (await begin(site.turn(await site.conversation())))[0].admitted
    opening = store.lanes[asyncio.get_running_loop()].opening
    if opening is not None:
        await opening
    site.ways()
    assert (await begin(site.turn(await site.conversation())))[0].admitted
    assert site.ways() == POSTGRES


if POSTGRES:  # SQLite has no connection that could be lost

    async def test_of_a_connection_lost_under_way_who_begins_is_refused_and_who_ends_is_written(site: Site) -> None:
        assert site.line is not None
        value, other = site.turn(await site.conversation()), site.turn(await site.conversation())
        began = (await begin(value))[0]
        locked, free = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold() -> None:
            """Another transaction has the run's row."""
            holder = connections.create_connection("default")
            with holder.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute("SELECT 1 FROM chat_execution WHERE id = %s FOR UPDATE", [value.execution_id])
                loop.call_soon_threadsafe(locked.set)
                asyncio.run_coroutine_threadsafe(free.wait(), loop).result(10)
                cursor.execute("ROLLBACK")
            holder.close()

        holding = loop.run_in_executor(None, hold)
        await locked.wait()
        ending, beginning = asyncio.ensure_future(end(ended(value, began))), asyncio.ensure_future(begin(other))
        await asyncio.sleep(0.2)
        assert site.line.is_busy
        assert [ending.done(), beginning.done()] == [False, False]
        await store.run(terminate, backend(site.line))
        free.set()
        await holding
        with pytest.raises(TurnError) as refused:
            await beginning
        assert refused.value.code == "store_unavailable"
        assert await ending == [True]
        assert await store.run(lambda: Execution.objects.get(id=value.execution_id).status) == "success"


async def test_large_groups_go_out_in_pieces(site: Site) -> None:
    """More than a socket takes at once."""
    said = "x" * 19_000
    values = [site.turn(await site.conversation(), text=said) for _ in range(60)]
    began = await begin(*values)
    assert await end(*[ended(value, each, said=said) for value, each in zip(values, began, strict=True)]) == [True] * 60
    assert site.ways() == 2 * POSTGRES
    assert await store.run(Message.objects.filter(text=said).count) == 120


async def test_no_line_on_sqlite(site: Site) -> None:
    assert (site.line is not None) is POSTGRES
    assert (await store.run(sqlline.dial) is not None) is POSTGRES
