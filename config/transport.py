"""What both servers share: limits, what is refused before there is a request, the clock of slow readers, the lifespan (R12.1a, R12.5).

The transport never keeps more of a request than an agent could want, cuts what is slow, and tells the application to end first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from agents import directory
from agents.ids import new_request_id
from agents.settings import settings

Application = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]

HEAD_S = 30
"""From the first byte of a request (or the connection) to the end of its headers."""
HEAD_BYTES = 65_536
BODY_WINDOW_S = 30
BODY_WINDOW_BYTES = 16_384
"""A body that brings less in a window is slow or stalled, and is cut."""
READER_S = 60
"""A client that takes nothing of its answer for so long is gone (R7.6); a phone in a pocket may wake up before that."""
KEEP_ALIVE_S = 75
"""Longer than proxies keep idle connections, so that it is never we who close one they are about to use."""
LAST_BYTES_S = 2.0
"""After the application has ended its turns: for answers that are still being written."""
PING_S = 20
WEBSOCKET_BYTES = int(settings.WS_MAX_FRAME_BYTES) + 48_576
"""WS-67: above the websocket wire's own limit, which answers properly; daphne's two options and uvicorn's follow it."""

WHOLE = "switchboard.whole"
"""In a scope: the server takes a whole answer in one message of this type: `status`, headers as `lines` of HTTP/1.1, and `body`."""
STREAM_HEAD = "switchboard.stream_head"
"""A server that takes whole answers takes heads of streams in this type, too: `status` and `lines`."""

_UPLOADS = ("/admin/", "/attachment/", "/knowledge/")
_FORM_BYTES = 1_048_576


def body_limit(path: str) -> int:
    """Bytes of a request body that may come in for `path`: the largest any published agent allows; more for uploads (R12.1a)."""
    largest = max(int(settings.CHAT_MAX_REQUEST_SIZE), directory.current().max_body_bytes)
    return max(largest, int(settings.UPLOAD_MAX_BYTES) + _FORM_BYTES) if path.startswith(_UPLOADS) else largest


def start(status: int, lines: bytes) -> dict[str, Any]:
    """The same head as ASGI's own message."""
    fields = [line.split(b": ", 1) for line in lines.split(b"\r\n")[:-1]]
    return {"type": "http.response.start", "status": status, "headers": [(name.lower(), value) for name, value in fields]}


def refusal(sentence: str, code: str = "invalid_request") -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of what a server refuses by itself, before there is a request for the application (R3.1, R3.4)."""
    request_id = new_request_id()
    body = orjson.dumps({"detail": sentence, "code": code, "request_id": request_id})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode())]
    return headers, body


def raw_refusal(status_line: bytes, sentence: str) -> bytes:
    """The same as the bytes of a whole HTTP/1.1 answer, after which the connection ends."""
    headers, body = refusal(sentence)
    lines = [b"%b: %b\r\n" % header for header in (*headers, (b"connection", b"close"))]
    return b"HTTP/1.1 %b\r\n%b\r\n%b" % (status_line, b"".join(lines), body)


class ReaderClock:
    """Runs while an answer waits for its client to read: one who takes nothing is cut (R7.6).

    `taken` tells how far the client is, as a number that grows; `cut` ends the connection. The run goes on or is cancelled (R6).
    """

    __slots__ = ("_cut", "_handle", "_taken")

    def __init__(self, loop: asyncio.AbstractEventLoop, taken: Callable[[], int], cut: Callable[[], object]) -> None:
        self._taken, self._cut = taken, cut
        self._handle = loop.call_later(READER_S, self._look, loop, taken())

    def _look(self, loop: asyncio.AbstractEventLoop, before: int) -> None:
        if (now := self._taken()) > before:
            self._handle = loop.call_later(READER_S, self._look, loop, now)
        else:
            self._cut()

    def stop(self) -> None:
        self._handle.cancel()


class Lifespan:
    """The ASGI lifespan of an application, for servers that do not speak it themselves."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._orders: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._answers: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Raises RuntimeError when the application refuses to start."""
        self._task = asyncio.ensure_future(self._run())
        await self._order("startup")

    async def shutdown(self) -> None:
        await self._order("shutdown")

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        await self._application(scope, self._orders.get, self._answers.put)

    async def _order(self, what: str) -> None:
        assert self._task
        await self._orders.put({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            self._task.result()
            raise RuntimeError(f"the application ended before its {what}")
        if answer.result()["type"] != f"lifespan.{what}.complete":
            raise RuntimeError(str(answer.result().get("message") or f"the application's {what} failed"))
