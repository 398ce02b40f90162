"""Starting an ASGI server in this process, daphne or uvicorn, on an address of ours."""

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from config.transport import Application

ServerKind = Literal["daphne", "uvicorn"]
_LISTEN = re.compile(r"(?:\[([0-9a-fA-F:.%]+)\]|([^\[\]:\s]*)):(\d{1,5})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """An address a browser on this machine can use."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # compared, not bound
        return f"http://{Address(host=host, port=self.port)}"


def parse_address(text: str) -> Address:
    """`host:port` or `[v6]:port`; no host means every address of this machine. Raises ValueError."""
    match = _LISTEN.match(text.strip())
    if not match or int(match[3]) > 65_535:
        raise ValueError(f"an address is host:port or [v6]:port, got {text!r}")
    return Address(host=match[1] or match[2] or "0.0.0.0", port=int(match[3]))  # noqa: S104  # checks.py refuses what is not meant


def bind(address: Address) -> tuple[socket.socket, Address]:
    """A bound socket, not yet listening, and its real address. Raises OSError."""
    family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound, Address(host=address.host, port=bound.getsockname()[1])


def run(application: Application, bound: socket.socket, kind: ServerKind, on_ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT. `on_ready` is called when connections are accepted."""
    if kind == "uvicorn":
        from config import uvicornserver

        uvicornserver.run(application, bound, on_ready)
    else:
        from config import daphneserver

        daphneserver.run(application, bound, on_ready)
