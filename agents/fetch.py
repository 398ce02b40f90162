"""One bounded request through the guard: a time limit, a size limit, few redirects, and nothing secret to another origin."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import aiohttp
from yarl import URL

from agents import net
from agents.net import FetchError

_PIECE_BYTES = 65_536
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_HARMLESS_HEADERS = frozenset(("accept", "accept-language", "user-agent"))
"""The only headers another origin gets: any other one may carry a credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`url` is absolute and percent-encoded. `body` None: none is sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`body` holds at most the permitted bytes; `cut`: there were more. `media_type` is lower-case, empty if not declared."""

    status: int
    media_type: str
    charset: str
    body: bytes
    cut: bool


async def fetch(request: Request, *, timeout_s: float, max_bytes: int, max_redirects: int = 3) -> Answer:
    """The answer, whatever its status. Raises FetchError: refused address, unreachable, too slow, too many redirects."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _follow(request, max_bytes, max_redirects)
    except TimeoutError as error:
        raise FetchError("timeout") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError("unreachable") from error


async def _follow(request: Request, max_bytes: int, hops_left: int) -> Answer:
    while not isinstance(answer := await _send(request, max_bytes, hops_left), Answer):
        request, hops_left = answer, hops_left - 1
    return answer


async def _send(request: Request, max_bytes: int, hops_left: int) -> Answer | Request:
    """One exchange: the answer, or the request that a redirect asks for."""
    url = URL(request.url)
    async with net.guarded_session().request(
        request.method, url, headers=request.headers, data=request.body, allow_redirects=False
    ) as response:
        location = response.headers.get("Location")
        if response.status in _REDIRECTS and location:
            if hops_left == 0:  # said first: where it leads does not matter then
                raise FetchError("redirects")
            return _redirected(request, url, url.join(URL(location)), response.status)
        body, cut = await _read(response, max_bytes)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Answer(status=response.status, media_type=media_type, charset=response.charset or "utf-8", body=body, cut=cut)


def _redirected(request: Request, old: URL, new: URL, status: int) -> Request:
    """RFC 9110 §15.4: 303, and by custom 301 and 302 to a POST, become GET; bodies stay with the origin they were meant for."""
    if (status == 303 and request.method != "HEAD") or (status in (301, 302) and request.method == "POST"):
        request = replace(request, method="GET", body=None, headers=_without_content(request.headers))
    net.check_url(new)
    if new.origin() == old.origin():
        return replace(request, url=str(new))
    if request.body is not None:
        raise FetchError("elsewhere")
    harmless = {name: value for name, value in request.headers.items() if name.lower() in _HARMLESS_HEADERS}
    return replace(request, url=str(new), headers=harmless)


def _without_content(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.lower().startswith("content-")}


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> tuple[bytes, bool]:
    """At most `max_bytes` of the decompressed body, and whether there was more; the rest is never read."""
    body = bytearray()
    async for piece in response.content.iter_chunked(_PIECE_BYTES):
        body += piece
        if len(body) > max_bytes:
            response.close()
            return bytes(body[:max_bytes]), True
    return bytes(body), False
