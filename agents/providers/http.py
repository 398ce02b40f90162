"""The one HTTP session of this process and event loop, and requests on it whose failures are ProviderErrors.

Connections are kept and unbounded, cookies are nobody's, redirects are refused: they lose the body and could carry
the key elsewhere.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
from yarl import URL

from agents.providers.base import ProviderError
from agents.providers.failures import failure
from agents.providers.loops import PerLoop
from agents.specs import ProviderSpec

MAX_ERROR_BYTES = 64 * 1024
MAX_JSON_BYTES = 16 * 1024 * 1024


class _Response(aiohttp.ClientResponse):
    """What is set late has a slot: attributes unknown when other instances were made give each a whole dictionary, 1.3 kB more."""

    __slots__ = ("_history",)


def _open() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        response_class=_Response,
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_read=None),
        headers={"User-Agent": "Switchboard", "Accept-Encoding": "identity"},
    )


sessions = PerLoop(_open, aiohttp.ClientSession.close)


def session() -> aiohttp.ClientSession:
    """The session of the running loop, made on first use. It closes with its loop, or earlier by close()."""
    return sessions.get()


async def close() -> None:
    """Closes the running loop's session; the next call of session() makes a new one."""
    await sessions.close()


async def send(
    method: str, url: URL, data: bytes | None, headers: Mapping[str, str], limits: aiohttp.ClientTimeout, deadline: float
) -> aiohttp.ClientResponse:
    """The response once its headers are there, until `deadline` (loop time). Raises ProviderError: network, timeout."""
    request = session().request
    try:
        async with asyncio.timeout_at(deadline):
            return await request(method, url, data=data, headers=headers, timeout=limits, allow_redirects=False)
    except aiohttp.ConnectionTimeoutError as error:
        raise ProviderError("network", "connect timeout") from error
    except TimeoutError as error:
        raise ProviderError("timeout", "no answer") from error
    except aiohttp.InvalidURL as error:
        raise ProviderError("bad_request", repr(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise ProviderError("network", repr(error)) from error


async def refusal(response: aiohttp.ClientResponse, deadline: float) -> ProviderError:
    """What a response that is no answer says, classified; the response is closed."""
    try:
        return failure(response.status, await _read_some(response, MAX_ERROR_BYTES, deadline), response.headers)
    finally:
        response.close()


async def get_json(url: str, headers: Mapping[str, str], spec: ProviderSpec) -> Any:
    """One JSON value of at most 16 MiB. Raises ProviderError."""
    deadline = asyncio.get_running_loop().time() + spec.first_token_timeout_s
    timeout = aiohttp.ClientTimeout(total=None, connect=spec.connect_timeout_s)
    response = await send("GET", URL(url), None, headers, timeout, deadline)
    if response.status != 200:
        raise await refusal(response, deadline)
    try:
        return orjson.loads(await _read_some(response, MAX_JSON_BYTES, deadline))
    except ValueError as error:
        raise ProviderError("invalid", f"not JSON: {error}") from error
    finally:
        response.close()


async def _read_some(response: aiohttp.ClientResponse, limit: int, deadline: float) -> bytes:
    """At most `limit` bytes of the body; what came before a failure or the deadline is enough."""
    pieces = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            while len(pieces) < limit and (piece := await response.content.read(limit - len(pieces))):
                pieces += piece
    except (aiohttp.ClientError, OSError):
        pass
    return bytes(pieces)
