"""One turn at a time on a session, so many at a time of an agent, first come first served: in memory and over processes alike."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from agents.ids import uuid7
from chat import redis
from chat.claims import MAX_WAITING_TURNS, Claim, Entered, Interrupts, Waiting
from chat.errors import TurnError
from chat.leases import Leases
from chat.leases_memory import MemoryLeases
from chat.leases_redis import RedisLeases
from chat.transcripts import Cache, Transcript, build
from tests.chat.leasing import OTHER_SESSION, SESSION, NewLeases, claim, enter, leave, owner_of, rate, still_waits
from tests.chat.test_transcripts import sent, talk

_waiting: "list[asyncio.Task[Entered]]" = []


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def new_leases(request: pytest.FixtureRequest, settings: object) -> AsyncIterator[NewLeases]:
    """Makes the leases of one process, each with its own cache; those in memory are always of the same process."""
    if request.param == "memory":
        only = MemoryLeases(Cache(1_000_000))
        yield lambda: only
        _waiting.clear()
        return
    settings.REDIS_URL = request.getfixturevalue("redis_url")
    await redis.client().flushdb()
    made: list[RedisLeases] = []

    def new() -> Leases:
        made.append(RedisLeases(Cache(1_000_000)))
        return made[-1]

    yield new
    for task in _waiting:
        task.cancel()
    await asyncio.gather(*_waiting, return_exceptions=True)
    _waiting.clear()
    for one in made:
        await one.close()
    await redis.close()


@pytest.fixture
def leases(new_leases: NewLeases) -> Leases:
    return new_leases()


@pytest.fixture
def elsewhere(new_leases: NewLeases, leases: Leases) -> Leases:
    """The leases of a second process."""
    return new_leases()


async def entered(leases: Leases, wanted: Claim) -> Claim:
    assert isinstance(await enter(leases, wanted), Entered)
    return wanted


async def refused(leases: Leases, wanted: Claim) -> TurnError:
    with pytest.raises(TurnError) as refusal:
        await enter(leases, wanted)
    return refusal.value


async def queued(leases: Leases, wanted: Claim) -> "asyncio.Task[Entered]":
    """A task that waits for the claim's turn; it stands in line when this returns."""
    assert not isinstance(await enter(leases, wanted), Entered)
    task = asyncio.create_task(leases.wait(wanted))
    _waiting.append(task)
    await asyncio.sleep(0)
    return task


# The turn lock (R8)


async def test_the_first_turn_of_a_session_enters_and_the_second_waits_for_its_end_r8_1(leases: Leases, elsewhere: Leases) -> None:
    first = await entered(leases, claim())
    second = await queued(elsewhere, claim())
    assert await still_waits(second)
    await leave(leases, first)
    assert isinstance(await second, Entered)


async def test_turns_of_different_sessions_and_stateless_ones_do_not_wait(leases: Leases) -> None:
    await entered(leases, claim(SESSION))
    await entered(leases, claim(OTHER_SESSION))
    await entered(leases, claim(None))
    await entered(leases, claim(None))


async def test_first_come_first_served_over_processes_r8_1(leases: Leases, elsewhere: Leases) -> None:
    running = await entered(leases, claim())
    order: list[int] = []

    async def turn(number: int, place: Leases, wanted: Claim) -> None:
        await place.wait(wanted)
        order.append(number)
        await leave(place, wanted)

    turns = []
    for number in range(6):
        place, wanted = (leases, elsewhere)[number % 2], claim()
        assert (await enter(place, wanted)).position == number + 1
        turns.append(asyncio.create_task(turn(number, place, wanted)))
    await leave(leases, running)
    await asyncio.gather(*turns)
    assert order == [0, 1, 2, 3, 4, 5]


async def test_two_claims_at_once_never_both_enter(leases: Leases, elsewhere: Leases) -> None:
    entries = await asyncio.gather(*[enter(place, claim()) for place in (leases, elsewhere) * 5])
    assert sum(isinstance(entry, Entered) for entry in entries) == 1


async def test_at_most_ten_turns_wait_on_a_session_r8_1(leases: Leases) -> None:
    await entered(leases, claim())
    for _ in range(MAX_WAITING_TURNS):
        assert isinstance(await enter(leases, claim()), Waiting)
    refusal = await refused(leases, claim())
    assert (refusal.code, refusal.status) == ("session_queue_full", 429)


async def test_reject_refuses_at_once_with_retry_after_r8_1(leases: Leases) -> None:
    first = await entered(leases, claim())
    refusal = await refused(leases, claim(policy="reject"))
    assert (refusal.code, refusal.status, refusal.retry_after_s) == ("session_busy", 409, 1)
    await leave(leases, first)
    await entered(leases, claim(policy="reject"))


async def test_interrupt_names_the_running_turn_and_waits_before_all_others_r8_1(leases: Leases, elsewhere: Leases) -> None:
    running = await entered(leases, claim())
    patient = await queued(leases, claim())
    hasty = claim(policy="interrupt")
    entry = await enter(elsewhere, hasty)
    assert isinstance(entry, Interrupts)
    assert entry.running == running.execution_id
    waiting = asyncio.create_task(elsewhere.wait(hasty))
    await leave(leases, running)
    assert isinstance(await waiting, Entered)
    assert await still_waits(patient)
    await leave(elsewhere, hasty)
    await patient


async def test_each_interrupting_turn_interrupts_the_one_before_it(leases: Leases) -> None:
    running, second, third = await entered(leases, claim()), claim(policy="interrupt"), claim(policy="interrupt")
    assert (await enter(leases, second)).running == running.execution_id
    assert (await enter(leases, third)).running == second.execution_id
    await leases.abandon(second)
    await leave(leases, running)
    assert isinstance(await leases.wait(third), Entered)


async def test_interrupt_enters_at_once_where_nothing_runs(leases: Leases) -> None:
    await entered(leases, claim(policy="interrupt"))


async def test_an_end_frees_only_its_own_lock_r8_3(leases: Leases) -> None:
    running = await entered(leases, claim())
    waiting = await queued(leases, claim())
    await leases.exit(uuid7(), real_tokens=0)
    assert await owner_of(leases) == running.execution_id
    assert await still_waits(waiting)
    await leave(leases, running)
    await waiting


async def test_leaving_twice_is_leaving_once(leases: Leases) -> None:
    first = await entered(leases, claim())
    await leave(leases, first)
    second = await entered(leases, claim())
    await leave(leases, first)
    assert await owner_of(leases) == second.execution_id


# Giving up


async def test_a_wait_ends_at_its_deadline_and_leaves_nothing_behind_r8_3(leases: Leases) -> None:
    first = await entered(leases, claim())
    waiting = await queued(leases, claim(deadline_s=time.monotonic() + 0.05))
    with pytest.raises(TurnError, match="timeout"):
        await waiting
    assert (await enter(leases, claim())).position == 1
    await leave(leases, first)


async def test_a_cancelled_wait_leaves_its_place_to_the_next_r6_4(leases: Leases) -> None:
    first = await entered(leases, claim())
    gone, next_one = await queued(leases, claim()), await queued(leases, claim())
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await leave(leases, first)
    assert isinstance(await next_one, Entered)


async def test_a_claim_that_is_abandoned_after_it_was_granted_passes_its_turn_on(leases: Leases) -> None:
    first, granted = await entered(leases, claim()), claim()
    await enter(leases, granted)
    next_one = await queued(leases, claim())
    await leave(leases, first)
    await leases.abandon(granted)
    assert isinstance(await next_one, Entered)


# What a process left when it died (R12.5)


async def dead(leases: Leases) -> None:
    """The process is gone, and nobody renews what it held; in memory that went with it."""
    if isinstance(leases, MemoryLeases):
        leases.__init__(Cache(1_000_000))


async def free(leases: Leases, left: Claim) -> None:
    await leases.free(left.execution_id, left.session_id, left.agent_key)


async def test_lock_and_slot_of_a_dead_process_are_free_when_its_run_is_ended_r12_5(leases: Leases, elsewhere: Leases) -> None:
    left = await entered(leases, claim(max_parallel=1))
    await dead(leases)
    await free(elsewhere, left)
    await entered(elsewhere, claim(max_parallel=1))


async def test_who_waits_for_a_dead_turn_is_called_when_that_is_ended_r12_5(leases: Leases, elsewhere: Leases) -> None:
    left = await entered(leases, claim(max_parallel=1))
    await dead(leases)
    behind = claim(max_parallel=1)
    entry = await enter(elsewhere, behind)
    waiting = asyncio.create_task(elsewhere.wait(behind))
    _waiting.append(waiting)
    await free(elsewhere, left)
    assert isinstance(await waiting, Entered)
    assert isinstance(entry, Entered if isinstance(leases, MemoryLeases) else Waiting)


async def test_a_dead_turn_that_waited_gives_up_its_place_r12_5(leases: Leases, elsewhere: Leases) -> None:
    running, left = await entered(elsewhere, claim()), claim()
    await enter(leases, left)
    behind = await queued(elsewhere, claim())
    await leases.abandon(left) if isinstance(leases, MemoryLeases) else await free(elsewhere, left)
    await leave(elsewhere, running)
    assert isinstance(await behind, Entered)


async def test_ending_a_dead_turn_takes_nothing_from_the_living_r8_3(leases: Leases, elsewhere: Leases) -> None:
    living = await entered(leases, claim(max_parallel=1))
    for _ in range(2):
        await free(elsewhere, claim(max_parallel=1))
    assert await owner_of(elsewhere) == living.execution_id
    assert isinstance(await enter(elsewhere, claim(OTHER_SESSION, max_parallel=1)), Waiting), "its slot is taken"


# Capacity (AG-15)


async def test_an_agent_runs_so_many_turns_and_the_rest_waits_in_order_ag_15(leases: Leases, elsewhere: Leases) -> None:
    running = [await entered(leases, claim(None, max_parallel=2)) for _ in range(2)]
    third, fourth = await queued(elsewhere, claim(None, max_parallel=2)), await queued(leases, claim(None, max_parallel=2))
    await leave(leases, running[0])
    await third
    assert await still_waits(fourth)
    await leave(leases, running[1])
    await fourth


async def test_two_slots_freed_together_let_two_turns_in_ag_15(leases: Leases) -> None:
    running = [await entered(leases, claim(None, max_parallel=2)) for _ in range(2)]
    waiting = [await queued(leases, claim(None, max_parallel=2)) for _ in range(3)]
    await asyncio.gather(*[leave(leases, one) for one in running])
    await asyncio.gather(*waiting[:2])
    assert await still_waits(waiting[2])


async def test_beyond_the_queue_it_is_full_ag_15(leases: Leases) -> None:
    await entered(leases, claim(None, max_parallel=1, max_queued=1))
    assert (await enter(leases, claim(None, max_parallel=1, max_queued=1))).position == 1
    refusal = await refused(leases, claim(None, max_parallel=1, max_queued=1))
    assert (refusal.code, refusal.status, refusal.retry_after_s, refusal.extra) == ("queue_full", 429, 30, {"queue_length": 1})


async def test_agents_do_not_share_slots(leases: Leases) -> None:
    await entered(leases, claim(None, max_parallel=1))
    await entered(leases, claim(None, max_parallel=1, agent_key="other"))


async def test_a_turn_that_waits_for_its_session_holds_no_slot(leases: Leases) -> None:
    first = await entered(leases, claim(max_parallel=2))
    waiting = await queued(leases, claim(max_parallel=2))
    await entered(leases, claim(OTHER_SESSION, max_parallel=2))
    await leave(leases, first)
    await waiting


async def test_a_turn_that_waits_for_a_slot_holds_its_session(leases: Leases) -> None:
    busy = await entered(leases, claim(OTHER_SESSION, max_parallel=1))
    for_slot = claim(max_parallel=1)
    waiting = await queued(leases, for_slot)
    assert await owner_of(leases) == for_slot.execution_id
    assert (await refused(leases, claim(policy="reject", max_parallel=1))).code == "session_busy"
    await leave(leases, busy)
    await waiting


async def test_no_more_than_allowed_ever_run_ag_15(leases: Leases, elsewhere: Leases) -> None:
    running, most = 0, 0

    async def turn(place: Leases, session: int) -> None:
        nonlocal running, most
        wanted = claim(UUID(int=session), max_parallel=3, max_queued=100)
        if not isinstance(await enter(place, wanted), Entered):
            await place.wait(wanted)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        await leave(place, wanted)

    await asyncio.gather(*[turn((leases, elsewhere)[number % 2], number % 12) for number in range(40)])
    assert (most, running) == (3, 0)


# Rates (R14)


@pytest.fixture
async def early_in_the_minute() -> None:
    """Windows are the store's minutes: a test of one window must not see it end."""
    if time.time() % 60 > 57:
        await asyncio.sleep(60.1 - time.time() % 60)


@pytest.mark.usefixtures("early_in_the_minute")
async def test_requests_are_counted_per_principal_and_model_r14_1(leases: Leases, elsewhere: Leases) -> None:
    for place in (leases, elsewhere, leases):
        await entered(place, claim(None, rate=rate()))
    refusal = await refused(elsewhere, claim(None, rate=rate()))
    assert (refusal.code, refusal.status) == ("rate_limited", 429)
    assert refusal.retry_after_s is not None
    assert 1 <= refusal.retry_after_s <= 60
    assert refusal.headers["x-ratelimit-remaining-requests"] == "0"
    await entered(leases, claim(None, rate=rate(principal="user:2")))
    await entered(leases, claim(None, rate=rate(model="other")))


@pytest.mark.usefixtures("early_in_the_minute")
async def test_tokens_are_reserved_and_settled_with_real_usage_r14_2(leases: Leases) -> None:
    first = claim(None, rate=rate(tokens=900))
    entry = await enter(leases, first)
    assert (entry.rate.requests, entry.rate.tokens) == (1, 900)
    assert (await refused(leases, claim(None, rate=rate(tokens=200)))).code == "rate_limited"
    await leave(leases, first, real_tokens=50)
    assert (await enter(leases, claim(None, rate=rate(tokens=200)))).rate.tokens == 250


@pytest.mark.usefixtures("early_in_the_minute")
async def test_a_request_larger_than_the_limit_passes_as_the_first_of_its_window_r14_2(leases: Leases) -> None:
    await entered(leases, claim(None, rate=rate(tokens=5000)))
    assert (await refused(leases, claim(None, rate=rate(tokens=5000)))).code == "rate_limited"


async def test_a_limit_of_zero_is_none_r14_1(leases: Leases) -> None:
    for _ in range(5):
        await entered(leases, claim(None, rate=rate(rpm=0, tpm=0)))


@pytest.mark.usefixtures("early_in_the_minute")
async def test_a_refused_turn_gives_its_tokens_back(leases: Leases) -> None:
    await entered(leases, claim())
    assert (await refused(leases, claim(policy="reject", rate=rate(tokens=900)))).code == "session_busy"
    assert (await enter(leases, claim(None, rate=rate(tokens=900)))).rate.tokens == 900


@pytest.mark.usefixtures("early_in_the_minute")
async def test_a_turn_that_is_begun_anew_counts_once_r14_1(leases: Leases) -> None:
    first = await entered(leases, claim(rate=rate(tokens=300)))
    await leases.abandon(first, again=True)
    entry = await enter(leases, claim(rate=rate(tokens=300)))
    assert (entry.rate.requests, entry.rate.tokens) == (1, 300)


@pytest.mark.usefixtures("early_in_the_minute")
async def test_a_turn_that_is_given_up_counts_as_a_request_r14_1(leases: Leases) -> None:
    await leases.abandon(await entered(leases, claim(rate=rate(tokens=300))))
    entry = await enter(leases, claim(rate=rate(tokens=300)))
    assert (entry.rate.requests, entry.rate.tokens) == (2, 300)


@pytest.mark.usefixtures("early_in_the_minute")
async def test_tasks_wait_for_the_next_window_instead_of_failing_r14_1(leases: Leases) -> None:
    wanted = claim(None, rate=rate(rpm=1, patient=True), deadline_s=time.monotonic() + 0.1)
    await entered(leases, claim(None, rate=rate(rpm=1)))
    entry = await enter(leases, wanted)
    assert isinstance(entry, Waiting)
    assert entry.position == 0
    with pytest.raises(TurnError, match="timeout"):
        await leases.wait(wanted)


# History (RUN-32 to RUN-36)


async def test_the_history_a_turn_left_is_given_to_the_next_one_run_33(leases: Leases, elsewhere: Leases) -> None:
    first = claim()
    assert (await enter(leases, first)).history is None
    await leave(leases, first, transcript=build(SESSION, 1, talk(2)))
    history = (await enter(elsewhere, claim())).history
    assert history.version == 1
    assert sent(history) == sent(build(SESSION, 1, talk(2)))


async def test_a_turn_adds_to_the_stored_history_run_33(leases: Leases, elsewhere: Leases) -> None:
    for place in (leases, elsewhere, elsewhere, leases):
        turn = claim()
        history = (await enter(place, turn)).history or Transcript(SESSION)
        await leave(place, turn, transcript=history.grow(talk(1), version=history.version + 1))
    history = (await enter(elsewhere, claim())).history
    assert history.version == 4
    assert len(sent(history)) == 8


async def test_a_failed_turn_makes_the_next_one_read_the_database_run_35(leases: Leases, elsewhere: Leases) -> None:
    for transcript in (build(SESSION, 1, talk(1)), None):
        turn = claim()
        await enter(leases, turn)
        await leave(leases, turn, transcript=transcript)
    assert (await enter(elsewhere, claim())).history is None


async def test_a_turn_that_never_began_leaves_the_history_alone(leases: Leases) -> None:
    first = claim()
    await enter(leases, first)
    await leave(leases, first, transcript=build(SESSION, 1, talk(1)))
    await leases.abandon(await entered(leases, claim()))
    assert (await enter(leases, claim())).history.version == 1


async def test_a_history_changed_otherwise_is_forgotten(leases: Leases, elsewhere: Leases) -> None:
    first = claim()
    await enter(leases, first)
    await leave(leases, first, transcript=build(SESSION, 1, talk(1)))
    await leases.forget("user:1", SESSION)
    assert (await enter(elsewhere, claim())).history is None
