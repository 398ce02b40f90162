"""Request JSON, strict (R0.4): one object in UTF-8, bounded nesting, no NUL character, no NaN, no lone surrogate."""

from typing import Any

import orjson
from django.conf import settings

from agents.errors import SwitchboardError


def parse_object(body: bytes) -> dict[str, Any]:
    """The body's one JSON object. Raises invalid_json (with the position) or invalid_request."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SwitchboardError("invalid_json", f"The body is not valid JSON (at position {error.pos}).") from None
    if not isinstance(value, dict):
        raise SwitchboardError("invalid_request", "The body must be a JSON object.")
    if body.count(b"[") + body.count(b"{") > settings.CHAT_MAX_JSON_DEPTH or b"\\u0000" in body:
        _check(value)
    return value


def _check(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > settings.CHAT_MAX_JSON_DEPTH and any(isinstance(item, dict | list) for item in level):
            raise SwitchboardError("invalid_json", f"The body nests deeper than {settings.CHAT_MAX_JSON_DEPTH} levels.")
        if any(isinstance(item, str) and "\0" in item for item in level):
            raise SwitchboardError("invalid_json", "The body contains the character U+0000.")
        level = [inner for item in level for inner in _inside(item)]


def _inside(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return [*item, *item.values()]
    return item if isinstance(item, list) else []
