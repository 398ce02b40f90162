"""The silent repeats of the common SDKs, which ask again when an answer was lost and never send an Idempotency-Key (R4.1).

Runs of such clients on a conversation are remembered for the request timeout; losing one means no worse than having none.
"""

import asyncio
import time
from collections import OrderedDict
from uuid import UUID

from django.conf import settings

from agents.access import Principal
from chat import redis
from chat.idempotency import scope_hash

_MAX_REMEMBERED = 50_000
_recent: OrderedDict[str, tuple[UUID, float]] = OrderedDict()
_telling: set["asyncio.Task[None]"] = set()


def key_of(principal: Principal, route: str, session: str, fingerprint: str) -> str:
    """What makes two requests the same; `session` is what the caller names its conversation by, or its id."""
    return scope_hash([principal.key, route, session, fingerprint])


def remember(key: str, execution_id: UUID) -> None:
    """A run of a client that may repeat itself (it sent `x-stainless-retry-count`) has begun. Other processes hear of it soon."""
    _recent[key] = (execution_id, time.monotonic() + settings.CHAT_REQUEST_TIMEOUT)
    _recent.move_to_end(key)
    if len(_recent) > _MAX_REMEMBERED:
        _recent.popitem(last=False)
    if settings.REDIS_URL:
        task = asyncio.get_running_loop().create_task(_tell(key, execution_id))
        _telling.add(task)
        task.add_done_callback(_telling.discard)


async def _tell(key: str, execution_id: UUID) -> None:
    try:
        await redis.client().set(_stored(key), str(execution_id), ex=settings.CHAT_REQUEST_TIMEOUT)
    except redis.failures():
        return


async def find(key: str) -> UUID | None:
    """The run that a repeat (`x-stainless-retry-count` of 1 or more) is to be attached to; None when there was none."""
    known = _recent.get(key)
    if known is not None and known[1] > time.monotonic():
        return known[0]
    if not settings.REDIS_URL:
        return None
    try:
        found = await redis.client().get(_stored(key))
    except redis.failures():
        return None
    return UUID(found.decode()) if isinstance(found, bytes) else None


def _stored(key: str) -> str:
    return redis.key("repeat", key)
