"""How a room answers with a turn: the whole of it, or bytes as they come, with keep-alives and the leaving rules (R5, R6, R12.2)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from django.http.response import HttpResponseBase

from agents.errors import SwitchboardError
from agents.settings import settings
from chat import metrics
from chat.client import Client
from chat.eventlog import Follower, Log
from chat.events import PRODUCED, SEGMENT_ENDS, Batch, Numbered
from chat.turns import Turn
from chat.views import Call

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
SSE = "text/event-stream; charset=utf-8"


class Encoder(Protocol):
    """A room's codec: pure, folds from the first event; b"" when a batch makes no bytes on its wire."""

    keep_alive: bytes

    def encode(self, batch: Batch) -> bytes: ...


async def whole(call: Call, turn: Turn) -> list[Numbered]:
    """Every event up to the segment's end. Raises the turn's refusal when it failed before its first event (R5.1).

    A client that leaves meanwhile ends a stateless run (R6.1); the answer then goes nowhere.
    """
    follower = Follower(turn.log, wants=SEGMENT_ENDS, ticks=False)
    call.client.watch(follower.wake)
    events: list[Numbered] = []
    try:
        batch: Batch | None = []
        while batch is not None:
            events.extend(batch)
            if call.client.gone:  # perhaps before anybody waited to be woken
                turn.leave()
                raise SwitchboardError("client_left")
            batch = await follower.next()
    finally:
        follower.close()
    turn.check(events)
    return events


async def sse(
    call: Call, turn: Turn, encoder: Encoder, *, headers: Mapping[str, str] | None = None, content_type: str = SSE, after: int = 0
) -> HttpResponseBase:
    """A stream of the turn: waits for its first event, raises what made it fail before that, then sends (R5.1, R5.2)."""
    follower = Follower(turn.log, after, wants=PRODUCED)
    call.client.watch(follower.wake)
    try:
        events = await _first(call, turn, follower)
        follower.wants = None
    except BaseException:
        follower.close()
        raise
    return StreamAnswer(follower, encoder, events, call.client, turn.leave, headers or {}, content_type)


async def sse_watch(
    call: Call, log: Log, encoder: Encoder, *, headers: Mapping[str, str] | None = None, content_type: str = SSE, after: int = 0
) -> HttpResponseBase:
    """A stream of an execution that exists: 200 at once (R5.3); leaving it changes nothing."""
    return StreamAnswer(Follower(log, after), encoder, [], call.client, _stay, headers or {}, content_type)


def _stay() -> None:
    """A watcher who leaves is not missed."""


async def _first(call: Call, turn: Turn, follower: Follower) -> list[Numbered]:
    """Events up to the one that decides the status, or those there after CHAT_COMMIT_SECONDS."""
    events: list[Numbered] = []
    late = False

    def commit() -> None:
        nonlocal late
        late = True
        follower.wake()

    timer = asyncio.get_running_loop().call_later(settings.CHAT_COMMIT_SECONDS, commit)
    try:
        while not (turn.decided or late):
            batch = await follower.next()
            events.extend(batch or ())
            if call.client.gone:
                turn.leave()
                raise SwitchboardError("client_left")
            if batch is None:
                break
    finally:
        timer.cancel()
    turn.check(events)
    return events


class StreamAnswer(HttpResponseBase):
    """A streamed response that config.handler writes itself: bytes go out as events come in, one send per batch."""

    streaming = True

    def __init__(
        self,
        follower: Follower,
        encoder: Encoder,
        events: list[Numbered],
        client: Client,
        leave: Callable[[], None],
        headers: Mapping[str, str],
        content_type: str,
    ) -> None:
        super().__init__(content_type=content_type)
        self.wire_headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers}
        self._follower, self._encoder, self._events, self._client, self._leave = follower, encoder, events, client, leave

    async def write_to(self, send: Send) -> None:
        """Sends the body until the segment's end or the client's leaving; always ends the response."""
        follower, encoder, client = self._follower, self._encoder, self._client
        client.watch(follower.wake)
        metrics.stream_opened()
        try:
            batch: Batch | None = self._events
            self._events, self.wire_headers = [], {}  # sent: nothing is held that a stream does not need while it waits
            more, opening = True, encoder.keep_alive  # whose answer was committed without a word gets a first byte with the headers
            while more and not client.gone:
                data = encoder.encode(batch) or opening if batch else encoder.keep_alive if batch is not None else b""
                opening = b""
                more = batch is not None and not follower.over()
                if data or not more:
                    await send({"type": "http.response.body", "body": data, "more_body": more})
                data, batch = b"", None
                if more:
                    batch = await follower.next()
            if client.gone:
                self._leave()
        except BaseException:
            self._leave()
            raise
        finally:
            metrics.stream_closed()
            self.close()

    def close(self) -> None:
        """Lets go of log and client, also for an answer that is never written (HEAD). No signals: wires need none of them."""
        self._follower.close()
        self._client.close()
