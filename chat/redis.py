"""The Redis client of the hot path: one per event loop and process, reconnecting by itself. Values are bytes."""

import asyncio
from weakref import WeakKeyDictionary

from django.conf import settings
from redis.asyncio import Redis

_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, Redis]" = WeakKeyDictionary()


def client() -> Redis:
    """The client of the running loop. Errors are those of redis.exceptions."""
    loop = asyncio.get_running_loop()
    found = _clients.get(loop)
    if found is None:
        found = _clients[loop] = Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2, max_connections=500)
    return found


async def close() -> None:
    """Closes the running loop's client, if it has one."""
    found = _clients.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.aclose()
