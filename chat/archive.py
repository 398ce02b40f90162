"""Stored conversations and messages, read in pages through the indexes (AG-22 … AG-26). Synchronous; access was checked before.

A page of messages across conversations is made turn by turn, newest turn first, because turns are what the indexes know.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from chat.branches import ROOT
from chat.models import ChatSession, Execution, Message
from chat.sessionviews import MEASURES, Runs

SEARCHED_AT_ONCE = 250
MAX_SEARCHED = 5000
SEARCH_S = 1.0
"""A search ends when a page is full, or so many conversations or seconds later; the next page goes on where it ended."""

T = TypeVar("T", bound=Model)


class NotThere(LookupError):
    """What a page was to go on after is not among what may be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Whose conversations with an agent: those of one owner, or everybody's (None), which managers may see."""

    agent_id: UUID
    owner_id: int | None

    def sessions(self) -> "QuerySet[ChatSession]":
        rows = ChatSession.objects.filter(agent_id=self.agent_id)
        return rows if self.owner_id is None else rows.filter(owner_id=self.owner_id)

    def turns(self) -> "QuerySet[Execution]":
        """Runs that may have messages: turns of conversations, and tasks whose answer was saved in one."""
        rows = Execution.objects.filter(Q(session__isnull=False) | Q(work__save=True), agent_id=self.agent_id)
        return rows if self.owner_id is None else rows.filter(owner_id=self.owner_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """`before` is what asks for the next page; None: this is the last one."""

    rows: list[T]
    before: UUID | None


# Conversations


def sessions(shelf: Shelf, *, limit: int, before: UUID | None = None, status: str | None = None, search: str = "") -> Page[ChatSession]:
    """Newest `last_message_at` first. Raises NotThere."""
    rows = shelf.sessions().order_by("-last_message_at", "-id").select_related("owner")
    if before is not None:
        rows = _older(rows, _at(shelf.sessions(), before))
    states = (status,) if status else ChatSession.Status.values if shelf.owner_id is not None else ()
    return _searched(rows, states, search, limit) if search else _page(_newest(rows, states, limit + 1), limit)


def _newest(rows: "QuerySet[ChatSession]", states: Sequence[str], count: int) -> list[ChatSession]:
    """An owner's conversations lie in the index by their state, then by time: those of several states are merged here."""
    if not states:
        return list(rows[:count])
    found = [row for state in states for row in rows.filter(status=state)[:count]]
    return sorted(found, key=lambda row: (row.last_message_at, row.id), reverse=True)[:count]


def _at(rows: "QuerySet[T]", row_id: UUID) -> T:
    row = rows.filter(pk=row_id).first()
    if row is None:
        raise NotThere
    return row


def _page(rows: list[T], limit: int) -> Page[T]:
    """A page of what was read with one more than fits."""
    return Page(rows=rows[:limit], before=rows[limit - 1].pk if len(rows) > limit else None)


def _older(rows: "QuerySet[ChatSession]", last: ChatSession) -> "QuerySet[ChatSession]":
    """The redundant first condition is the one that the index serves."""
    exactly = Q(last_message_at__lt=last.last_message_at) | Q(id__lt=last.id)
    return rows.filter(exactly, last_message_at__lte=last.last_message_at)


def _searched(rows: "QuerySet[ChatSession]", states: Sequence[str], search: str, limit: int) -> Page[ChatSession]:
    """Conversations whose title or text has the words, from the newest on, as far as one look goes."""
    found: list[ChatSession] = []
    last: ChatSession | None = None
    for batch in _batches(rows.select_related(None).only("id", "last_message_at"), states):
        found += rows.filter(_says(search), id__in=[row.id for row in batch])
        last = batch[-1]
        if len(found) > limit:
            return _page(found, limit)
    more = last is not None and bool(_newest(_older(rows, last), states, 1))
    return Page(rows=found, before=last.id if last is not None and more else None)


def _batches(rows: "QuerySet[ChatSession]", states: Sequence[str]) -> Iterator[list[ChatSession]]:
    until = time.monotonic() + SEARCH_S
    batch = _newest(rows, states, SEARCHED_AT_ONCE)
    for _ in range(MAX_SEARCHED // SEARCHED_AT_ONCE):
        if not batch:
            return
        yield batch
        if time.monotonic() > until:
            return
        batch = _newest(_older(rows, batch[-1]), states, SEARCHED_AT_ONCE)


def _says(search: str) -> Q:
    said = Message.objects.filter(session=OuterRef("pk"), active=True, text__icontains=search)
    return Q(title__icontains=search) | Q(Exists(said))


def session(agent_id: UUID, session_id: UUID) -> ChatSession | None:
    """A conversation with the agent, whoever owns it."""
    return ChatSession.objects.select_related("owner").filter(id=session_id, agent_id=agent_id).first()


def is_all_of(session_id: UUID, principal_key: str) -> bool:
    """Whether every turn of the conversation was asked by this credential itself (R1.4)."""
    return not Execution.objects.filter(session_id=session_id).exclude(principal=principal_key).exists()


# Messages of one conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Messages of one conversation, oldest first; `prior` precedes the first: when there is one, there is more to read."""

    rows: list[Message]
    prior: Message | None
    runs: Runs


def messages(session_id: UUID, *, limit: int | None = None, before: UUID | None = None, every_branch: bool = False) -> Stretch:
    """The newest `limit` (None: all) of the branch that goes on, or of all (AG-26). Raises NotThere."""
    rows = Message.objects.filter(session_id=session_id).order_by("-position", "-id")
    if before is not None:
        last = _at(rows, before)
        exactly = Q(position__lt=last.position) | Q(id__lt=last.id)
        rows = rows.filter(exactly, position__lte=last.position)
    if not every_branch:
        rows = rows.filter(active=True)
    found = list(rows if limit is None else rows[: limit + 1])
    shown = found[:limit]
    return Stretch(rows=shown[::-1], prior=found[limit] if limit is not None and len(found) > limit else None, runs=runs_of(shown))


def runs_of(rows: Iterable[Message]) -> Runs:
    """What the turns of these messages took and cost."""
    ids = {row.execution_id for row in rows if row.execution_id}
    return {run.id: run for run in Execution.objects.filter(id__in=ids).only(*MEASURES)} if ids else {}


# Messages across conversations


@dataclass(frozen=True, slots=True, kw_only=True)
class History(Page[Message]):
    """Messages across conversations, newest first; each brings its conversation and its owner."""

    runs: Runs


def recent(shelf: Shelf, *, limit: int, before: UUID | None = None) -> History:
    """Of a turn the answer comes before the question, as it was said later. Raises NotThere."""
    turns = shelf.turns().order_by("-created_at", "-id").only(*MEASURES, "created_at")
    last: Message | None = None
    if before is not None:
        last = _at(Message.objects.filter(session__in=shelf.sessions()), before)
        turns = _not_newer(turns, _at(shelf.turns(), last.execution_id or ROOT))
    found, runs = _read(turns, last, limit)
    page = _page(found, limit)
    _bring_sessions(page.rows)
    return History(rows=page.rows, before=page.before, runs=runs)


def _read(turns: "QuerySet[Execution]", last: Message | None, limit: int) -> tuple[list[Message], Runs]:
    """One message more than fits, if there is one; most turns have two."""
    found: list[Message] = []
    runs: dict[UUID, Execution] = {}
    while len(found) <= limit:
        batch = list(turns[: (limit - len(found)) // 2 + 2])
        if not batch:
            break
        found += _messages_of(batch, last)
        runs |= {turn.id: turn for turn in batch}
        turns = _not_newer(turns, batch[-1]).exclude(id=batch[-1].id)
    return found, runs


def _not_newer(turns: "QuerySet[Execution]", last: Execution) -> "QuerySet[Execution]":
    exactly = Q(created_at__lt=last.created_at) | Q(id__lte=last.id)
    return turns.filter(exactly, created_at__lte=last.created_at)


def _messages_of(turns: list[Execution], last: Message | None) -> list[Message]:
    """Messages of these turns in their order, of each the newest first; of the turn of `last` only what was before it."""
    place = {turn.id: index for index, turn in enumerate(turns)}
    rows = Message.objects.filter(execution_id__in=place, active=True).order_by()
    if last is not None:
        rows = rows.exclude(execution_id=last.execution_id, position__gte=last.position)
    return sorted(rows, key=lambda row: (place[row.execution_id], -row.position) if row.execution_id else (0, 0))


def _bring_sessions(rows: Iterable[Message]) -> None:
    """Apart: joined, a large page makes PostgreSQL read all conversations there are."""
    known = ChatSession.objects.select_related("owner").only("agent_name", "owner__email")
    sessions = known.in_bulk({row.session_id for row in rows})
    for row in rows:
        row.session = sessions[row.session_id]


# Branches


def message(agent_id: UUID, owner_id: int, message_id: UUID, role: str | None) -> Message | None:
    """An own message in a conversation with the agent; `role` None: of either."""
    rows = Message.objects.filter(id=message_id, session__agent_id=agent_id, session__owner_id=owner_id)
    return (rows.filter(role=role) if role else rows).first()


def question_of(answer: Message) -> Message | None:
    """The user's message that an assistant's message answers."""
    asked = Message.objects.filter(session_id=answer.session_id, role=Message.Role.USER)
    own = asked.filter(execution_id=answer.execution_id).first() if answer.execution_id else None
    return own or asked.filter(position__lt=answer.position).order_by("-position").first()


# Changing


def rename(session_id: UUID, title: str) -> None:
    ChatSession.objects.filter(id=session_id).update(title=title)


def rate(agent_id: UUID, owner_id: int, message_id: UUID, rating: int | None, comment: str) -> bool:
    """Feedback on an assistant's message of an own conversation; False when there is no such message."""
    answers = Message.objects.filter(id=message_id, role=Message.Role.ASSISTANT, session__agent_id=agent_id, session__owner_id=owner_id)
    return bool(answers.update(rating=rating, rating_comment=comment))
