"""The client library of the shared store: one client per event loop, and scripts that are one round trip each.

What every turn asks goes over one line of its own (chat.redisline): the client's own layers cost more than the store's work.
Only chat.redis and what is for several processes alone may import this: it takes 5 MB.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from pathlib import Path
from typing import Any

from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as TimedOut

from chat.redisline import TIMEOUT_S, Argument, Command, Line, dial

__all__ = ["Argument", "RedisError", "Script", "close", "here"]

SCRIPTS = Path(__file__).parent / "lua"


@dataclass(slots=True, eq=False)
class Calls:
    """What one event loop has of the store: a client for whatever there is to ask, and a line for what every turn asks."""

    client: "Redis"
    lines: "ConnectionPool"
    line: Line | None = None
    dialling: "asyncio.Task[Line] | None" = None

    async def call(self, command: Command) -> Any:
        """The answer to one command. Raises RedisError or OSError."""
        return await self.answer(self.ask(command), command)

    def ask(self, command: Command) -> "asyncio.Future[Any] | None":
        """Sends it in its order among what is asked here; answer() is to follow. None: there is no line yet, and nothing was sent."""
        line = self._open()
        return None if line is None else line.ask(command)

    async def answer(self, asked: "asyncio.Future[Any] | None", command: Command) -> Any:
        """To what was asked; it is sent again once when the connection broke. Raises RedisError or OSError."""
        answer = await (asked or (self._open() or await self._dialled()).ask(command))
        if isinstance(answer, LostConnection):
            answer = await (self._open() or await self._dialled()).ask(command)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answer to each; those that were refused are ResponseErrors. Sent again once when the connection broke.

        Raises RedisError or OSError.
        """
        answers = await self._asked(commands)
        if any(isinstance(answer, LostConnection) for answer in answers):
            answers = await self._asked(commands)
        for answer in answers:
            if isinstance(answer, LostConnection | TimedOut):
                raise answer
        return answers

    async def _asked(self, commands: Sequence[Command]) -> list[Any]:
        line = self._open() or await self._dialled()
        return [await answer for answer in [line.ask(command) for command in commands]]

    def _open(self) -> Line | None:
        return self.line if self.line is not None and self.line.is_open else None

    async def _dialled(self) -> Line:
        """Whoever needs the line meanwhile waits for the same one."""
        if self.dialling is None or self.dialling.done():
            self.dialling = asyncio.get_running_loop().create_task(self._dial())
        return await asyncio.shield(self.dialling)

    async def _dial(self) -> Line:
        async with asyncio.timeout(TIMEOUT_S):
            self.line = await dial(self.lines.make_connection())  # type: ignore[no-untyped-call]  # redis-py's is
        return self.line

    async def close(self) -> None:
        if self.line is not None:
            await self.line.settled()
            self.line.close()
        await self.client.aclose()


_loops: dict[asyncio.AbstractEventLoop, Calls] = {}


def here() -> Calls:
    """The connections of the running event loop, made when first asked for."""
    loop = asyncio.get_running_loop()
    known = _loops.get(loop)
    if known is None:
        for closed in [loop for loop in _loops if loop.is_closed()]:
            _loops.pop(closed, None)
        known = _loops[loop] = _new(settings.REDIS_URL)
    return known


def _new(url: str) -> Calls:
    limits: dict[str, Any] = {"protocol": 2, "socket_connect_timeout": TIMEOUT_S, "socket_timeout": TIMEOUT_S}
    once_more = Retry(ConstantBackoff(0.02), 1)
    return Calls(Redis.from_url(url, **limits, retry=once_more, max_connections=1000), ConnectionPool.from_url(url, protocol=2))


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

    def run(self, keys: Sequence[str], arguments: Sequence[Argument]) -> Coroutine[Any, Any, Any]:
        """Sends it where there is a line; its answer is to be awaited, which raises RedisError or OSError.

        One round trip; two when the store does not know the script (after its restart).
        """
        command = ["EVALSHA", self._digest, len(keys), *keys, *arguments]
        return self._answer(here().ask(command), command)

    async def _answer(self, asked: "asyncio.Future[Any] | None", command: list[Argument]) -> Any:
        calls = here()
        try:
            return await calls.answer(asked, command)
        except NoScriptError:
            return await calls.call(["EVAL", self._text, *command[2:]])
