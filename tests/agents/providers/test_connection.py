"""Connections to model servers, against bytes that servers send: whole, in pieces, odd, wrong, and cut."""

import asyncio
import gzip
import random
import ssl
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trustme

from agents.providers import http, pool
from agents.providers.base import ProviderError
from agents.providers.body import Body
from agents.providers.connection import HIGH_WATER_BYTES, MAX_HEAD_BYTES, PACKED_BYTES, BrokenAnswer

Sent = Sequence[bytes]
"""What a server answers with, piece by piece; then it closes, if the last piece is empty."""
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n7;x=y\r\n, world\r\n0\r\n\r\n"
SIZED = HEAD + b"Content-Length: 12\r\n\r\nHello, world"
ZIPPED = gzip.compress(b"Hello, world")


class Raw:
    """A server that knows no HTTP: it answers each request with the next of `answers`."""

    def __init__(self, *answers: Sent) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.url = ""

    @asynccontextmanager
    async def serving(self, **options: ssl.SSLContext) -> AsyncIterator["Raw"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, **options)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self
        await http.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                self.requests.append(head + await reader.readexactly(int(length or 0)))
                for piece in self.answers.pop(0):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
                    if not piece:
                        return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()


async def asked(server: Raw, *, timeout_s: float = 5) -> bytes:
    """One exchange, read to its end."""
    body = Body(timeout_s, timeout_s)
    target = http.Target.of("POST", server.url + "/v1/x", {"Authorization": "Bearer k"})
    body.open(await http.send(target, b"{}", timeout_s, body.deadline))
    pieces, complete = [], False
    try:
        while piece := await body.read():
            body.answered()
            pieces.append(piece)
        complete = True
    finally:
        body.close(complete=complete)
    return b"".join(pieces)


def one_by_one(data: bytes) -> Sent:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize(
    "sent",
    [
        [SIZED],
        [CHUNKED],
        one_by_one(SIZED),
        one_by_one(CHUNKED),
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", SIZED],
        [HEAD + b"\r\nHello, world", b""],
        [b"HTTP/1.0 200 OK\r\n\r\nHello, ", b"world", b""],
        [HEAD + b"Connection: close\r\n\r\nHello, world", b""],
        [HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED), *one_by_one(ZIPPED)],
        [b"HTTP/1.1 200 OK\nContent-Length: 12\n\nHello, world"],
        [b"HTTP/1.1 200\r\nContent-Length: 12\r\nX-Odd: \x01\xff\r\n\r\nHello, world"],
    ],
)
async def test_answers_are_read_however_they_come(sent: Sent) -> None:
    async with Raw(sent).serving() as server:
        assert await asked(server) == b"Hello, world"


async def test_a_request_is_what_servers_expect() -> None:
    async with Raw([SIZED]).serving() as server:
        await asked(server)
        host = server.url.removeprefix("http://")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b"{}"
    assert head.decode().split("\r\n") == [
        "POST /v1/x HTTP/1.1",
        f"Host: {host}",
        "User-Agent: Switchboard",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Authorization: Bearer k",
        "Content-Length: 2",
    ]


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        ([b""], "network"),
        ([b"HTTP/1.1 20"], "timeout"),
        ([HEAD + b"Content-Length: 12\r\n\r\nHello", b""], "network"),
        ([CHUNKED[:-5], b""], "network"),
        ([HEAD + b"Content-Length: 12\r\n\r\nHello"], "timeout"),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\nHello"], "invalid"),
        ([HEAD + b"Content-Encoding: gzip\r\nContent-Length: 99\r\n\r\n" + ZIPPED[:10]], "timeout"),
        ([b"SSH-2.0-OpenSSH_9\r\n"], "invalid"),
        ([HEAD + b"X: " + b"y" * (MAX_HEAD_BYTES + 1)], "invalid"),
        ([HEAD + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx"], "invalid"),
        ([HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nHello"], "invalid"),
    ],
)
async def test_what_is_no_whole_answer_is_an_error(sent: Sent, kind: str) -> None:
    async with Raw(sent).serving() as server:
        with pytest.raises(ProviderError) as raised:
            await asked(server, timeout_s=0.3)
    assert raised.value.kind == kind


async def test_what_came_packed_before_a_broken_piece_can_be_read() -> None:
    packer = zlib.compressobj(wbits=31)
    good = packer.compress(b"good") + packer.flush(zlib.Z_SYNC_FLUSH)
    async with Raw([HEAD + b"Content-Encoding: gzip\r\nContent-Length: 99\r\n\r\n", good, b"\xff" * 20]).serving() as server:
        deadline = asyncio.get_running_loop().time() + 5
        connection = await http.send(http.Target.of("GET", server.url, {}), None, 1, deadline)
        await asyncio.sleep(0.1)
        assert await connection.read() == b"good"
        with pytest.raises(BrokenAnswer):
            await connection.read()
        connection.release(answered=False)


async def test_a_connection_carries_one_request_after_the_other() -> None:
    async with Raw([SIZED], one_by_one(CHUNKED), [SIZED]).serving() as server:
        for _ in range(3):
            assert await asked(server) == b"Hello, world"
        assert server.connections == 1


@pytest.mark.parametrize("sent", [[HEAD + b"Connection: close\r\nContent-Length: 12\r\n\r\nHello, world"], [SIZED + b"more"]])
async def test_a_connection_that_cannot_go_on_is_not_used_again(sent: Sent) -> None:
    async with Raw(sent, [SIZED]).serving() as server:
        await asked(server)
        await asyncio.sleep(0.01)
        assert await asked(server) == b"Hello, world"
        assert server.connections == 2


async def test_a_connection_that_was_closed_while_idle_is_not_used_again() -> None:
    async with Raw([SIZED, b""], [SIZED]).serving() as server:
        await asked(server)
        await asyncio.sleep(0.05)
        assert await asked(server) == b"Hello, world"


async def test_the_end_of_an_answer_may_follow_its_last_word() -> None:
    """Servers often send the empty last chunk a moment after `[DONE]`."""
    async with Raw([CHUNKED[:-5], b"0\r\n", b"\r\n"], [SIZED]).serving() as server:
        target = http.Target.of("POST", server.url, {})
        connection = await http.send(target, b"", 1, asyncio.get_running_loop().time() + 1)
        connection.release(answered=True)
        await asyncio.sleep(0.05)
        assert http.pools.get().idle_connections() == 1
        assert await asked(server) == b"Hello, world"
        assert server.connections == 1


@pytest.mark.parametrize(("limit", "packed"), [(HIGH_WATER_BYTES, False), (PACKED_BYTES, True)])
async def test_a_server_that_is_too_fast_has_to_wait(limit: int, packed: bool) -> None:
    size = HIGH_WATER_BYTES * 8
    body = random.Random(1).randbytes(size)
    sent = gzip.compress(body, 1) if packed else body
    head = HEAD + (b"Content-Encoding: gzip\r\n" if packed else b"") + b"Content-Length: %d\r\n\r\n" % len(sent)
    async with Raw([head, sent]).serving() as server:
        target = http.Target.of("GET", server.url, {})
        connection = await http.send(target, None, 1, asyncio.get_running_loop().time() + 5)
        while not connection._paused:  # noqa: ASYNC110  the transport tells nobody
            await asyncio.sleep(0.005)
        waiting = connection.take()
        assert limit * 0.9 < len(waiting) < limit + HIGH_WATER_BYTES
        while piece := await connection.read():
            waiting += piece
        assert waiting == body
        connection.release(answered=True)


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_a_server_that_is_trusted_is_asked(monkeypatch: pytest.MonkeyPatch, trusted: bool) -> None:
    authority, served, trust = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    if trusted:
        authority.configure_trust(trust)
    monkeypatch.setattr(pool, "_trust", lambda: trust)
    async with Raw([SIZED]).serving(ssl=served) as server:
        server.url = server.url.replace("http:", "https:")
        if trusted:
            assert await asked(server) == b"Hello, world"
            return
        with pytest.raises(ProviderError) as raised:
            await asked(server)
    assert (raised.value.kind, server.requests) == ("network", [])
    assert "CERTIFICATE_VERIFY_FAILED" in raised.value.detail


NOWHERE = ["ftp://example.com", "http://", "nonsense", "http://127.0.0.1:99999"]


@pytest.mark.parametrize(("url", "headers"), [*((url, {}) for url in NOWHERE), ("http://127.0.0.1", {"X": "a\r\nB: c"})])
async def test_what_cannot_be_asked_is_refused(url: str, headers: dict[str, str]) -> None:
    with pytest.raises(ProviderError) as raised:
        await http.send(http.Target.of("GET", url, headers), None, 1, asyncio.get_running_loop().time() + 1)
    assert raised.value.kind == "bad_request"


async def test_names_are_looked_up_and_credentials_of_the_address_are_sent() -> None:
    async with Raw([SIZED]).serving() as server:
        server.url = server.url.replace("127.0.0.1", "user:secret@localhost")
        target = http.Target.of("GET", server.url, {"accept": "text/plain"})
        connection = await http.send(target, None, 1, asyncio.get_running_loop().time() + 1)
        connection.release(answered=False)
    assert b"Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in server.requests[0]
    assert b"Accept: text/plain\r\n" in server.requests[0]
    assert b"*/*" not in server.requests[0]
