"""Which runs are taken for dead (R12.5): never those of a process that lives, and could not say so."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError

from agents.ids import uuid7
from chat import recovery, store
from chat.models import Execution

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_no_sooner_s", 0.0)
    monkeypatch.setattr(recovery, "_also", [])


async def lapsed() -> Execution:
    """A run whose lease ran out a moment ago."""
    row = Execution(id=uuid7(), agent_name="root", principal="user:1", lease_until=datetime.now(UTC) - timedelta(seconds=1))
    await store.run(row.save, force_insert=True)
    return row


async def status_of(row: Execution) -> tuple[str, str]:
    await store.run(row.refresh_from_db)
    return row.status, row.error_code


async def away(*_: Any) -> None:
    raise OperationalError("the database system is shutting down")


async def test_a_run_whose_lease_lapsed_is_ended_as_interrupted() -> None:
    row = await lapsed()
    assert await recovery.recover() == 1
    assert await status_of(row) == ("failed", "interrupted")


async def test_after_an_outage_of_the_database_living_processes_may_renew_first(monkeypatch: pytest.MonkeyPatch) -> None:
    row = await lapsed()
    with monkeypatch.context() as outage:
        outage.setattr(recovery, "run", away)
        with pytest.raises(OperationalError):
            await recovery.recover()
    assert await recovery.recover() == 0
    assert (await status_of(row))[0] == "running"
    monkeypatch.setattr(recovery, "_no_sooner_s", recovery._no_sooner_s - recovery.GRACE_S)
    assert await recovery.recover() == 1


async def test_what_is_known_to_be_dead_is_ended_after_an_outage_too(monkeypatch: pytest.MonkeyPatch) -> None:
    row = await lapsed()
    monkeypatch.setattr(recovery.process, "dead_owners", lambda: [row.process])
    monkeypatch.setattr(recovery, "_no_sooner_s", float("inf"))
    assert await recovery.recover() == 1


async def test_an_outage_that_another_floor_meets_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_also", [away])
    with pytest.raises(OperationalError):
        await recovery.recover()
    assert not recovery.lapses_count()
