"""tick(): what is due fires. Called every second or so by however many schedulers; each due time fires once (AG-44)."""

import logging
from datetime import UTC, datetime
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import DatabaseError

from agents import directory
from agents.errors import SwitchboardError
from chat import queued
from tasks.firing import fire
from tasks.models import Schedule

logger = logging.getLogger("switchboard.schedules")
_MOST = 500


def tick(now: datetime | None = None) -> int:
    """Fires what is due; one query when nothing is. Returns how many schedules were due. Synchronous, for a thread without a loop."""
    now = now or datetime.now(UTC)
    due = list(Schedule.objects.filter(enabled=True, next_run_at__lte=now).order_by("next_run_at").values_list("pk", flat=True)[:_MOST])
    if due:
        catalog = directory.fresh()
        waiting = {agent_id for schedule_id in due if (agent_id := _fired(schedule_id, now, catalog)) is not None}
        async_to_sync(_announce)(waiting)
    return len(due)


def _fired(schedule_id: UUID, now: datetime, catalog: directory.Catalog) -> UUID | None:
    """One schedule that cannot fire keeps no other from firing."""
    try:
        return fire(schedule_id, now, catalog)
    except SwitchboardError as error:
        logger.error("schedule %s has no next time any more: %s", schedule_id, error.message)
        Schedule.objects.filter(pk=schedule_id).update(enabled=False, next_run_at=None)
    except DatabaseError:
        logger.exception("schedule %s fires later", schedule_id)
    return None


async def _announce(agent_ids: set[UUID]) -> None:
    for agent_id in agent_ids:
        try:
            await queued.announce(agent_id)
        except SwitchboardError as error:
            logger.warning("runs of agent %s wait until a worker looks by itself: %s", agent_id, error.code)
