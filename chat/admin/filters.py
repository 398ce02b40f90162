"""Finding rows: by their id, and by the days they are from."""

from datetime import datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date
from unfold.contrib.filters.admin import RangeDateFilter

Row = TypeVar("Row", bound=Model)


def with_id(rows: QuerySet[Row], text: str) -> tuple[QuerySet[Row], bool] | None:
    """The row with that id, as get_search_results() answers; None when `text` is not an id."""
    try:
        wanted: Any = UUID(text.strip())
    except ValueError:
        return None
    return rows.filter(pk=wanted), False


class DaysFilter(RangeDateFilter):  # type: ignore[misc]  # unfold is untyped
    """From one day to another, both whole days of the site's time zone."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since, until = (_midnight(self.used_parameters.get(f"{self.parameter_name}_{end}")) for end in ("from", "to"))
        if since:
            queryset = queryset.filter(**{f"{self.parameter_name}__gte": since})
        if until:
            queryset = queryset.filter(**{f"{self.parameter_name}__lt": until + timedelta(days=1)})
        return queryset


def _midnight(text: Any) -> datetime | None:
    """The beginning of a day; None for what is not a day."""
    try:
        day = parse_date(str(text or ""))
    except ValueError:
        return None
    return timezone.make_aware(datetime.combine(day, time.min)) if day else None
