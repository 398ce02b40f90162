"""Runs of other processes, watched from here (R7): how often the database is asked, and what it makes good."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents.ids import uuid7
from chat import eventship, redis, store, watching
from chat.endings import end_stored
from chat.eventlog import Log
from chat.events import Gap, TextDelta, TurnCancelled, TurnEvent, TurnPaused, TurnResumed
from chat.eventship import Shipper
from chat.models import Execution
from chat.readings import Patient

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]
PAUSE = TurnPaused(approvals=(), notice="")


class Elsewhere:
    """A run that another process has: its row, and its stream."""

    def __init__(self) -> None:
        self.log = Log(uuid7())
        self.shipper = Shipper()

    async def begin(self, *events: TurnEvent, status: str = "running") -> None:
        row = Execution(id=self.log.execution_id, agent_name="root", principal="user:1", status=status)
        await store.run(row.save, force_insert=True)
        await self.say(*events)

    async def say(self, *events: TurnEvent) -> None:
        for event in events:
            self.log.append(event)
            self.shipper.note(self.log)
        await self.shipper.flush()


@pytest.fixture
async def elsewhere(redis_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Elsewhere]:
    settings.REDIS_URL = redis_url
    monkeypatch.setattr(watching, "_POLL_S", 0.01)
    made = Elsewhere()
    yield made
    await made.shipper.close()
    await eventship.close()
    await redis.close()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The looks into the database for the status of a run."""
    made: list[Any] = []
    status = watching._status
    monkeypatch.setattr(watching, "_status", lambda execution_id: made.append(execution_id) or status(execution_id))
    return made


async def next_of(reader: Patient) -> list[Any]:
    async with asyncio.timeout(30):
        batch = await reader.next()
    assert batch is not None
    return [item.event for item in batch]


async def test_a_run_that_paused_elsewhere_is_not_looked_up_again_and_again(elsewhere: Elsewhere, looks: list[Any]) -> None:
    await elsewhere.begin(TextDelta(1, "a"), PAUSE, status="paused")
    reader = Patient(await watching.log_for(elsewhere.log.execution_id))
    del looks[:]
    for _ in range(25):
        await asyncio.sleep(2 * watching._POLL_S)
    assert len(looks) <= 3
    reader.close()


async def test_a_run_that_goes_on_elsewhere_is_told_by_its_stream(elsewhere: Elsewhere) -> None:
    await elsewhere.begin(TextDelta(1, "a"), PAUSE, status="paused")
    reader = Patient(await watching.log_for(elsewhere.log.execution_id))
    assert await next_of(reader) == [TextDelta(1, "a"), PAUSE]
    await elsewhere.say(TurnResumed(1))
    assert await next_of(reader) == [TurnResumed(1)]
    reader.close()


async def test_a_paused_run_whose_end_the_stream_does_not_have_ends_when_its_bell_rings(elsewhere: Elsewhere) -> None:
    """Redis was away when it ended: whoever hears the bell asks for the run anew."""
    await elsewhere.begin(TextDelta(1, "a"), PAUSE, status="paused")
    reader = Patient(await watching.log_for(elsewhere.log.execution_id))
    assert await next_of(reader) == [TextDelta(1, "a"), PAUSE]
    await store.run(end_stored, elsewhere.log.execution_id, "cancelled", "approval_expired")
    assert await watching.log_for(elsewhere.log.execution_id, reader.seq) is reader.log
    assert isinstance((await next_of(reader))[-1], TurnCancelled)
    reader.close()


async def test_a_silent_run_is_looked_up_once_for_all_who_watch_it(elsewhere: Elsewhere, looks: list[Any]) -> None:
    await elsewhere.begin(TextDelta(1, "a"))
    readers = [Patient(await watching.log_for(elsewhere.log.execution_id)) for _ in range(20)]
    for _ in range(10):
        await asyncio.sleep(2 * watching._POLL_S)
    assert 1 <= len(looks) <= 12
    for reader in readers:
        reader.close()


async def test_an_end_that_is_on_its_way_is_not_taken_for_a_lost_one(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has its end a moment before the stream: nobody is told to start over (R7.4)."""
    monkeypatch.setattr(eventship, "FLUSH_S", 0.5)
    await elsewhere.begin(TextDelta(1, "a"))
    reader = Patient(await watching.log_for(elsewhere.log.execution_id))
    await next_of(reader)
    await store.run(end_stored, elsewhere.log.execution_id, "cancelled", "cancelled", "a")
    await asyncio.sleep(5 * watching._POLL_S)
    await elsewhere.say(TurnCancelled(code="cancelled", message=""))
    assert await next_of(reader) == [TurnCancelled(code="cancelled", message="")]
    reader.close()


async def test_a_run_that_ended_while_its_stream_was_lost_is_told_from_storage_after_a_gap(elsewhere: Elsewhere) -> None:
    """R7.5."""
    await elsewhere.begin(TextDelta(1, "a"))
    reader = Patient(await watching.log_for(elsewhere.log.execution_id))
    await next_of(reader)
    await redis.client().flushdb()
    await store.run(end_stored, elsewhere.log.execution_id, "cancelled", "cancelled", "ab")
    told = await next_of(reader)
    assert isinstance(told[0], Gap)
    assert told[0].restart
    assert isinstance(told[-1], TurnCancelled)
    reader.close()
