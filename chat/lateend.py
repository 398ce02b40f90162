"""The end of a run that no process holds (paused, or its process died): told to whoever watches, wherever they watch."""

from uuid import UUID

from django.conf import settings

from chat import finished, sessionbell
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
    session_id, last_seq, unreported = await run(_where, execution_id)
    if settings.REDIS_URL:
        await append_end(execution_id, last_seq, event)
    if session_id is not None:
        sessionbell.ring(session_id, execution_id)
    if unreported:
        finished.tell(execution_id)


def _where(execution_id: UUID) -> tuple[UUID | None, int, bool | None]:
    """The run's conversation, its last number, and whether somebody waits to be told of its end."""
    row = Execution.objects.filter(id=execution_id).values_list("session_id", "last_seq", "unreported").first()
    return row or (None, 0, None)
