"""The start and the end of a process that runs turns: a web server or a worker."""

import gc
import logging
from collections.abc import Awaitable, Callable

from django.conf import settings

from agents import directory
from agents.providers import http
from agents.settings import look_again
from chat import eventship, housekeeping, process, sessionbell, turns
from chat.leases import leases
from chat.redis import close as close_redis
from chat.turn import live

logger = logging.getLogger("switchboard.lifetime")
_GC_THRESHOLDS = (5_000, 20, 1000)
"""Turns make few cycles; Python's own thresholds look through hundreds of thousands of live events many times a second."""


async def startup() -> None:
    """Loads the catalog, takes the owner lock, ends what a dead predecessor left (R12.5)."""
    process.reopen()
    look_again()
    await directory.catalog()
    housekeeping.ensure()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def shutdown(close_sockets: Callable[[], Awaitable[None]] | None = None) -> None:
    """No new runs; running ones end, or wait for another process; who watched them has seen that; connections are closed."""
    if live:
        logger.info("waiting up to %s s for what runs to end (%s); a second signal ends at once", settings.SHUTDOWN_SECONDS, len(live))
    await turns.shutdown()
    if close_sockets is not None:
        await close_sockets()
    await sessionbell.close()
    await housekeeping.stop()
    await eventship.close()
    await http.close()
    await leases.close()
    await close_redis()
