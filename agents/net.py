"""The guard of outgoing fetches that callers, models or tools cause: public addresses only (R11.4).

A name is resolved once, its addresses are checked, and exactly those are connected to, so a name cannot change its mind in
between. Every redirect passes the same door. Operators open it for hosts and networks by ALLOW_PRIVATE_ADDRESSES.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Literal
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings
from yarl import URL

Address = IPv4Address | IPv6Address
Reason = Literal["blocked", "unreachable", "timeout", "redirects", "elsewhere"]
SENTENCES: dict[Reason, str] = {
    "blocked": "This address may not be fetched.",
    "unreachable": "The server could not be reached.",
    "timeout": "The server did not answer in time.",
    "redirects": "The server redirected too often.",
    "elsewhere": "The server redirected the request to another site.",
}
_CONNECT_TIMEOUT_S = 10
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NEVER_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's host agent, metadata among it, on an address that looks public
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata at 192.0.0.192
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # Teredo and other tunnels: they hide an IPv4 address
        "2002::/16",  # 6to4: likewise
        "3fff::/20",  # documentation
    )
)


class FetchError(Exception):
    """A fetch that was refused or failed. Its text is a fixed sentence: no address, no driver's words (R3.3)."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(SENTENCES[reason])
        self.reason = reason


def check_url(url: str | URL) -> None:
    """Raises FetchError("blocked") unless `url` is http(s) with a host that is a name or a permitted address. No look-up."""
    try:
        parsed = URL(url)
        host = parsed.raw_host or ""
    except ValueError as error:
        raise FetchError("blocked") from error
    if parsed.scheme not in ("http", "https") or not host:
        raise FetchError("blocked")
    address = _numeric(host)
    if address is not None and not _permits(host, address):
        raise FetchError("blocked")


def is_public(address: Address) -> bool:
    """Whether `address` is unicast on the open internet. NAT64 is judged by the IPv4 address it stands for."""
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    hidden = address.is_multicast or address.is_reserved or any(address in network for network in _NEVER_PUBLIC)
    return address.is_global and not hidden


def guarded_session() -> aiohttp.ClientSession:
    """The guarded HTTP session of this process and the running loop; it closes with its loop, or earlier by close()."""
    loop = asyncio.get_running_loop()
    found = _sessions.get(loop)
    if found is None or found.closed:
        found = _sessions[loop] = _open()
        _lifetimes[loop] = _close_with_loop(found)
    return found


async def close() -> None:
    """Closes the running loop's session; the next guarded_session() makes a new one."""
    lifetime = _lifetimes.pop(asyncio.get_running_loop(), None)
    if lifetime is not None:
        await lifetime.aclose()


class GuardedConnector(aiohttp.TCPConnector):
    """Connects to permitted addresses only. Numbers are checked here, names by the resolver; both for every redirect."""

    def __init__(self) -> None:
        super().__init__(resolver=GuardedResolver(), ttl_dns_cache=10, limit=0, limit_per_host=64)

    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> Any:  # what aiohttp passes on
        check_url(req.url)
        return await super().connect(req, *args, **kwargs)


class GuardedResolver(AbstractResolver):
    """The system's resolver, without the answers that may not be connected to."""

    def __init__(self) -> None:
        self._system = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        answers = await self._system.resolve(host, port, family)
        permitted = [answer for answer in answers if _permits(host, ip_address(answer["host"]))]
        if not permitted:
            raise FetchError("blocked")
        return permitted

    async def close(self) -> None:
        await self._system.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Allowed:
    hosts: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]


def _permits(host: str, address: Address) -> bool:
    if is_public(address):
        return True
    allowed = _allowed(tuple(settings.ALLOW_PRIVATE_ADDRESSES))
    return host.rstrip(".").lower() in allowed.hosts or any(address in network for network in allowed.networks)


@lru_cache(maxsize=8)
def _allowed(entries: tuple[str, ...]) -> _Allowed:
    networks, hosts = [], []
    for entry in entries:
        try:
            networks.append(ip_network(entry, strict=False))
        except ValueError:
            hosts.append(entry.rstrip(".").lower())
    return _Allowed(hosts=frozenset(hosts), networks=tuple(networks))


def _numeric(host: str) -> Address | None:
    """The address a host is the number of, in every notation that the C library understands (127.1, 0x7f000001, …)."""
    with suppress(ValueError):
        return ip_address(host.rstrip("."))
    with suppress(OSError):
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    return None


_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()
_lifetimes: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]] = WeakKeyDictionary()


def _open() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=GuardedConnector(),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
        headers={"User-Agent": "Switchboard"},
        trust_env=False,
    )


def _close_with_loop(opened: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """An async generator that has begun: loop.shutdown_asyncgens(), part of every orderly loop end, closes it."""

    async def lifetime() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await opened.close()

    begun = lifetime()
    with suppress(StopIteration):
        begun.__anext__().send(None)
    return begun
