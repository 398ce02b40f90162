"""WebSocket clients on bare sockets, a process of its own: one JSON job on standard input, JSON lines on standard output.

`idle`: sockets that are open and silent. `turns`: each begins a paced turn of its own. `crowd`: one begins a turn, all watch it.
"""

import asyncio
import sys
import time
from typing import Any, cast

import orjson
import uvloop

from tests.benchmarks.load import STAMP, summary, tell

_BATCH = 50


def main() -> None:
    job = orjson.loads(sys.stdin.buffer.read())
    uvloop.run({"idle": idle, "turns": turns, "crowd": crowd}[job["kind"]](job))


class Socket(asyncio.Protocol):
    """One client; notes (stamp, arrival) of every chunk, both in nanoseconds of the monotonic clock."""

    transport: asyncio.Transport

    def __init__(self, job: dict[str, Any], notes: list[tuple[int, int]]) -> None:
        self.job, self.notes = job, notes
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seen = b""
        self.wanted: dict[bytes, asyncio.Future[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        fields = {"host": f"127.0.0.1:{self.job['port']}", "upgrade": "websocket", "connection": "Upgrade", **self.job["headers"]}
        fields |= {"sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.write(f"GET /chat?mode=text HTTP/1.1\r\n{head}\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.opened, *self.wanted.values()):
            if not future.done():
                future.set_exception(RuntimeError(f"connection lost: {exc!r}; last: {self.seen[-500:]!r}"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self.seen + data
        if not self.opened.done() and b"\r\n\r\n" in data:
            assert data.startswith(b"HTTP/1.1 101"), data[:500]
            self.opened.set_result(None)
            data = data.partition(b"\r\n\r\n")[2]
        for mark, future in list(self.wanted.items()):
            if mark in data and not future.done():
                future.set_result(None)
        for match in STAMP.finditer(data):
            self.notes.append((int(match[1]), now))
        self.seen = data[data.rfind(b";") + 1 :][-300:] if b";" in data else data[-300:]

    def send(self, frame: dict[str, Any]) -> None:
        payload = orjson.dumps(frame)
        assert len(payload) < 65_536
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0x80 | 126]) + len(payload).to_bytes(2)
        self.transport.write(b"\x81" + size + b"\0\0\0\0" + payload)

    async def expect(self, mark: bytes) -> None:
        """Waits until the server has sent `mark`."""
        future = self.wanted[mark] = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(future, 60)


async def opened(job: dict[str, Any], notes: list[tuple[int, int]]) -> list[Socket]:
    loop, sockets = asyncio.get_running_loop(), []
    for start in range(0, job["clients"], _BATCH):
        count = min(_BATCH, job["clients"] - start)
        made = [await loop.create_connection(lambda: Socket(job, notes), "127.0.0.1", job["port"]) for _ in range(count)]
        batch = [socket for _, socket in made]
        await asyncio.gather(*(socket.opened for socket in batch))
        sockets += batch
    return sockets


async def idle(job: dict[str, Any]) -> None:
    """Opens and closes some to warm up; then opens `clients` and holds them."""
    for socket in await opened({**job, "clients": 100}, []):
        socket.transport.close()
    await asyncio.sleep(2)
    tell(phase="start")
    await opened(job, [])
    await asyncio.sleep(job["settle_s"])
    tell(phase="end")


async def turns(job: dict[str, Any]) -> None:
    notes: list[tuple[int, int]] = []
    sockets = await opened(job, notes)
    begun = time.monotonic()
    for number, socket in enumerate(sockets):
        await asyncio.sleep(max(0.0, begun + number * job["ramp_s"] / len(sockets) - time.monotonic()))
        socket.send({"content": "Go on.", "agent": job["agent"], "thread_id": job["thread"].replace("{}", str(number))})
    await measure(job, notes, streams=len(sockets))


async def crowd(job: dict[str, Any]) -> None:
    notes: list[tuple[int, int]] = []
    first, *others = await opened(job, notes)
    first.send({"content": "Go on.", "agent": job["agent"], "thread_id": job["thread"]})
    await first.expect(b"t=")
    for other in others:
        other.send({"type": "attach", "thread_id": job["thread"]})
    await asyncio.gather(*(other.expect(b"t=") for other in others))
    await measure(job, notes, streams=1 + len(others))


async def measure(job: dict[str, Any], notes: list[tuple[int, int]], *, streams: int) -> None:
    await asyncio.sleep(job["settle_s"])
    notes.clear()
    tell(phase="start")
    start_ns = time.monotonic_ns()
    await asyncio.sleep(job["window_s"])
    end_ns = time.monotonic_ns()
    tell(phase="end")
    await asyncio.sleep(1.0)
    lags_ms = [(now - stamp) / 1e6 for stamp, now in notes if start_ns <= stamp < end_ns]
    tell(phase="told", **summary(lags_ms, streams * job["window_s"] * 1000 / job["gap_ms"], job["gap_ms"]))


if __name__ == "__main__":
    main()
