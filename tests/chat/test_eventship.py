"""Events on their way to other processes: none that this one still has is lost, doubled or moved, whatever Redis does (R7.1, R7.5)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents.ids import uuid7
from chat import eventship, redis
from chat.eventlog import Log, batches, registry
from chat.events import Gap, Numbered, TextDelta, TurnCancelled, TurnEvent
from chat.eventship import Mirror, Shipper
from tests.conftest import real
from tests.support import services
from tests.support.services import Restartable

pytestmark = pytest.mark.redis
END = TurnCancelled(code="cancelled", message="")


@pytest.fixture
async def own(settings: Any) -> AsyncIterator[Restartable]:
    for server in real(services.own_redis()):
        settings.REDIS_URL = server.url
        yield server
        registry.live.clear()
        await redis.close()


@pytest.fixture
def shipper(own: Restartable) -> Shipper:
    """Sends when it is told to flush, not by itself."""
    made = Shipper()
    made._ensure = lambda: None
    return made


def running() -> Log:
    log = Log(uuid7())
    registry.live[log.execution_id] = log
    return log


def say(shipper: Shipper, log: Log, *events: TurnEvent | str) -> None:
    for event in events:
        log.append(TextDelta(1, event) if isinstance(event, str) else event)
        shipper.note(log)


async def sent(shipper: Shipper) -> None:
    """Redis was away: what it has lost is noticed by the first try, and made good by the second."""
    await shipper.flush()
    assert await shipper.flush()


async def seen(log: Log) -> list[tuple[int, Any]]:
    """What a process that begins to watch now is told."""
    mirror = Mirror()
    mirrored = await mirror.open(log.execution_id)
    await mirror.close()
    return told(mirrored) if mirrored else []


def told(log: Log) -> list[tuple[int, Any]]:
    return list(map(plain, log.after(0)))


async def watched(log: Log) -> list[tuple[int, Any]]:
    return [plain(item) async for batch in batches(log) for item in batch]


def plain(item: Numbered) -> tuple[int, Any]:
    return item.seq, item.event.text if isinstance(item.event, TextDelta) else item.event


def texts(*words: str) -> list[tuple[int, Any]]:
    return list(enumerate(words, 1))


async def memory(limit: str) -> None:
    await redis.client().config_set("maxmemory", limit)


async def test_what_redis_has_no_memory_for_is_sent_again_in_order(shipper: Shipper) -> None:
    log = running()
    say(shipper, log, "a")
    assert await shipper.flush()
    await memory("1")
    say(shipper, log, "b", "c")
    assert not await shipper.flush()
    say(shipper, log, "d")
    await memory("0")
    assert await shipper.flush()
    assert await seen(log) == texts("a", "b", "c", "d")


async def test_a_run_that_redis_refuses_keeps_no_other_back(shipper: Shipper) -> None:
    refused, other = running(), running()
    await redis.client().set(eventship.key(refused.execution_id), "not a stream")
    say(shipper, refused, "a")
    say(shipper, other, "b")
    assert not await shipper.flush()
    assert await seen(other) == texts("b")
    assert refused.shipped == 0


async def test_a_restart_of_redis_in_the_middle_loses_and_doubles_nothing(shipper: Shipper, own: Restartable) -> None:
    log = running()
    say(shipper, log, "a", "b")
    await shipper.flush()
    own.stop()
    say(shipper, log, "c")
    assert not await shipper.flush()
    own.start()
    say(shipper, log, "d", END)
    await sent(shipper)
    assert await seen(log) == [*texts("a", "b", "c", "d"), (5, END)]


async def test_who_watched_before_the_restart_goes_on_where_it_was(shipper: Shipper, own: Restartable) -> None:
    log, mirror = running(), Mirror()
    say(shipper, log, "a", "b")
    await shipper.flush()
    mirrored = await mirror.open(log.execution_id)
    assert mirrored is not None
    watching = asyncio.create_task(watched(mirrored))
    await asyncio.sleep(0)
    own.stop()
    own.start()
    say(shipper, log, "c", END)
    await sent(shipper)
    async with asyncio.timeout(30):
        assert await watching == [*texts("a", "b", "c"), (4, END)]
    await mirror.close()


async def test_runs_that_are_silent_when_redis_restarts_are_sent_again_too(shipper: Shipper, own: Restartable) -> None:
    silent, other = running(), running()
    say(shipper, silent, "a", "b")
    say(shipper, other, "x")
    await shipper.flush()
    own.stop()
    own.start()
    say(shipper, other, "y")
    await sent(shipper)
    assert await seen(silent) == texts("a", "b")
    assert await seen(other) == texts("x", "y")


async def test_an_entry_whose_answer_was_lost_is_no_duplicate(shipper: Shipper) -> None:
    log = running()
    say(shipper, log, "a", "b")
    await shipper.flush()
    log.shipped = 0
    shipper.note(log)
    assert await shipper.flush()
    log.shipped = 0
    say(shipper, log, "c")
    assert await shipper.flush()
    assert await seen(log) == texts("a", "b", "c")


async def test_what_is_no_json_is_a_gap_and_keeps_nothing_back(shipper: Shipper) -> None:
    log = running()
    say(shipper, log, "a")
    await shipper.flush()
    say(shipper, log, "\ud800", "c")
    assert await shipper.flush()
    say(shipper, log, "d")
    assert await shipper.flush()
    found = await seen(log)
    assert [seq for seq, what in found if not isinstance(what, Gap)] == [1, 4]
    assert {number for _, gap in found[1:-1] for number in range(gap.first, gap.last + 1)} == {2, 3}


async def test_a_run_that_this_process_no_longer_has_is_let_go(shipper: Shipper, own: Restartable) -> None:
    log = running()
    own.stop()
    say(shipper, log, "a", END)
    assert not await shipper.flush()
    del registry.live[log.execution_id]
    assert not await shipper.flush()
    assert await shipper.flush(), "nothing is left to send"


async def test_a_process_that_ends_sends_what_is_left_r12_5(own: Restartable) -> None:
    shipper, log = Shipper(), running()
    say(shipper, log, "a")
    await asyncio.sleep(0)  # the flusher is at work, or waits for its 25 ms
    say(shipper, log, END)
    await shipper.close()
    assert await seen(log) == [(1, "a"), (2, END)]


async def test_a_process_that_ends_without_redis_does_not_hang_r12_5(own: Restartable) -> None:
    shipper = Shipper()
    own.stop()
    say(shipper, running(), END)
    async with asyncio.timeout(eventship.CLOSE_S + 1):
        await shipper.close()
