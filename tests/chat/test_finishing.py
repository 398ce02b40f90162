"""In which order a run ends (R0.7): stored, its lease on its way back, told."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from agents.access import STATIC
from agents.ids import uuid7
from agents.specs import AgentSpec, ModelSpec, ProviderSpec
from chat import finishing, gates
from chat.eventlog import Log
from chat.events import TurnEvent, TurnFailed, TurnFinished, TurnPaused
from chat.requests import TurnRequest
from chat.turn import Turn
from tests.chat.leasing import settled

AGENT = AgentSpec(id=None, name="root", models=(ModelSpec(provider=ProviderSpec(id="1", name="fake", kind="demo"), name="demo"),))


class Store:
    """Notes what happens in which order; the shared store answers when `answered` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.answered = asyncio.Event()
        monkeypatch.setattr(finishing, "_store_end", self.store_end)
        monkeypatch.setattr(finishing.leases, "exit", self.exit)

    async def store_end(self, *_: Any, **__: Any) -> bool:
        self.seen.append("stored")
        return True

    def exit(self, *_: Any, **__: Any) -> Awaitable[None]:
        self.seen.append("left")
        return self.left()

    async def left(self) -> None:
        await self.answered.wait()
        self.seen.append("answered")


def running(store: Store, monkeypatch: pytest.MonkeyPatch) -> Turn:
    request = TurnRequest(principal=STATIC, agent=AGENT, wire="run", parts=(), timeout_s=60.0)
    turn = Turn(request, uuid7(), Log(uuid7()))
    turn.entered = True
    turn.states = [None for _ in gates.load()]
    append = Log.append

    def told(log: Log, event: TurnEvent) -> None:
        store.seen.append("told")
        append(log, event)

    monkeypatch.setattr(Log, "append", told)
    return turn


FAILED = {"code": "upstream_error", "message": "It broke.", "status": 502}


@pytest.mark.parametrize(
    ("kind", "values", "order"),
    [
        (TurnFinished, {"finish_reason": "stop"}, ["stored", "left", "told", "answered"]),
        (TurnFailed, FAILED, ["stored", "left", "told", "answered"]),
        (TurnPaused, {"approvals": (), "notice": ""}, ["stored", "left", "answered", "told"]),
    ],
)
async def test_who_hears_of_an_end_comes_after_the_lease_and_does_not_wait_for_it(
    kind: Any, values: Any, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause is told when all is given back: the run may go on at once, and enters under the same id."""
    store = Store(monkeypatch)
    turn = running(store, monkeypatch)
    ending = asyncio.create_task(finishing.end(turn, kind(**values, **finishing.sums(turn))))
    await settled()
    assert store.seen == order[: order.index("answered")]
    store.answered.set()
    await ending
    assert store.seen == order


async def test_a_lease_that_cannot_be_given_back_keeps_no_end_from_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(monkeypatch)
    turn = running(store, monkeypatch)

    def fails(*_: Any, **__: Any) -> Awaitable[None]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(finishing.leases, "exit", fails)
    await finishing.end(turn, TurnFinished(finish_reason="stop", **finishing.sums(turn)))
    assert store.seen == ["stored", "told"]
