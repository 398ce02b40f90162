"""Celery tasks, one call deep: Celery carries calls, the database holds what is to be done (AG-31)."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

from celery import shared_task
from django.conf import settings
from kombu.exceptions import OperationalError

from chat.errors import TurnError
from chat.working import work
from tasks import bridge

_sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="celery-sender")
_FEW_TRIES = {"max_retries": 2, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}
_LIFE_S = 60
"""A call that nobody heard for so long is made again by tasks.recovery."""


@shared_task(name="tasks.look", ignore_result=True)  # type: ignore[untyped-decorator]  # Celery is untyped
def look(agent_id: str) -> None:
    """Runs what waits for this agent, and then what else waits."""
    bridge.run(work(UUID(agent_id)))


async def announce(agent_id: UUID) -> None:
    """Has some worker look(). Raises store_unavailable when the broker cannot be reached."""
    if settings.CELERY_BROKER_URL.startswith("memory:") and not bridge.is_used():
        return  # nobody could ever hear
    send = partial(look.apply_async, (str(agent_id),), expires=_LIFE_S, retry_policy=_FEW_TRIES)
    try:
        await asyncio.get_running_loop().run_in_executor(_sender, send)
    except (OperationalError, OSError) as error:
        raise TurnError("store_unavailable", retry_after_s=1) from error
