"""One HTTP/1.1 connection to a model server: a request out, its answer in, parsed by httptools; one exchange at a time, then idle.

Every turn and every chunk of its answer pass through here (docs/decisions/0011-connections-to-models.md).
"""

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import httptools

MAX_HEAD_BYTES = 256 * 1024
HIGH_WATER_BYTES = 1024 * 1024
PACKED_BYTES = 64 * 1024
"""Unread bytes of an answer above which the server has to wait, as they came: packed ones may be a thousand times as many."""
LINGER_S = 1.0
"""How long the end of an answer may follow its last word, so that the connection can be used again."""
_WITHOUT_BODY = (204, 304)


class BrokenAnswer(Exception):
    """What came is no HTTP answer, or its body cannot be decoded."""


class Connection(asyncio.Protocol):
    """`idle` is called when the connection may carry the next request, `gone` when it is no more.

    `status` and `headers` (names in lower case) are there after head(). What arrived before a failure can still be read.
    """

    __slots__ = (
        "_bounded", "_decoder", "_error", "_head_bytes", "_linger", "_parser", "_paused", "_pieces", "_reusable", "_size", "_waiter",
        "busy", "complete", "gone", "headers", "idle", "idle_since", "loop", "on_body", "status", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, idle: Callable[["Connection"], None], gone: Callable[["Connection"], None]) -> None:
        self.idle, self.gone = idle, gone
        self.loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self.busy = False
        self._waiter: asyncio.Future[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._forget()

    def _forget(self) -> None:
        """As before the first exchange."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self._bounded = False
        self._head_bytes = 0
        self._decoder: Any = None
        self._error: BaseException | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append  # for the parser, once for every chunk: no function of Python's
        self._size = 0
        self._paused = self._reusable = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(  # what browsers and other clients accept of odd servers, too
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    # What the exchange does.

    def send(self, request: bytes) -> None:
        self.busy = True
        self.transport.write(request)

    async def head(self) -> None:
        """Until status and headers are there. Raises ConnectionError, BrokenAnswer, or what fail() was given."""
        while not self._head_is_there():
            if self._error is not None:
                raise self._error
            await self._news()

    async def read(self) -> bytes:
        """What has arrived of the body, at least one byte; b"" at its end. Raises like head()."""
        while True:
            if self._pieces and (data := self.take()):
                return data
            if self._error is not None and not self.complete:
                raise self._error
            if self.complete:
                return b""
            await self._news()

    def take(self) -> bytes:
        """What has arrived and was not read yet."""
        pieces = self._pieces if self._decoder is None else self._unpacked()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._drop()
        return data

    def _drop(self) -> None:
        self._pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def _unpacked(self) -> list[bytes]:
        """Up to the piece that is broken."""
        unpacked: list[bytes] = []
        try:
            for piece in self._pieces:
                unpacked.append(self._decoder.decompress(piece))
        except zlib.error as error:
            self.complete = False
            self.fail(BrokenAnswer(repr(error)))
        return unpacked

    def has_news(self) -> bool:
        """Whether read() has not to wait: packed pieces may hold nothing yet."""
        return self.over() or (bool(self._pieces) and self._decoder is None)

    def over(self) -> bool:
        """Nothing will follow what can be read now."""
        return self.complete or self._error is not None

    def fail(self, error: BaseException) -> None:
        """Ends the exchange and the connection; whoever waits is told `error`."""
        if self._error is None and not self.complete:
            self._error = error
        self.transport.abort()
        self._wake()

    def release(self, *, answered: bool) -> None:
        """The exchange is over. `answered`: all that matters was read, so the end of the answer may still arrive by itself."""
        self._drop()
        if self.complete and self._reusable:
            self._rest()
        elif answered and not self.over():
            self._linger = self.loop.call_later(LINGER_S, self.transport.abort)
        else:
            self.transport.abort()

    def _rest(self) -> None:
        self.busy = False
        self._forget()
        self.idle(self)

    def _head_is_there(self) -> bool:
        return self.status >= 200

    async def _news(self) -> None:
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # of a stream

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            self.transport.abort()  # nobody asked
            return
        if not self._head_is_there():
            self._head_bytes += len(data)
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.fail(BrokenAnswer(repr(error)))
            return
        if self._head_bytes > MAX_HEAD_BYTES and not self._head_is_there():
            self.fail(BrokenAnswer("the headers are too long"))
        if self._size > (HIGH_WATER_BYTES if self._decoder is None else PACKED_BYTES) and not self._paused and self._linger is None:
            self._paused = True
            self.transport.pause_reading()
        if self._linger is not None:
            self._after_all()
        self._wake()

    def _after_all(self) -> None:
        """Nobody reads any more: only the end of the answer is waited for."""
        self._pieces.clear()
        self._size = 0
        if self.complete and self._linger is not None:
            self._linger.cancel()
            self._linger = None
            self.release(answered=True)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._linger is not None:
            self._linger.cancel()
        if self._head_is_there() and not self._bounded and exc is None and self._error is None:
            self.complete = True  # such an answer ends with its connection
        elif not self.complete and self._error is None:
            self._error = exc if isinstance(exc, OSError) else ConnectionError("the connection was closed")
        self._reusable = False
        self.gone(self)
        self._wake()

    # What the parser tells.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self.headers.clear()  # 100 Continue and the like: the answer follows
            return
        chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        self._bounded = chunked or "content-length" in self.headers or status in _WITHOUT_BODY
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._decoder = zlib.decompressobj(wbits=47)
        elif encoding != "identity":
            raise BrokenAnswer(f"content-encoding {encoding!r}, which was not asked for")
        self.status = status

    def on_message_complete(self) -> None:
        if self._head_is_there():
            self.complete = True
            self._reusable = bool(self._parser.should_keep_alive()) and not self.transport.is_closing()
