"""The open sockets of this process: pings, checks, and the end of the process (WS-10, WS-42, WS-66). One task for all of them."""

import asyncio
import logging
import time

from django.db import DatabaseError

from chat import clientcalls
from chat.protocols.websocket import counting
from chat.protocols.websocket.checks import check
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.errors import now
from chat.protocols.websocket.frames import Frame

logger = logging.getLogger("switchboard.websocket")
PING_S = 25
IDLE_S = 86_400
RETRY_AFTER_S = 5
_slots: list[set[Connection]] = [set() for _ in range(PING_S)]
"""Each connection has its own second of the 25, so that they are not all served in the same one."""


class Ticker:
    """Serves one slot each second while sockets are open."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self.slot = 0

    def ensure(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._tick())

    async def _tick(self) -> None:
        while any(_slots):
            await asyncio.sleep(1)
            self.slot = (self.slot + 1) % PING_S
            for connection in list(_slots[self.slot]):
                await self._serve(connection)
            if self.slot == 0:
                await counting.renew()

    async def _serve(self, connection: Connection) -> None:
        """A ping, and whether everything that was allowed still is."""
        if connection.closing:
            return
        if time.monotonic() - connection.heard_at > IDLE_S:
            connection.close(1000)
            return
        connection.outbox.put(Frame({"type": "ping", "ts": now()}))
        if connection.manifest:
            await clientcalls.enter(connection.id)
        try:
            await check(connection)
        except DatabaseError as error:
            logger.warning("an open socket cannot be checked: %s", error)


_ticker = Ticker()


def add(connection: Connection) -> None:
    """From now on it is served, the first time 25 seconds later."""
    _slots[_ticker.slot].add(connection)
    _ticker.ensure()


def discard(connection: Connection) -> None:
    for slot in _slots:
        slot.discard(connection)


def everyone() -> list[Connection]:
    return [connection for slot in _slots for connection in slot]


async def drain() -> None:
    """Before the turns are ended: who has nothing to wait for is asked to connect again at once (4503)."""
    _say_goodbye([connection for connection in everyone() if not connection.is_busy()])


async def close() -> None:
    """After the turns are ended: the others, each after the last frame of its turns."""
    left = everyone()
    _say_goodbye(left)
    await asyncio.gather(*(connection.closed() for connection in left))


def _say_goodbye(connections: list[Connection]) -> None:
    for connection in connections:
        connection.end("shutting_down", retry_after_s=RETRY_AFTER_S)
