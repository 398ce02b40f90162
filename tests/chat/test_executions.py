"""A run that is looked at in the very moment of its end (AG-35, R0.6)."""

from uuid import UUID

import pytest

from agents.access import STATIC
from agents.errors import SwitchboardError
from agents.ids import uuid7
from agents.specs import AgentSpec, ModelSpec, ProviderSpec
from chat import executions, turns
from chat.eventlog import Log
from chat.requests import TurnRequest
from chat.turn import live

pytestmark = pytest.mark.django_db(transaction=True)
MODEL = ModelSpec(provider=ProviderSpec(id="1", name="fake", kind="demo"), name="demo")


async def test_a_run_that_is_stored_after_the_look_and_ends_before_it_is_told_was_running(monkeypatch: pytest.MonkeyPatch) -> None:
    request = TurnRequest(principal=STATIC, agent=AgentSpec(id=None, name="root", models=(MODEL,)), wire="run", parts=(), timeout_s=60.0)
    turn = turns.Turn(request, uuid7(), Log(uuid7()))
    turn.entered = True
    live[turn.execution_id] = turn

    def too_early(execution_id: UUID) -> None:
        """The row was not there; by the time it is said, the run is over."""
        del live[execution_id]

    monkeypatch.setattr(executions, "_stored", too_early)
    row = await executions.execution_for(STATIC, str(turn.execution_id))
    assert (row.id, row.status) == (turn.execution_id, "running")
    monkeypatch.undo()
    with pytest.raises(SwitchboardError) as refused:
        await executions.execution_for(STATIC, str(turn.execution_id))
    assert refused.value.code == "execution_not_found"
