"""What became of a schedule's runs in the last hours: counts, success rate, percentiles of their duration, cost (AG-46)."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, Sum

from chat.models import Execution

_RAN = (Execution.Status.SUCCESS, Execution.Status.FAILED)


def analytics(schedule_id: UUID, window_hours: int, now: datetime) -> dict[str, Any]:
    """Rates and percentiles are None without runs; cost is None when there were runs and none has a known one (R0.3)."""
    runs = Execution.objects.filter(schedule_id=schedule_id, created_at__gte=now - timedelta(hours=window_hours))
    counted = {status: Count("pk", filter=Q(status=status)) for status in ("success", "failed", "skipped")}
    found = runs.aggregate(total=Count("pk"), cost=Sum("cost_usd"), **counted)
    ended = found["success"] + found["failed"]
    took = sorted(ms for ms in runs.filter(status__in=_RAN).values_list("duration_ms", flat=True) if ms is not None)
    return {
        "window_hours": window_hours,
        "total": found["total"],
        "success": found["success"],
        "failed": found["failed"],
        "skipped": found["skipped"],
        "success_rate": round(found["success"] / ended, 4) if ended else None,
        **{f"p{percent}_ms": percentile(took, percent) for percent in (50, 95, 99)},
        "total_cost": _cost(found["cost"], ended),
    }


def percentile(ascending: Sequence[int], percent: int) -> int | None:
    """The smallest value that `percent` of 100 values do not exceed."""
    return ascending[math.ceil(len(ascending) * percent / 100) - 1] if ascending else None


def _cost(known: Any, ended: int) -> float | None:
    if known is None:
        return None if ended else 0.0
    return float(round(known, 6))
