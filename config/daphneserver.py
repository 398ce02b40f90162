"""daphne, started from here: bodies are cut at our limit while they come in, slow clients are cut, the end is orderly.

daphne by itself keeps a whole request before anybody sees it (R12.1a), and forgets open answers when it stops (R12.5).
"""
# ruff: noqa: N802, N815 - twisted's names

import asyncio
import io
import logging
import signal
import socket
import sys
from collections.abc import Callable, MutableMapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import uvloop
from twisted.internet import asyncioreactor

from config.transport import (
    BODY_WINDOW_BYTES,
    BODY_WINDOW_S,
    HEAD_BYTES,
    HEAD_S,
    KEEP_ALIVE_S,
    LAST_BYTES_S,
    PING_S,
    WEBSOCKET_BYTES,
    Application,
    Lifespan,
    ReaderClock,
    body_limit,
    raw_refusal,
    refusal,
)  # fmt: skip

if "twisted.internet.reactor" not in sys.modules:  # before daphne, which would install a slower one
    asyncioreactor.install(uvloop.new_event_loop())

from daphne.http_protocol import WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet import reactor
from twisted.logger import globalLogBeginner
from twisted.protocols.basic import LineReceiver
from twisted.web import http

http.RESPONSES.update({status.value: status.phrase.encode() for status in HTTPStatus})  # twisted knows no 429
_LINGER_S = 10
"""How long the rest of a refused body is thrown away before the connection is closed under the client's hands."""


def run(application: Application, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    logging.getLogger("daphne").setLevel(logging.WARNING)
    OrderlyServer(application, bound, on_ready).run()


class OrderlyServer(Server):  # type: ignore[misc]  # daphne is untyped
    """daphne's server on a socket of ours, with the application's lifespan around it."""

    def __init__(self, application: Application, bound: socket.socket, on_ready: Callable[[], None]) -> None:
        super().__init__(
            application,
            endpoints=["ours"],
            signal_handlers=False,
            request_buffer_size=1 << 30,  # one message: the body is in memory already, and bounded
            ping_interval=PING_S,
            ping_timeout=PING_S,
            websocket_timeout=-1,
            websocket_max_message_size=WEBSOCKET_BYTES,
            websocket_max_frame_size=WEBSOCKET_BYTES,
            server_name="",
        )
        self.bound, self.on_ready = bound, on_ready
        self.lifespan = Lifespan(application)
        self.failure: BaseException | None = None
        self.stopping: asyncio.Task[None] | None = None
        self.port: Any = None

    def run(self) -> None:
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = CuttingFactory(self)
        self.ws_factory = WebSocketFactory(self, server="")
        self.ws_factory.protocol = LightSocket
        self.ws_factory.setProtocolOptions(
            autoPingTimeout=self.ping_timeout,
            allowNullOrigin=True,
            openHandshakeTimeout=self.websocket_handshake_timeout,
            maxMessagePayloadSize=self.websocket_max_message_size,
            maxFramePayloadSize=self.websocket_max_frame_size,
        )
        globalLogBeginner.beginLoggingTo([lambda _: None], redirectStandardIO=False, discardBuffer=True)
        loop = reactor._asyncioEventloop
        asyncio.set_event_loop(loop)
        reactor.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)
        reactor.callWhenRunning(lambda: asyncio.ensure_future(self._start(loop)))
        reactor.run(installSignalHandlers=False)
        if self.failure:
            raise self.failure

    async def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        try:
            await self.lifespan.startup()
        except BaseException as failure:  # told to the caller of run()
            self.failure = failure
            reactor.stop()
            return
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)
        self.bound.listen(2048)
        self.port = reactor.adoptStreamPort(self.bound.fileno(), self.bound.family, self.http_factory)
        self.on_ready()

    def _end(self) -> None:
        """The first signal ends orderly, the second at once."""
        if self.stopping is None:
            self.stopping = asyncio.ensure_future(self._stop())
        elif reactor.running:
            reactor.stop()

    async def _stop(self) -> None:
        if self.port is not None:
            self.port.stopListening()
            await self.lifespan.shutdown()
            await self._last_bytes()
        reactor.stop()

    async def _last_bytes(self) -> None:
        tasks = [task for details in self.connections.values() if (task := details.get("application_instance"))]
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_BYTES_S)

    def kill_all_applications(self) -> Any:
        """daphne's own trips over connections that have no application yet."""
        for protocol in [protocol for protocol, details in self.connections.items() if "application_instance" not in details]:
            del self.connections[protocol]
        return super().kill_all_applications()

    def create_application(self, protocol: Any, scope: MutableMapping[str, Any]) -> Any:
        if getattr(protocol, "too_large", False):
            scope["switchboard"] = {"too_large": True, "limit": protocol.limit}
        return super().create_application(protocol, scope)


class CuttingRequest(WebRequest):  # type: ignore[misc]  # daphne is untyped
    """A request that keeps its body up to the limit, and nothing of a larger one."""

    channel: Any
    too_large = False
    limit = 0

    def gotLength(self, length: int | None) -> None:
        path = self.channel.path_of_request()
        self.limit = body_limit(path)
        self.content = io.BytesIO()
        self.too_large = length is not None and length > self.limit

    def handleContentChunk(self, data: bytes) -> None:
        if self.too_large:
            return
        if self.content.tell() + len(data) <= self.limit:
            self.content.write(data)
            return
        self.too_large = True
        self.content = io.BytesIO()
        self.channel.answer_early(self)

    def process(self) -> Any:
        self.requestHeaders.removeHeader(b"daphne-root-path")  # callers do not say where we are mounted
        answering = super().process()
        if self.transport is None:  # it became a WebSocket: nothing of the request stays behind
            self.channel.requests.clear()
            self.channel = None
        return answering

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """What daphne refuses by itself has the native envelope too (R3.1)."""
        headers, content = refusal(body, "internal_error" if status >= 500 else "invalid_request")
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": content})


class CuttingChannel(http.HTTPChannel):  # type: ignore[misc]  # twisted is untyped
    """A connection with one clock: for the head, for each window of a body, for silence between requests."""

    totalHeadersSize = MAX_LENGTH = HEAD_BYTES
    abortTimeout = 1
    state = "idle"  # idle, head, body, answering, draining
    early = False
    body_ended = False
    window_bytes = 0
    reader: ReaderClock | None = None
    written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)
        super().write(data)

    def writeSequence(self, iovec: Sequence[bytes]) -> None:
        self.written += sum(map(len, iovec))
        super().writeSequence(iovec)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        if self.reader is None:
            self.reader = ReaderClock(asyncio.get_running_loop(), self._taken, self.transport.abortConnection)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._stop_reader()

    def connectionLost(self, reason: Any = None) -> None:
        self._stop_reader()
        super().connectionLost(reason)

    def _taken(self) -> int:
        """daphne writes on regardless: what the client has not taken waits in twisted's buffers."""
        waiting = len(self.transport.dataBuffer) - self.transport.offset + self.transport._tempDataLen
        return self.written - int(waiting)

    def _stop_reader(self) -> None:
        if self.reader is not None:
            self.reader.stop()
            self.reader = None

    def dataReceived(self, data: bytes) -> None:
        self.window_bytes += len(data)
        if self.state == "idle":
            self._enter("head", HEAD_S)
        LineReceiver.dataReceived(self, data)

    def allHeadersReceived(self) -> None:
        self._enter("body", BODY_WINDOW_S)
        super().allHeadersReceived()
        request = self.requests[-1]
        if request.too_large:
            self.answer_early(request)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """What twisted refuses by itself has the envelope too (R3.1)."""
        self.transport.write(raw_refusal(b"400 Bad Request", "This is not a valid HTTP request."))
        self.loseConnection()

    def _send100Continue(self) -> None:
        if not self.requests[-1].too_large:
            super()._send100Continue()

    def path_of_request(self) -> str:
        return str(self._path.split(b"?", 1)[0].decode("latin1"))

    def answer_early(self, request: CuttingRequest) -> None:
        """Lets the application refuse now; the rest of the body is thrown away, then the connection ends."""
        self.early, self.persistent = True, 0
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        request.requestReceived(self._command, self._path, self._version)

    def allContentReceived(self) -> None:
        if not self.early:
            self._enter("answering", None)
            super().allContentReceived()
            return
        self.body_ended = True
        if self.state == "draining":
            self.loseConnection()

    def requestDone(self, request: CuttingRequest) -> None:
        if self.early and not self.body_ended:
            self.requests.remove(request)
            self._enter("draining", _LINGER_S)
            return
        self.state, self._savedTimeOut = "idle", KEEP_ALIVE_S
        super().requestDone(request)

    def timeoutConnection(self) -> None:
        if self.state == "body" and self.window_bytes >= BODY_WINDOW_BYTES:
            self._enter("body", BODY_WINDOW_S)
        else:
            super().timeoutConnection()

    def _enter(self, state: str, seconds: int | None) -> None:
        self.state, self.window_bytes = state, 0
        self.setTimeout(seconds)


class CuttingFactory(http.HTTPFactory):  # type: ignore[misc]  # twisted is untyped
    def __init__(self, server: OrderlyServer) -> None:
        super().__init__(timeout=HEAD_S)
        self.server = server

    def buildProtocol(self, addr: Any) -> CuttingChannel:
        channel = CuttingChannel()
        channel.factory = self
        channel.requestFactory = partial(CuttingRequest, parsePOSTFormSubmission=False)  # forms are the application's to parse
        channel.callLater, channel.timeOut = self.reactor.callLater, self.timeOut
        return channel


class LightSocket(WebSocketProtocol):  # type: ignore[misc]  # daphne is untyped
    """A WebSocket that leaves no garbage in cycles: Python's collector comes by rarely here (see config.lifetime)."""

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        kept = ("client_addr", "last_ping", "path", "server", "socket_opened", "state")  # what daphne still looks at
        self.__dict__ = {name: value for name, value in self.__dict__.items() if name in kept}
