"""Worker and beat inside a web process: Celery's threads beside the event loop, on which the runs themselves go (design.md §5)."""

import asyncio
import logging
import os
import threading

from django.conf import settings

from config.celery import app
from tasks import bridge

logger = logging.getLogger("switchboard.embedded")
_threads: dict[str, threading.Thread] = {}


def start(loop: asyncio.AbstractEventLoop) -> None:
    """Has this process work on the queue, on `loop`. The threads are started once; they end with the process."""
    bridge.use(loop)
    for name, target in (("celery-worker", _work), ("celery-beat", _beat)):
        if name not in _threads:
            _threads[name] = threading.Thread(target=target, name=name, daemon=True)
            _threads[name].start()


def stop() -> None:
    """From now on calls are left unheard."""
    bridge.use(None)


def _work() -> None:
    """Imports what serving does without only here, beside the server's start."""
    os.environ.setdefault("CELERY_SKIP_CHECKS", "1")  # serving has been checked, and checks import every page of the admin
    from celery.worker import WorkController

    WorkController(
        app=app, pool="threads", concurrency=settings.CELERY_WORKER_CONCURRENCY, without_mingle=True, without_gossip=True,
        without_heartbeat=True,
    ).start()  # fmt: skip
    logger.info("the embedded worker has ended")


def _beat() -> None:
    from celery.beat import Service

    Service(app, scheduler_cls=settings.CELERY_BEAT_SCHEDULER).start()
