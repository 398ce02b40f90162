"""A connection of uvicorn: what it keeps in memory while it waits (thousands of them do), and in how many pieces an answer goes out.

CPython lets instances share the names of their attributes, unless one gets a name that the first ones did not have.
"""

import asyncio

import pytest
from django.http.response import BadHeaderError
from uvicorn import Config
from uvicorn.server import ServerState

from chat.views import respond
from config.asgi import application
from config.handler import _lines
from config.transport import STREAM_HEAD, WHOLE
from config.uvicornserver import PatientProtocol


class Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = []
        self.closed = False

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 1) if name in ("sockname", "peername") else default

    def write(self, data):
        assert not self.closed
        self.written.append(bytes(data))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


def connected(application):
    config = Config(application, log_config=None)
    config.load()
    connection = PatientProtocol(config=config, server_state=ServerState(), app_state={})
    connection.connection_made(Transport())
    return connection


async def test_what_a_request_adds_to_its_connection_is_in_slots():
    connection = connected(application)
    known = set(vars(connection))
    connection.on_message_begin()
    connection._enter("idle")
    assert set(vars(connection)) == known


def start(status=200, *headers):
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data, more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


def head(lines=b""):
    """Of a stream, as config.handler sends it."""
    return {"type": STREAM_HEAD, "status": 200, "lines": lines}


def whole(data, lines):
    return {"type": WHOLE, "status": 200, "lines": lines, "body": data}


SIZED = (b"content-length", b"5")
CHUNKED = b"transfer-encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("method", "messages", "pieces"),
    [
        ("GET", [start(200, SIZED), body(b"whole")], [b"content-length: 5\r\n\r\n", b"whole"]),
        (
            "GET",
            [start(), body(b"a", True), body(b"b")],
            [CHUNKED + b"\r\n", b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n"],
        ),
        (
            "GET",
            [head(), body(b"a", True), body(b"b", True), body(b"c")],
            [CHUNKED + b"\r\n1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n0\r\n\r\n"],
        ),
        ("GET", [start(), body(b"a", True), {"type": "http.response.body"}], [CHUNKED + b"\r\n", b"1\r\na\r\n", b"0\r\n\r\n"]),
        ("GET", [head(), body(b"a", True), body(b"", True), body(b"")], [CHUNKED + b"\r\n1\r\na\r\n", b"0\r\n\r\n"]),
        ("GET", [start(204), body(b"")], [b"\r\n\r\n"]),
        ("HEAD", [start(200, SIZED), body(b"")], [b"content-length: 5\r\n\r\n"]),
        ("GET", [whole(b"whole", b"Content-Length: 5\r\n")], [b"Content-Length: 5\r\n\r\nwhole"]),
    ],
)
async def test_the_head_of_a_wire_goes_out_with_the_first_of_the_body(method, messages, pieces):
    async def answer(scope, receive, send):
        for message in messages:
            await send(message)

    written = [data for data in await asked(answer, f"{method} / HTTP/1.1\r\nhost: x\r\n\r\n") if data]
    assert all(data.endswith(piece) for data, piece in zip(written, pieces, strict=True))
    assert written[0].startswith(b"HTTP/1.1 ")


async def test_the_application_is_told_that_a_server_takes_whole_answers_and_a_slow_reader_gets_his_later():
    told = []

    async def answer(scope, receive, send):
        told.append(scope[WHOLE])
        await send(whole(b"whole", b"Content-Length: 5\r\n"))

    connection = connected(answer)
    connection.pause_writing()
    await ask(connection)
    assert (told, connection.transport.written) == ([True], [])
    connection.resume_writing()
    await asyncio.gather(*connection.tasks)
    assert b"".join(connection.transport.written).endswith(b"content-length: 5\r\n\r\nwhole")


@pytest.mark.parametrize("opening", [whole(b"whole", b"Content-Length: 5\r\n"), head()], ids=["whole", "stream"])
async def test_an_answer_begins_once(opening):
    async def answer(scope, receive, send):
        await send(head())
        await send(opening)

    assert await asked(answer, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", closed=True) == []


async def test_a_slow_reader_gets_a_stream_later():
    async def answer(scope, receive, send):
        await send(head())
        await send(body(b"a", True))
        connection.pause_writing()
        await send(body(b"b", True))
        await send(body(b"c"))

    connection = connected(answer)
    await ask(connection)
    assert [data.endswith(CHUNKED + b"\r\n1\r\na\r\n") for data in connection.transport.written] == [True]
    connection.resume_writing()
    await asyncio.gather(*connection.tasks)
    assert connection.transport.written[1:] == [b"1\r\nb\r\n", b"1\r\nc\r\n0\r\n\r\n"]


async def test_a_head_whose_body_takes_time_goes_out_alone():
    going_on = asyncio.Event()

    async def answer(scope, receive, send):
        await send(head())
        await going_on.wait()
        await send(body(b"a", True))
        await send(body(b"b"))

    connection = connected(answer)
    await ask(connection)
    assert [data.endswith(CHUNKED + b"\r\n") for data in connection.transport.written] == [True]
    going_on.set()
    await asyncio.gather(*connection.tasks)
    assert connection.transport.written[1:] == [b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n"]


@pytest.mark.parametrize(
    ("messages", "end"),
    [
        ([start(200, SIZED), body(b"whole")], b"connection: close\r\n\r\nwhole"),
        ([whole(b"whole", b"Content-Length: 5\r\n")], b"connection: close\r\n\r\nwhole"),
        ([head(), body(b"whole")], b"connection: close\r\n\r\n5\r\nwhole\r\n0\r\n\r\n"),
    ],
    ids=["in parts", "whole", "stream"],
)
async def test_a_connection_that_ends_with_its_answer_ends_behind_it(messages, end):
    async def answer(scope, receive, send):
        for message in messages:
            await send(message)

    written = await asked(answer, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", closed=True)
    assert b"".join(written).endswith(end)


@pytest.mark.parametrize(("opening", "end"), [(start(200, SIZED), b"content-length: 5\r\n\r\n"), (head(), b"")])
async def test_an_application_that_fails_after_the_head_leaves_no_answer_half_said(opening, end):
    async def answer(scope, receive, send):
        await send(opening)
        raise ValueError("failed")

    written = b"".join(await asked(answer, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", closed=True))
    assert written.endswith(end)
    assert bool(written) == bool(end)


@pytest.mark.parametrize("header", [(b"bad name", b"x"), (b"x-bad", b"a\r\nb: c")])
async def test_a_header_that_is_none_is_never_sent(header):
    async def answer(scope, receive, send):
        await send(start(200, header))

    assert await asked(answer, "GET / HTTP/1.1\r\nhost: x\r\n\r\n", closed=True) == []


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0"])
def test_nor_one_of_a_wire(value):
    with pytest.raises(BadHeaderError):
        _lines(respond({}, headers={"X-Bad": value}), "req_1")


async def ask(connection):
    """Sends a request, and lets the application do what needs no waiting."""
    connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    for _ in range(3):
        await asyncio.sleep(0)


async def asked(application, request, *, closed=False):
    """What is written for one request; `closed`: and then the connection is."""
    connection = connected(application)
    connection.data_received(request.encode())
    await asyncio.gather(*connection.tasks)
    assert connection.transport.closed is closed
    return connection.transport.written
