"""The load, a process of its own on bare sockets: one JSON job on standard input, JSON lines on standard output.

`turns`: clients that each work through a list of turns as fast as they are answered. `streams`: many open paced streams.
Every answer is checked (status 200, the mark that only a complete answer holds); the first wrong one ends the run.
"""

import asyncio
import re
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import orjson
import uvloop

STAMP = re.compile(rb"t=(\d+);")


def main() -> None:
    job = orjson.loads(sys.stdin.buffer.read())
    uvloop.run({"turns": turns, "streams": streams}[job["kind"]](job))


def tell(**line: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


def request_bytes(job: dict[str, Any], number: int) -> bytes:
    """Turn `number` of the job: `{}` in conversation ids stands for the number."""
    fields = {"host": f"127.0.0.1:{job['port']}", "content-type": "application/json", **job["headers"]}
    if job.get("conversation"):
        fields["x-conversation-id"] = job["conversation"].replace("{}", str(number))
    body = orjson.dumps(job["body"])
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {job['path']} HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One keep-alive connection; `turn()` sends a request and waits for the whole answer."""

    transport: asyncio.Transport

    def __init__(self, mark: bytes) -> None:
        self.mark = mark
        self.done: asyncio.Future[None] | None = None
        self.first_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(f"connection lost: {exc!r}")

    async def turn(self, request: bytes, first: bytes) -> None:
        self.head = self.tail = b""
        self.left = -1
        self.seen = False
        self.first_mark, self.first_s = first, 0.0
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self.done

    def data_received(self, data: bytes) -> None:
        if self.left == -1:
            data = self.read_head(data)
        joined = self.tail + data
        if not self.first_s and self.first_mark in joined:
            self.first_s = time.perf_counter()
        self.seen = self.seen or self.mark in joined
        self.tail = joined[-32:]
        if self.left == -2:
            if self.tail.endswith(b"\r\n0\r\n\r\n"):
                self.finish()
        elif self.left >= 0:
            self.left -= len(data)
            if self.left == 0:
                self.finish()

    def read_head(self, data: bytes) -> bytes:
        """Takes the head off; `left` becomes the body's length, or -2 when it is chunked."""
        self.head += data
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            return b""
        head, body = self.head[:end].lower(), self.head[end + 4 :]
        if not head.startswith(b"http/1.1 200"):
            self.fail(self.head[:1000].decode(errors="replace"))
        length = re.search(rb"content-length: *(\d+)", head)
        self.left = int(length[1]) if length else -2
        return body

    def finish(self) -> None:
        if not self.seen:
            self.fail(f"the answer lacks {self.mark!r}: …{self.tail!r}")
        elif self.done and not self.done.done():
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        if self.done and not self.done.done():
            self.done.set_exception(RuntimeError(reason))


async def turns(job: dict[str, Any]) -> None:
    """`numbers` are dealt out to the clients like cards; tells seconds in all, and each turn's time to its first token."""
    loop = asyncio.get_running_loop()
    mark, first = job["mark"].encode(), job["first"].encode()
    made = [await loop.create_connection(lambda: Connection(mark), "127.0.0.1", job["port"]) for _ in range(job["clients"])]
    requests = [request_bytes(job, number) for number in job["numbers"]]
    firsts_s: list[float] = []
    tell(phase="start")
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for index, (_, connection) in enumerate(made):
            group.create_task(work(connection, requests[index :: job["clients"]], first, firsts_s))
    tell(phase="end", seconds=time.perf_counter() - begun, turns=len(requests), firsts_s=firsts_s)


async def work(connection: Connection, requests: Sequence[bytes], first: bytes, firsts_s: list[float]) -> None:
    for request in requests:
        begun = time.perf_counter()
        await connection.turn(request, first)
        firsts_s.append(connection.first_s - begun)


class Stream(asyncio.Protocol):
    """One open stream; notes (stamp, arrival) of every chunk, both in nanoseconds of the monotonic clock."""

    transport: asyncio.Transport

    def __init__(self, notes: list[tuple[int, int]], failures: list[str]) -> None:
        self.notes, self.failures = notes, failures
        self.tail = b""
        self.first = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self.first and not data.startswith(b"HTTP/1.1 200"):
            self.failures.append(data[:1000].decode(errors="replace"))
        self.first = False
        data = self.tail + data
        for match in STAMP.finditer(data):
            self.notes.append((int(match[1]), now))
        self.tail = data[data.rfind(b";") + 1 :][-40:] if b"t=" in data[-40:] else b""


async def streams(job: dict[str, Any]) -> None:
    """Opens `clients` streams evenly over `ramp_s`, lets them settle, then counts what arrives in `window_s` seconds."""
    loop = asyncio.get_running_loop()
    notes: list[tuple[int, int]] = []
    failures: list[str] = []
    opened = []
    begun = loop.time()
    for number in range(job["clients"]):
        await asyncio.sleep(max(0.0, begun + number * job["ramp_s"] / job["clients"] - loop.time()))
        transport, _ = await loop.create_connection(lambda: Stream(notes, failures), "127.0.0.1", job["port"])
        transport.write(request_bytes(job, number))
        opened.append(transport)
    await asyncio.sleep(job["settle_s"])
    notes.clear()
    tell(phase="start")
    start_ns = time.monotonic_ns()
    await asyncio.sleep(job["window_s"])
    end_ns = time.monotonic_ns()
    tell(phase="end")
    await asyncio.sleep(1.0)
    lags_ms = [(now - stamp) / 1e6 for stamp, now in notes if start_ns <= stamp < end_ns]
    tell(phase="told", failures=failures[:1], **summary(lags_ms, job["clients"] * job["window_s"] * 1000 / job["gap_ms"], job["gap_ms"]))
    for transport in opened:
        transport.abort()


def summary(lags_ms: list[float], due: float, gap_ms: float) -> dict[str, float]:
    """On time: there before the stream's next chunk is due. Percentiles are of all that arrived."""
    ordered = sorted(lags_ms)
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in percentiles()} if ordered else {}
    return {"due": due, "on_time": sum(lag <= gap_ms for lag in lags_ms) / due, "arrived": len(lags_ms) / due, **at}


def percentiles() -> Iterator[tuple[str, float]]:
    yield from (("p50_ms", 0.50), ("p95_ms", 0.95), ("p99_ms", 0.99))


if __name__ == "__main__":
    main()
