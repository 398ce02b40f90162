"""Beat: django-celery-beat's scheduler, which fires our schedules itself instead of asking a worker to.

So a pool full of long runs, or a broker that is away, keeps no schedule from firing.
"""

import logging
from typing import Any

from django.db import DatabaseError
from django_celery_beat.schedulers import DatabaseScheduler

from agents.database import guarded
from tasks.schedules import tick

TICK = "tasks.tick"
"""The name of its entry (settings.CELERY_BEAT_SCHEDULE)."""
logger = logging.getLogger("switchboard.schedules")


class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # django-celery-beat is untyped
    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        if entry.task != TICK:
            super().apply_entry(entry, producer)
            return
        try:
            guarded(tick)
        except DatabaseError:
            logger.exception("what is due fires later")
