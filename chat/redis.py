"""The shared store of several web processes (REDIS_URL): one client per event loop, and scripts that are one round trip each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha1
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import NoScriptError, RedisError

__all__ = ["RedisError", "Script", "client", "close", "key"]

SCRIPTS = Path(__file__).parent / "lua"
TIMEOUT_S = 2.0
"""A store that takes longer counts as down: a turn must not hang on it."""
AT_ONCE = 32
"""Scripts under way at a time per event loop, and so its connections under load."""

Argument = str | bytes | int | float


@dataclass(slots=True)
class _Connected:
    client: "Redis"
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Connected] = WeakKeyDictionary()


def client(url: str = "") -> "Redis":
    """The client of the running event loop, for bytes. Connects when first used; a broken connection is tried once more."""
    return _connected(url).client


def _connected(url: str = "") -> _Connected:
    loop = asyncio.get_running_loop()
    connected = _loops.get(loop)
    if connected is None:
        connected = _loops[loop] = _Connected(_new(url or settings.REDIS_URL))
    return connected


def _new(url: str) -> "Redis":
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(ConstantBackoff(0.02), 1),
        max_connections=1000,
    )


async def close() -> None:
    """Closes the running event loop's client."""
    connected = _loops.pop(asyncio.get_running_loop(), None)
    if connected is not None:
        await connected.client.aclose()


def key(*parts: object) -> str:
    return ":".join(("sb", *map(str, parts)))


class Script:
    """A Lua script of chat/lua: runs whole or not at all, on the store's own clock."""

    def __init__(self, name: str) -> None:
        self._path = SCRIPTS / f"{name}.lua"

    @cached_property
    def _text(self) -> str:
        return self._path.read_text()

    @cached_property
    def _digest(self) -> str:
        return sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """One round trip; two when the store does not know the script (after its restart). Raises RedisError."""
        connected = _connected()
        command: Callable[..., Awaitable[Any]] = connected.client.execute_command
        async with connected.places:
            try:
                return await command("EVALSHA", self._digest, len(keys), *keys, *arguments)
            except NoScriptError:
                return await command("EVAL", self._text, len(keys), *keys, *arguments)
