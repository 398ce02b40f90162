"""The shared store of several web processes (REDIS_URL). Its client library is loaded when it is first asked for, so without one never."""

from typing import TYPE_CHECKING

from django.conf import settings

from agents.sharedstore import failures

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from chat.redisclient import Calls

__all__ = ["client", "close", "failures", "key", "shared"]


def client() -> "Redis":
    """The client of the running event loop, for bytes. Connects when first used; a broken connection is tried once more."""
    from chat import redisclient

    return redisclient.here().client


def shared() -> "Calls":
    """The same, for what every turn asks: one connection, nothing that blocks, and no more than packing and parsing in between."""
    from chat import redisclient

    return redisclient.here()


async def close() -> None:
    """Closes the running event loop's connections."""
    if settings.REDIS_URL:
        from chat import redisclient

        await redisclient.close()


def key(*parts: object) -> str:
    return ":".join(("sb", *map(str, parts)))
