"""Where synchronous database work meets the event loop: a few threads, each with a connection of its own that it keeps."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="database")


async def run(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `work` in a database thread. Django's database errors come through; a broken connection is replaced."""
    return await asyncio.get_running_loop().run_in_executor(_threads, lambda: guarded(work, *args, **kwargs))


def guarded(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `work` on this thread's connection, which is closed first if it is broken or too old."""
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()
    return work(*args, **kwargs)
