"""One connection: who it is, what it watches, began and is to answer, and what it is sent. Knows no transport but its outbox."""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agents import credentials
from agents.access import Principal
from agents.credentials import Credential
from agents.errors import SwitchboardError
from agents.providers.base import ToolDefinition
from chat import readings
from chat.protocols.websocket.errors import CLOSES, Kind, frame_of, refusal
from chat.protocols.websocket.frames import Body, Frame, Mode
from chat.protocols.websocket.limits import FAULT_WINDOW_S, FAULTS, WARNING_WINDOW_S, WARNINGS, Bucket, Strikes
from chat.protocols.websocket.outbox import Outbox, Send
from chat.requests import SessionRef

if TYPE_CHECKING:
    from chat.protocols.websocket.watch import Watch


MAX_JOBS = 8
"""Frames of one connection that are worked on or wait for that; each may be as large as a frame may be."""


class Connection:
    """An open socket.

    `watches`: by conversation. `began`: its unfinished turns, with their conversation, oldest first. `answers`: calls of client
    tools that it is to answer, with their turn. `last_threads`: by agent, where a message without a thread goes (WS-28).
    """

    __slots__ = (
        "_bucket", "_faults", "_goodbye", "_jobs", "_tasks", "_warnings", "agent_name", "answers", "began", "credential", "heard_at",
        "html", "id", "last_threads", "manifest", "outbox", "pinned", "principal", "reasoning", "site", "watches",
    )  # fmt: skip

    def __init__(
        self, send: Send, hang_up: Callable[[], None], credential: Credential, principal: Principal, *, mode: Mode | None, site: str
    ) -> None:
        self.id = secrets.token_hex(8)
        self.credential, self.principal, self.site = credential, principal, site
        self.outbox = Outbox(send, mode or "binary", self.too_slow, hang_up)
        self.pinned = mode is not None
        self.agent_name = ""
        self.reasoning = self.html = False
        self.manifest: tuple[ToolDefinition, ...] = ()
        self.watches: dict[UUID, Watch] = {}
        self.began: dict[UUID, UUID] = {}
        self.answers: dict[str, UUID] = {}
        self.last_threads: dict[UUID | None, SessionRef] = {}
        self.heard_at = time.monotonic()
        self._bucket: Bucket | None = None
        self._faults: Strikes | None = None
        self._warnings: Strikes | None = None
        self._jobs: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] | None = None
        self._goodbye: asyncio.Task[None] | None = None

    # Sending

    def send(self, body: Body) -> None:
        self.outbox.put(Frame(body))

    def refuse(self, error: SwitchboardError, kind: Kind = "request", **more: Any) -> None:
        """Tells an error that ends nothing."""
        self.outbox.put(frame_of(error, kind, **more))

    def end(self, code: str, message: str = "", **values: Any) -> None:
        """Tells the error, then closes (WS-8)."""
        error = refusal(code, message, **values)
        self.close(CLOSES[code], frame_of(error, "connection", fatal=True), drop=code == "slow_consumer")

    def too_slow(self) -> None:
        self.end("slow_consumer")

    def close(self, code: int, last: Frame | None = None, *, drop: bool = False) -> None:
        """Says goodbye once: what waits (`drop`: not that), `last`, the close."""
        if self._goodbye is None:
            self._goodbye = self.outbox.close(code, last, drop=drop)

    @property
    def closing(self) -> bool:
        return self._goodbye is not None

    async def closed(self) -> None:
        """Waits until the goodbye was said or given up."""
        if self._goodbye is not None:
            await asyncio.wait([self._goodbye])

    # Limits

    def may_take(self) -> bool:
        """Counts a frame. One over the limit is dropped, and several of those end the connection (§10)."""
        self.heard_at = time.monotonic()
        self._bucket = self._bucket or Bucket()
        if self._bucket.take():
            return True
        self._warnings = self._warnings or Strikes(WARNINGS, WARNING_WINDOW_S)
        if self._warnings.out():
            self.end("rate_limited", retry_after_s=10)
        else:
            self.refuse(refusal("rate_limited", retry_after_s=1), "connection")
        return False

    def fault(self, error: SwitchboardError, **more: Any) -> None:
        """Tells that a frame is not valid; too many of them end the connection (4400)."""
        self._faults = self._faults or Strikes(FAULTS, FAULT_WINDOW_S)
        if self._faults.out():
            self.end("invalid_frames")
        else:
            self.refuse(error, **more)

    # Who it is

    async def still(self) -> bool:
        """Whether its credential counts now (WS-10); what it may do is refreshed with it. Else the connection ends."""
        found = await credentials.principal_of(self.credential)
        if found is None:
            self.end("invalid_credentials")
            return False
        self.principal = found
        return True

    async def renew(self, token: str) -> bool:
        """Takes a new token of the same principal; anything else ends the connection (WS-10)."""
        fresh = credentials.credential_of(token)
        found = await credentials.principal_of(fresh) if fresh else None
        if fresh is None or found is None or found.key != self.principal.key:
            self.end("invalid_credentials")
            return False
        self.credential, self.principal = fresh, found
        return True

    # Work

    def work(self, job: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Runs something beside the reading; it ends with the connection."""
        if self._tasks is None:
            self._tasks = set()
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def in_order(self, job: Coroutine[Any, Any, None]) -> None:
        """Runs jobs one after the other, beside the reading. Waits only when many are under way: then reading waits as well."""
        self._jobs = [task for task in self._jobs if not task.done()]
        if len(self._jobs) >= MAX_JOBS:
            await asyncio.wait([self._jobs[0]])
        self._jobs.append(self.work(_after(self._jobs[-1] if self._jobs else None, job)))

    def is_busy(self) -> bool:
        """Whether a run goes on that it began or watches."""
        return bool(self.began) or any(readings.followed(watch) for watch in self.watches.values())

    def leave(self) -> None:
        """The socket is gone, and all that served it; its turns go on (WS-65)."""
        for task in list(self._tasks or ()):
            task.cancel()
        self._goodbye = None
        self.outbox.abandon()
        for watch in list(self.watches.values()):
            watch.leave()
        self.watches.clear()


async def _after(before: "asyncio.Task[None] | None", job: Coroutine[Any, Any, None]) -> None:
    if before is not None and not before.done():
        await asyncio.wait([before])
    await job
