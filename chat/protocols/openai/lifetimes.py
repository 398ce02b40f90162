"""How long named conversations live and how many there may be (OAI-56).

Law: the database is the truth. A conversation lives while its session has its `name`; its last use is `last_message_at`, which
a turn from any wire moves when it ends, or now, while one runs. A dropped one loses its name and nothing else.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from agents.database import run
from agents.settings import settings
from chat import transcripts
from chat.models import ChatSession, Execution

logger = logging.getLogger("switchboard.openai")
_GRACE = timedelta(seconds=10)
"""Dropped a little after their time, so that a turn that found its conversation alive has begun by then."""
_RECOUNT_S = 10.0
MAX_REMEMBERED = 100_000


@dataclass(slots=True)
class _Memory:
    """`alive`: until when (time.monotonic) a conversation lives as far as this process knows; a turn that begins looks whether another

    one dropped it. `count` conversations were counted at `counted_s` (negative: never), and `opened` here since then.
    """

    alive: dict[UUID, float] = field(default_factory=dict)
    count: int = 0
    opened: int = 0
    counted_s: float = -1.0

    def remember(self, session_id: UUID) -> None:
        if len(self.alive) >= MAX_REMEMBERED:
            self.alive.clear()
        self.alive[session_id] = time.monotonic() + settings.CHAT_CONVERSATION_TTL

    def knows(self, session_id: UUID) -> bool:
        """Its history is at hand, too: that of a deleted conversation is forgotten."""
        return self.alive.get(session_id, 0.0) > time.monotonic() and transcripts.cache.get(session_id) is not None

    def must_count(self, most: int) -> bool:
        """Counting costs milliseconds: only when the limit may have been passed, by others too."""
        stale = bool(settings.REDIS_URL) and time.monotonic() - self.counted_s >= _RECOUNT_S
        return self.counted_s < 0 or stale or self.count + self.opened > most


_memory = _Memory()


async def is_alive(session_id: UUID) -> bool:
    """Whether it still has its name; one that was not used for its time loses it now. Raises database errors."""
    if not _memory.knows(session_id) and not await run(_kept_alive, session_id):
        return False
    _memory.remember(session_id)
    return True


def _kept_alive(session_id: UUID) -> bool:
    oldest = timezone.now() - _ttl()
    used = ChatSession.objects.filter(id=session_id, name__isnull=False).values_list("last_message_at", flat=True).first()
    return used is not None and (used >= oldest or not _drop([session_id], oldest))


def no_more_alive(session_id: UUID) -> None:
    """The database said so."""
    _memory.alive.pop(session_id, None)


async def opened(session_id: UUID) -> None:
    """A new conversation has its first turn running: beyond the limit, the least recently used are dropped."""
    _memory.remember(session_id)
    _memory.opened += 1
    if not _memory.must_count(settings.CHAT_CONVERSATIONS_MAX):
        return
    try:
        _memory.count = await run(_enforce, settings.CHAT_CONVERSATIONS_MAX)
    except DatabaseError as error:
        logger.warning("conversations could not be counted: %s", error)
        return
    _memory.opened, _memory.counted_s = 0, time.monotonic()


def _enforce(most: int) -> int:
    """Drops what is too old and what is too many; returns how many conversations there are."""
    now = timezone.now()
    _idle().filter(last_message_at__lt=now - _ttl() - _GRACE).update(name=None)
    count = _named().count()
    if count > most:
        oldest = _idle().order_by("last_message_at").values_list("id", flat=True)
        count -= _drop(list(oldest[: count - most]), now)
    return count


def _drop(session_ids: Sequence[UUID], used_before: datetime) -> int:
    """Takes the names of those that nobody has used since; returns how many lost theirs."""
    for session_id in session_ids:
        _memory.alive.pop(session_id, None)
    return _idle().filter(id__in=session_ids, last_message_at__lt=used_before).update(name=None)


def _named() -> "QuerySet[ChatSession]":
    """A range that the unique index serves; LIKE would not."""
    return ChatSession.objects.filter(namespace__gte="openai:", namespace__lt="openai;", name__isnull=False)


def _idle() -> "QuerySet[ChatSession]":
    """Conversations without a running or waiting turn."""
    busy = Execution.objects.filter(session=OuterRef("pk"), status__in=(Execution.Status.QUEUED, Execution.Status.RUNNING))
    return _named().filter(~Exists(busy))


def _ttl() -> timedelta:
    return timedelta(seconds=settings.CHAT_CONVERSATION_TTL)
