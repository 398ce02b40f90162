"""WebSockets of this process: one log line each, by the path alone (R1.7), and their end around that of the turns (WS-66)."""

import time
from typing import Any

from channels.routing import URLRouter

from chat.peers import address_of, headers_of
from chat.protocols.agents_api import feed
from chat.protocols.websocket import sockets
from chat.routing import websocket_urlpatterns
from config import logs

_router = URLRouter(websocket_urlpatterns)
_SWITCHING = 101


async def application(scope: Any, receive: Any, send: Any) -> None:
    """One socket, from its handshake to its end."""
    started, path = time.monotonic(), scope["path"]
    address = address_of(scope, headers_of(scope["headers"]))
    try:
        await _router(scope, receive, send)
    finally:
        logs.log_request("WEBSOCKET", path, _SWITCHING, (time.monotonic() - started) * 1000, "", address)


async def drain() -> None:
    """Before the turns are ended."""
    await sockets.drain()


async def close() -> None:
    """After the turns are ended: nobody is watching any more."""
    feed.close()
    await sockets.close()
