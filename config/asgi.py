"""The ASGI application: HTTP through the lean handler, and the start and end of a process (also without a lifespan: daphne)."""

import gc
import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from agents import directory  # noqa: E402 - models need a set-up Django
from agents.providers import http  # noqa: E402
from chat import eventship, housekeeping, process, turns  # noqa: E402
from chat.leases import leases  # noqa: E402
from chat.redis import close as close_redis  # noqa: E402
from config.handler import Handler  # noqa: E402

_handler = Handler()
_GC_THRESHOLDS = (5_000, 20, 1000)
"""Turns make few cycles; Python's own thresholds look through hundreds of thousands of live events many times a second."""


async def startup() -> None:
    """Loads the catalog, takes the owner lock, ends what a dead predecessor left (R12.5)."""
    process.reopen()
    await directory.catalog()
    housekeeping.ensure()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def shutdown() -> None:
    """No new runs; running ones end; connections are closed."""
    await turns.shutdown()
    await housekeeping.stop()
    await eventship.close()
    await http.close()
    await leases.close()
    await close_redis()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """One ASGI connection."""
    if scope["type"] == "http":
        await _handler(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _no_such_socket(receive, send)


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


async def _no_such_socket(receive: Any, send: Any) -> None:
    """An unknown WebSocket path is accepted and closed with 4404 (WS-2)."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4404})
