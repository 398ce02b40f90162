"""Counts in fixed windows, in memory, or in Redis for all processes: failed authentications (R1.8), uses without a login.

When Redis is down each process counts failures for itself: the limit gets softer, nobody is locked out by it.
Uses without a login are refused then (R14.4).
"""

import asyncio
import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings

from agents.errors import SwitchboardError
from agents.sharedstore import failures

if TYPE_CHECKING:
    from redis.asyncio import Redis

MAX_FAILURES = 20
WINDOW_SECONDS = 60
_MAX_ADDRESSES = 100_000

logger = logging.getLogger("switchboard.throttle")
_counts: dict[str, tuple[float, int]] = {}
"""What is counted in memory: when its window ends, and how often."""


async def failed(address: str) -> None:
    """Counts a failure; raises rate_limited from the 21st in one minute on."""
    if await _failures(address, 1) > MAX_FAILURES:
        raise refusal()


async def blocked(address: str) -> bool:
    """Whether the next failure of this address would be refused: /api/token then refuses before it checks."""
    return await _failures(address, 0) >= MAX_FAILURES


async def spend(use: str, limit: int, window_s: int = WINDOW_SECONDS) -> None:
    """Counts one use (`webhook:<address>`, say); raises rate_limited beyond `limit` in this window, store_unavailable without the store."""
    if await _uses(use, window_s, 1) > limit:
        raise refusal(window_s)


async def give_back(use: str, window_s: int = WINDOW_SECONDS) -> None:
    """Takes back what spend() counted: it turned out to be a replay, which costs nothing (R4.3)."""
    await _uses(use, window_s, -1)


def refusal(window_s: int = WINDOW_SECONDS) -> SwitchboardError:
    return SwitchboardError("rate_limited", retry_after_s=window_s - int(time.time()) % window_s)


async def _failures(address: str, more: int) -> int:
    name = f"failed:{address}"
    if settings.REDIS_URL:
        try:
            return await _counted_in_redis(name, WINDOW_SECONDS, more)
        except failures() as error:
            logger.warning("failed authentications are counted in memory: %s", type(error).__name__)
    return _counted_in_memory(name, WINDOW_SECONDS, more)


async def _uses(use: str, window_s: int, more: int) -> int:
    try:
        return await _counted_in_redis(f"uses:{use}", window_s, more) if settings.REDIS_URL else _counted_in_memory(use, window_s, more)
    except failures() as error:
        raise SwitchboardError("store_unavailable") from error


def _counted_in_memory(name: str, window_s: int, more: int) -> int:
    now = time.time()
    if len(_counts) >= _MAX_ADDRESSES:
        _forget_old(now)
    ends_at, count = _counts.get(name, (0.0, 0))
    if ends_at <= now:
        ends_at, count = (now // window_s + 1) * window_s, 0
    if more:
        _counts[name] = (ends_at, count + more)
    return count + more


def _forget_old(now: float) -> None:
    """Drops windows that have ended; when there are too many open ones, all begin anew."""
    open_ones = {name: entry for name, entry in _counts.items() if entry[0] > now}
    _counts.clear()
    if len(open_ones) < _MAX_ADDRESSES:
        _counts.update(open_ones)


async def _counted_in_redis(name: str, window_s: int, more: int) -> int:
    redis = _redis(asyncio.get_running_loop(), settings.REDIS_URL)
    key = f"sb:{name}:{int(time.time()) // window_s}"
    if not more:
        return int(await redis.get(key) or 0)
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.incrby(key, more)
        pipeline.expire(key, 2 * window_s)
        return int((await pipeline.execute())[0])


@lru_cache(maxsize=4)
def _redis(loop: asyncio.AbstractEventLoop, url: str) -> "Redis":
    from redis.asyncio import Redis

    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
