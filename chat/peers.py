"""The other end of a connection: its headers, decoded once, and its address (R1.9)."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from agents.settings import settings


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in lower case; what comes several times is joined by commas."""
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1").lower(), value_bytes.decode("latin-1").strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def address_of(scope: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """R1.9: the TCP peer, or behind trusted proxies the right-most address that is not one of them."""
    peer = (scope.get("client") or ("",))[0] or ""
    if not settings.TRUSTED_PROXIES or not _is_proxy(peer):
        return str(peer)
    forwarded = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]
    return next((address for address in reversed(forwarded) if not _is_proxy(address)), str(peer))


def _is_proxy(address: str) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    plain = getattr(ip, "ipv4_mapped", None) or ip  # a socket for both families names IPv4 peers like ::ffff:10.0.0.1
    return any(plain in network for network in settings.TRUSTED_PROXIES)
