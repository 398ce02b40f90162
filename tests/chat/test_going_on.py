"""A paused run that cannot go on here stays paused, and holds nothing (R15.3, R8.3)."""

from typing import Any

import pytest
from django.db import OperationalError

from agents.access import STATIC
from agents.ids import uuid7
from agents.specs import AgentSpec, ModelSpec, ProviderSpec
from chat import approvals, process, store, turns
from chat.claims import Entered
from chat.eventlog import Log
from chat.leases import leases
from chat.models import Execution
from chat.requests import SessionRef, TurnRequest
from chat.turn import claim_of
from tests.chat.leasing import claim, enter

pytestmark = pytest.mark.django_db(transaction=True)
MODEL = ModelSpec(provider=ProviderSpec(id="1", name="fake", kind="demo"), name="demo")
SESSION = SessionRef(id=uuid7(), namespace="static", name=None, agent_id=None, agent_name="root", owner_id=None, wire="run")


async def decided() -> tuple[turns.Turn, Execution]:
    """A paused run with nothing left to decide, that has its conversation's lock."""
    row = Execution(id=uuid7(), agent_name="root", principal="static", status="paused")
    await store.run(row.save, force_insert=True)
    agent = AgentSpec(id=None, name="root", models=(MODEL,))
    request = TurnRequest(principal=STATIC, agent=agent, wire="run", parts=(), session=SESSION, timeout_s=60.0)
    turn = turns.Turn(request, row.id, Log(row.id))
    turn.claim = claim_of(turn)
    assert isinstance(await enter(leases, turn.claim), Entered)
    return turn, row


async def left_as_it_was(row: Execution) -> None:
    await store.run(row.refresh_from_db)
    assert row.status == "paused"
    assert turns.find(row.id) is None
    probe = claim(SESSION.id, policy="reject")
    assert isinstance(await enter(leases, probe), Entered), "the conversation is free"
    await leases.abandon(probe)


async def test_a_process_that_ends_leaves_a_decided_run_to_the_next_r12_5(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, row = await decided()
    monkeypatch.setattr(process, "_closing", True)
    await approvals._go_on(turn, row)
    await left_as_it_was(row)


async def test_a_run_whose_row_cannot_be_written_gives_its_lock_back(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, row = await decided()

    async def away(*_: Any) -> None:
        raise OperationalError("the database system is shutting down")

    with monkeypatch.context() as outage:
        outage.setattr(approvals, "run", away)
        with pytest.raises(OperationalError):
            await approvals._go_on(turn, row)
    await left_as_it_was(row)
