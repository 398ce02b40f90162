"""What makes a Celery worker a process of Switchboard: an event loop in a thread of its own, on which its runs go.

Its pool is threads: they only wait for the loop. SIGTERM ends it in order: it takes no more calls, lets its runs go on for
WORKER_SHUTDOWN_SECONDS, and puts back what is left, for another worker to begin again (AG-32).
"""

import asyncio
import threading
from typing import Any

from celery import bootsteps
from celery.worker import WorkController
from django.core.exceptions import ImproperlyConfigured


class SpineStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery is untyped
    """Starts after the pool and before the consumer, and stops the other way round. An embedded worker has the server's loop."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return type(parent) is not WorkController

    def create(self, parent: Any) -> "Spine":
        pool = parent.pool_cls.__module__
        if not pool.endswith((".thread", ".solo")):
            raise ImproperlyConfigured(f"the worker's runs are on an event loop: use --pool threads, not {pool}")
        return Spine()


class Spine:
    """The thread of the loop."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="spine")
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()
        if not self._thread.is_alive():
            raise RuntimeError("the worker could not start; the log says why")

    def stop(self) -> None:
        if self._loop is not None and self._over is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    terminate = stop

    def _run(self) -> None:
        import uvloop

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from django.conf import settings

        from config import lifetime
        from tasks import bridge

        settings.SHUTDOWN_SECONDS = settings.WORKER_SHUTDOWN_SECONDS
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        bridge.use(self._loop)
        await lifetime.startup()
        self._ready.set()
        await self._over.wait()
        await lifetime.shutdown()
        bridge.use(None)
