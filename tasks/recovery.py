"""Queued runs whose process died wait again (AG-32), those that waited a day end (AG-31), and workers are told again of all that wait.

Runs in every process with chat.housekeeping, at its start and every ten seconds: whatever broker and processes lost, rows have.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Q

from agents.errors import SwitchboardError
from chat import finished, queued, recovery, taking, turns, working
from chat.endings import end_stored
from chat.lateend import announce
from chat.leases import leases
from chat.models import Execution
from chat.store import run

logger = logging.getLogger("switchboard.tasks")
LONGEST_WAIT = timedelta(hours=24)
_MOST = 500


async def sweep(dead_owners: Sequence[str]) -> None:
    """`dead_owners`: processes that are known to be gone, whose runs need not wait for their leases to lapse."""
    await _take_back(dead_owners, lapsed=recovery.lapses_count())
    await _end_what_cannot_start()
    await _announce_again()
    await finished.sweep()


async def _take_back(dead_owners: Sequence[str], *, lapsed: bool) -> None:
    for row in await run(_dead, dead_owners, lapsed):
        if turns.find(row.id) is None:
            await _put_back(row)


def _dead(owners: Sequence[str], lapsed: bool) -> list[Execution]:
    gone = Q(process__in=owners) | (Q(lease_until__lt=datetime.now(UTC)) if lapsed else Q(pk__in=[]))
    rows = Execution.objects.filter(gone, status__in=("queued", "running"), work__isnull=False, lease_until__isnull=False)
    return list(rows.only("id", "agent_id", "agent_name", "session_id", "attempt_number", "lease_until")[:_MOST])


async def _put_back(row: Execution) -> None:
    text, last_seq = await recovery.partial(row.id)
    back = await run(taking.put_back, row.id, row.attempt_number, last_seq, row.lease_until)
    if back == "not ours":
        return
    if back == "spent" and await run(end_stored, row.id, "failed", "interrupted", text, last_seq):
        await announce(row.id)
    await leases.free(row.id, row.session_id, str(row.agent_id or row.agent_name))
    logger.warning("run %s lost its process and %s", row.id, "waits again" if back == "waits" else "had its last attempt")


async def _end_what_cannot_start() -> None:
    for execution_id, code in await run(_hopeless):
        if await run(end_stored, execution_id, "failed", code):
            await announce(execution_id)


def _hopeless() -> list[tuple[UUID, str]]:
    """Runs that waited too long, and runs of agents that were deleted."""
    waiting = Execution.objects.filter(status="queued", work__isnull=False, lease_until__isnull=True)
    late = waiting.filter(queued_at__lt=datetime.now(UTC) - LONGEST_WAIT).values_list("id", flat=True)
    orphaned = waiting.filter(agent_id__isnull=True).values_list("id", flat=True)
    found = dict.fromkeys(late[:_MOST], "queue_timeout") | dict.fromkeys(orphaned[:_MOST], "agent_not_found")
    return list(found.items())


async def _announce_again() -> None:
    """One call per agent: whoever takes a run up calls for the next."""
    for agent_id in await run(taking.startable, await working.limits()):
        try:
            await queued.announce(agent_id)
        except SwitchboardError:
            logger.warning("the broker is away: what is queued waits")
            return
