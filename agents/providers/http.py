"""Requests to model servers, whose failures are ProviderErrors.

Cookies are nobody's, redirects are refused: they lose the body and could carry the key elsewhere.
"""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson
from yarl import URL

from agents.providers.base import ProviderError
from agents.providers.connection import BrokenAnswer, Connection
from agents.providers.failures import failure
from agents.providers.loops import PerLoop
from agents.providers.pool import Origin, Pool
from agents.specs import ProviderSpec

MAX_ERROR_BYTES = 64 * 1024
MAX_JSON_BYTES = 16 * 1024 * 1024
_OWN_HEADERS = {"User-Agent": "Switchboard", "Accept": "*/*", "Accept-Encoding": "identity"}

pools = PerLoop(Pool, Pool.close)


async def close() -> None:
    """Closes the running loop's connections; the next request opens new ones."""
    await pools.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a kind of request goes, with everything of its head that is the same each time. `problem`: why it goes nowhere."""

    origin: Origin
    head: bytes = b""
    problem: str = ""

    @classmethod
    def of(cls, method: str, url: str, headers: Mapping[str, str]) -> Self:
        try:
            return cls._parsed(method, URL(url), headers)
        except ValueError as error:
            return cls(origin=Origin("", 0, False), problem=f"{url!r}: {error}")

    @classmethod
    def _parsed(cls, method: str, url: URL, headers: Mapping[str, str]) -> Self:
        if url.scheme not in ("http", "https") or not url.raw_host or url.port is None:
            raise ValueError("not an http or https address")
        named = {name.title(): value for name, value in {**_OWN_HEADERS, **_credentials(url), **headers}.items()}
        lines = [f"{method} {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
        lines += [f"{name}: {value}" for name, value in named.items()]
        if any("\r" in line or "\n" in line or "\0" in line for line in lines):
            raise ValueError("a header has a line break")
        head = "".join(f"{line}\r\n" for line in lines).encode()
        return cls(origin=Origin(url.raw_host, url.port, url.scheme == "https"), head=head)

    def request(self, body: bytes | None) -> bytes:
        return self.head + (b"\r\n" if body is None else b"Content-Length: %d\r\n\r\n" % len(body) + body)


def _credentials(url: URL) -> dict[str, str]:
    if url.user is None and url.password is None:
        return {}
    return {"Authorization": "Basic " + b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()}


async def send(target: Target, body: bytes | None, connect_timeout_s: float, deadline: float) -> Connection:
    """The connection on which the answer comes, once its headers are there, until `deadline` (loop time).

    It must be released. Raises ProviderError: network, timeout, invalid, bad_request.
    """
    if target.problem:
        raise ProviderError("bad_request", target.problem)
    connection = pools.get().get(target.origin) or await _connected(target.origin, connect_timeout_s, deadline)
    timer = connection.loop.call_at(deadline, connection.fail, TimeoutError())
    try:
        connection.send(target.request(body))
        await connection.head()
        return connection
    except TimeoutError as error:
        connection.release(answered=False)
        raise ProviderError("timeout", "no answer") from error
    except (OSError, BrokenAnswer) as error:
        connection.release(answered=False)
        raise failed(error) from error
    except BaseException:
        connection.release(answered=False)
        raise
    finally:
        timer.cancel()


def failed(error: BaseException) -> ProviderError:
    """What went wrong on a connection, classified."""
    return ProviderError("invalid" if isinstance(error, BrokenAnswer) else "network", repr(error))


async def _connected(origin: Origin, timeout_s: float, deadline: float) -> Connection:
    try:
        async with asyncio.timeout_at(min(deadline, asyncio.get_running_loop().time() + timeout_s)):
            return await pools.get().connect(origin)
    except TimeoutError as error:
        raise ProviderError("network", "connect timeout") from error
    except (OSError, ValueError) as error:
        raise failed(error) from error


async def refusal(connection: Connection, deadline: float) -> ProviderError:
    """What an answer that is none says, classified; the connection is released."""
    try:
        return failure(connection.status, await _read_some(connection, MAX_ERROR_BYTES, deadline), connection.headers)
    finally:
        connection.release(answered=False)


async def get_json(url: str, headers: Mapping[str, str], spec: ProviderSpec) -> Any:
    """One JSON value of at most 16 MiB. Raises ProviderError."""
    deadline = asyncio.get_running_loop().time() + spec.first_token_timeout_s
    connection = await send(Target.of("GET", url, headers), None, spec.connect_timeout_s, deadline)
    if connection.status != 200:
        raise await refusal(connection, deadline)
    try:
        return orjson.loads(await _read_some(connection, MAX_JSON_BYTES, deadline))
    except ValueError as error:
        raise ProviderError("invalid", f"not JSON: {error}") from error
    finally:
        connection.release(answered=False)


async def _read_some(connection: Connection, limit: int, deadline: float) -> bytes:
    """About `limit` bytes of the body at most; what came before a failure or the deadline is enough."""
    pieces = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            while len(pieces) < limit and (piece := await connection.read()):
                pieces += piece
    except (OSError, BrokenAnswer):
        pass
    return bytes(pieces[:limit])
