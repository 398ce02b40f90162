"""Request JSON, strict (R0.4): one object in UTF-8, bounded nesting, no NUL character, no NaN, no lone surrogate."""

from itertools import accumulate
from typing import Any

import orjson

from agents.errors import SwitchboardError
from agents.settings import settings


def parse_object(body: bytes) -> dict[str, Any]:
    """The body's one JSON object. Raises invalid_json (with the position) or invalid_request."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SwitchboardError("invalid_json", f"The body is not valid JSON (at position {error.pos}).") from None
    if not isinstance(value, dict):
        raise SwitchboardError("invalid_request", "The body must be a JSON object.")
    deepest = settings.CHAT_MAX_JSON_DEPTH
    if body.count(b"[") + body.count(b"{") > deepest and _depth(body) > deepest:
        raise SwitchboardError("invalid_json", f"The body nests deeper than {deepest} levels.")
    if b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b""):
        raise SwitchboardError("invalid_json", "The body contains the character U+0000.")
    return value


def _depth(body: bytes) -> int:
    """How deep valid JSON nests, told by its brackets outside of strings: no object is looked at, as a body may have millions."""
    outside = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    return max(accumulate(map(_STEPS, b"".join(outside).translate(None, _NO_BRACKETS))), default=0)


_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}.__getitem__
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
