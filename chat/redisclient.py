"""The client library of the shared store: one client per event loop, and scripts that are one round trip each.

Scripts have connections of their own, and no more between them and the socket than packing and parsing: every turn runs two.
Only chat.redis and what is for several processes alone may import this: it takes 5 MB.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha1
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

__all__ = ["RedisError", "Script", "close", "here"]

SCRIPTS = Path(__file__).parent / "lua"
TIMEOUT_S = 2.0
"""A store that takes longer counts as down: a turn must not hang on it."""
AT_ONCE = 32
"""Scripts under way at a time per event loop, and so their connections."""

Argument = str | bytes | int | float


@dataclass(slots=True, eq=False)
class _Loop:
    """What one event loop has. `lines` makes connections for scripts; `idle` are those that wait for one to run."""

    client: "Redis"
    lines: "ConnectionPool"
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    idle: list[AbstractConnection] = field(default_factory=list)

    async def call(self, words: Sequence[Argument]) -> Any:
        """The answer to one command. A connection that broke while it was idle is no failure. Raises RedisError or OSError."""
        packed = pack_command(tuple(words))  # type: ignore[arg-type]  # its stub wants one tuple of one type
        async with self.places, asyncio.timeout(TIMEOUT_S):
            while self.idle:
                try:
                    return await self._exchange(self.idle.pop(), packed)
                except LostConnection:
                    continue
            connection: AbstractConnection = self.lines.make_connection()  # type: ignore[no-untyped-call]
            await connection.connect()  # type: ignore[no-untyped-call]
            return await self._exchange(connection, packed)

    async def _exchange(self, connection: AbstractConnection, packed: bytes) -> Any:
        try:
            await connection.send_packed_command(packed, check_health=False)
            answer = await connection.read_response()
        except ResponseError:
            self.idle.append(connection)
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self.idle.append(connection)
        return answer

    async def close(self) -> None:
        while self.idle:
            await self.idle.pop().disconnect(nowait=True)
        await self.client.aclose()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()


def here() -> _Loop:
    """The connections of the running event loop, made when first asked for."""
    loop = asyncio.get_running_loop()
    known = _loops.get(loop)
    if known is None:
        known = _loops[loop] = _new(settings.REDIS_URL)
    return known


def _new(url: str) -> _Loop:
    once_more, at_once = Retry(ConstantBackoff(0.02), 1), Retry(NoBackoff(), 0)
    limits: dict[str, Any] = {"protocol": 2, "socket_connect_timeout": TIMEOUT_S}
    return _Loop(
        Redis.from_url(url, **limits, socket_timeout=TIMEOUT_S, retry=once_more, max_connections=1000),
        ConnectionPool.from_url(url, **limits, socket_timeout=None, retry=at_once),
    )


async def close() -> None:
    """Closes the running event loop's connections."""
    known = _loops.pop(asyncio.get_running_loop(), None)
    if known is not None:
        await known.close()


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
        """One round trip; two when the store does not know the script (after its restart). Raises RedisError or OSError."""
        call = here().call
        try:
            return await call(["EVALSHA", self._digest, len(keys), *keys, *arguments])
        except NoScriptError:
            return await call(["EVAL", self._text, len(keys), *keys, *arguments])
