"""One connection to the shared store with many commands under way: what is asked in one round of the event loop is sent together,

and answers come in the order of the questions. Nothing that blocks may be asked here: all others would wait for it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from hiredis import Reader, pack_command
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

Argument = str | bytes | int | float
Command = Sequence[Argument]

TIMEOUT_S = 2.0
"""A store that takes longer counts as down: a turn must not hang on it."""


class Line(asyncio.Protocol):
    """Answers are values, also where they are errors: whoever asked several things wants to hear of each."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(replyError=_error)
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.is_open = False

    def ask(self, command: Command) -> "asyncio.Future[Any]":
        """Becomes the answer, a ResponseError, LostConnection when the connection broke, or TimedOut."""
        future = self._loop.create_future()
        if not self.is_open:
            future.set_result(LostConnection("the connection is closed"))
            return future
        if not self._out:
            self._loop.call_soon(self._send)
        self._out.append(pack_command(tuple(command)))  # type: ignore[arg-type]  # its stub wants one tuple of one type
        self._waiting.append((future, time.monotonic()))
        if self._watch is None:
            self._watch = self._loop.call_later(TIMEOUT_S, self._look)
        return future

    def _send(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _look(self) -> None:
        """Whether the oldest question waits too long; one timer does for all."""
        self._watch = None
        if not self._waiting:
            return
        left_s = self._waiting[0][1] + TIMEOUT_S - time.monotonic()
        if left_s > 0:
            self._watch = self._loop.call_later(left_s, self._look)
        else:
            self._end(TimedOut("no answer in time"))

    def connection_made(self, transport: Any) -> None:
        self._transport, self.is_open = transport, True

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        answer = self._reader.gets()
        while answer is not False:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_result(answer)
            answer = self._reader.gets()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(LostConnection(str(error or "the store closed the connection")))

    def _end(self, error: RedisError) -> None:
        self.is_open = False
        self._out.clear()
        for future, _ in self._waiting:
            if not future.done():
                future.set_result(error)
        self._waiting.clear()
        self.close()

    async def settled(self) -> None:
        """Until what was asked has its answer."""
        if self._waiting:
            await asyncio.wait((self._waiting[-1][0],), timeout=TIMEOUT_S)

    def close(self) -> None:
        self.is_open = False
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()


def _error(text: str) -> ResponseError:
    return NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)


async def dial(to: Any) -> Line:
    """A line to where redis-py's connection `to` would go. Raises LostConnection, ResponseError, OSError."""
    loop = asyncio.get_running_loop()
    line: Line
    if isinstance(to, UnixDomainSocketConnection):
        _, line = await loop.create_unix_connection(Line, to.path)
    else:
        assert isinstance(to, Connection)
        ssl = to.ssl_context.get() if isinstance(to, SSLConnection) else None
        _, line = await loop.create_connection(Line, to.host, to.port, ssl=ssl)
    if to.password:
        await _agreed(line, ["AUTH", *([to.username] if to.username else []), to.password])
    if to.db:
        await _agreed(line, ["SELECT", to.db])
    return line


async def _agreed(line: Line, command: Command) -> None:
    answer = await line.ask(command)
    if isinstance(answer, Exception):
        line.close()
        raise answer
