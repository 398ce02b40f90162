"""Searching for an id on pages whose ids are UUIDs."""

from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def with_id(rows: QuerySet[Row], text: str) -> tuple[QuerySet[Row], bool] | None:
    """The row with that id, as get_search_results() answers; None when `text` is not an id."""
    try:
        wanted: Any = UUID(text.strip())
    except ValueError:
        return None
    return rows.filter(pk=wanted), False
