"""A WebSocket client as one of the cast (package `websockets`), and what its frames amount to."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import msgpack
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.server import Server

TIMEOUT_S = 20
OPTIONS: dict[str, Any] = {"compression": None, "max_size": None, "max_queue": None, "ping_interval": None, "open_timeout": TIMEOUT_S}
Frame = dict[str, Any]


class Socket:
    """One open connection. `binary`: speaks MessagePack; else JSON, pinned by `mode=text`. It calls from the address `source`."""

    def __init__(
        self,
        server: Server,
        person: str | None = "owner",
        *,
        path: str = "/chat",
        binary: bool = False,
        headers: dict[str, str] | None = None,
        source: str = "127.0.0.1",
        **query: str,
    ) -> None:
        credentials = {"Authorization": f"Bearer {server.keys[person]}"} if person else {}
        mode = {} if binary else {"mode": "text"}
        address = f"ws://127.0.0.1:{server.port}{path}?{urlencode({**mode, **query})}"
        self.binary = binary
        options: dict[str, Any] = {
            "compression": None,
            "max_size": None,
            "max_queue": None,
            "open_timeout": TIMEOUT_S,
            "ping_interval": None,
            "source_address": (source, 0),
        }
        self._open = ExitStack()
        self.connection: ClientConnection = self._open.enter_context(
            connect(address, additional_headers={**credentials, **(headers or {})}, **options)
        )
        self.heard: list[Frame] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def send(self, frame: Any = None, **fields: Any) -> None:
        frame = fields if frame is None else frame
        self.connection.send(msgpack.packb(frame) if self.binary else json.dumps(frame))

    def say(self, words: str, script: dict[str, Any] | None = None, **fields: Any) -> None:
        """A chat message; `script` is for the fake model server."""
        self.send({"content": f"{words}\n\n{json.dumps(script)}" if script else words, "agent": "root", **fields})

    def hear(self, timeout_s: float = TIMEOUT_S) -> Frame:
        """The next frame that is not the server's ping."""
        while True:
            try:
                data = self.connection.recv(timeout=timeout_s)
            except TimeoutError as error:
                raise AssertionError(f"nothing more after {kinds(self.heard)}: {self.heard[-1:]}") from error
            frame: Frame = json.loads(data) if isinstance(data, str) else msgpack.unpackb(data)
            if frame["type"] != "ping":
                self.heard.append(frame)
                return frame

    def until(self, wanted: Callable[[Frame], bool], timeout_s: float = TIMEOUT_S) -> list[Frame]:
        """The frames up to the first that is `wanted`; `timeout_s` for each."""
        frames = [self.hear(timeout_s)]
        while not wanted(frames[-1]):
            frames.append(self.hear(timeout_s))
        return frames

    def turn(self) -> list[Frame]:
        """The frames up to the end of a turn."""
        return self.until(finished)

    def error(self) -> Frame:
        """The next frame, which is an error."""
        frame = self.hear()
        assert frame["type"] == "error", frame
        assert frame["message"] == frame["error"] != ""
        return frame

    def end(self) -> tuple[list[Frame], int]:
        """The frames up to the close, and its code."""
        frames = []
        try:
            while True:
                frames.append(self.hear())
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "the connection was cut"  # noqa: PT017 - the close is what is asked for
            return frames, closed.rcvd.code


def finished(frame: Frame) -> bool:
    return frame["type"] == "session" and frame["event"] == "finished"


def is_type(kind: str) -> Callable[[Frame], bool]:
    return lambda frame: bool(frame["type"] == kind)


def is_event(event: str) -> Callable[[Frame], bool]:
    return lambda frame: frame["type"] == "session" and frame["event"] == event


def text(frames: list[Frame]) -> str:
    """What the chunks say."""
    return "".join(frame["content"] for frame in frames if frame["type"] == "chunk" and not frame["thinking"])


def kinds(frames: list[Frame]) -> list[str]:
    """Types in order, repeated ones once; of session frames their events."""
    names = [
        f"{frame['type']} {frame['event']}" if frame["type"] == "session" else f"{frame['type']}{' done' * frame.get('done', False)}"
        for frame in frames
    ]
    return [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]


def numbers(frames: list[Frame]) -> list[int]:
    return [frame["seq"] for frame in frames if frame.get("seq") is not None]


@contextmanager
def two(server: Server, **query: str) -> Iterator[tuple[Socket, Socket]]:
    """Two devices of the owner."""
    with Socket(server, **query) as first, Socket(server, **query) as second:
        yield first, second
