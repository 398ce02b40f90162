"""Runs that are watched here: each is read once in this process and told once per form, however many watch it (WS-63).

A watcher that is slow or gone costs the run and the others nothing: it is handed things and must never make anybody wait.
"""

import asyncio
import logging
from collections.abc import Hashable, Sequence
from typing import Any, Protocol
from uuid import UUID

from django.db import DatabaseError

from chat.eventlog import Follower, Log
from chat.events import TERMINAL, Batch, Gap, Numbered, TextDelta
from chat.watching import log_for

logger = logging.getLogger("switchboard.live")


CROWD = 32
GATHERING_S, LONGEST_GATHERING_S = 0.0008, 0.1
"""For each watcher, and at most: a hundred see twelve texts a second of any turn, and cost as much as two or three."""


class Teller(Protocol):
    """A run's events in one form, kept folded; gives what is to be handed on, nothing for events that this form does not show."""

    def tell(self, batch: Batch) -> Sequence[Any]: ...


class Watcher(Protocol):
    """One place that shows a run. `form`: watchers of the same form are handed the same objects, which are made once."""

    form: Hashable

    def teller(self, log: Log) -> Teller:
        """A new teller of this form for the run of `log`."""
        ...

    def told(self, execution_id: UUID, objects: Sequence[Any]) -> None:
        """What was new of a run, in this form. Hands over and returns."""
        ...


async def follow(execution_id: UUID, watcher: Watcher, after: int = 0) -> Log:
    """Hands `watcher` every event of the run after `after`, those that were at once, then live; no loss, no duplicate (WS-60).

    Returns the log that the run is read from.
    """
    reading = _shared(execution_id, after)
    if reading is None:
        log = await log_for(execution_id, after)
        reading = _shared(execution_id, after) or Reading(log)
    reading.join(watcher, after)
    return reading.log


def leave(watcher: Watcher, execution_id: UUID | None = None) -> None:
    """The watcher is gone: from this run, or from all it followed."""
    for reading in list(_places.get(watcher, ())):
        if execution_id in (None, reading.execution_id):
            reading.part(watcher)


def prod(execution_id: UUID) -> None:
    """The run moved: where it stood still here, it may have gone on elsewhere."""
    for reading in list(_readings.get(execution_id, ())):
        reading.prod()


def followed(watcher: Watcher) -> set[UUID]:
    """The runs that the watcher follows and that have not ended."""
    return {reading.execution_id for reading in _places.get(watcher, ())}


_readings: dict[UUID, set["Reading"]] = {}
_places: dict[Watcher, set["Reading"]] = {}


def _shared(execution_id: UUID, after: int) -> "Reading | None":
    return next((reading for reading in _readings.get(execution_id, ()) if reading.covers(after)), None)


class Reading:
    """A reader of a run, shared by all whom its log covers. It lives while it has watchers."""

    def __init__(self, log: Log) -> None:
        self.execution_id = log.execution_id
        self.log = log
        self._seq = log.last_seq
        self._watchers: dict[Hashable, dict[Watcher, int]] = {}
        self._ahead = 0
        self._tellers: dict[Hashable, Teller] = {}
        self._task: asyncio.Task[None] | None = None

    def covers(self, after: int) -> bool:
        return self.log.covers(after) and not self.log.stored

    def join(self, watcher: Watcher, after: int) -> None:
        """Tells what was told so far beyond `after`, one event after the other; from now on the watcher is told with the others.

        One who was told more elsewhere than is known here is told nothing twice (WS-60).
        """
        teller = watcher.teller(self.log)
        told = [(item.seq, teller.tell([item])) for item in numbered(self.log, self.log.base) if item.seq <= self._seq]
        if not self._over():
            self._take_in(watcher, teller, after)
        missed = [made for seq, objects in told if seq > after or self.log.stored for made in objects]
        if missed:
            watcher.told(self.execution_id, missed)

    def part(self, watcher: Watcher) -> None:
        group = self._watchers.get(watcher.form, {})
        group.pop(watcher, None)
        if not group:
            self._watchers.pop(watcher.form, None)
            self._tellers.pop(watcher.form, None)
        _take_out(_places, watcher, self)
        if not self._watchers:
            _take_out(_readings, self.execution_id, self)
            if self._task is not None:
                self._task.cancel()

    def prod(self) -> None:
        if not self.log.complete and (self.log.at_rest() or not self.log.events):
            self._work(self._read_on())

    def _over(self) -> bool:
        return self.log.complete and self._seq >= self.log.last_seq

    def _take_in(self, watcher: Watcher, teller: Teller, after: int) -> None:
        self._tellers.setdefault(watcher.form, teller)
        self._watchers.setdefault(watcher.form, {})[watcher] = after
        self._ahead = max(self._ahead, after)
        _places.setdefault(watcher, set()).add(self)
        _readings.setdefault(self.execution_id, set()).add(self)
        if self._task is None:
            self._work(self._read())

    def _work(self, reading: Any) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.get_running_loop().create_task(reading)

    async def _read_on(self) -> None:
        """Goes on in whatever log has the run now; asks until the database answers."""
        seen = self.log.stored or self._seq
        while True:
            try:
                log = await log_for(self.execution_id, seen)
                break
            except DatabaseError as error:
                logger.warning("a watched run cannot be looked up: %s", error)
                await asyncio.sleep(1)
        if log is not self.log:
            self.log, self._seq = log, log.base if log.stored else seen
        await self._read()

    async def _read(self) -> None:
        follower = Patient(self.log, self._seq)
        try:
            while (batch := await follower.next()) is not None:
                if batch:
                    self._tell(batch)
                    await self._gather()
        finally:
            follower.close()
        self._end()

    async def _gather(self) -> None:
        """What a crowd is told is gathered for a moment that grows with it, so that each send carries more instead of costing more."""
        watchers = sum(map(len, self._watchers.values()))
        if watchers >= CROWD:
            await asyncio.sleep(min(LONGEST_GATHERING_S, watchers * GATHERING_S))

    def _tell(self, batch: Batch) -> None:
        self._seq = batch[-1].seq
        if batch[0].seq > self._ahead:
            self._tell_all(gathered(batch))
        else:
            for item in batch:
                self._tell_all([item])

    def _tell_all(self, batch: Batch) -> None:
        """Whoever was told as much elsewhere is passed over; but every run ends, also for who claims to have seen more than there is."""
        seq, ends = batch[-1].seq, type(batch[-1].event) in TERMINAL
        for form, group in list(self._watchers.items()):
            teller = self._tellers.get(form)
            objects = teller.tell(batch) if teller else ()
            if objects:
                for watcher, after in list(group.items()):
                    if seq > after or ends:
                        watcher.told(self.execution_id, objects)

    def _end(self) -> None:
        self._task = None
        for group in list(self._watchers.values()):
            for watcher in list(group):
                self.part(watcher)


def _take_out(places: dict[Any, set[Reading]], key: Any, reading: Reading) -> None:
    found = places.get(key)
    if found is not None:
        found.discard(reading)
        if not found:
            del places[key]


class Patient(Follower):
    """Reads on over a pause: only the end of the run ends it, and a pause that is over is told as it was."""

    __slots__ = ()

    def over(self) -> bool:
        return self.log.complete and self.seq >= self.log.last_seq

    def _take(self) -> list[Numbered]:
        batch = numbered(self.log, self.seq)
        if batch:
            self.seq = batch[-1].seq
        return batch


def numbered(log: Log, after: int) -> list[Numbered]:
    """The events with a number above `after`, pauses that are over among them; not those that a gap stands for."""
    start = max(0, after - log.base)
    events = enumerate(log.events[start:], start + 1)
    return [Numbered(log.base + index, event) for index, event in events if not (isinstance(event, Gap) and not event.last)]


def gathered(batch: Batch) -> Batch:
    """The batch with adjacent text of one block joined, under the number of its last piece."""
    if len(batch) == 1:
        return batch
    joined: list[Numbered] = []
    for item in batch:
        event, last = item.event, joined[-1].event if joined else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta) and event.block == last.block:
            joined[-1] = Numbered(item.seq, TextDelta(event.block, last.text + event.text))
        else:
            joined.append(item)
    return joined
