"""Runs that are watched here: what each watcher is told of a run, whatever it was told elsewhere (WS-60)."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from chat import readings
from chat.eventlog import Log, registry
from chat.events import Batch, TextDelta, TurnFailed


class Numbers:
    """Watches a run by the numbers of its events alone."""

    form = "numbers"

    def __init__(self) -> None:
        self.heard: list[int] = []

    def teller(self, log: Log) -> "Numbers":
        return self

    def tell(self, batch: Batch) -> Sequence[Any]:
        return [item.seq for item in batch]

    def told(self, execution_id: UUID, objects: Sequence[Any]) -> None:
        self.heard += objects


def said(log: Log, pieces: int) -> None:
    for _ in range(pieces):
        log.append(TextDelta(0, "tok "))


async def heard(*afters: int) -> list[list[int]]:
    """What watchers hear that come with these numbers when four events are known here, of eight and an end."""
    execution_id = uuid4()
    log = registry.live[execution_id] = Log(execution_id)
    said(log, 4)
    watchers = [Numbers() for _ in afters]
    for watcher, after in zip(watchers, afters, strict=True):
        await readings.follow(execution_id, watcher, after)
    said(log, 4)
    await asyncio.sleep(0)
    log.append(TurnFailed(code="interrupted", message="The server stopped.", status=503))
    for _ in range(3):
        await asyncio.sleep(0)
    registry.end(log)
    return [watcher.heard for watcher in watchers]


async def test_what_was_told_elsewhere_is_not_told_again() -> None:
    """Another process may be ahead of what has come here: no duplicate at the seam."""
    start, middle, ahead, beyond = await heard(0, 3, 6, 1000)
    assert start[-1] == middle[-1] == 9
    assert (start[:4], middle[0]) == ([1, 2, 3, 4], 4)
    assert ahead == [7, 8, 9]
    assert beyond == [9], "who claims more than there is hears of the end"
