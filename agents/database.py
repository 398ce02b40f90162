"""Where synchronous database work meets the event loop: a few threads, each with a connection of its own that it keeps."""

import asyncio
import select
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="database")


async def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `work` in a database thread. Django's database errors come through; a broken connection is replaced."""
    return await asyncio.get_running_loop().run_in_executor(_threads, lambda: guarded(work, *args, **kwargs))


def guarded(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `work` on this thread's connection, which is closed first if it is broken or too old."""
    connection: Any
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
        if connection.health_check_enabled and not connection.health_check_done:
            connection.health_check_done = _is_silent(connection)
    return work(*args, **kwargs)


def _is_silent(connection: Any) -> bool:
    """A server that ended, or ended the connection, has said so: this costs no round trip. Django asks in doubt."""
    if connection.connection is None or connection.vendor != "postgresql":
        return False
    socket = select.poll()
    socket.register(connection.connection.fileno(), select.POLLIN)
    return not socket.poll(0)
