"""The bell between processes: whoever runs this execution, stop it (or forget it). Only rings; what is true stands in the database."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

from chat.redis import client, failures

_CHANNEL = "sb:cancel"
FORGET = "forget"
"""The code that does not stop a run, but asks to forget what was said in one that has ended."""


async def ring(execution_id: UUID, code: str) -> None:
    """Asks every process to stop the run with `code`; without an answer the caller falls back on the database."""
    with contextlib.suppress(*failures()):
        await client().publish(_CHANNEL, f"{execution_id} {code}")


async def heard(listening: Callable[[], Awaitable[None]]) -> AsyncIterator[tuple[UUID, str]]:
    """What other processes ask for: execution and code of the stop. `listening` is called when this process begins to hear."""
    async with client().pubsub() as channel:
        await channel.subscribe(_CHANNEL)
        async for message in channel.listen():
            if message["type"] == "subscribe":
                await listening()
            if message["type"] == "message":
                data = message["data"]
                execution_id, _, code = (data.decode() if isinstance(data, bytes) else str(data)).partition(" ")
                yield UUID(execution_id), code or "cancelled"
