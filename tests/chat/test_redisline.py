"""The line to the shared store, to real servers: plain, over TLS with a certificate and a password, by a Unix socket."""

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import RedisError

from chat.redisline import Line, dial
from tests.support import services
from tests.support.waiting import until

pytestmark = pytest.mark.redis


@contextmanager
def store(folder: Path, *options: str) -> Iterator[None]:
    """A redis-server that keeps nothing, until its socket in `folder` answers."""
    command = [services.redis_program(), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), "--unixsocket", str(folder / "s")]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: (folder / "s").exists() or process.poll() is not None)
            if process.poll() is not None:
                pytest.skip(f"this redis-server has no {options[0]}")
            yield
        finally:
            process.terminate()


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name: those of Unix sockets have 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="line-") as name:
        yield Path(name)


async def line_to(url: str) -> Line:
    return await dial(ConnectionPool.from_url(url, protocol=2).make_connection())


async def said(url: str) -> list[object]:
    """What two questions of one round are answered."""
    line = await line_to(url)
    answers = [await answer for answer in (line.ask(["SET", "a", 1]), line.ask(["GET", "a"]))]
    line.close()
    return answers


async def test_a_plain_server(redis_url: str) -> None:
    assert await said(redis_url) == [b"OK", b"1"]


async def test_a_unix_socket(folder: Path) -> None:
    with store(folder, "--port", "0"):
        assert await said(f"unix://{folder}/s?db=2") == [b"OK", b"1"]


@pytest.mark.parametrize("name", ["localhost", "other.example.com"])
async def test_tls_with_a_password(folder: Path, name: str) -> None:
    """Only a server whose certificate is trusted and of its name is spoken to."""
    authority, port = trustme.CA(), services.free_port()
    served = authority.issue_cert(name)
    authority.cert_pem.write_to_path(str(folder / "ca"))
    served.private_key_pem.write_to_path(str(folder / "key"))
    served.cert_chain_pems[0].write_to_path(str(folder / "cert"))
    options = {"--tls-port": str(port), "--tls-cert-file": "cert", "--tls-key-file": "key", "--tls-ca-cert-file": "ca"}
    others = ["--port", "0", "--tls-auth-clients", "no", "--requirepass", "secret"]
    with store(folder, *(word for option in options.items() for word in option), *others):
        url = f"rediss://:secret@localhost:{port}/1?ssl_ca_certs={folder}/ca"
        if name == "localhost":
            assert await said(url) == [b"OK", b"1"]
            with pytest.raises(RedisError, match=r"WRONGPASS"):
                await line_to(url.replace("secret", "wrong"))
        else:
            with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
                await line_to(url)


async def test_who_waits_is_told_when_the_server_is_gone(folder: Path) -> None:
    with store(folder, "--port", "0"):
        line = await line_to(f"unix://{folder}/s")
        waiting = line.ask(["BLPOP", "nothing", 0])
        await asyncio.sleep(0)
    assert isinstance(await waiting, RedisError)
    assert isinstance(await line.ask(["PING"]), RedisError)
