"""How many sockets a principal and an address have open (§10): of this process, or with Redis of all.

Each process keeps its counts in a hash of its own, which lapses with the process; so no count outlives what it counts.
"""

import logging
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

from chat import process, redis
from chat.redis import failures

if TYPE_CHECKING:
    from chat.redisclient import Script

logger = logging.getLogger("switchboard.websocket")
LIFE_S = 90
_counts: Counter[str] = Counter()


async def enter(principal: str, address: str) -> bool:
    """Counts one more socket of both; False, and nothing counted, when either has too many."""
    limits = {f"p:{principal}": settings.WS_MAX_PER_PRINCIPAL, f"a:{address}": settings.WS_MAX_PER_ADDRESS}
    if not (await _enter_all(limits) if settings.REDIS_URL else _fits(limits)):
        return False
    _counts.update(limits.keys())
    return True


async def leave(principal: str, address: str) -> None:
    """One socket less."""
    names = (f"p:{principal}", f"a:{address}")
    _counts.subtract(names)
    for name in names:
        if _counts[name] <= 0:
            del _counts[name]
    if settings.REDIS_URL:
        await _leave_all(names)


async def renew() -> None:
    """Called now and then while sockets are open: what this process counts is written anew, and lives on."""
    if not settings.REDIS_URL:
        return
    try:
        async with redis.client().pipeline(transaction=True) as pipeline:
            pipeline.delete(_own())
            if _counts:
                pipeline.hset(_own(), mapping=dict(_counts.items()))
                pipeline.expire(_own(), LIFE_S)
            await pipeline.execute()
    except failures() as error:
        logger.warning("open sockets are not counted over processes: %s", error)


def _fits(limits: dict[str, int]) -> bool:
    return all(limit <= 0 or _counts[name] < limit for name, limit in limits.items())


async def _enter_all(limits: dict[str, int]) -> bool:
    words = [str(word) for pair in limits.items() for word in pair]
    try:
        return bool(await _script().run([_everybody()], [process.NAME, LIFE_S, *words]))
    except failures() as error:
        logger.warning("sockets are counted in memory: %s", error)
        return _fits(limits)


async def _leave_all(names: tuple[str, str]) -> None:
    try:
        async with redis.client().pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hincrby(_own(), name, -1)
            await pipeline.execute()
    except failures() as error:
        logger.warning("open sockets are not counted over processes: %s", error)


@cache
def _script() -> "Script":
    """Loaded where there is a shared store."""
    from chat.redisclient import Script

    return Script("sockets_enter")


def _everybody() -> str:
    return redis.key("sockets")


def _own() -> str:
    return redis.key("sockets", process.NAME)
