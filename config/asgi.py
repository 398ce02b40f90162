"""The ASGI application: HTTP through the lean handler, and the start and end of a process (also without a lifespan: daphne)."""

import asyncio
import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402 - models need a set-up Django

from config import embedded, lifetime, sockets  # noqa: E402 - and so do these
from config.handler import Handler  # noqa: E402 - likewise

_handler = Handler()


async def startup() -> None:
    """The process is ready for turns, and for what is queued if it has the worker inside."""
    if settings.EMBEDDED_WORKER:
        embedded.start(asyncio.get_running_loop())
    await lifetime.startup()


async def shutdown() -> None:
    """No new runs; running ones end; connections are closed."""
    await sockets.drain()
    await lifetime.shutdown(sockets.close)
    embedded.stop()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """One ASGI connection."""
    if scope["type"] == "http":
        await _handler(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await sockets.application(scope, receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await startup()
            await send({"type": "lifespan.startup.complete"})
        else:
            await shutdown()
            await send({"type": "lifespan.shutdown.complete"})
            return
