"""Connections of one event loop by where they lead: kept while idle, opened when there is none, never limited in number."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import aiohappyeyeballs

from agents.providers.connection import Connection

KEEP_IDLE_S = 15.0
"""Servers close idle connections themselves after some time: one that they may be closing right now is not used."""
KEEP_ADDRESSES_S = 60.0
MAX_ADDRESSES = 256
NEXT_ADDRESS_S = 0.25
"""After so long without an answer the next address of a name is tried, too (RFC 8305)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections lead."""

    host: str
    port: int
    secure: bool


class Pool:
    """get() or connect() gives a connection, which comes back by itself when its exchange is over."""

    def __init__(self) -> None:
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._addresses: dict[tuple[str, int], tuple[float, Sequence[Any]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def idle_connections(self) -> int:
        return sum(map(len, self._idle.values()))

    def get(self, origin: Origin) -> Connection | None:
        """One that is idle, if there is one."""
        waiting = self._idle.get(origin)
        while waiting:
            connection = waiting.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    async def close(self) -> None:
        """Ends every connection, whatever it does."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._open):
            connection.transport.abort()

    async def connect(self, origin: Origin) -> Connection:
        """A new one. Raises OSError (also ssl.SSLError) when there is no way to it."""
        loop = asyncio.get_running_loop()
        try:
            opened = await aiohappyeyeballs.start_connection(
                await self._resolve(origin.host, origin.port), happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1, loop=loop
            )
        except OSError:
            self._addresses.pop((origin.host, origin.port), None)
            raise
        idle, gone = lambda connection: self._keep(origin, connection), lambda connection: self._drop(origin, connection)
        trust, name = (_trust(), origin.host) if origin.secure else (None, None)
        try:
            _, connection = await loop.create_connection(lambda: Connection(idle, gone), sock=opened, ssl=trust, server_hostname=name)
        except BaseException:
            opened.close()
            raise
        if not connection.transport.is_closing():  # else it was dropped already
            self._open.add(connection)
        return connection

    async def _resolve(self, host: str, port: int) -> Sequence[Any]:
        """Addresses of a name, the same ones for a minute."""
        loop = asyncio.get_running_loop()
        known = self._addresses.get((host, port))
        if known is not None and known[0] > loop.time():
            return known[1]
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if len(self._addresses) >= MAX_ADDRESSES:
            self._addresses.clear()
        self._addresses[host, port] = (loop.time() + KEEP_ADDRESSES_S, found)
        return found

    def _keep(self, origin: Origin, connection: Connection) -> None:
        connection.idle_since = connection.loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(KEEP_IDLE_S, self._sweep)

    def _drop(self, origin: Origin, connection: Connection) -> None:
        self._open.discard(connection)
        waiting = self._idle.get(origin, [])
        if connection in waiting:
            waiting.remove(connection)

    def _sweep(self) -> None:
        """Closes what was idle for long."""
        loop = asyncio.get_running_loop()
        before = loop.time() - KEEP_IDLE_S
        for waiting in self._idle.values():
            for connection in [each for each in waiting if each.idle_since <= before]:
                waiting.remove(connection)
                connection.transport.abort()
        self._idle = {origin: waiting for origin, waiting in self._idle.items() if waiting}
        self._sweeper = loop.call_later(KEEP_IDLE_S, self._sweep) if self._idle else None


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()
