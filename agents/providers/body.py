"""The body of one answer, read under two deadlines: until the first token, then between reads.

One timer serves a whole answer, because a timer per read would cost as much as decoding what was read. Time during
which nobody waits for a read (our own reader is slow) never counts against the provider.
"""

import asyncio

from agents.providers.base import ProviderError
from agents.providers.connection import BrokenAnswer, Connection
from agents.providers.http import failed

BURST_S = 0.003
"""Reads closer together than this are a burst; a model that writes at its own pace never is one."""
GATHER_S = 0.001


class Body:
    """Made when the request begins, given its connection by open(); close() must be called whatever happens."""

    __slots__ = ("_answered", "_connection", "_deadline", "_idle_timeout_s", "_loop", "_read_at", "_timer", "_waiting")

    def __init__(self, first_token_timeout_s: float, idle_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + first_token_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._answered = self._waiting = False
        self._read_at = 0.0
        self._connection: Connection
        self._timer: asyncio.TimerHandle | None = None

    @property
    def deadline(self) -> float:
        """When, in loop time, the provider must have begun to answer."""
        return self._deadline

    def open(self, connection: Connection) -> None:
        self._connection = connection

    def answered(self) -> None:
        """The first token is here: from now on only silence counts."""
        if not self._answered:
            self._answered = True
            self._stop_timer()

    async def read(self) -> bytes:
        """What has arrived, at least one byte; b"" at the end. Raises ProviderError: timeout, network, invalid."""
        if self._connection.has_news():
            return await self._read()
        self._watch()
        try:
            return await self._read()
        finally:
            self._waiting = False

    async def _read(self) -> bytes:
        try:
            return await self._connection.read()
        except TimeoutError as error:
            raise ProviderError("timeout", "silence" if self._answered else "no first token") from error
        except (OSError, BrokenAnswer) as error:
            raise failed(error) from error

    async def gathered(self, data: bytes) -> bytes:
        """`data` and, in a burst, what comes in the next millisecond: many small chunks become one read, one event, one send.

        Never before the first token, which nobody should wait for.
        """
        if self._answered and self._loop.time() - self._read_at < BURST_S and not self._connection.over():
            await asyncio.sleep(GATHER_S)
            data += self._connection.take()
        self._read_at = self._loop.time()
        return data

    def close(self, *, complete: bool) -> None:
        """Closes the connection at once; after a `complete` answer its end may still arrive, so that it can be used again."""
        self._stop_timer()
        self._connection.release(answered=complete)

    def _watch(self) -> None:
        self._waiting = True
        if self._answered:
            self._deadline = self._loop.time() + self._idle_timeout_s
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if not self._waiting:
            self._timer = self._loop.call_at(now + self._idle_timeout_s, self._check)
        elif now < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check)
        else:
            self._connection.fail(TimeoutError())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
