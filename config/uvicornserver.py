"""uvicorn, started from here: uvloop and httptools, slow clients are cut, the application ends its turns before connections end.

Bodies need no cutting: uvicorn stops reading when the application does, and chat.client counts while it reads (R12.1a).
"""

import asyncio
import contextlib
import logging
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from chat.client import DEPARTURE, Departure
from config.transport import (
    BODY_WINDOW_BYTES,
    BODY_WINDOW_S,
    HEAD_BYTES,
    HEAD_S,
    KEEP_ALIVE_S,
    LAST_BYTES_S,
    PING_S,
    STREAM_HEAD,
    WEBSOCKET_BYTES,
    WHOLE,
    Application,
    ReaderClock,
    raw_refusal,
    start,
)  # fmt: skip


def run(application: Application, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal again when it has ended: then it means nothing more
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http=PatientProtocol,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(LAST_BYTES_S),
        ws_max_size=WEBSOCKET_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws=LightSocket,
        ws_per_message_deflate=False,  # 35 KB for each open socket, for texts of a few words
    )
    OrderlyServer(config, on_ready).run(sockets=[bound])


class OrderlyServer(uvicorn.Server):
    """Tells the application to end while connections are still open, so that every stream gets its end mark (R12.5)."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()
        with contextlib.suppress(asyncio.CancelledError):
            await super().shutdown(sockets)


class OnePacketCycle(RequestResponseCycle):
    """A response whose head, if config.handler made it, goes out with the first of its body, if that follows in the same round.

    What others send goes through uvicorn's own checks, but for the chunks of a body.
    """

    _head = b""

    async def send(self, message: Any) -> None:
        kind = message["type"]
        if kind in (WHOLE, STREAM_HEAD) and (self.response_started or not self._takes_it()):
            await super().send(start(message["status"], message["lines"]))  # type: ignore[arg-type]  # a dict of a type of its own
            if kind == WHOLE:
                await super().send({"type": "http.response.body", "body": message["body"]})
        elif kind == WHOLE:
            self._begin(message, b"")
            self._end(self._head + message["body"])
        elif kind == STREAM_HEAD:
            self.chunked_encoding = True
            self._begin(message, b"transfer-encoding: chunked\r\n")
            asyncio.get_running_loop().call_soon(self._write_head)
        elif kind == "http.response.body" and self.chunked_encoding and self._takes_it():
            self._go_on(message)
        else:
            await super().send(message)

    def _begin(self, message: Any, more: bytes) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        own = [b"%b: %b\r\n" % header for header in self.default_headers]
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        self._head = b"".join((STATUS_LINE[message["status"]], *own, message["lines"], more, end))

    def _write_head(self) -> None:
        """Nothing followed it at once."""
        if self._head and not self.transport.is_closing():
            self.transport.write(self._head)
        self._head = b""

    def _go_on(self, message: Any) -> None:
        body, head, self._head = message.get("body", b""), self._head, b""
        data = b"%b%x\r\n%b\r\n" % (head, len(body), body) if body else head
        if message.get("more_body"):
            self.transport.write(data)
        else:
            self._end(data + b"0\r\n\r\n")

    def _end(self, data: bytes) -> None:
        self._head = b""
        self.transport.write(data)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _takes_it(self) -> bool:
        """What is given to the connection now goes out."""
        return not (self.disconnected or self.flow.write_paused or self.response_complete)


httptools_impl.RequestResponseCycle = OnePacketCycle  # type: ignore[misc]  # uvicorn has no setting for it


_PATIENCE_S = {"head": HEAD_S, "body": BODY_WINDOW_S}
"""By state; an idle connection is the server's own business."""


class PatientProtocol(HttpToolsProtocol):
    """A connection with one clock: for the head of a request and for each window of its body. httptools has none.

    What is set late has a slot: attributes unknown when other instances were made give each a whole dictionary, 1.3 kB more.
    """

    __slots__ = ("_bytes", "_clock", "_departure", "_entered", "_reader", "_state", "url")
    _clock: asyncio.TimerHandle | None
    _reader: ReaderClock | None
    _state: str  # idle, head, body
    _bytes: int
    _entered: int  # how often a state was
    _departure: Departure
    url: bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._clock = self._reader = None
        self._departure = Departure()
        self._entered = 0
        self._enter("head")
        self._set_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._enter("idle")
        self._set_clock()
        self._stop_reader()
        super().connection_lost(exc)
        self._departure.tell()

    def data_received(self, data: bytes) -> None:
        entered = self._entered
        if self._state == "idle":
            self._enter("head")
        self._bytes += len(data)
        super().data_received(data)
        if self._entered != entered:
            self._set_clock()
        if self._state == "head" and self._bytes > HEAD_BYTES:
            self._refuse_head()

    def handle_websocket_upgrade(self) -> None:
        self._enter("idle")
        self._set_clock()
        super().handle_websocket_upgrade()

    def on_headers_complete(self) -> None:
        self._enter("body")
        self._departure.has_all = False
        super().on_headers_complete()
        self.scope[DEPARTURE] = self._departure  # type: ignore[literal-required]  # ours, for chat.client
        self.scope[WHOLE] = True  # type: ignore[literal-required]  # ours, for config.handler

    def on_message_complete(self) -> None:
        self._enter("idle")
        self._departure.has_all = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader = ReaderClock(self.loop, self._taken, self._cut)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_reader()

    def _taken(self) -> int:
        """Nothing is added while writing is paused."""
        return -self.transport.get_write_buffer_size()

    def _cut(self) -> None:
        """Without lingering: the kernel, too, forgets what the client did not take."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _stop_reader(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _enter(self, state: str) -> None:
        self._state, self._bytes = state, 0
        self._entered += 1

    def _set_clock(self) -> None:
        """For the state at hand, once what arrived was read: most requests arrive whole and need none."""
        if self._clock is not None:
            self._clock.cancel()
        seconds = _PATIENCE_S.get(self._state)
        self._clock = self.loop.call_later(seconds, self._time_is_up) if seconds else None

    def _time_is_up(self) -> None:
        is_waiting_for_us = self._state == "body" and self.flow.read_paused and not self.cycle.response_complete
        is_coming_in = self._state == "body" and self._bytes >= BODY_WINDOW_BYTES and not self.cycle.response_complete
        if is_waiting_for_us or is_coming_in:
            self._enter("body")
            self._set_clock()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP, or of a method that HTTP does not have, is refused in our envelope too (R3.1)."""
        self.transport.write(raw_refusal(b"400 Bad Request", "This is not a valid HTTP request."))
        self.transport.close()

    def _refuse_head(self) -> None:
        self.transport.write(raw_refusal(b"431 Request Header Fields Too Large", "The request's headers are too large."))
        self.transport.close()


class LightSocket(WebSocketsSansIOProtocol):
    """A WebSocket that keeps nothing of its handshake, logs no address with a query (R1.7), and leaves no garbage in cycles.

    Python's own collector comes by rarely here (see config.lifetime): what closed sockets left behind would stay for hours.
    """

    _answered = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = self.conn.logger = _SILENT

    def start_keepalive(self) -> None:
        """The handshake is over."""
        super().start_keepalive()
        self.request = self.response = None  # type: ignore[assignment]  # never read again
        self.scope.pop("headers", None)  # type: ignore[misc]  # likewise

    async def send(self, message: ASGISendEvent) -> None:
        """A frame on an open connection that takes it goes the short way: nothing is fragmented, masked or compressed here."""
        if message["type"] == "websocket.send" and self.handshake_complete and self.writable.is_set() and not self.close_sent:
            if self.disconnected:
                raise ClientDisconnected
            text = message.get("text")
            payload = message["bytes"] if text is None else text.encode()
            self.transport.write(_head(payload or b"", is_text=text is not None) + (payload or b""))
        else:
            await super().send(message)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self._answered = True
        self._dissolve()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._dissolve()

    def _dissolve(self) -> None:
        """When both the connection and the application have ended."""
        if self.disconnected and self._answered:
            self.conn.parser.close()
            self.conn.__dict__.clear()


def _head(payload: bytes, *, is_text: bool) -> bytes:
    """The head of an unmasked, unfragmented data frame (RFC 6455 section 5.2)."""
    first, size = 0x81 if is_text else 0x82, len(payload)
    if size < 126:
        return bytes((first, size))
    return struct.pack("!BBH", first, 126, size) if size < 65_536 else struct.pack("!BBQ", first, 127, size)


_SILENT = logging.getLogger("switchboard.socket")
_SILENT.setLevel(logging.ERROR)
