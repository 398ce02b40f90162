"""The one HTTP session of this process and event loop: connections are kept and unbounded, cookies are nobody's."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import aiohttp

_sessions: dict[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, AsyncGenerator[None]]] = {}


def session() -> aiohttp.ClientSession:
    """The session of the running loop, made on first use. It closes with its loop, or earlier by close()."""
    loop = asyncio.get_running_loop()
    found = _sessions.get(loop)
    if found is None:
        found = _sessions[loop] = _open(loop)
    return found[0]


async def close() -> None:
    """Closes the running loop's session; the next call of session() makes a new one."""
    found = _sessions.get(asyncio.get_running_loop())
    if found is not None:
        await found[1].aclose()


def _open(loop: asyncio.AbstractEventLoop) -> tuple[aiohttp.ClientSession, AsyncGenerator[None]]:
    opened = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_read=None),
        headers={"User-Agent": "Switchboard", "Accept-Encoding": "identity"},
    )
    lifetime = _lifetime(loop, opened)
    with suppress(StopIteration):
        lifetime.__anext__().send(None)
    return opened, lifetime


async def _lifetime(loop: asyncio.AbstractEventLoop, opened: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """A begun async generator is closed by loop.shutdown_asyncgens(), which is part of every orderly end of a loop."""
    try:
        yield
    finally:
        _sessions.pop(loop, None)
        await opened.close()
