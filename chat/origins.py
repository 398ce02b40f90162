"""Which web pages may open a WebSocket here: those of our own origin and of the operator's list (R1.6, WS-7)."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host


def may_connect(origin: str | None, host: str) -> bool:
    """Whether a handshake for `host` with this `Origin` is welcome. None: not a browser."""
    if not _is_ours(host):
        return False
    return origin is None or origin in _own(host) or is_allowed(origin, settings.WS_ORIGINS)


def is_allowed(origin: str, cors: Mapping[str, Any]) -> bool:
    """Whether pages of `origin` may call us, by settings as config.cors makes them."""
    if not cors:
        return False
    listed = origin in cors["CORS_ALLOWED_ORIGINS"] or any(re.match(pattern, origin) for pattern in cors["CORS_ALLOWED_ORIGIN_REGEXES"])
    return listed or (cors["CORS_ALLOW_ALL_ORIGINS"] and origin != "null")


def _is_ours(host: str) -> bool:
    """A page that made its own name point at us must not count as ours (DNS rebinding)."""
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def _own(host: str) -> set[str]:
    public = urlsplit(settings.PUBLIC_BASE_URL)
    return {f"http://{host}", f"https://{host}", f"{public.scheme}://{public.netloc}"}
