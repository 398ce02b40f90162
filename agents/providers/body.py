"""The body of one answer, read under two deadlines: until the first token, then between reads.

One timer serves a whole answer, because a timer per read would cost as much as decoding what was read. Time during
which nobody waits for a read (our own reader is slow) never counts against the provider.
"""

import asyncio

import aiohttp

from agents.providers.base import ProviderError

LINGER_S = 1.0
BURST_S = 0.003
"""Reads closer together than this are a burst; a model that writes at its own pace never is one."""
GATHER_S = 0.001


class Body:
    """Made when the request begins, given its response by open(); close() must be called whatever happens."""

    def __init__(self, first_token_timeout_s: float, idle_timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + first_token_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._answered = False
        self._read_at = 0.0
        self._response: aiohttp.ClientResponse
        self._waiting: aiohttp.StreamReader | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._broken: ProviderError | None = None

    @property
    def deadline(self) -> float:
        """When, in loop time, the provider must have begun to answer."""
        return self._deadline

    def open(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def answered(self) -> None:
        """The first token is here: from now on only silence counts."""
        if not self._answered:
            self._answered = True
            self._stop_timer()

    async def read(self) -> bytes:
        """What has arrived, at least one byte; b"" at the end. Raises ProviderError: timeout, network."""
        if self._broken:
            raise self._broken
        content = self._response.content
        self._watch(content)
        try:
            return await content.readany()
        except TimeoutError as error:
            raise ProviderError("timeout", "silence" if self._answered else "no first token") from error
        except (aiohttp.ClientError, OSError) as error:
            self._broken = ProviderError("network", repr(error))
            return self._left_over(content)
        finally:
            self._waiting = None

    async def gathered(self, data: bytes) -> bytes:
        """`data` and, in a burst, what comes in the next millisecond: many small chunks become one read, one event, one send.

        Never before the first token, which nobody should wait for.
        """
        content = self._response.content
        if self._answered and self._loop.time() - self._read_at < BURST_S and not content.is_eof():
            await asyncio.sleep(GATHER_S)
            if content.exception() is None:
                data += content.read_nowait()
        self._read_at = self._loop.time()
        return data

    def close(self, *, complete: bool) -> None:
        """Closes the connection at once; after a complete answer its end may still arrive, so that it can be reused."""
        self._stop_timer()
        if complete and not self._response.content.is_eof():
            self._loop.call_later(LINGER_S, self._response.close)
        else:
            self._response.close()

    def _left_over(self, content: aiohttp.StreamReader) -> bytes:
        """aiohttp refuses to read from a failed stream, though bytes may have arrived before the failure."""
        content.set_exception(None)  # type: ignore[arg-type]
        data = content.read_nowait()
        if not data and self._broken:
            raise self._broken
        return data

    def _watch(self, content: aiohttp.StreamReader) -> None:
        self._waiting = content
        if self._answered:
            self._deadline = self._loop.time() + self._idle_timeout_s
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if self._waiting is None:
            self._timer = self._loop.call_at(now + self._idle_timeout_s, self._check)
        elif now < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check)
        else:
            self._waiting.set_exception(TimeoutError())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
