"""Turns as most are, on PostgreSQL: one statement begins all that begin at the same moment, one ends all that end.

Each does what chat.records and chat.endrecords do in several. A turn that turns out to be unusual is not touched, and is theirs.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from agents.models import CatalogVersion
from chat import sqltext
from chat.endrecords import COUNT_COLUMNS, COUNTS, END, END_COLUMNS, ENDED, OPEN, answer_row, count_row, end_row, whole_row
from chat.jobs import Job, Usual
from chat.models import ChatSession, Execution, Message
from chat.records import ASKED, BEGUN, MESSAGE, NEXT_PLACE, asked_row, begun_row
from chat.sqlline import Rows, Statement
from chat.written import Began, Begin, Finish

_ASKED_STATE = ("status", "in_history", "id")


def own(columns: Sequence[str], known: Iterable[str]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Picks the values of a row that are not known without it."""
    names = set(known)
    return itemgetter(*(place for place, name in enumerate(columns) if name not in names))


class _Begins:
    """In a conversation as this process knows it, or not stored at its beginning."""

    def statement(self, jobs: Sequence[Job]) -> Statement | None:
        counter = jobs[0].value.catalog_counter
        if any(job.value.catalog_counter != counter for job in jobs):
            return None
        rows = [_begin_row(number, job.value) for number, job in enumerate(jobs, 1) if job.value.store_execution]
        text, width = _begin()
        return text, (sqltext.json_of(width, rows), str(counter).encode())

    def settle(self, jobs: Sequence[Job], rows: Rows) -> list[Job]:
        places = {row[0]: row[1] for row in rows}
        left = []
        for number, job in enumerate(jobs, 1):
            if places.get(0) == job.value.catalog_counter and (number in places or not job.value.store_execution):
                job.result = Began(version=job.value.known_version or 0, position=places.get(number, 0))
            else:
                left.append(job)
        return left


class _Ends:
    """Of runs in conversations, each in another one."""

    def statement(self, jobs: Sequence[Job]) -> Statement | None:
        sessions = {job.value.begin.request.session.id for job in jobs}
        if len(sessions) < len(jobs):
            return None
        text, width = _end()
        return text, (sqltext.json_of(width, [_finish_row(number, job.value) for number, job in enumerate(jobs, 1)]),)

    def settle(self, jobs: Sequence[Job], rows: Rows) -> list[Job]:
        ended = {number for (number,) in rows}
        left = []
        for number, job in enumerate(jobs, 1):
            if number in ended:
                job.result = True
            else:
                left.append(job)
        return left


class _LateRows:
    """Of runs without a conversation, that are stored at their end for the first time."""

    def statement(self, jobs: Sequence[Job]) -> Statement | None:
        text, width = _whole()
        return text, (sqltext.json_of(width, [whole_row(job.value) for job in jobs]),)

    def settle(self, jobs: Sequence[Job], rows: Rows) -> list[Job]:
        """One that was stored meanwhile is not told apart: what is written twice is the same."""
        if len(rows) < len(jobs):
            return list(jobs)
        for job in jobs:
            job.result = True
        return []


_BEGINS, _ENDS, _LATE_ROWS = _Begins(), _Ends(), _LateRows()


def begin(value: Begin) -> Usual | None:
    """How a turn begins in one statement; None: it is unusual, or long."""
    request, session = value.request, value.request.session
    if value.queued or not value.short or request.branch is not None or request.seed:
        return None
    if session is None:
        return None if value.store_execution else _BEGINS
    is_known = value.store_execution and value.known_version is not None and not session.is_new and session.pointer is None
    return _BEGINS if is_known else None


def end(value: Finish) -> Usual | None:
    """How a run ends in one statement; None: it is unusual, or long."""
    if value.status == "paused" or value.client_calls or not value.short:
        return None
    if value.begin.request.session is None:
        return None if value.stored else _LATE_ROWS
    return _ENDS if value.stored and value.in_history and not (value.waited or value.reopens) else None


_ASKED_KNOWN = {"session": "session", "execution_id": "id", "text": "message", "created_at": "created_at", "position": "place"}
"""Columns of a question whose values the rest of the row has, too: each is sent once, as nothing takes PostgreSQL longer than reading."""
_asked_own = own(ASKED, _ASKED_KNOWN)


def _begin_row(number: int, value: Begin) -> tuple[Any, ...]:
    session = value.request.session
    return number, value.known_version, bool(session and session.by_name), *begun_row(value), *_asked_own(asked_row(value, 0))


@cache
def _begin() -> tuple[bytes, range]:
    """Returns (number, place) of each turn that began, and (0, the catalog's counter).

    OFFSET 0 has the conversation found by its id alone: an index by status looks small to PostgreSQL while there are few.
    """
    new = sqltext.Record()
    number, version, by_name = new.plain("integer"), new.plain("bigint"), new.plain("boolean")
    run = new.of(Execution, BEGUN)
    known = {**dict(zip(BEGUN, run, strict=True)), "place": "new.place"}
    asked = new.of(Message, ASKED, {name: known[same] for name, same in _ASKED_KNOWN.items()})
    catalog = f"{CatalogVersion._meta.db_table} WHERE id = 1"
    is_usual = f"version = {version} AND status = 'active' AND paused_execution_id IS NULL AND (name IS NOT NULL OR NOT {by_name})"
    columns = f"version, status, paused_execution_id, name, {NEXT_PLACE} AS place"
    text = f"""
        WITH here AS (
            SELECT new.*, place FROM {new.table} CROSS JOIN LATERAL (
                SELECT {columns} FROM {ChatSession._meta.db_table} WHERE id = {run[BEGUN.index("session")]} OFFSET 0
            ) AS session
            WHERE {is_usual} AND EXISTS (SELECT 1 FROM {catalog} AND counter = $2::bigint)
        ),
        run AS ({sqltext.insert_from(Execution, BEGUN, run, "here AS new")}),
        asked AS ({sqltext.insert_from(Message, ASKED, asked, "here AS new")})
        SELECT {number}, place FROM here AS new UNION ALL SELECT 0, counter FROM {catalog}"""  # noqa: S608 - of the models
    return text.encode(), new.width


_COUNTS_KNOWN = {"context_tokens": "context_tokens", "last_message_at": "completed_at"}
_ANSWER_KNOWN = {
    "session": "session", "in_history": "in_history", "execution_id": "id", "text": "response", "created_at": "completed_at",
}  # fmt: skip
"""Likewise of a conversation's counts, and of an answer."""
_counts_own = own(COUNT_COLUMNS, _COUNTS_KNOWN)
_answer_own = own(MESSAGE, _ANSWER_KNOWN)


def _finish_row(number: int, value: Finish) -> tuple[Any, ...]:
    asked = (value.message_status, value.in_history, value.begin.message_id)
    return number, bool(value.parts), *end_row(value), *asked, *_counts_own(count_row(value)), *_answer_own(answer_row(value))


@cache
def _end() -> tuple[bytes, range]:
    """Returns (number,) of each run that ended by this; the messages and counts of others are not touched."""
    new = sqltext.Record()
    number, says = new.plain("integer"), new.plain("boolean")
    end, asked = new.of(Execution, END_COLUMNS), new.of(Message, _ASKED_STATE)
    known = dict(zip(END_COLUMNS, end, strict=True))
    counts = new.of(ChatSession, COUNT_COLUMNS, {name: known[same] for name, same in _COUNTS_KNOWN.items()})
    known["session"] = counts[COUNT_COLUMNS.index("id")]
    known["in_history"] = asked[_ASKED_STATE.index("in_history")]
    answer = new.of(Message, MESSAGE, {name: known[same] for name, same in _ANSWER_KNOWN.items()})
    is_ours = f"id = %s AND attempt_number = %s AND {OPEN}"
    text = f"""
        WITH given AS (SELECT new.* FROM {new.table}),
        ended AS ({sqltext.update_from(Execution, END, is_ours, end, "given AS new")} RETURNING {number} AS number),
        done AS (SELECT new.* FROM given AS new JOIN ended ON number = {number}),
        asked AS ({sqltext.update_from(Message, _ASKED_STATE[:2], "id = %s", asked, "done AS new")}),
        answered AS ({sqltext.insert_from(Message, MESSAGE, answer, f"done AS new WHERE {says}")}),
        counted AS ({sqltext.update_from(ChatSession, COUNTS, "id = %s", counts, "done AS new")})
        SELECT number FROM ended"""  # noqa: S608 - of the models
    return text.encode(), new.width


@cache
def _whole() -> tuple[bytes, range]:
    """Returns (1,) for each row that was not there."""
    new = sqltext.Record()
    insert = sqltext.insert_from(Execution, ENDED, new.of(Execution, ENDED), new.table)
    return f"{insert} ON CONFLICT DO NOTHING RETURNING 1".encode(), new.width
