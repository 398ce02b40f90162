"""The end of a run that no process holds (paused, or its process died): told to whoever watches, wherever they watch."""

from uuid import UUID

from django.conf import settings

from chat.eventlog import registry
from chat.eventship import append_end
from chat.models import Execution
from chat.replay import stored_end
from chat.store import run


async def announce(execution_id: UUID) -> None:
    """Appends the stored end of the run to its log here and to its stream."""
    event = await stored_end(execution_id)
    if event is None:
        return
    log = registry.get(execution_id)
    if log is not None and not log.complete:
        log.append(event)
    if settings.REDIS_URL:
        await append_end(execution_id, await run(_last_seq, execution_id), event)


def _last_seq(execution_id: UUID) -> int:
    return Execution.objects.filter(id=execution_id).values_list("last_seq", flat=True).first() or 0
