"""R12.1a, R12.5, R7.6: what the transport promises on both servers: bodies cut at the limit, slow clients cut, an orderly end."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest
from websockets.sync.client import connect

from config import serving
from tests.support import environment
from tests.support.server import ROOT

LIMIT = 1_048_576


class Running:
    """A server process; `open` gives a raw connection to it."""

    def __init__(self, kind, data_dir, *limits):
        env = {**environment.cleaned(os.environ), "DATA_DIR": str(data_dir), "DJANGO_SETTINGS_MODULE": "config.settings"}
        command = [sys.executable, "-m", "tests.config.transport", kind, *limits]
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def open(self):
        return closing(socket.create_connection(("127.0.0.1", self.port), timeout=20))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


def receive(connection):
    """Everything until the server closes the connection."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def answer(connection):
    """Status, headers and JSON of one answer."""
    file = connection.makefile("rb")
    status = int(file.readline().split()[1])
    headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(file.readline, b"\r\n"))
    return status, headers, json.loads(file.read(int(headers["content-length"])))


def head(path="/", *lines, method="POST"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def server(kind, tmp_path_factory):
    running = Running(kind, tmp_path_factory.mktemp(kind))
    yield running
    running.end()


@pytest.fixture(scope="module")
def hasty_server(kind, tmp_path_factory):
    """Its patience is short, so that tests need none."""
    running = Running(kind, tmp_path_factory.mktemp(kind), "HEAD_S=0.4", "BODY_WINDOW_S=0.4", "BODY_WINDOW_BYTES=10", "READER_S=0.5")
    yield running
    running.end()


def test_requests_follow_each_other_on_one_connection(server):
    with server.open() as connection:
        for size in (0, 5, 300_000):
            connection.sendall(head("/", f"Content-Length: {size}") + b"x" * size)
            status, headers, body = answer(connection)
            assert (status, body["size"]) == (200, size)
            assert "server" not in headers


def test_pipelined_requests_are_answered_in_order(server):
    with server.open() as connection:
        connection.sendall(b"".join(head("/", f"Content-Length: {size}") + b"x" * size for size in (1, 2, 3)))
        assert receive_until(connection, b'"size": 3').count(b"200 OK") == 3


def receive_until(connection, mark):
    data = b""
    while mark not in data:
        part = connection.recv(65_536)
        assert part, data
        data += part
    return data


def test_a_caller_cannot_say_where_the_site_is_mounted(server):
    with server.open() as connection:
        connection.sendall(head("/", "Daphne-Root-Path: /evil", method="GET"))
        assert answer(connection)[2]["root_path"] == ""


def test_websockets_work(server):
    with connect(f"ws://127.0.0.1:{server.port}/ws") as websocket:
        websocket.send("hello")
        assert websocket.recv(timeout=10) == "hello"


@pytest.mark.parametrize("kind", ["daphne"], indirect=True)
def test_a_declared_body_over_the_limit_is_refused_before_it_comes(server):
    with server.open() as connection:
        connection.sendall(head("/", f"Content-Length: {LIMIT + 1}"))
        status, headers, body = answer(connection)
        assert (status, body["too_large"], headers["connection"]) == (413, True, "close")


@pytest.mark.parametrize("kind", ["daphne"], indirect=True)
def test_a_client_that_asks_first_is_not_told_to_go_on(server):
    with server.open() as connection:
        connection.sendall(head("/", f"Content-Length: {LIMIT + 1}", "Expect: 100-continue"))
        assert answer(connection)[0] == 413
        connection.sendall(b"x")


@pytest.mark.parametrize("kind", ["daphne"], indirect=True)
def test_a_chunked_body_is_refused_when_it_passes_the_limit_and_the_client_can_read_that_afterwards(server):
    with server.open() as connection:
        connection.sendall(head("/", "Transfer-Encoding: chunked"))
        for _ in range(40):
            connection.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert answer(connection)[0] == 413
        assert connection.recv(1) == b""


@pytest.mark.parametrize("kind", ["daphne"], indirect=True)
def test_a_huge_body_does_not_fill_the_memory(server):
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    with server.open() as connection:
        connection.sendall(head("/", f"Content-Length: {200 * LIMIT}"))
        for _ in range(100):
            connection.sendall(b"x" * LIMIT)
        assert process.memory_info().rss - before < 20 * LIMIT
        assert answer(connection)[0] == 413


def test_a_body_of_exactly_the_limit_comes_through(server):
    with server.open() as connection:
        connection.sendall(head("/", f"Content-Length: {LIMIT}") + b"x" * LIMIT)
        assert answer(connection)[2]["size"] == LIMIT


def refused(connection):
    """Status and JSON of an answer after which the server closes the connection."""
    status, headers, body = answer(connection)
    assert connection.recv(1) == b""
    assert (headers["content-type"], headers["x-request-id"]) == ("application/json", body["request_id"])
    assert (list(body), body["code"]) == (["detail", "code", "request_id"], "invalid_request")
    return status


def test_headers_without_end_are_refused(server):
    with server.open() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-Long: " + b"x" * 70_000)
        assert refused(connection) in (400, 431)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01 TLS spoken to a plain port\r\n\r\n",
        head("/", "Bad Name: x"),
        head("/", "Content-Length: many"),
        head("/", "Transfer-Encoding: chunked") + b"not a length\r\n",
    ],
)
def test_malformed_http_is_400_in_our_envelope(server, sent):
    """R3.1: also where no request ever reaches the application."""
    with server.open() as connection:
        connection.sendall(sent)
        assert refused(connection) == 400


@pytest.mark.parametrize("kind", ["uvicorn"], indirect=True)
def test_a_method_that_http_does_not_have_is_400(server):
    with server.open() as connection:
        connection.sendall(head("/", method="BREW"))
        assert refused(connection) == 400


@pytest.mark.parametrize("form", ["multipart/form-data; boundary=b", "multipart/form-data", "application/x-www-form-urlencoded"])
def test_forms_are_not_parsed_before_the_application_sees_them(server, form):
    """A malformed one is refused by the view, in its wire's envelope (R3.1); twisted would answer without one."""
    with server.open() as connection:
        connection.sendall(head("/", f"Content-Type: {form}", "Content-Length: 8") + b"--x\r\n:\r\n")
        assert answer(connection)[::2] == (200, {"size": 8, "too_large": False, "root_path": ""})


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: local", head("/", "Content-Length: 10") + b"x"])
def test_a_head_or_body_that_stalls_is_cut(hasty_server, sent):
    with hasty_server.open() as connection:
        connection.sendall(sent)
        assert b"200" not in receive(connection)


def test_a_byte_now_and_then_does_not_keep_a_connection(hasty_server):
    with hasty_server.open() as connection:
        connection.sendall(head("/", "Content-Length: 100"))
        with pytest.raises(OSError, match=r"reset|Broken pipe|closed"):
            drip(connection, [b"x"] * 99)


def test_a_slow_body_that_keeps_coming_is_heard_to_its_end(hasty_server):
    with hasty_server.open() as connection:
        connection.sendall(head("/", "Content-Length: 100"))
        drip(connection, [b"x" * 10] * 10)
        connection.settimeout(20)
        assert answer(connection)[2]["size"] == 100


def small_window(running):
    """A connection whose client side holds little, so that what is not read waits in the server."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", running.port))
    return closing(connection)


def test_a_client_that_stops_reading_is_cut(hasty_server):
    """R7.6: it is not waited for, and what it does not take is not kept."""
    with small_window(hasty_server) as connection:
        connection.sendall(head("/large?500", method="GET"))
        poller = select.poll()
        poller.register(connection, 0)  # errors and hang-ups only: nothing is read
        assert poller.poll(20_000)


def test_a_client_that_reads_slowly_gets_everything(hasty_server):
    with small_window(hasty_server) as connection:
        connection.sendall(head("/large?200", "Connection: close", method="GET"))
        received = b""
        while part := connection.recv(131_072):
            received = received[-100:] + part
            time.sleep(0.01)
    assert b"end mark" in received


def drip(connection, pieces):
    """Sends a piece every tenth of a second; raises OSError when the server has closed the connection."""
    connection.settimeout(0.1)
    for piece in pieces:
        connection.sendall(piece)
        try:
            if connection.recv(1, socket.MSG_PEEK) == b"":
                raise ConnectionResetError("closed")
        except TimeoutError:
            continue


def test_at_the_end_open_streams_get_their_end_mark_and_the_process_leaves_with_0(kind, tmp_path):
    running = Running(kind, tmp_path)
    with running.open() as connection, running.open() as silent:
        connection.sendall(head("/stream", method="GET"))
        receive_until(connection, b"begun")
        running.process.send_signal(signal.SIGTERM)
        assert b"end mark" in receive(connection)
        assert running.process.wait(15) == 0
        assert silent.recv(1) == b""
    assert running.process.stdout.read() == "ended\n"


@pytest.mark.parametrize(
    ("text", "shown", "is_loopback"),
    [
        ("127.0.0.1:8083", "127.0.0.1:8083", True),
        ("localhost:0", "localhost:0", True),
        ("[::1]:80", "[::1]:80", True),
        ("0.0.0.0:8000", "0.0.0.0:8000", False),
        (":8000", "0.0.0.0:8000", False),
        ("[::]:8000", "[::]:8000", False),
        ("agents.example:80", "agents.example:80", False),
    ],
)
def test_addresses_are_read_and_shown(text, shown, is_loopback):
    address = serving.parse_address(text)
    assert (str(address), address.is_loopback) == (shown, is_loopback)


@pytest.mark.parametrize("bad", ["", "8000", "localhost", "::1:80", "[::1]", "host:port", "host:99999", "a b:80", "http://x:80"])
def test_what_is_no_address_is_refused(bad):
    with pytest.raises(ValueError, match="host:port"):
        serving.parse_address(bad)


def test_an_address_in_use_is_refused():
    first, address = serving.bind(serving.parse_address("127.0.0.1:0"))
    with closing(first):
        first.listen()
        with pytest.raises(OSError, match="in use"):
            serving.bind(address)
