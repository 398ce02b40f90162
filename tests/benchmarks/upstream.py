"""A fake model server for measuring: bytes made beforehand, answered by a bare asyncio protocol, so that it is never the limit.

The model's name is the script: `burst-100` sends 100 chunks at once, `paced-50-20` sends 50 chunks 20 ms apart.
Paced chunks carry the monotonic clock in nanoseconds as their text, `t=…;`, so that a client on this machine can tell their lag.
"""

import asyncio
import sys
import time
from typing import cast

import orjson
import uvloop

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
BASE = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1767225600, "model": "bench"}
USAGE = {"prompt_tokens": 120, "completion_tokens": 100, "total_tokens": 220}


def main() -> None:
    """Serves until ended; prints its port."""
    uvloop.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Upstream(asyncio.Protocol):
    """One connection: requests one after the other, as HTTP/1.1 clients with keep-alive send them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = b""
        self.pending: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self.pending:
            self.pending.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        mark = head.find(b"content-length:")
        length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return
        body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
        self.answer(orjson.loads(body) if body else {})

    def answer(self, request: dict[str, object]) -> None:
        kind, count, *gap_ms = str(request.get("model", "burst-100")).split("-")
        if not request.get("stream"):
            self.transport.write(whole(int(count)))
        elif kind == "burst":
            self.transport.write(STREAM_HEAD)
            for chunk in burst(int(count)):
                self.transport.write(chunk)
        else:
            self.transport.write(STREAM_HEAD + http_chunk(delta({"role": "assistant", "content": ""})))
            gap_s = int(gap_ms[0]) / 1000
            self.send_paced(asyncio.get_running_loop().time(), int(count), gap_s)

    def tick(self, due: float, left: int, gap_s: float) -> None:
        """Sends the chunk that is due and sets the clock for the next; a late tick does not shift those after it."""
        self.pending = asyncio.get_running_loop().call_at(due, self.send_paced, due, left, gap_s)

    def send_paced(self, due: float, left: int, gap_s: float) -> None:
        stamped = PACED[0] + str(time.monotonic_ns()).encode() + PACED[1]
        self.transport.write(b"%x\r\n%b\r\n" % (len(stamped), stamped))
        if left > 1:
            self.tick(due + gap_s, left - 1, gap_s)
        else:
            self.pending = None
            self.transport.write(b"".join(ending()))


def delta(fields: dict[str, object], finish: str | None = None) -> bytes:
    return b"data: " + orjson.dumps(BASE | {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}) + b"\n\n"


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def ending() -> list[bytes]:
    usage = b"data: " + orjson.dumps(BASE | {"choices": [], "usage": USAGE}) + b"\n\n"
    return [http_chunk(delta({}, "stop")), http_chunk(usage), http_chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n"]


def burst(count: int) -> list[bytes]:
    """The body of a burst, piece by piece; made once for each size."""
    if count not in BURSTS:
        texts = [http_chunk(delta({"content": f"token{number} "})) for number in range(count)]
        BURSTS[count] = [http_chunk(delta({"role": "assistant", "content": ""})), *texts, *ending()]
    return BURSTS[count]


def whole(count: int) -> bytes:
    """The answer to a call that does not stream, with the text of the burst of the same size."""
    if count not in WHOLES:
        message = {"role": "assistant", "content": "".join(f"token{number} " for number in range(count))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = orjson.dumps(BASE | {"object": "chat.completion", "choices": [choice], "usage": USAGE})
        WHOLES[count] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    return WHOLES[count]


BURSTS: dict[int, list[bytes]] = {}
WHOLES: dict[int, bytes] = {}
PACED = tuple(delta({"content": "t=\0;"}).split(b"\\u0000"))

if __name__ == "__main__":
    main()
