"""CHAT_CORS_ORIGIN as settings of django-cors-headers (OAI-64 … OAI-67). Cookies never authenticate a wire: no credentials mode."""

import re
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

_STAINLESS = (
    "lang", "package-version", "os", "arch", "runtime", "runtime-version", "async", "retry-count", "timeout", "read-timeout",
    "helper-method", "poll-helper", "custom-poll-interval",
)  # fmt: skip
_REQUEST_HEADERS = (
    "accept", "authorization", "content-type", "idempotency-key", "x-conversation-id", "x-request-id", "x-switchboard-tool-events",
    "openai-organization", "openai-project", "openai-beta", *(f"x-stainless-{name}" for name in _STAINLESS),
)  # fmt: skip
_SITE_REQUEST_HEADERS = ("last-event-id", "payment-signature", "x-payment")
_EXPOSED = (
    "x-request-id", "x-execution-id", "x-execution-status", "x-conversation-id", "x-conversation-cache", "x-session-id",
    "x-switchboard-agent", "x-switchboard-ignored", "retry-after", "idempotent-replayed",
    *(f"x-ratelimit-{part}-{what}" for what in ("requests", "tokens") for part in ("limit", "remaining", "reset")),
)  # fmt: skip
_SITE_EXPOSED = ("link", "location")
"""Where the next page of a list is (AG-5), and where to look for what was begun (AG-30)."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
MIDDLEWARE = "corsheaders.middleware.CorsMiddleware"


def settings_for(origins: str, *, openai_only: bool = False) -> dict[str, Any]:
    """CORS_* settings for a comma list of exact origins, `*` and `~regex`; {} when it is empty: CORS off. Raises ValueError.

    `openai_only`: the methods and headers of the OpenAI wire, without those that only other wires need.
    """
    entries = [entry for part in origins.split(",") if (entry := part.strip())]
    if not entries:
        return {}
    exact = [_origin(entry) for entry in entries if entry != "*" and not entry.startswith("~")]
    return {
        "CORS_ALLOW_ALL_ORIGINS": "*" in entries,
        "CORS_ALLOWED_ORIGINS": exact,
        "CORS_ALLOWED_ORIGIN_REGEXES": [_pattern(entry[1:]) for entry in entries if entry.startswith("~")],
        "CORS_ALLOW_METHODS": ["GET", "POST", "OPTIONS", *([] if openai_only else ["PUT", "PATCH", "DELETE"])],
        "CORS_ALLOW_HEADERS": [*_REQUEST_HEADERS, *(() if openai_only else _SITE_REQUEST_HEADERS)],
        "CORS_EXPOSE_HEADERS": [*_EXPOSED, *(() if openai_only else _SITE_EXPOSED)],
        "CORS_PREFLIGHT_MAX_AGE": 86_400,
        "CORS_ALLOW_CREDENTIALS": False,
    }


def from_environment(origins: str, name: str = "CHAT_CORS_ORIGIN") -> dict[str, Any]:
    """The same for settings.py: a bad list stops the start with the variable's name (OAI-7)."""
    try:
        return settings_for(origins)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


def _origin(entry: str) -> str:
    """`scheme://host[:port]` as browsers write it: lower case, without the scheme's own port."""
    parts = urlsplit(entry)
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{entry!r} has no valid port") from error
    if not parts.scheme or not parts.hostname or "*" in entry or entry.lower() != f"{parts.scheme}://{parts.netloc.lower()}":
        raise ValueError(f"an origin is scheme://host[:port] without a path, * or ~regex, got {entry!r}")
    if "@" in parts.netloc:
        raise ValueError("an origin has no user name")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS.get(parts.scheme) else "")


def _pattern(regex: str) -> str:
    """The regex, made to match the whole origin. Raises ValueError."""
    try:
        re.compile(regex)
    except re.error as error:
        raise ValueError(f"{regex!r} is not a regular expression: {error}") from error
    if not regex:
        raise ValueError("~ needs a regular expression after it")
    return rf"\A(?:{regex})\Z"
