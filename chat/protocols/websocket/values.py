"""Values from outside, as every frame can hold them (WS-14, WS-39, WS-58). Pure."""

import base64
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

LONGEST_RESULT_BYTES = 65_536
_PREVIEW_CHARS = 4_000


def iso(moment_s: float) -> str:
    """ISO 8601 in UTC with milliseconds and Z (R0.3)."""
    return _iso(datetime.fromtimestamp(moment_s, UTC))


def _iso(moment: datetime) -> str:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def safe(value: Any) -> Any:
    """Any value as JSON knows it (WS-14), so that no frame fails in one mode and passes in the other."""
    match value:
        case None | bool():
            return value
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode()
        case int():
            return int(value) if -(2**63) <= value < 2**64 else str(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {safe(key) if isinstance(key, str) else str(key): safe(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [safe(item) for item in value]
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case datetime():
            return _iso(value)
        case UUID() | Decimal():
            return str(value)
        case _:
            return str(value)


def cut(value: Any) -> Any:
    """A tool's result, or the beginning of one that is too long to send (WS-39)."""
    if isinstance(value, bool | int | float | None) or (isinstance(value, str) and len(value) * 6 < LONGEST_RESULT_BYTES):
        return value
    encoded = orjson.dumps(value)
    if len(encoded) <= LONGEST_RESULT_BYTES:
        return value
    return {"truncated": True, "preview": encoded[: 4 * _PREVIEW_CHARS].decode("utf-8", "ignore")[:_PREVIEW_CHARS], "size": len(encoded)}


def part_of(value: Any) -> dict[str, Any]:
    """An output as a part of the final message; every value has one (WS-58)."""
    if isinstance(value, Mapping) and value.get("type") in ("image", "audio", "video", "document") and (value.keys() & {"uri", "asset_id"}):
        part: dict[str, Any] = safe(value)
        return part
    if isinstance(value, str):
        return {"type": "text", "text": safe(value)}
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return {"type": "text", "text": safe("\n".join(value))}
    return {"type": "text", "text": orjson.dumps(safe(value)).decode()}
