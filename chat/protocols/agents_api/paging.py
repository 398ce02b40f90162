"""Paging of this wire (AG-5): `limit` and `before`, and a Link to the next page when there is more."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings

from agents.errors import SwitchboardError
from chat.archive import NotThere
from chat.queries import query_problem
from chat.store import run
from chat.views import Call, uuid_for

T = TypeVar("T")


def limit_of(call: Call, default: int, most: int) -> int:
    """`?limit=`, 1 to `most`. Raises validation_error."""
    text = call.query.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
        raise query_problem("limit", f"must be a whole number from 1 to {most}")
    return int(text)


def next_link(call: Call, before: object | None) -> dict[str, str]:
    """The Link header of a page that ends with the item `before`; nothing when it is the last page."""
    if before is None:
        return {}
    query = urlencode([*((name, value) for name, value in call.query.items() if name != "before"), ("before", str(before))])
    return {"Link": f'<{settings.PUBLIC_BASE_URL}{call.request.path}?{query}>; rel="next"'}


def before_of(call: Call) -> UUID | None:
    """`?before=`, the last id of the page before. Raises validation_error for what can't be one."""
    text = call.query.get("before")
    try:
        return None if text is None else uuid_for(text, "not_found")
    except SwitchboardError:
        raise unknown_before() from None


def unknown_before() -> SwitchboardError:
    return query_problem("before", "must be the id of an item of this list")


async def page(read: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Reads a page of the archive. Raises validation_error for a `before` that is not there."""
    try:
        return await run(read, *args, **kwargs)
    except NotThere:
        raise unknown_before() from None
