"""The other end of one HTTP request: its body, read within limits, and the moment it leaves (R6)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agents.errors import SwitchboardError

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
DEPARTURE = "switchboard.departure"
"""Where a server puts its connection's Departure into the scope of a request."""
STALL_SECONDS = 30
"""A body that brings nothing for so long is cut (R12.1a)."""


class Departure:
    """A connection's end, told by a server that can say it; others leave each request to wait for it in a task.

    One listener, since a connection answers one request at a time. `has_all`: what was asked last has arrived to its end.
    """

    __slots__ = ("has_all", "listener", "over")

    def __init__(self) -> None:
        self.listener: Callable[[], None] | None = None
        self.has_all = self.over = False

    def tell(self) -> None:
        self.over = True
        if self.listener is not None:
            self.listener()


class Client:
    """Reads the body once; then, when asked, watches for the disconnect and tells one listener."""

    __slots__ = ("_departure", "_on_gone", "_receive", "_task", "gone")

    def __init__(self, receive: Receive, departure: Departure | None = None) -> None:
        self._receive = receive
        self._departure = departure
        self._task: asyncio.Task[None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self.gone = False

    async def body(self, headers: Mapping[str, str], limit: int) -> bytes:
        """The whole body; request_too_large for a declared or a real length over `limit` (OAI-60)."""
        declared = headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > limit:
            raise too_large(limit)
        message = await self._next()
        if not message.get("more_body"):
            first: bytes = message.get("body", b"")
            if len(first) > limit:
                raise too_large(limit)
            return first
        return await self._rest(message, limit)

    async def chunks(self, limit: int) -> Any:
        """The body in the pieces it arrives in, for uploads; raises request_too_large once `limit` bytes are passed."""
        size, more = 0, True
        while more:
            message = await self._next()
            size += len(message.get("body", b""))
            if size > limit:
                raise too_large(limit)
            more = bool(message.get("more_body"))
            yield message.get("body", b"")

    async def _rest(self, message: Mapping[str, Any], limit: int) -> bytes:
        parts, size = [message.get("body", b"")], len(message.get("body", b""))
        while message.get("more_body"):
            message = await self._next()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise too_large(limit)
        return b"".join(parts)

    async def _next(self) -> Mapping[str, Any]:
        if self._departure is not None and self._departure.has_all:
            message = await self._receive()  # nothing to wait for
        else:
            message = await self._arrived()
        if message["type"] == "http.disconnect":
            self.gone = True
            raise SwitchboardError("client_left")
        return message

    async def _arrived(self) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                return await self._receive()
        except TimeoutError as error:
            raise SwitchboardError("invalid_request", "The request body did not arrive in time.", status=408) from error

    def watch(self, on_gone: Callable[[], None]) -> None:
        """From now on `on_gone` is called once when the client leaves (at once if it has left)."""
        self._on_gone = on_gone
        if self.gone:
            on_gone()
        elif self._departure is not None and self._departure.over:
            self._left()
        elif self._departure is not None:
            self._departure.listener = self._left
        elif self._task is None:
            self._task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left()

    def _left(self) -> None:
        self.gone = True
        if self._on_gone is not None:
            self._on_gone()

    def close(self) -> None:
        """Ends the watch. A streamed answer keeps its own watch and closes it at its end."""
        self._on_gone = None
        if self._departure is not None and self._departure.listener == self._left:
            self._departure.listener = None
        if self._task is not None:
            self._task.cancel()
            self._task = None


def too_large(limit: int) -> SwitchboardError:
    return SwitchboardError(
        "request_too_large",
        f"The request body is larger than {limit} bytes. Send less, upload files first, or ask the operator to raise the limit.",
    )
