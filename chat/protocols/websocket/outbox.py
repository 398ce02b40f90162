"""What one connection is still to be sent: a bounded queue with one writer (WS-20, WS-68, WS-69). Never makes anybody wait.

When it is over half full, adjacent text of a run is merged. Full for ten seconds, or far too full, is a reader too slow.
"""

import asyncio
import time
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from django.conf import settings

from chat.protocols.websocket.frames import Frame, Mode

Send = Callable[[dict[str, Any]], Awaitable[None]]
PATIENCE_S = 10
WINDOW_S, WINDOW_BYTES = 10, 2 * 1_048_576
"""So much leaves in a window: with daphne, what is sent to a client that does not read waits in our memory (WS-68)."""
LONGEST_MERGED_CHARS = 32_768
GOODBYE_S = 2
"""How long a closing connection may take to read what is left."""


class Outbox:
    """`mode` is how frames are encoded from now on, also those that wait (WS-12).

    `on_slow` is told when the reader is too slow, `hang_up` when it does not even take the goodbye.
    """

    __slots__ = ("_closing", "_full", "_hang_up", "_on_slow", "_queue", "_send", "_size", "_task", "_window_bytes", "_window_ends", "mode")

    def __init__(self, send: Send, mode: Mode, on_slow: Callable[[], None], hang_up: Callable[[], None]) -> None:
        self.mode: Mode = mode
        self._send, self._on_slow, self._hang_up = send, on_slow, hang_up
        self._queue: deque[tuple[Frame, int]] | None = None
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._full: asyncio.TimerHandle | None = None
        self._closing = False
        self._window_ends = 0.0
        self._window_bytes = 0

    def put(self, frame: Frame) -> None:
        """Queues a frame; one for a connection that is closing is dropped: it can be resumed."""
        if self._closing:
            return
        if self._task is None:
            self._send_now(frame)
        elif not (self._over(0.5) and self._merge(frame)):
            self._append(frame, len(frame.encoded(self.mode)))
            self._watch()

    def close(self, code: int, last: Frame | None = None, *, drop: bool = False) -> asyncio.Task[None]:
        """Sends what waits (`drop`: not even that), then `last`, then closes. Done when that has happened, or the client is gone."""
        if drop:
            self._queue = None
        if last is not None and not self._closing:
            self._append(last, 0)
        self._closing = True
        self._forget_full()
        writer, self._task = self._task, None
        self._task = asyncio.get_running_loop().create_task(self._finish(code, writer, drop))
        return self._task

    def abandon(self) -> None:
        """The client is gone."""
        self._closing = True
        self._queue = None
        self._forget_full()
        self._on_slow = self._hang_up = _nothing  # no cycle stays behind
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _send_now(self, frame: Frame) -> None:
        """Nothing waits: the frame is on its way without a task, unless the transport (or the pace) makes it wait."""
        writing = self._write(frame, len(frame.encoded(self.mode)))
        try:
            waiting = writing.send(None)
        except StopIteration:
            return
        self._task = asyncio.get_running_loop().create_task(_go_on(writing, waiting))

    async def _write(self, frame: Frame, size: int) -> None:
        """Sends the frame, then what was queued meanwhile."""
        try:
            await self._pace(size)
            await self._send(_message(frame, self.mode))
            while self._queue:
                frame, size = self._queue.popleft()
                self._size -= size
                await self._pace(size)
                await self._send(_message(frame, self.mode))
                if self._full is not None and not self._over(1.0):
                    self._forget_full()
        except OSError:
            pass  # the client left; its disconnect is on the way
        if not self._closing:
            self._task = self._queue = None

    async def _pace(self, size: int) -> None:
        now = time.monotonic()
        if now >= self._window_ends:
            self._window_ends, self._window_bytes = now + WINDOW_S, 0
        self._window_bytes += size
        if self._window_bytes > WINDOW_BYTES and self._window_bytes > size:
            await asyncio.sleep(self._window_ends - now)
            self._window_ends, self._window_bytes = time.monotonic() + WINDOW_S, size

    async def _finish(self, code: int, writer: "asyncio.Task[None] | None", drop: bool) -> None:
        try:
            async with asyncio.timeout(GOODBYE_S):
                if writer is not None and drop:
                    writer.cancel()
                if writer is not None:
                    await asyncio.wait([writer])
                while self._queue:
                    await self._send(_message(self._queue.popleft()[0], self.mode))
                await self._send({"type": "websocket.close", "code": code})
        except TimeoutError:
            self._hang_up()
        except OSError:
            pass  # the client left
        self._queue = None

    def _append(self, frame: Frame, size: int) -> None:
        if self._queue is None:  # an idle connection has none
            self._queue = deque()
        self._queue.append((frame, size))
        self._size += size

    def _merge(self, frame: Frame) -> bool:
        if not self._queue:
            return False
        last, size = self._queue[-1]
        merged = last.merged(frame) if len(last.body.get("content") or "") < LONGEST_MERGED_CHARS else None
        if merged is None:
            return False
        grown = len(frame.body["content"].encode())
        self._queue[-1] = (merged, size + grown)
        self._size += grown
        self._watch()
        return True

    def _over(self, share: float) -> bool:
        return len(self._queue or ()) > share * settings.WS_MAX_UNSENT_FRAMES or self._size > share * settings.WS_MAX_UNSENT_BYTES

    def _watch(self) -> None:
        if self._over(2.0):
            self._on_slow()
        elif self._full is None and self._over(1.0):
            self._full = asyncio.get_running_loop().call_later(PATIENCE_S, self._on_slow)

    def _forget_full(self) -> None:
        if self._full is not None:
            self._full.cancel()
            self._full = None


@types.coroutine
def _go_on(begun: Coroutine[Any, Any, None], waiting: Any) -> Generator[Any, Any, None]:
    """Lets a task go on with a coroutine that was begun without one and now waits (as the eager tasks of Python 3.12 do)."""
    try:
        while True:
            try:
                result = yield waiting
            except BaseException as error:  # a cancellation, passed on to where it belongs
                waiting = begun.throw(error)
            else:
                waiting = begun.send(result)
    except StopIteration:
        return


def _nothing() -> None:
    """Nobody is to be told any more."""


def _message(frame: Frame, mode: Mode) -> dict[str, Any]:
    return {"type": "websocket.send", "text": frame.text} if mode == "text" else {"type": "websocket.send", "bytes": frame.binary}
