"""The processes that are measured, and what they cost: CPU seconds and resident bytes, read from the operating system."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from tests.support import cast, services
from tests.support.server import ROOT, Server, ServerKind

Mode = Literal["embedded", "redis+pg"]
SECRETS = {"SECRET_KEY": "a-secret-key-for-measuring-only-" * 2, "ENCRYPTION_KEYS": "c3dpdGNoYm9hcmQtYmVuY2htYXJrLTMyLWJ5dGVzISE="}
AGENTS = """
providers:
  - {name: fake, kind: openai_compatible, base_url: "UPSTREAM/v1", api_key: sk-fake-upstream-key}
agents:
  - {name: burst, provider: fake, model: burst-100, instructions: You are helpful.}
  - {name: trickle, provider: fake, model: paced-3-2, instructions: You are helpful.}
  - {name: open-200, provider: fake, model: paced-1000-20, instructions: You are helpful.}
  - {name: open-1000, provider: fake, model: paced-220-100, instructions: You are helpful.}
  - {name: open-5000, provider: fake, model: paced-44-1000, instructions: You are helpful.}
"""
MODELS = {
    "burst": "burst-100",
    "trickle": "paced-3-2",
    "open-200": "paced-1000-20",
    "open-1000": "paced-220-100",
    "open-5000": "paced-44-1000",
}
"""What the relay is asked for where our server is asked for an agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that answers chat completions on `port`, run by process `pid`."""

    name: str
    port: int
    pid: int
    headers: dict[str, str] = field(default_factory=dict)

    def cpu_s(self) -> float:
        """CPU seconds used so far by the process and its children."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(used.user + used.system for used in times)

    def rss_bytes(self) -> int:
        return sum(process.memory_info().rss for process in self._processes())

    def wait_until_idle(self, limit_s: float = 120) -> None:
        """Returns when the process has used under 3 % of a core for half a second."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            before = self.cpu_s()
            time.sleep(0.5)
            if self.cpu_s() - before <= 0.015:
                return
        raise RuntimeError(f"{self.name} does not come to rest")

    def _processes(self) -> list[psutil.Process]:
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]


@contextmanager
def fake_upstream() -> Iterator[str]:
    """The URL of a fake model server."""
    with child([sys.executable, "-m", "tests.benchmarks.upstream"]) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


@contextmanager
def relay(upstream_url: str) -> Iterator[Target]:
    """The bare relay on uvicorn, whatever server ours runs on: it is the yardstick."""
    port = services.free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "tests.benchmarks.relay:app",
        "--port",
        str(port),
        "--loop",
        "uvloop",
        "--http",
        "httptools",
    ]
    with child([*command, "--log-level", "warning"], BENCH_UPSTREAM=upstream_url) as process:
        wait_for(lambda: services.answers(port))
        yield Target(name="relay", port=port, pid=process.pid)


@contextmanager
def child(command: list[str], **env: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(ready: Callable[[], bool], limit_s: float = 20) -> None:
    until = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > until:
            raise RuntimeError("a process did not get ready")
        time.sleep(0.05)


@dataclass(slots=True, kw_only=True)
class Site:
    """Our server, filled with the agents above. `target` is good until the next restart."""

    server: Server
    target: Target

    def restart(self) -> None:
        self.server.restart()
        self.target = target_of(self.server)


@contextmanager
def site(kind: ServerKind, mode: Mode, upstream_url: str, folder: Path) -> Iterator[Site]:
    """One server process of ours: embedded, or on a Redis and a durable PostgreSQL of its own."""
    with ExitStack() as stack:
        env = {
            "CHAT_RATE_RPM": "1000000000",
            "CHAT_RATE_TPM": "1000000000",
            "WS_MAX_PER_PRINCIPAL": "0",
            "WS_MAX_PER_ADDRESS": "0",
            **SECRETS,
        }
        if mode == "redis+pg":
            database = services.new_database(stack.enter_context(services.postgres(durable=True)), "bench")
            env |= {"REDIS_URL": stack.enter_context(services.redis()), "DATABASE_URL": database}
        server = Server(folder / f"{kind}-{mode}", kind, env)
        server.keys = cast.fill(server.env, upstream_url, AGENTS)
        stack.enter_context(server)
        yield Site(server=server, target=target_of(server))


def target_of(server: Server) -> Target:
    headers = {"authorization": f"Bearer {server.keys['owner']}"}
    return Target(name=f"switchboard on {server.kind}", port=server.port, pid=server.pid, headers=headers)
