"""Counts in fixed one-minute windows, in memory, or in Redis for all processes: failed authentications (R1.8), uses without a login.

When Redis is down each process counts failures for itself: the limit gets softer, nobody is locked out by it.
Uses without a login are refused then (R14.4).
"""

import asyncio
import logging
import time
from collections import Counter
from functools import lru_cache

from django.conf import settings
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agents.errors import SwitchboardError

MAX_FAILURES = 20
WINDOW_SECONDS = 60
_MAX_ADDRESSES = 100_000

logger = logging.getLogger("switchboard.throttle")
_counts: Counter[tuple[str, int]] = Counter()


async def failed(address: str) -> None:
    """Counts a failure; raises rate_limited from the 21st in one minute on."""
    if await _counted(address, 1) > MAX_FAILURES:
        raise refusal()


async def blocked(address: str) -> bool:
    """Whether the next failure of this address would be refused: /api/token then refuses before it checks."""
    return await _counted(address, 0) >= MAX_FAILURES


async def spend(use: str, limit: int) -> None:
    """Counts one use (`webhook:<address>`, say); raises rate_limited beyond `limit` in this minute, store_unavailable without the store."""
    window = int(time.time()) // WINDOW_SECONDS
    try:
        count = await _counted_in_redis(f"sb:uses:{window}:{use}", 1) if settings.REDIS_URL else _counted_in_memory(use, window, 1)
    except (RedisError, OSError) as error:
        raise SwitchboardError("store_unavailable") from error
    if count > limit:
        raise refusal()


def refusal() -> SwitchboardError:
    return SwitchboardError("rate_limited", retry_after_s=WINDOW_SECONDS - int(time.time()) % WINDOW_SECONDS)


async def _counted(address: str, more: int) -> int:
    window = int(time.time()) // WINDOW_SECONDS
    if settings.REDIS_URL:
        try:
            return await _counted_in_redis(f"sb:failed:{window}:{address}", more)
        except (RedisError, OSError) as error:
            logger.warning("failed authentications are counted in memory: %s", type(error).__name__)
    return _counted_in_memory(address, window, more)


def _counted_in_memory(address: str, window: int, more: int) -> int:
    if len(_counts) >= _MAX_ADDRESSES or any(old != window for _, old in list(_counts)[:1]):
        _counts.clear()
    if more:
        _counts[address, window] += more
    return _counts[address, window]


async def _counted_in_redis(key: str, more: int) -> int:
    redis = _redis(asyncio.get_running_loop(), settings.REDIS_URL)
    if not more:
        return int(await redis.get(key) or 0)
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.incrby(key, more)
        pipeline.expire(key, 2 * WINDOW_SECONDS)
        return int((await pipeline.execute())[0])


@lru_cache(maxsize=4)
def _redis(loop: asyncio.AbstractEventLoop, url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
