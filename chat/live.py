"""Live conversations: who watches one hears of every run of it, whichever wire began it, from any process (WS-63, AG-27).

The bell (chat.sessionbell) only wakes; what is told comes from the runs' own logs (chat.readings) and from the database.
Access is checked before.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from chat import readings, sessionbell
from chat.models import ChatSession, Execution, Message
from chat.store import run

logger = logging.getLogger("switchboard.live")
T = TypeVar("T")
OPEN = ("queued", "running", "paused")
_MAX_KNOWN = 200
_LOOK_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A run of a conversation, and the user's message that it answers (None: it has none, or it was deleted)."""

    execution: Execution
    message: Message | None


class SessionWatcher(readings.Watcher, Protocol):
    """One place that shows a conversation."""

    def asked(self, asked: Asked) -> bool:
        """A run came up. False: this watcher began it, and follows it by itself."""
        ...

    def changed(self, session: ChatSession | None) -> None:
        """The conversation was renamed, closed or opened again; None: it was deleted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[T]):
    """A conversation at the moment from which its watcher is told: its row, its open runs and those that began after `since`,

    oldest first, and what else was read.
    """

    session: ChatSession | None
    runs: Sequence[Asked]
    also: T


async def attach(session_id: UUID, watcher: SessionWatcher, also: Callable[[], T], since: datetime | None = None) -> Found[T]:
    """From now on `watcher` hears of every new run; those that are found it may readings.follow().

    `also` is read in the same look at the database.
    """
    feed = _feeds.get(session_id)
    if feed is None:
        feed = _feeds[session_id] = Feed(session_id)
        sessionbell.watch(session_id, feed.ring)
        _sweeper.ensure()
    return await feed.enter(watcher, also, since)


def detach(session_id: UUID, watcher: SessionWatcher) -> None:
    """The watcher hears no more of the conversation, nor of the runs that it followed."""
    readings.leave(watcher)
    feed = _feeds.get(session_id)
    if feed is not None:
        feed.leave(watcher)
        if feed.is_empty():
            del _feeds[session_id]
            sessionbell.unwatch(session_id)


_feeds: dict[UUID, "Feed"] = {}


class Feed:
    """A conversation that is watched in this process."""

    def __init__(self, session_id: UUID) -> None:
        self.session_id = session_id
        self.known: dict[UUID, None] = {}
        self._watchers: dict[SessionWatcher, None] = {}
        self._entering: dict[SessionWatcher, list[Asked]] = {}
        self._opened_at = self._newest_at = timezone.now()
        self._shown: tuple[str, str] | None = None
        self._rung: set[UUID | None] = set()
        self._task: asyncio.Task[None] | None = None

    async def enter(self, watcher: SessionWatcher, also: Callable[[], T], since: datetime | None) -> Found[T]:
        """Looks, tells the others what is news to them, and lets the watcher in. Runs that come up meanwhile are among those found."""
        self._entering[watcher] = []
        try:
            row, found, read = await run(_entered, self.session_id, also, since)
            for asked in found:
                await self._begin(asked)
        except BaseException:
            detach(self.session_id, watcher)
            raise
        ids = {asked.execution.id for asked in found}
        found += [asked for asked in self._entering.pop(watcher, ()) if asked.execution.id not in ids]
        self._watchers[watcher] = None
        self._shown = self._shown or (_shown(row) if row else None)
        return Found(session=row, runs=found, also=read)

    def leave(self, watcher: SessionWatcher) -> None:
        self._watchers.pop(watcher, None)
        self._entering.pop(watcher, None)

    def is_empty(self) -> bool:
        return not self._watchers and not self._entering

    def ring(self, execution_id: UUID | None) -> None:
        self._rung.add(execution_id)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self._rung and not self.is_empty():
            rung, self._rung = self._rung, set()
            try:
                await self._look_at(rung)
            except DatabaseError as error:
                logger.warning("a live conversation cannot be looked up: %s", error)
                self._rung |= rung
                await asyncio.sleep(1)

    async def _look_at(self, rung: set[UUID | None]) -> None:
        everything = None in rung
        for execution_id in self.known if everything else rung & self.known.keys():
            readings.prod(execution_id)  # type: ignore[arg-type]  # None is not known
        if everything:
            row, found = await run(_state, self.session_id, self._newest_at)
            self._compare(row)
        else:
            found = await run(_asked, self.session_id, [each for each in rung if each is not None and each not in self.known])
        for asked in found:
            await self._begin(asked)

    async def _begin(self, asked: Asked) -> None:
        """A run that nobody here has heard of. One that was over before anybody watched is history."""
        if asked.execution.id in self.known:
            return
        self._note(asked)
        if asked.execution.status not in OPEN and asked.execution.created_at < self._opened_at:
            return
        for pending in self._entering.values():
            pending.append(asked)
        try:
            for watcher in [watcher for watcher in list(self._watchers) if watcher.asked(asked)]:
                await readings.follow(asked.execution.id, watcher)
        except DatabaseError:
            del self.known[asked.execution.id]
            raise

    def _note(self, asked: Asked) -> None:
        self.known[asked.execution.id] = None
        self._newest_at = max(self._newest_at, asked.execution.created_at)
        while len(self.known) > _MAX_KNOWN:
            del self.known[next(iter(self.known))]

    def _compare(self, row: ChatSession | None) -> None:
        """Tells what became of the conversation itself."""
        shown = _shown(row) if row else None
        if shown == self._shown:
            return
        self._shown = shown
        for watcher in list(self._watchers):
            watcher.changed(row)


def _shown(row: ChatSession) -> tuple[str, str]:
    return row.title, row.status


def _entered(session_id: UUID, also: Callable[[], T], since: datetime | None) -> tuple[ChatSession | None, list[Asked], T]:
    return *_state(session_id, since), also()


def _state(session_id: UUID, since: datetime | None) -> tuple[ChatSession | None, list[Asked]]:
    """The conversation, and its runs that are open or began after `since`."""
    row = ChatSession.objects.filter(id=session_id).select_related("owner").first()
    newest = Execution.objects.filter(session_id=session_id).order_by("-created_at").values_list("id", "status", "created_at")[:_MAX_KNOWN]
    wanted = [key for key, status, created_at in newest if status in OPEN or (since is not None and created_at > since)]
    return row, _asked(session_id, wanted)


def _asked(session_id: UUID, ids: Sequence[UUID]) -> list[Asked]:
    if not ids:
        return []
    rows = Execution.objects.filter(id__in=ids, session_id=session_id).order_by("created_at")
    messages = {message.execution_id: message for message in Message.objects.filter(execution_id__in=ids, role="user")}
    return [Asked(execution=row, message=messages.get(row.id)) for row in rows]


class Sweeper:
    """Looks for open runs of all watched conversations now and then: a bell that was not heard costs seconds, not the run (WS-21)."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def ensure(self) -> None:
        loop = asyncio.get_running_loop()
        if settings.REDIS_URL and (self._task is None or self._task.done() or self._task.get_loop() is not loop):
            self._task = loop.create_task(self._sweep())

    async def _sweep(self) -> None:
        while _feeds:
            await asyncio.sleep(_LOOK_S)
            try:
                found = await run(_open_runs, list(_feeds))
            except DatabaseError as error:
                logger.warning("live conversations cannot be looked up: %s", error)
                continue
            for session_id, execution_id in found:
                feed = _feeds.get(session_id)
                if feed is not None and execution_id not in feed.known:
                    feed.ring(execution_id)


_sweeper = Sweeper()


def _open_runs(session_ids: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
    found: list[tuple[UUID, UUID]] = []
    for start in range(0, len(session_ids), 500):
        rows = Execution.objects.filter(session_id__in=session_ids[start : start + 500], status__in=OPEN)
        found += rows.values_list("session_id", "id")
    return found
