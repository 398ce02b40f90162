"""Server-sent events, bytes in, JSON values out, no I/O. One read from the network costs one JSON decode.

An event is what stands between blank lines; only its `data:` lines count, comments and `event:` lines do not
(https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
"""

from typing import Any

import orjson

from agents.providers import bursts

MAX_EVENT_BYTES = 16 * 1024 * 1024
FIELDS = (b":", b"data", b"event", b"id", b"retry")
_DONE = b"[DONE]"


class EventReader:
    """Fed with what each read brought, however it was cut.

    `done`: `data: [DONE]` came. `broken`: why the stream cannot be read on; what came before it was still returned.
    `foreign`: something came that is no server-sent event at all.
    """

    def __init__(self) -> None:
        self.done = False
        self.broken = ""
        self.foreign = False
        self._rest = b""

    def feed(self, data: bytes) -> list[Any]:
        """The decoded `data` of every event that is complete now; of many that are alike a bursts.Run."""
        if self._rest:
            data = self._rest + data
        if b"\r" in data:
            data = _unified(data)
        end = data.rfind(b"\n\n")
        if end < 0:
            self._rest = data
            if len(data) > MAX_EVENT_BYTES:
                self.broken = "an event is too long"
            return []
        self._rest = data[end + 2 :]
        return self._decode(data[:end])

    def finish(self) -> list[Any]:
        """At the end of the stream: what the last event holds, though its blank line never came."""
        rest, self._rest = self._rest, b""
        return self._decode(_unified(rest + b"\n").strip(b"\n")) if rest else []

    def _decode(self, block: bytes) -> list[Any]:
        """Fast for what servers send, `data: {…}` events: raw line ends cannot occur inside JSON, so every blank line
        followed by `data: ` is a border and becomes the comma of one JSON array."""
        if block.endswith(b"\n\ndata: [DONE]"):
            self.done = True
            block = block[:-14]
        if block.startswith(b"data: "):
            try:
                return _chunks(block[6:])
            except ValueError:
                pass
        return self._decode_one_by_one(block)

    def _decode_one_by_one(self, block: bytes) -> list[Any]:
        values: list[Any] = []
        try:
            for event in block.split(b"\n\n"):
                self._decode_event(event.strip(b"\n"), values)
        except ValueError as error:
            self.broken = f"not JSON: {error}"
        return values

    def _decode_event(self, event: bytes, values: list[Any]) -> None:
        """Data lines of one event are one value; but some servers end events with one line end only, then each is."""
        self.foreign |= bool(event) and not event.startswith(FIELDS)
        lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
        try:
            values += self._decode_data(b"\n".join(lines))
        except ValueError:
            if len(lines) < 2:
                raise
            for line in lines:
                values += self._decode_data(line)

    def _decode_data(self, data: bytes) -> list[Any]:
        if data == _DONE:
            self.done = True
            return []
        return [orjson.loads(data)] if data else []


def _chunks(block: bytes) -> list[Any]:
    """Raises ValueError where an event is no JSON. A bursts.Run stands for many of them."""
    burst = bursts.split(block)
    if burst is None:
        return _array(block.replace(bursts.BORDER, b","))
    before, run, after = burst
    return [*_array(b",".join(before)), run, *_array(b",".join(after))]


def _array(elements: bytes) -> list[Any]:
    values: list[Any] = orjson.loads(b"[" + elements + b"]")
    return values


def _unified(data: bytes) -> bytes:
    """CRLF and CR become LF; a CR at the end stays, for it may be half of a CRLF."""
    tail = b"\r" if data.endswith(b"\r") else b""
    return data[: len(data) - len(tail)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + tail
