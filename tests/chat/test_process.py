"""The end of a process waits for its turns, whenever they came (R12.5)."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from chat import process
from chat.errors import TurnError


class Turn:
    """Runs for `life_s`, or until it is stopped; leaves `running` when its end is stored."""

    def __init__(self, running: dict[int, Any], life_s: float) -> None:
        self.stopped, self._running = asyncio.Event(), running
        running[id(self)] = self
        self.task: asyncio.Task[None] | None = asyncio.create_task(self._run(life_s))

    async def _run(self, life_s: float) -> None:
        try:
            async with asyncio.timeout(life_s):
                await self.stopped.wait()
        except TimeoutError:
            pass
        await asyncio.sleep(0.01)
        del self._running[id(self)]


@pytest.fixture(autouse=True)
def open_again(settings: Any) -> Iterator[None]:
    settings.SHUTDOWN_SECONDS = 2
    yield
    process.reopen()


async def end(running: dict[int, Any]) -> None:
    await process.close(running, lambda turn: turn.stopped.set())


async def test_a_turn_that_begins_while_the_process_ends_is_waited_for() -> None:
    running: dict[int, Any] = {}
    Turn(running, 0.05)
    closing = asyncio.create_task(end(running))
    await asyncio.sleep(0.01)
    late = Turn(running, 0.2)
    await closing
    assert not running
    assert not late.stopped.is_set(), "it had the time to end by itself"


async def test_a_turn_that_is_being_stored_has_no_task_yet_and_is_waited_for() -> None:
    running: dict[int, Any] = {}
    turn = Turn(running, 0.2)
    turn.task = None
    await end(running)
    assert not running


async def test_turns_that_come_too_late_are_stopped_like_the_others(settings: Any) -> None:
    settings.SHUTDOWN_SECONDS = 0.2
    running: dict[int, Any] = {}
    first = Turn(running, 60)
    closing = asyncio.create_task(end(running))
    await first.stopped.wait()
    late = Turn(running, 60)
    await closing
    assert late.stopped.is_set()
    assert not running


async def test_a_process_that_ends_takes_no_new_turns() -> None:
    await end({})
    with pytest.raises(TurnError, match="shutting_down"):
        process.check_open()
