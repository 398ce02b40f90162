"""The bell that tells waiting turns that it is theirs, over all processes. It may be missed: whoever waits also asks by itself."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from uuid import UUID

from chat import redis

logger = logging.getLogger("switchboard.leases")


class TurnBell:
    """Listens while anybody waits here. One listener per process; wakes the execution whose id is rung."""

    CHANNEL = redis.key("bell")

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def listening(self, execution_id: UUID, woken: asyncio.Event) -> Iterator[None]:
        self._waiting[str(execution_id).encode()] = woken
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._listen())
        try:
            yield
        finally:
            del self._waiting[str(execution_id).encode()]

    async def _listen(self) -> None:
        """Ends by itself when nobody waits any more."""
        while self._waiting:
            try:
                async with redis.client().pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self.CHANNEL)
                    for woken in self._waiting.values():
                        woken.set()  # whatever rang before we listened
                    while self._waiting:
                        self._heard(await channel.get_message(timeout=1.0))
            except redis.failures() as error:
                logger.warning("the turn bell is not heard: %s", error)
                await asyncio.sleep(0.5)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _heard(self, message: dict[str, bytes] | None) -> None:
        woken = self._waiting.get(message["data"]) if message else None
        if woken is not None:
            woken.set()
