"""The runs of one schedule as section 7 lists runs, newest first, page by page (AG-46, AG-5)."""

from uuid import UUID

from django.db.models import Q
from django.http import HttpResponse

from agents.database import run
from agents.errors import SwitchboardError
from chat.executions import summary
from chat.models import Execution
from chat.protocols.agents_api.errors import query_problem
from chat.views import Call, respond, uuid_for

_LIMIT, _MOST = 50, 200
_LARGE = ("steps", "usage", "response", "error_detail", "paused_state", "work", "labels")


async def page(call: Call, schedule_id: UUID) -> HttpResponse:
    """Raises validation_error for a bad limit and an unknown `before`."""
    limit = _limit(call.query.get("limit", str(_LIMIT)))
    rows = await run(_rows, schedule_id, call.query.get("before"), limit + 1)
    shown, more = rows[:limit], len(rows) > limit
    following = f'<{call.request.path}?limit={limit}&before={shown[-1].pk}>; rel="next"' if more else ""
    return respond([summary(row) for row in shown], headers={"Link": following} if following else None)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST):
        raise query_problem("limit", f"must be 1 to {_MOST}")
    return int(text)


def _rows(schedule_id: UUID, before: str | None, count: int) -> list[Execution]:
    rows = Execution.objects.filter(schedule_id=schedule_id).select_related("owner").defer(*_LARGE)
    if before is not None:
        last = _known(schedule_id, before)
        rows = rows.filter(Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk))
    return list(rows.order_by("-created_at", "-pk")[:count])


def _known(schedule_id: UUID, before: str) -> Execution:
    try:
        found = Execution.objects.filter(pk=uuid_for(before, "not_found"), schedule_id=schedule_id).only("created_at").first()
    except SwitchboardError:
        found = None
    if found is None:
        raise query_problem("before", "is not a run of this schedule")
    return found
