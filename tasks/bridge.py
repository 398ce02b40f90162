"""Where Celery's threads meet the event loop: a task hands its work to the loop on which this process runs turns, and waits.

In a web process that is the server's own loop; a worker process has one for the purpose (config/workerprocess.py).
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import wait
from typing import Any, TypeVar

T = TypeVar("T")
_LOOK_S = 5.0
_loop: asyncio.AbstractEventLoop | None = None


def use(loop: asyncio.AbstractEventLoop | None) -> None:
    """The loop for all work that follows; None: this process ends, and what comes is left to others."""
    global _loop
    _loop = loop


def run(work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives on the loop; None when the process ends meanwhile. For threads without a loop of their own."""
    loop = _loop
    if loop is None or loop.is_closed():
        work.close()
        return None
    future = asyncio.run_coroutine_threadsafe(work, loop)
    while not wait([future], _LOOK_S).done:
        if loop.is_closed():
            return None
    return None if future.cancelled() else future.result()


def is_used() -> bool:
    """Whether this process works on the queue."""
    return _loop is not None
