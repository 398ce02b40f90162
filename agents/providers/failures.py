"""Classifies what a provider answered instead of an answer: status, headers and error body -> ProviderError."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from agents.providers.base import ErrorKind, ProviderError

MAX_DETAIL_CHARS = 2000

STATUSES: Mapping[int, ErrorKind] = {
    401: "auth",
    402: "auth",
    403: "auth",
    408: "timeout",
    409: "overloaded",
    413: "context_length",
    429: "rate_limit",
}
"""Other 4xx are bad_request, 5xx are overloaded. 402: the account behind the key is empty, as good as no key."""

CODES: Mapping[str, ErrorKind] = {
    "context_length_exceeded": "context_length",
    "exceed_context_size_error": "context_length",
    "string_above_max_length": "context_length",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "moderation_blocked": "content_filter",
    "responsibleaipolicyviolation": "content_filter",
    "insufficient_quota": "auth",
    "billing_hard_limit_reached": "auth",
    "invalid_api_key": "auth",
    "authentication_error": "auth",
    "permission_error": "auth",
    "rate_limit_exceeded": "rate_limit",
    "rate_limit_error": "rate_limit",
    "overloaded_error": "overloaded",
    "server_error": "overloaded",
    "invalid_request_error": "bad_request",
}
"""What providers put in `code`, `type` or `innererror.code`, lower case. A code says more than the status."""

PHRASES: Mapping[str, ErrorKind] = {
    "maximum context length": "context_length",
    "context window": "context_length",
    "context length": "context_length",
    "context size": "context_length",
    "prompt is too long": "context_length",
    "input token count": "context_length",
    "too many tokens": "context_length",
    "content management policy": "content_filter",
    "content policy": "content_filter",
}
"""For servers that tell the cause in prose only; asked for refused requests, never for overload."""


def failure(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> ProviderError:
    """The error of an HTTP answer. `headers`: names in lower case, or a mapping that does not care."""
    try:
        decoded = orjson.loads(body)
    except ValueError:
        decoded = body.decode("utf-8", "replace")
    return reported(decoded, status, retry_after_s(headers or {}))


def reported(body: Any, status: int = 0, wait_s: float | None = None) -> ProviderError:
    """The error that a decoded body tells; inside a stream there is no status (0) but perhaps a code that is one."""
    body = body[0] if isinstance(body, list) and body else body
    error = body.get("error", body) if isinstance(body, Mapping) else body
    fields: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": str(error)}
    status = status or _status(fields)
    kind = _kind_of_codes(fields) or _kind_of_text(status, fields) or _kind_of_status(status)
    return ProviderError(kind, _detail(status, fields), retry_after_s=wait_s)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, given as seconds or as an HTTP date (RFC 9110, 10.2.3), or the millisecond form of some."""
    value = headers.get("retry-after-ms")
    if value is not None and _number(value) is not None:
        return max(0.0, float(value) / 1000)
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    return _seconds_until(value) if seconds is None else max(0.0, seconds)


def _kind_of_codes(fields: Mapping[str, Any]) -> ErrorKind | None:
    """`type` comes last and its common value, invalid_request_error, leaves the word to the text."""
    inner, metadata = fields.get("innererror"), fields.get("metadata")
    if isinstance(metadata, Mapping) and "flagged_input" in metadata:
        return "content_filter"
    values = (inner.get("code") if isinstance(inner, Mapping) else None, fields.get("code"), fields.get("type"))
    kinds = [CODES.get(value.lower()) for value in values if isinstance(value, str)]
    return next((kind for kind in kinds if kind and kind != "bad_request"), None)


def _kind_of_text(status: int, fields: Mapping[str, Any]) -> ErrorKind | None:
    if status in (401, 402, 403, 429) or status > 500:
        return None
    text = str(fields.get("message") or fields.get("detail") or "").lower()
    return next((kind for phrase, kind in PHRASES.items() if phrase in text), None)


def _kind_of_status(status: int) -> ErrorKind:
    if 300 <= status < 500:
        return STATUSES.get(status, "bad_request")
    return "overloaded"


def _status(fields: Mapping[str, Any]) -> int:
    """OpenRouter and others put the HTTP status they would have sent into `code` (or `status`)."""
    for name in ("code", "status", "status_code"):
        value = fields.get(name)
        number = _number(value) if isinstance(value, int | str) else None
        if number is not None and 400 <= number < 600:
            return int(number)
    return 400 if str(fields.get("type", "")).lower() == "invalid_request_error" else 0


def _detail(status: int, fields: Mapping[str, Any]) -> str:
    code = fields.get("code") or fields.get("type") or ""
    text = fields.get("message") or fields.get("detail") or fields
    return " ".join(str(piece) for piece in (status or "", code, text) if piece)[:MAX_DETAIL_CHARS]


def _number(value: int | str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _seconds_until(date: str) -> float | None:
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
