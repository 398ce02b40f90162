"""The bell of a conversation: rings when a turn waits, begins or goes on in it, and when it is renamed, closed or deleted.

Only rings; what is true stands in the database and in the logs of its runs. Costs nothing in this process where nobody watches.
"""

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID

from agents.settings import settings
from chat import redis
from chat.eventship import shipper

logger = logging.getLogger("switchboard.live")
Ear = Callable[[UUID | None], None]
"""Is told the execution that moved; None: look at everything of the conversation again. Must not wait."""
_PATIENCE_S = 0.2
"""How soon a new ear hears other processes; it looks again once it does, so nothing is lost before."""


def ring(session_id: UUID, execution_id: UUID | None = None) -> None:
    """Tells every watcher of the conversation, in every process, that this run of it (None: the conversation itself) moved.

    Other processes hear of it after the events that this one has said so far. Called on the event loop.
    """
    _rung(session_id, execution_id)
    if settings.REDIS_URL:
        shipper.publish(_channel_of(session_id), execution_id.hex if execution_id else "")


def watch(session_id: UUID, ear: Ear) -> None:
    """From now on `ear` hears the conversation's bell. One ear per conversation and process."""
    _ears[session_id] = ear
    if settings.REDIS_URL:
        _listener.ensure()


def unwatch(session_id: UUID) -> None:
    _ears.pop(session_id, None)


_ears: dict[UUID, Ear] = {}


def _rung(session_id: UUID, execution_id: UUID | None) -> None:
    ear = _ears.get(session_id)
    if ear is not None:
        ear(execution_id)


def _channel_of(session_id: UUID) -> str:
    return redis.key("session", session_id.hex)


class Listener:
    """Hears the bells of other processes, for the conversations that are watched here: one connection per process."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def ensure(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._listen())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        """Ends by itself when nothing is watched any more. What rang while it was deaf is made good by looking again."""
        while _ears:
            try:
                await self._follow()
            except redis.failures() as error:
                logger.warning("the bells of other processes are not heard: %s", error)
                await asyncio.sleep(1)

    async def _follow(self) -> None:
        heard: set[UUID] = set()
        async with redis.client().pubsub(ignore_subscribe_messages=True) as pubsub:
            while _ears:
                added, gone = _ears.keys() - heard, heard - _ears.keys()
                if added:
                    await pubsub.subscribe(*map(_channel_of, added))
                if gone:
                    await pubsub.unsubscribe(*map(_channel_of, gone))
                heard = (heard | added) - gone
                for session_id in added:
                    _rung(session_id, None)
                self._hear(await pubsub.get_message(timeout=_PATIENCE_S))

    def _hear(self, message: dict[str, bytes] | None) -> None:
        if message is not None:
            session_id, execution_id = message["channel"].decode().rpartition(":")[2], message["data"].decode()
            _rung(UUID(session_id), UUID(execution_id) if execution_id else None)


_listener = Listener()


async def close() -> None:
    """Ends the listening of this process."""
    await _listener.close()
