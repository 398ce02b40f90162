"""Events between processes: one Redis stream per execution, written by one flusher per process, mirrored where it is watched.

An entry holds the events of one flush as JSON; its id is `<number of its last event>-0`. Local readers never come here.
"""

import asyncio
import contextlib
import logging
from typing import Any
from uuid import UUID

from django.conf import settings
from redis.exceptions import RedisError

from chat import eventcodec
from chat.eventlog import ATTEMPT_NUMBERS, Log
from chat.events import TERMINAL, Gap, TurnEvent
from chat.redis import client

logger = logging.getLogger("switchboard.events")
FLUSH_S = 0.025
FULL = 32
"""Events of one execution that are not made to wait for the next flush."""
LONGEST_S = 2 * 86_400
"""Life of the events of a run that is not over: what a process leaves behind when it dies goes away by itself."""
_MIRROR_POLL_MS = 200


def key(execution_id: UUID) -> str:
    return f"sb:events:{execution_id.hex}"


class Shipper:
    """Carries new events to Redis, all executions of this process in one pipeline per flush."""

    def __init__(self) -> None:
        self._dirty: set[Log] = set()
        self._bells: list[tuple[str, str]] = []
        self._wake: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._urgent = False

    def note(self, log: Log) -> None:
        """`log` has news. Its first event and every 32nd are sent at once, the rest within 25 ms."""
        self._dirty.add(log)
        waiting = log.last_seq - log.shipped
        if waiting >= FULL or log.shipped == log.base:
            self._urgent = True
        self._ensure()

    def publish(self, channel: str, text: str) -> None:
        """Rings a bell of other processes, after the events that are on their way; one that Redis does not take is not repeated."""
        self._bells.append((channel, text))
        self._urgent = True
        self._ensure()

    def _ensure(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._wake = asyncio.Event()
            self._task = loop.create_task(self._work(self._wake))
        if self._wake is not None:
            self._wake.set()

    async def _work(self, wake: asyncio.Event) -> None:
        while True:
            await wake.wait()
            wake.clear()
            if not self._urgent:
                await asyncio.sleep(FLUSH_S)
            self._urgent = False
            logs, self._dirty = self._dirty, set()
            if (logs or self._bells) and not await self._flush(logs):
                self._dirty |= logs
                wake.set()
                await asyncio.sleep(0.5)

    async def _flush(self, logs: set[Log]) -> bool:
        """False when Redis is away: the events stay in memory and are sent when it is back."""
        pipeline = client().pipeline(transaction=False)
        sent: list[tuple[Log, int]] = []
        for log in logs:
            events = log.events[log.shipped - log.base :]
            if not events:
                continue
            pipeline.xadd(key(log.execution_id), {"e": eventcodec.encode(events)}, id=f"{log.last_seq}-0")
            pipeline.expire(key(log.execution_id), settings.CHAT_RESUME_SECONDS if log.complete else LONGEST_S)
            sent.append((log, log.last_seq))
        bells, self._bells = self._bells, []
        for channel, text in bells:
            pipeline.publish(channel, text)
        try:
            await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            logger.warning("events wait for Redis: %s", error)
            return False
        for log, seq in sent:
            log.shipped = seq
        return True


shipper = Shipper()


class Mirror:
    """Logs of executions that run in other processes, filled from their streams while somebody here watches."""

    def __init__(self) -> None:
        self._logs: dict[UUID, Log] = {}
        self._task: asyncio.Task[None] | None = None

    async def open(self, execution_id: UUID) -> Log | None:
        """The mirrored log, holding what the stream has so far; None when there is no stream."""
        known = self._logs.get(execution_id)
        if known is not None:
            return known
        log = Log(execution_id)
        if not await _read(log):
            return None
        known = self._logs.get(execution_id)
        if known is not None:
            return known
        if not log.complete:
            self._mirror(log)
        return log

    def expect(self, execution_id: UUID) -> Log:
        """The mirrored log of a run that is queued: it fills as soon as some process takes the run up."""
        return self._logs.get(execution_id) or self._mirror(Log(execution_id))

    def _mirror(self, log: Log) -> Log:
        self._logs[log.execution_id] = log
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._follow())
        return log

    async def _follow(self) -> None:
        while self._logs:
            streams: dict[Any, Any] = {key(log.execution_id): f"{log.last_seq}-0" for log in self._logs.values()}
            by_key = {key(log.execution_id): log for log in self._logs.values()}
            try:
                answer: Any = await client().xread(streams, block=_MIRROR_POLL_MS)
            except (RedisError, OSError) as error:
                logger.warning("mirrored events wait for Redis: %s", error)
                await asyncio.sleep(0.5)
                continue
            for stream, entries in answer.items() if isinstance(answer, dict) else answer or ():
                _take(by_key[_text(stream)], entries if not isinstance(answer, dict) else entries[0])
            self._drop()

    def _drop(self) -> None:
        """Forgets logs that are complete or that nobody watches any more."""
        for execution_id, log in list(self._logs.items()):
            if log.complete or not log.watched:
                del self._logs[execution_id]


mirror = Mirror()


async def _read(log: Log) -> bool:
    try:
        entries: Any = await client().xrange(key(log.execution_id))
    except (RedisError, OSError):
        return False
    _take(log, entries)
    return bool(entries)


def _take(log: Log, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
    """Appends the events of stream entries, skipping those the log has; what Redis lost shows as a gap (R7.5)."""
    for entry_id, fields in entries:
        last = int(_text(entry_id).partition("-")[0])
        events = eventcodec.decode(fields.get(b"e") or fields.get("e", b"[]"))  # type: ignore[call-overload]  # keys as the client decodes
        first = last - len(events) + 1
        if not log.events and first > 1:
            log.base = first - 1
        for seq, event in enumerate(events, first):
            _put(log, seq, event)


def _put(log: Log, seq: int, event: TurnEvent | Gap) -> None:
    if seq <= log.last_seq:
        return
    if isinstance(event, Gap) and event.restart:
        log.restart(seq)
        return
    missing = seq - log.last_seq - 1
    if missing >= ATTEMPT_NUMBERS // 2:
        log.restart(seq - 1)
    elif missing:
        log.lose(seq - 1)
    log.append(event)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


async def stored_events(execution_id: UUID) -> tuple[list[TurnEvent], int]:
    """What the stream of a run holds, and its last number: the checkpoint of runs whose process died."""
    log = Log(execution_id)
    await _read(log)
    return [event for event in log.events if not isinstance(event, Gap)], log.last_seq


async def append_end(execution_id: UUID, last_seq: int, event: TurnEvent) -> None:
    """Writes the end of a run whose process is gone, so that its watchers everywhere hear of it; numbers go on in the stream."""
    assert isinstance(event, TERMINAL)
    with contextlib.suppress(RedisError, OSError):
        newest: Any = await client().xrevrange(key(execution_id), count=1)
        seq = max([last_seq, *(int(_text(entry_id).partition("-")[0]) for entry_id, _ in newest)]) + 1
        await client().xadd(key(execution_id), {"e": eventcodec.encode([event])}, id=f"{seq}-0")
        await client().expire(key(execution_id), settings.CHAT_RESUME_SECONDS)
