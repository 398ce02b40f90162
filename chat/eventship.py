"""Events between processes: one Redis stream per execution, written by one flusher per process, mirrored where it is watched.

An entry holds the events of one flush as JSON; its id is `<number of its last event>-0`. Local readers never come here.
"""

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings

from chat import eventcodec
from chat.eventlog import ATTEMPT_NUMBERS, Log, registry
from chat.events import TERMINAL, Gap, TurnEvent
from chat.redis import client, failures, shared

if TYPE_CHECKING:
    from chat.redisline import Command

logger = logging.getLogger("switchboard.events")
FLUSH_S = 0.025
SOON_S = 0.010
"""Between one flush and the next, however urgent: what is urgent in many runs goes together."""
FULL = 32
"""Events of one execution that are not made to wait for the next flush."""
AGAIN_S = 0.5
"""How soon what Redis did not take is sent again."""
CLOSE_S = 2.0
"""How long a process that ends tries to send its last events."""
LONGEST_S = 2 * 86_400
"""Life of the events of a run that is not over: what a process leaves behind when it dies goes away by itself."""
_THERE_ALREADY = "equal or smaller"
"""What Redis says of an entry that it has: it took it, and the answer was lost."""
_MIRROR_POLL_MS = 200


def key(execution_id: UUID) -> str:
    return f"sb:events:{execution_id.hex}"


class Shipper:
    """Carries new events to Redis, all executions of this process in one pipeline per flush. What Redis does not take is sent again."""

    def __init__(self) -> None:
        self._dirty: set[Log] = set()
        self._bells: list[tuple[str, str]] = []
        self._wake: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._urgent = False

    def note(self, log: Log) -> None:
        """`log` has news. Its first event and every 32nd are sent soon, the rest within 25 ms."""
        if (log.shipped == log.base or log.last_seq - log.shipped >= FULL) and not self._urgent:
            self._urgent = True
        elif log in self._dirty and self._task is not None and not self._task.done():
            return  # a flush is on its way
        self._dirty.add(log)
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
        flushed_s = 0.0
        while True:
            await wake.wait()
            wake.clear()
            wait_s = FLUSH_S if not self._urgent else flushed_s + SOON_S - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._urgent, flushed_s = False, time.monotonic()
            if not await self.flush():
                wake.set()
                await asyncio.sleep(AGAIN_S)

    async def flush(self) -> bool:
        """Sends what is new. False when Redis did not take all of it: that is kept for as long as this process has the log."""
        left, self._dirty = {log for log in self._dirty if log.last_seq > log.shipped}, set()
        bells, self._bells = self._bells, []
        try:
            left = await self._send(left, bells) if left or bells else left
        except failures() as error:
            logger.warning("events wait for Redis: %s", error)
        finally:
            self._dirty |= {log for log in left if registry.get(log.execution_id) is log}
        return not left

    async def _send(self, logs: set[Log], bells: list[tuple[str, str]]) -> set[Log]:
        """One round trip; returns the logs whose events Redis did not take."""
        sent = [(log, log.last_seq) for log in logs]
        commands: list[Command] = [_addition(log) for log in logs]
        commands += [_expiry(log) for log in logs if log.complete or log.shipped == log.base]
        commands += [("PUBLISH", channel, text) for channel, text in bells]
        answers = await shared().call_all(commands)
        return {log for (log, seq), answer in zip(sent, answers, strict=False) if not self._taken(log, seq, answer)}

    def _taken(self, log: Log, seq: int, answer: object) -> bool:
        """Whether the stream of `log` has its events up to `seq`, by the answer to XADD."""
        if answer is None:
            self._send_all_again(log)
            return False
        if isinstance(answer, Exception) and _THERE_ALREADY not in str(answer):
            logger.warning("events of run %s wait for Redis: %s", log.execution_id, answer)
            return False
        log.shipped = max(log.shipped, seq)
        return True

    def _send_all_again(self, lost: Log) -> None:
        """A stream that was begun is gone: Redis was emptied. Every run that goes on begins its stream anew, under the same numbers."""
        for log in (lost, *registry.live.values()):
            log.shipped = log.base
            self._dirty.add(log)

    async def close(self) -> None:
        """Sends what is left while Redis takes it: the ends of the last runs reach those who watch elsewhere (R12.5)."""
        await _ended(self._task)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                _ = await self.flush() or await self.flush()  # a stream that is gone is begun anew by the second


def _addition(log: Log) -> "Command":
    """What is new of a run, at the end of its stream; a stream that was begun and is gone is not begun in the middle."""
    begun = ("NOMKSTREAM",) if log.shipped > log.base else ()
    return ("XADD", key(log.execution_id), *begun, f"{log.last_seq}-0", "e", _news(log))


def _expiry(log: Log) -> "Command":
    return ("EXPIRE", key(log.execution_id), settings.CHAT_RESUME_SECONDS if log.complete else LONGEST_S)


def _news(log: Log) -> bytes:
    """What the stream of `log` does not have yet. Events that are no JSON keep no others back: a gap stands for them (R7.5)."""
    try:
        return eventcodec.encode(log.events[log.shipped - log.base :])
    except TypeError as error:
        logger.error("events of run %s are not sent: %s", log.execution_id, error)
        return eventcodec.encode([Gap(log.shipped + 1, log.last_seq)])


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
            except failures() as error:
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

    async def close(self) -> None:
        """What is watched here is followed no further."""
        self._logs.clear()
        await _ended(self._task)


mirror = Mirror()


async def _ended(task: asyncio.Task[None] | None) -> None:
    """Ends a task of this event loop."""
    if task is not None and task.get_loop() is asyncio.get_running_loop():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def close() -> None:
    """This process is about to end: it sends its last events, and follows no other's."""
    await shipper.close()
    await mirror.close()


async def _read(log: Log) -> bool:
    try:
        entries: Any = await client().xrange(key(log.execution_id))
    except failures():
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
    assert type(event) in TERMINAL
    with contextlib.suppress(*failures()):
        newest: Any = await client().xrevrange(key(execution_id), count=1)
        seq = max([last_seq, *(int(_text(entry_id).partition("-")[0]) for entry_id, _ in newest)]) + 1
        await client().xadd(key(execution_id), {"e": eventcodec.encode([event])}, id=f"{seq}-0")
        await client().expire(key(execution_id), settings.CHAT_RESUME_SECONDS)
