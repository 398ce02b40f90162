"""GET …/chat/sessions/{id}/events (AG-27): a conversation live, whichever wire moves it, for those without a socket.

A snapshot, then what every run of it says as stream-json. `id:` is `<execution_id>:<seq>`; who comes back with it misses nothing.
"""

import asyncio
import re
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.http.response import HttpResponseBase

from agents import credentials
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat import archive, live, metrics, process, readings
from chat.eventlog import Log
from chat.events import Batch, Gap, Numbered, RefusalDelta, TextDelta
from chat.fold import fold
from chat.live import Asked, Found
from chat.models import ChatSession, Execution
from chat.protocols.agents_api import session_documents as documents
from chat.protocols.agents_api.base import AgentRoute, agent_named
from chat.protocols.agents_api.session_views import readable
from chat.sessionviews import branched_views, message_view, session_view
from chat.store import run
from chat.streaming import SSE, Send, StreamAnswer
from chat.streamjson import KEEP_ALIVE, Teller
from chat.views import Call
from chat.watching import log_for

SHOWN_MESSAGES = 20
MAX_UNSENT_BYTES = 4 * 1_048_576
"""A reader that is so far behind is disconnected, and comes back with the last id it has (R7.6)."""
CHECK_S = 60
_LAST_EVENT_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([0-9]{1,18})\Z")
_open: set["FeedAnswer"] = set()


class EventsView(AgentRoute):
    """The live feed of one conversation, for its owner and for managers of its agent."""

    @documents.events
    async def get(self, call: Call, name: str, session_id: str) -> HttpResponseBase:
        seen = _seen(call)
        agent = await agent_named(call.principal, name)
        row = await readable(call.principal, agent, session_id)
        answer = FeedAnswer(call, row, agent)
        if call.request.method == "HEAD":
            return answer
        try:
            await answer.begin(await run(_run, row.id, seen[0]) if seen else None, seen[1] if seen else 0)
        except BaseException:
            answer.close()
            raise
        return answer


def close() -> None:
    """The process ends: readers are let go, to come back elsewhere."""
    for answer in list(_open):
        answer.end()


def _seen(call: Call) -> tuple[UUID, int] | None:
    """The run and the number after which to go on; the header wins over `?after=` (R7.3)."""
    text = call.headers.get("last-event-id") or call.query.get("after")
    if not text:
        return None
    match = _LAST_EVENT_ID.match(text)
    if match is None:
        raise SwitchboardError("invalid_request", "Last-Event-ID and after are an id of this stream.")
    return UUID(match[1]), int(match[2])


def _run(session_id: UUID, execution_id: UUID) -> Execution | None:
    return Execution.objects.filter(id=execution_id, session_id=session_id).first()


@dataclass(frozen=True, slots=True)
class Lines:
    """A run's stream-json objects as frames, each with the run's id in it."""

    execution_id: str
    teller: Teller

    def tell(self, batch: Batch) -> list[bytes]:
        return [frame for item in batch for frame in self._told(item)]

    def _told(self, item: Numbered) -> list[bytes]:
        seq, event = item
        if isinstance(event, TextDelta | RefusalDelta):
            return [self._frame(self._delta(seq, event), seq)] if event.text else []
        return [self._frame(told, seq if isinstance(event, Gap) else told.get("seq", seq)) for told in self.teller.tell(item)]

    def _delta(self, seq: int, event: TextDelta | RefusalDelta) -> dict[str, Any]:
        delta = {"type": "content_block_delta", "index": self.teller.hear(event), "delta": {"type": "text_delta", "text": event.text}}
        return {"type": "stream_event", "seq": seq, "session_id": self.teller.session_id, "event": delta}

    def _frame(self, told: dict[str, Any], seq: int) -> bytes:
        return frame({**told, "execution_id": self.execution_id}, f"{self.execution_id}:{seq}")


def frame(told: dict[str, Any], event_id: str = "") -> bytes:
    line = b"data: %b\n\n" % orjson.dumps(told)
    return b"id: %b\n%b" % (event_id.encode(), line) if event_id else line


class FeedAnswer(StreamAnswer):
    """One reader: a chat.live.SessionWatcher that queues bytes, and the response that sends them."""

    form: Hashable = "stream-json"

    def __init__(self, call: Call, row: ChatSession, agent: AgentSpec) -> None:
        HttpResponseBase.__init__(self, content_type=SSE)
        self.wire_headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Session-Id": str(row.id)}
        self._call, self._client, self._row, self._agent = call, call.client, row, agent
        self._unsent: list[bytes] = []
        self._size = 0
        self._ended = False
        self._news = asyncio.Event()

    async def begin(self, last: Execution | None, seq: int) -> None:
        """A snapshot and what follows it; or, for who knows `last` up to `seq`, what came after that."""
        _open.add(self)
        also = partial(_newest, self._row.id) if last is None else _nothing
        found = await live.attach(self._row.id, self, also, last.created_at if last else None)
        if found.session is None:
            raise SwitchboardError("session_not_found")
        if last is None:
            await self._snapshot(found)
            return
        if last.status in live.OPEN or seq < last.last_seq:
            await readings.follow(last.id, self, seq)
        await self._follow([asked for asked in found.runs if asked.execution.id != last.id])

    async def _snapshot(self, found: Found[tuple[archive.Stretch, str] | None]) -> None:
        """The conversation, its newest messages, and what its run has said so far; the rest follows from there."""
        stretch, newest = found.also or (None, "")
        asked = next((asked for asked in found.runs if asked.execution.status in ("running", "paused")), None)
        log = await log_for(asked.execution.id) if asked else None
        running = {"execution_id": str(log.execution_id), "seq": log.last_seq, "text": fold(log.after(0)).text} if log else None
        messages = branched_views(stretch.rows, stretch.prior, self._row, stretch.runs) if stretch else []
        told = {"type": "snapshot", "session": self._session_view(found.session or self._row), "messages": messages, "running": running}
        self._put(frame(told, f"{log.execution_id}:{log.last_seq}" if log else newest))
        if log is not None:
            await readings.follow(log.execution_id, self, log.last_seq)
        await self._follow([each for each in found.runs if each is not asked], told=True)

    async def _follow(self, runs: Sequence[Asked], *, told: bool = False) -> None:
        """`told`: what their users said is among the messages already."""
        for asked in runs:
            if not told:
                self.asked(asked)
            await readings.follow(asked.execution.id, self)

    def _session_view(self, row: ChatSession) -> dict[str, Any]:
        return session_view(row, context_window=self._agent.model.context_window)

    # What it is told

    def teller(self, log: Log) -> Lines:
        execution_id, session_id = str(log.execution_id), str(self._row.id)
        return Lines(execution_id, Teller(execution_id=execution_id, session_id=session_id))

    def asked(self, asked: Asked) -> bool:
        if asked.message is not None:
            said = {"type": "message", **message_view(asked.message, self._row, {})}
            self._put(frame(said, f"{asked.execution.id}:0"))
        return True

    def told(self, execution_id: UUID, objects: Sequence[bytes]) -> None:
        self._put(b"".join(objects))

    def changed(self, session: ChatSession | None) -> None:
        """A conversation that was renamed, closed or opened again; one that is gone ends the stream."""
        if session is None:
            self.end()
        else:
            self._put(frame({"type": "session", "session": self._session_view(session)}))

    def _put(self, data: bytes) -> None:
        self._unsent.append(data)
        self._size += len(data)
        if self._size > MAX_UNSENT_BYTES:
            self.end()
        self._news.set()

    # The response

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def write_to(self, send: Send) -> None:
        """Sends what comes, and a comment in silence, until the reader leaves or may not read any more."""
        self._client.watch(self._news.set)
        metrics.stream_opened()
        checked = time.monotonic()
        try:
            while not (self._client.gone or self._ended or process.is_closing()):
                data = await self._next()
                await send({"type": "http.response.body", "body": data, "more_body": True})
                if time.monotonic() - checked > CHECK_S:
                    checked = time.monotonic()
                    if not await self._may_read():
                        break
            if not self._client.gone:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            metrics.stream_closed()
            self.close()

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(settings.CHAT_KEEPALIVE_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return KEEP_ALIVE["sse"]
        self._news.clear()
        data, self._unsent, self._size = b"".join(self._unsent), [], 0
        return data

    async def _may_read(self) -> bool:
        """Whether the credential still counts, and still sees this conversation."""
        token = self._call.headers.get("authorization", "").strip().partition(" ")[2].strip()
        credential = credentials.credential_of(token)
        principal = await credentials.principal_of(credential) if credential else None
        if principal is None:
            return False
        try:
            await readable(principal, await agent_named(principal, self._agent.name), str(self._row.id))
        except SwitchboardError:
            return False
        return True

    def close(self) -> None:
        _open.discard(self)
        live.detach(self._row.id, self)
        self._client.close()


def _newest(session_id: UUID) -> tuple[archive.Stretch, str]:
    """The newest messages, and the id after which a reader of them goes on."""
    run_row = Execution.objects.filter(session_id=session_id).order_by("-created_at").values_list("id", "last_seq").first()
    return archive.messages(session_id, limit=SHOWN_MESSAGES), f"{run_row[0]}:{run_row[1]}" if run_row else ""


def _nothing() -> None:
    """A reader that comes back has the messages."""
