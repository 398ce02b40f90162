"""What a sweep makes good: runs of dead processes, runs that waited a day, runs that nobody was told of (AG-31, AG-32)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from agents.errors import SwitchboardError
from agents.models import Agent
from chat import finished, queued
from chat.models import Checkpoint, Execution
from chat.store import run
from tasks import recovery
from tests.chat.queueing import agent, lapse, queue, states

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def heard(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The agents whose queue workers are told to look at."""
    found: list[UUID] = []

    async def announce(agent_id: UUID) -> None:
        found.append(agent_id)

    monkeypatch.setattr(queued, "_announce", announce)
    monkeypatch.setattr(finished, "_followers", [])
    monkeypatch.setattr(finished, "_wishes", [])
    monkeypatch.setattr(recovery.recovery, "lapses_count", lambda: True)
    return found


async def test_a_run_whose_process_died_waits_again_and_workers_are_told(heard: list[UUID]) -> None:
    spec = await run(agent)
    lapsed, known, living = [await run(queue, spec) for _ in range(3)]
    await run(lapse, lapsed)
    await run(lapse, known, process="dead", lease_until=datetime.now(UTC) + timedelta(seconds=20))
    await run(lapse, living, process="alive", lease_until=datetime.now(UTC) + timedelta(seconds=20))
    await recovery.sweep(["dead"])
    assert await run(states, [lapsed, known, living]) == [("queued", 2, ""), ("queued", 2, ""), ("running", 1, "")]
    assert heard == [spec.id]


async def test_a_run_that_was_held_but_had_not_begun_loses_no_attempt() -> None:
    spec = await run(agent)
    row = await run(queue, spec, max_attempts=1)
    await run(lapse, row, status="queued", started_at=None)
    await recovery.sweep([])
    assert await run(states, [row]) == [("queued", 1, "")]


async def test_after_its_last_attempt_a_run_is_failed_with_what_it_had_said() -> None:
    spec = await run(agent)
    row = await run(queue, spec)
    await run(lapse, row, attempt_number=3)
    await run(Checkpoint.objects.create, execution_id=row.id, to_seq=40, text="As far as")
    await recovery.sweep([])
    assert await run(states, [row]) == [("failed", 3, "interrupted")]
    assert (await run(Execution.objects.get, id=row.id)).response == "As far as"


async def test_a_run_that_waited_a_day_is_failed() -> None:
    spec = await run(agent)
    late, later = await run(queue, spec), await run(queue, spec)
    await run(Execution.objects.filter(id=late.id).update, queued_at=datetime.now(UTC) - timedelta(hours=24, seconds=1))
    await recovery.sweep([])
    assert await run(states, [late, later]) == [("failed", 1, "queue_timeout"), ("queued", 1, "")]


async def test_runs_of_an_agent_that_was_deleted_are_failed() -> None:
    spec = await run(agent)
    row = await run(queue, spec)
    await run(Agent.objects.filter(id=spec.id).delete)
    await recovery.sweep([])
    assert await run(states, [row]) == [("failed", 1, "agent_not_found")]


async def test_workers_are_told_of_agents_only_whose_runs_may_start(heard: list[UUID]) -> None:
    waits, full, off = await run(agent, "waits"), await run(agent, "full", max_parallel_tasks=1), await run(agent, "off", enabled=False)
    await run(lapse, await run(queue, full), lease_until=datetime.now(UTC) + timedelta(seconds=20))
    for spec in (waits, waits, full, off):
        await run(queue, spec)
    await recovery.sweep([])
    assert heard == [waits.id]


async def test_a_broker_that_is_away_hinders_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(agent_id: UUID) -> None:
        raise SwitchboardError("store_unavailable")

    monkeypatch.setattr(queued, "_announce", away)
    spec = await run(agent)
    row = await run(queue, spec)
    await run(lapse, row)
    await recovery.sweep([])
    assert await run(states, [row]) == [("queued", 2, "")]


async def test_while_lapsed_leases_prove_nothing_only_runs_of_dead_processes_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage of the database nobody could renew (chat.recovery)."""
    spec = await run(agent)
    lapsed, known = await run(queue, spec), await run(queue, spec)
    await run(lapse, lapsed)
    await run(lapse, known, process="dead")
    monkeypatch.setattr(recovery.recovery, "lapses_count", lambda: False)
    await recovery.sweep(["dead"])
    assert await run(states, [lapsed, known]) == [("running", 1, ""), ("queued", 2, "")]
