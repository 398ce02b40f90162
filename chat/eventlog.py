"""The numbered events of executions, in this process's memory: one writer appends, any number of readers follow.

Numbers begin at 1 and have no holes (R7.1). A reader that is slow costs the run nothing: it reads from the list when it can.
With REDIS_URL, chat.eventship carries the events to and from other processes; readers here never touch Redis.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from uuid import UUID
from weakref import WeakValueDictionary

from agents.settings import settings
from chat.events import SEGMENT_ENDS, TERMINAL, Batch, Gap, Numbered, ReasoningDelta, TextDelta, TurnEvent, TurnPaused

_EVENT_BYTES = 160
"""What an event costs in memory beside its text, roughly."""


ATTEMPT_NUMBERS = 1_000_000
"""How much higher the events of a run's next attempt are numbered: what a process that was given up still writes is below (AG-32)."""
_TEXTS = frozenset((TextDelta, ReasoningDelta))
_LOST = Gap(0, 0)
"""Stands for an event in a gap, whose end stands for all of them."""


class Log:
    """The events of one execution. `base` is the number before the first one held; `complete`: no more will come.

    `stored`: told from the stored messages, not as it happened, in place of the events up to this number (R7.4); 0: it is the real one.
    """

    __slots__ = (
        "__weakref__", "base", "complete", "ended_at", "events", "execution_id", "followers", "shipped", "size", "stored", "watched",
    )  # fmt: skip

    def __init__(self, execution_id: UUID, base: int = 0) -> None:
        self.execution_id = execution_id
        self.events: list[TurnEvent | Gap] = []
        self.base = base
        self.shipped = base
        self.followers: list[Follower] = []
        self.complete = False
        self.stored = 0
        self.ended_at = 0.0
        self.size = 0
        self.watched = 0

    @property
    def last_seq(self) -> int:
        return self.base + len(self.events)

    def append(self, event: TurnEvent | Gap) -> None:
        """Numbers the event and wakes the readers; a terminal one completes the log."""
        self.events.append(event)
        if type(event) in TERMINAL:
            self.complete = True
        for follower in self.followers:
            if follower.wants is None or type(event) in follower.wants:
                follower.wake()

    def restart(self, seq: int) -> None:
        """What an earlier attempt said is void (AG-32): a gap with the number `seq`, above all that it had, says so; numbers go on."""
        self.events.clear()
        self.base = self.shipped = seq - 1
        self.append(Gap(1, seq, restart=True))

    def lose(self, seq: int) -> None:
        """The events up to `seq` are lost on the way here: a gap in their place (R7.5)."""
        gap = Gap(self.last_seq + 1, seq)
        self.events += [_LOST] * (seq - self.last_seq - 1)
        self.append(gap)

    def covers(self, after: int) -> bool:
        """Whether a reader that has everything up to `after` misses nothing here."""
        first = self.events[0] if self.events else None
        return after >= self.base or (isinstance(first, Gap) and first.restart)

    def after(self, seq: int) -> list[Numbered]:
        """The events with a number above `seq`. A pause that was followed by more is passed over: its segment has no end."""
        start = max(0, seq - self.base)
        last = len(self.events) - 1
        return [
            Numbered(self.base + index + 1, event)
            for index, event in enumerate(self.events[start:], start)
            if event is not _LOST and not (type(event) is TurnPaused and index < last)
        ]

    def at_rest(self) -> bool:
        """Whether the newest event ends a segment: readers that have read it are done."""
        return self.complete or (bool(self.events) and type(self.events[-1]) in SEGMENT_ENDS)


class Follower:
    """One reader's place in a log. `next()` waits for news, for a keep-alive tick, or for `wake()`.

    `wants`: only such events wake it (None: any); those before them are read along with them. `ticks` False: no keep-alives.
    """

    __slots__ = ("_future", "_last", "log", "seq", "wants")

    def __init__(self, log: Log, after: int = 0, wants: frozenset[type] | None = None, *, ticks: bool = True) -> None:
        self.log = log
        self.wants = wants
        self.seq = after
        self._future: asyncio.Future[None] | None = None
        self._last = time.monotonic()
        log.followers.append(self)
        log.watched += 1
        if ticks:
            ticker.add(self)

    async def next(self) -> Batch | None:
        """The next events; empty when woken without any (keep-alive, the client left); None when the segment is over."""
        batch = self._take()
        if batch or self.over():
            return batch or None
        self._future = asyncio.get_running_loop().create_future()
        await self._future
        self._future = None
        batch = self._take()
        return None if not batch and self.over() else batch

    def over(self) -> bool:
        """Whether everything of the segment was read."""
        return self.log.at_rest() and self.seq >= self.log.last_seq

    def _take(self) -> list[Numbered]:
        batch = self.log.after(self.seq) if self.log.last_seq > self.seq else []
        if batch:
            self.seq = batch[-1].seq
            self._last = time.monotonic()
        return batch

    def wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def tick(self, now: float, silence_s: float) -> None:
        """Wakes a reader that has had no bytes for `silence_s` seconds."""
        if now - self._last >= silence_s:
            self._last = now
            self.wake()

    def close(self) -> None:
        if self in self.log.followers:
            self.log.followers.remove(self)
            self.log.watched -= 1
        ticker.discard(self)


class Ticker:
    """One timer for the keep-alives of all readers of this process, instead of one each."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, follower: Follower) -> None:
        self._followers.add(follower)
        if self._loop is not asyncio.get_running_loop():
            self._schedule()

    def discard(self, follower: Follower) -> None:
        self._followers.discard(follower)

    def _schedule(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.call_later(min(1.0, settings.CHAT_KEEPALIVE_SECONDS / 3), self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        for follower in list(self._followers):
            follower.tick(now, settings.CHAT_KEEPALIVE_SECONDS)
        self._loop = None
        if self._followers:
            self._schedule()


ticker = Ticker()


class Registry:
    """Logs of this process by execution: live ones, and ended ones for CHAT_RESUME_SECONDS or CHAT_EVENTLOG_BYTES, oldest out first."""

    def __init__(self) -> None:
        self.live: dict[UUID, Log] = {}
        self._expected: WeakValueDictionary[UUID, Log] = WeakValueDictionary()
        self._ended: OrderedDict[UUID, Log] = OrderedDict()
        self._bytes = 0

    def get(self, execution_id: UUID) -> Log | None:
        return self.live.get(execution_id) or self._ended.get(execution_id) or self._expected.get(execution_id)

    def expect(self, execution_id: UUID) -> Log:
        """The log of a run that this process will take up, for those who watch it waiting; the run finds it here when it begins."""
        log = self.get(execution_id)
        if log is None:
            log = self._expected[execution_id] = Log(execution_id)
        return log

    def end(self, log: Log) -> None:
        """The run is over here; its log stays readable for a while."""
        if self.live.pop(log.execution_id, None) is None:
            return
        log.ended_at = time.monotonic()
        log.size = len(log.events) * _EVENT_BYTES
        for event in log.events:
            log.size += len(event.text) if type(event) in _TEXTS else 200  # type: ignore[union-attr]  # those two have it
        self._ended[log.execution_id] = log
        self._bytes += log.size
        self._evict()

    def forget(self, execution_id: UUID) -> None:
        """A paused run that goes on leaves the ended ones; its new log continues the numbers."""
        log = self._ended.pop(execution_id, None)
        if log is not None:
            self._bytes -= log.size

    def _evict(self) -> None:
        oldest_kept = time.monotonic() - settings.CHAT_RESUME_SECONDS
        while self._ended:
            log = next(iter(self._ended.values()))
            if self._bytes <= settings.CHAT_EVENTLOG_BYTES and log.ended_at >= oldest_kept:
                return
            self.forget(log.execution_id)


registry = Registry()


async def batches(log: Log, after: int = 0) -> AsyncIterator[Batch]:
    """The events after `after` until the segment ends; an empty batch is a keep-alive tick."""
    follower = Follower(log, after)
    try:
        while (batch := await follower.next()) is not None:
            yield batch
    finally:
        follower.close()
