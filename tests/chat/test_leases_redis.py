"""What Redis adds to leases: they lapse when a process dies, survive a restart of the store, and cost one round trip."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from chat import leases_redis, redis
from chat.claims import Entered, Waiting
from chat.errors import TurnError
from chat.leases_redis import RedisLeases
from chat.transcripts import Cache, Transcript, build
from tests.chat.leasing import SESSION, claim, leave, owner_of, rate, still_waits
from tests.chat.test_transcripts import sent, talk
from tests.conftest import real
from tests.support import services
from tests.support.services import Restartable

pytestmark = pytest.mark.redis
ROOT = Path(__file__).resolve().parents[2]


_made: list[RedisLeases] = []


def new(**rest: Any) -> RedisLeases:
    """The leases of one more process."""
    _made.append(RedisLeases(Cache(1_000_000), **rest))
    return _made[-1]


async def close() -> None:
    while _made:
        await _made.pop().close()
    await redis.close()


@pytest.fixture
async def store(redis_url: str, settings: Any) -> AsyncIterator[None]:
    settings.REDIS_URL = redis_url
    await redis.client().flushdb()
    yield
    await close()


async def entered(leases: RedisLeases, **rest: Any) -> Any:
    wanted = claim(**rest)
    assert isinstance(await leases.enter(wanted), Entered)
    return wanted


@pytest.mark.usefixtures("store")
async def test_what_is_on_its_way_back_when_a_process_closes_arrives() -> None:
    first = new()
    wanted = await entered(first)
    leaving = first.exit(wanted.execution_id, real_tokens=0)
    await redis.close()
    await leaving
    assert await owner_of(new()) is None


# Leases lapse


@pytest.mark.usefixtures("store")
async def test_lock_and_slot_of_a_lease_that_nobody_renews_are_free_r8_3() -> None:
    await entered(new(lease_s=1.5), max_parallel=1)
    wanted, second = claim(max_parallel=1), new(poll_s=0.05)
    assert isinstance(await second.enter(wanted), Waiting)
    assert isinstance(await second.wait(wanted), Entered)


@pytest.mark.usefixtures("store")
async def test_a_renewed_lease_does_not_lapse_r8_3() -> None:
    first, second, wanted = new(lease_s=2), new(poll_s=0.02), claim(max_parallel=1)
    await entered(first, max_parallel=1)
    await second.enter(wanted)
    waiting = asyncio.create_task(second.wait(wanted))
    for _ in range(4):
        await asyncio.sleep(0.6)
        assert await first.renew() == []
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.usefixtures("store")
async def test_a_process_that_lost_a_lock_hears_so_when_it_renews() -> None:
    sleepy, awake = new(lease_s=0.05), new()
    lost = await entered(sleepy)
    await asyncio.sleep(0.1)
    await entered(awake)
    assert await sleepy.renew() == [lost.execution_id]


@pytest.mark.usefixtures("store")
async def test_a_late_end_takes_nothing_from_the_new_owner() -> None:
    sleepy, awake = new(lease_s=0.05), new()
    lost = await entered(sleepy)
    await asyncio.sleep(0.1)
    owner = await entered(awake)
    await leave(sleepy, lost, transcript=build(SESSION, 1, talk(1)))
    assert await owner_of(awake) == owner.execution_id
    await leave(awake, owner)
    assert (await new().enter(claim())).history is None


class Late:
    """Renews only after something else has happened."""

    def __init__(self, first: Callable[[], Awaitable[None]]) -> None:
        self._first, self._script = first, leases_redis._renew

    async def run(self, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        await self._first()
        return await self._script.run(keys, arguments)


@pytest.mark.usefixtures("store")
async def test_a_turn_that_ends_while_its_lease_is_renewed_keeps_nothing_r8_3(monkeypatch: pytest.MonkeyPatch) -> None:
    leases, wanted = new(), claim(max_parallel=1, rate=rate(tokens=300))
    await leases.enter(wanted)
    ended = build(SESSION, 1, talk(1))
    monkeypatch.setattr(leases_redis, "_renew", Late(lambda: leave(leases, wanted, real_tokens=50, transcript=ended)))
    assert await leases.renew() == []
    entry = await new().enter(claim(max_parallel=1, rate=rate(tokens=1)))
    assert isinstance(entry, Entered), "lock and slot are free, though they were renewed after the end"
    assert entry.history is not None
    assert entry.history.version == 1, "the history it left is untouched"
    assert entry.rate is not None
    assert entry.rate.tokens == 51, "its tokens are settled once"


@pytest.mark.usefixtures("store")
async def test_the_place_of_a_process_that_died_waiting_is_given_up() -> None:
    first = new()
    running, dead = await entered(first), claim()
    await new(waiter_s=0.05).enter(dead)
    await asyncio.sleep(0.1)
    next_one = claim()
    assert (await first.enter(next_one)).position == 1
    await leave(first, running)
    assert isinstance(await first.wait(next_one), Entered)


HOLDER = """
import asyncio, sys, django
django.setup()
from django.conf import settings
from chat.leases_redis import RedisLeases
from tests.chat.leasing import claim
async def hold():
    settings.REDIS_URL = sys.argv[1]
    await RedisLeases(lease_s=3.0).enter(claim(max_parallel=1))
    print("entered", flush=True)
    await asyncio.sleep(60)
asyncio.run(hold())
"""


@pytest.mark.usefixtures("store")
async def test_a_killed_process_frees_its_session_when_its_lease_lapses_r8_3(redis_url: str) -> None:
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, redis_url, cwd=ROOT, env=env, stdout=PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"entered\n"
    wanted, here = claim(max_parallel=1), new(poll_s=0.05)
    assert isinstance(await here.enter(wanted), Waiting)
    holder.kill()
    await holder.wait()
    assert isinstance(await here.wait(wanted), Entered)


# The store goes away


@pytest.fixture
async def own(settings: Any) -> AsyncIterator[Restartable]:
    for server in real(services.own_redis()):
        settings.REDIS_URL = server.url
        yield server
        server.stop()
        await close()


async def test_a_restarted_store_is_told_again_who_holds_what(own: Restartable) -> None:
    first, second = new(), new(poll_s=0.05)
    running = await entered(first, max_parallel=1)
    wanted = claim(max_parallel=1)
    await second.enter(wanted)
    own.stop()
    own.start()
    assert await first.renew() == []
    assert await owner_of(second) == running.execution_id
    waiting = asyncio.create_task(second.wait(wanted))
    assert await still_waits(waiting)
    await leave(first, running)
    assert isinstance(await waiting, Entered)


async def test_who_waits_when_the_store_is_emptied_lets_the_running_turn_say_that_it_runs_r8_1(own: Restartable) -> None:
    first, second = new(), new(poll_s=0.02)
    running, wanted = await entered(first), claim()
    await second.enter(wanted)
    waiting = asyncio.create_task(second.wait(wanted))
    own.stop()
    own.start()
    assert await still_waits(waiting)
    assert await first.renew() == []
    assert await owner_of(first) == running.execution_id
    assert await still_waits(waiting)
    await leave(first, running)
    assert isinstance(await waiting, Entered)


async def test_a_running_turn_that_does_not_say_so_is_not_waited_for_long(own: Restartable) -> None:
    first, second, wanted = new(), new(poll_s=0.02, patience_s=0.2), claim()
    await entered(first)
    await second.enter(wanted)
    waiting = asyncio.create_task(second.wait(wanted))
    own.stop()
    own.start()
    assert isinstance(await waiting, Entered)


async def test_a_turn_that_interrupts_after_the_store_was_emptied_waits_too(own: Restartable) -> None:
    first, second, hasty = new(), new(poll_s=0.02), claim(policy="interrupt")
    running = await entered(first)
    await second.enter(hasty)
    waiting = asyncio.create_task(second.wait(hasty))
    own.stop()
    own.start()
    assert await still_waits(waiting)
    await first.renew()
    await leave(first, running)
    assert isinstance(await waiting, Entered)


async def test_a_wait_outlives_an_outage_of_the_store(own: Restartable) -> None:
    leases, wanted = new(poll_s=0.05), claim()
    running = await entered(leases)
    await leases.enter(wanted)
    waiting = asyncio.create_task(leases.wait(wanted))
    own.stop()
    assert await still_waits(waiting)
    await leave(leases, running)
    own.start()
    assert isinstance(await waiting, Entered)


async def test_without_the_store_no_lock_can_be_taken_run_34(own: Restartable) -> None:
    own.stop()
    with pytest.raises(TurnError) as refusal:
        await new().enter(claim())
    assert (refusal.value.code, refusal.value.status, refusal.value.retry_after_s) == ("store_unavailable", 503, 1)


async def test_without_the_store_stateless_calls_pass_but_public_and_paid_ones_r14_4(own: Restartable) -> None:
    own.stop()
    leases = new()
    passed = await entered(leases, session_id=None, max_parallel=1, rate=rate())
    await leave(leases, passed)
    with pytest.raises(TurnError, match="store_unavailable"):
        await leases.enter(claim(None, rate=rate(), public=True))


async def test_an_end_without_the_store_does_not_fail_the_turn_run_34(own: Restartable) -> None:
    leases = new()
    running = await entered(leases)
    own.stop()
    await leave(leases, running, transcript=build(SESSION, 1, talk(1)))
    assert await leases.renew() == []


# The cached history


async def commands(name: str) -> int:
    stats: Any = await redis.client().info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"])


async def turn(leases: RedisLeases, **rest: Any) -> Transcript:
    """One more turn of the conversation; returns the history after it."""
    wanted = claim(**rest)
    entry = await leases.enter(wanted)
    assert isinstance(entry, Entered)
    grown = (entry.history or Transcript(SESSION)).grow(talk(1), version=entry.history.version + 1 if entry.history else 1)
    await leave(leases, wanted, transcript=grown)
    return grown


@pytest.mark.usefixtures("store")
async def test_entering_and_leaving_are_one_round_trip_each() -> None:
    leases = new()
    await turn(leases, rate=rate(rpm=100), max_parallel=3)
    await redis.client().config_resetstat()
    await turn(leases, rate=rate(rpm=100), max_parallel=3)
    assert await commands("evalsha") == 2
    assert await commands("append") == 2
    assert await commands("set") == 1


@pytest.mark.usefixtures("store")
async def test_a_history_that_this_process_has_is_not_sent_again() -> None:
    leases = new()
    await turn(leases)
    await redis.client().config_resetstat()
    await turn(leases)
    assert await commands("get") == 2, "the owner of the lock, twice, and no fragment"


@pytest.mark.usefixtures("store")
async def test_a_lost_piece_of_the_stored_history_is_a_miss() -> None:
    await turn(new())
    await redis.client().delete(f"sb:history:user:1:{SESSION}:records")
    assert (await new().enter(claim())).history is None


@pytest.mark.usefixtures("store")
async def test_a_store_that_was_emptied_meanwhile_gets_the_whole_history_or_none_run_36() -> None:
    leases = new()
    await turn(leases)
    wanted = claim()
    entry = await leases.enter(wanted)
    await redis.client().delete(f"sb:history:user:1:{SESSION}:head")
    await leave(leases, wanted, transcript=entry.history.grow(talk(1), version=2))
    assert (await new().enter(claim(policy="interrupt"))).history is None
    await redis.client().flushdb()
    whole = await turn(leases)
    found = (await new().enter(claim())).history
    assert sent(found) == sent(whole)


@pytest.mark.usefixtures("store")
async def test_stored_keys_name_owner_and_session_and_expire_run_36(settings: Any) -> None:
    await turn(new())
    for piece in ("head", "fragment", "records"):
        left_s = await redis.client().ttl(f"sb:history:user:1:{SESSION}:{piece}")
        assert settings.RUN_CACHE_TTL - 5 <= left_s <= settings.RUN_CACHE_TTL
