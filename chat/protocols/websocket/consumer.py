"""The consumer of `/chat` and `/ws`: accepts, reads frames, and leaves no trace when the socket is gone (WS-8, WS-76, WS-77).

Built on AsyncConsumer, without a channel layer: what happens elsewhere comes by chat.live, whose bell is Redis' own.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.conf import settings
from django.db import DatabaseError

from agents.errors import SwitchboardError
from chat import clientcalls, housekeeping, metrics, process
from chat.protocols.websocket import commands, counting, sockets
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.errors import CLOSES, frame_of, refusal
from chat.protocols.websocket.handshake import Opening, opening_of, principal_for


class ChatConsumer(AsyncConsumer):  # type: ignore[misc]  # channels is untyped
    """One socket. `connection` is None while it is refused: then no frame of the client is read."""

    channel_layer_alias = ""
    connection: Connection | None = None
    counted: tuple[str, str] | None = None
    hung_up = False

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Ends with the client's disconnect, or when it did not even take our goodbye."""
        self.task = asyncio.current_task()
        metrics.socket_opened()
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            if not self.hung_up:
                raise
        finally:
            metrics.socket_closed()
            await self._leave()

    async def dispatch(self, message: Mapping[str, Any]) -> None:
        """Without Channels' own database clean-up after each message: no database is used on this loop (WS-77)."""
        match message["type"]:
            case "websocket.connect":
                await self._connect()
            case "websocket.receive":
                await self._receive(message)
            case "websocket.disconnect":
                raise StopConsumer

    async def _connect(self) -> None:
        housekeeping.ensure()
        opening = opening_of(self.scope)
        del self.scope  # an idle socket keeps nothing it does not need
        await self.base_send({"type": "websocket.accept"})
        try:
            connection = await self._opened(opening)
        except SwitchboardError as error:
            await self._refuse(opening, error)
        except DatabaseError:
            await self._refuse(opening, SwitchboardError("store_unavailable", retry_after_s=1))
        else:
            self.connection = connection
            sockets.add(connection)
            if opening.attach is not None:
                await commands.do(connection, opening.attach)

    async def _opened(self, opening: Opening) -> Connection:
        process.check_open()
        credential, principal = await principal_for(opening)
        if not await counting.enter(principal.key, opening.address):
            raise refusal("rate_limited", "Too many connections are open.", retry_after_s=30)
        self.counted = (principal.key, opening.address)
        connection = Connection(self.base_send, self._hang_up, credential, principal, mode=opening.mode, site=opening.site)
        connection.agent_name, connection.reasoning, connection.html = opening.agent, opening.reasoning, opening.html
        return connection

    async def _refuse(self, opening: Opening, error: SwitchboardError) -> None:
        """Accepted, explained, closed (WS-8)."""
        frame = frame_of(error, "connection", fatal=True)
        message = {"text": frame.text} if opening.mode == "text" else {"bytes": frame.binary}
        await self.base_send({"type": "websocket.send", **message})
        await self.base_send({"type": "websocket.close", "code": CLOSES.get(error.code, CLOSES["internal_error"])})

    async def _receive(self, message: Mapping[str, Any]) -> None:
        connection = self.connection
        if connection is None or connection.closing:
            return
        text = message.get("text")
        data: str | bytes = text if text is not None else message.get("bytes") or b""
        if len(data) > settings.WS_MAX_FRAME_BYTES or (text is not None and len(text.encode()) > settings.WS_MAX_FRAME_BYTES):
            connection.end("frame_too_large")
        else:
            await commands.receive(connection, data)

    def _hang_up(self) -> None:
        """The client did not take our goodbye in time."""
        self.hung_up = True
        if self.task is not None:
            self.task.cancel()

    async def _leave(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            sockets.discard(connection)
            connection.leave()
            await clientcalls.lose(connection.id)
        if self.counted is not None:
            await counting.leave(*self.counted)
        self.__dict__.clear()  # no cycle stays behind


async def no_such_socket(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """An unknown path is accepted, explained, and closed with 4404 (WS-2)."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": frame_of(refusal("path_not_found"), "connection", fatal=True).text})
    await send({"type": "websocket.close", "code": CLOSES["path_not_found"]})
    while (await receive())["type"] != "websocket.disconnect":
        pass
