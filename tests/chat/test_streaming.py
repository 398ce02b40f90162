"""How a whole answer waits for its turn (R5, R6)."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from agents.errors import SwitchboardError
from agents.ids import uuid7
from chat.client import Client, Departure
from chat.eventlog import Log
from chat.streaming import whole


async def never() -> Any:
    await asyncio.Event().wait()


async def test_a_client_that_left_before_anybody_waited_ends_its_run_r6_1() -> None:
    """On a server that says when a connection ends, and said so while the turn began."""
    departure, left = Departure(), []
    departure.tell()
    call: Any = SimpleNamespace(client=Client(never, departure))
    turn: Any = SimpleNamespace(log=Log(uuid7()), leave=lambda: left.append(True))
    with pytest.raises(SwitchboardError) as refused:
        async with asyncio.timeout(2):
            await whole(call, turn)
    assert refused.value.code == "client_left"
    assert left == [True]
    assert not turn.log.followers
