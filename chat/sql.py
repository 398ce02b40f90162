"""Statements compiled once from the models, for the few rows every turn writes: the ORM's own compilation costs ten times more.

Values are adapted to the database by the field's type; tables and columns come from the model, so a migration is enough.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from threading import local
from typing import Any, Protocol
from uuid import UUID

from django.db import connection
from django.db import transaction as django
from django.db.models import Model

from chat import sqltext
from chat.sqlpipe import Pipe, pipe_of
from chat.sqltext import Rows

MAX_ROWS = 100
"""Rows of one statement: SQLite takes 32 766 parameters."""


class Answer(Protocol):
    """What a statement came to. Looking at it may be what sends the statement to the database."""

    @property
    def count(self) -> int:
        """Rows that were written."""

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Rows that were read."""


def insert(model: type[Model], columns: Sequence[str], rows: Rows, suffix: str = "") -> Answer:
    """INSERT of `rows` (values in the order of the field names `columns`)."""
    if not rows:
        return _Done()
    if _is_postgres():
        return _send(sqltext.insert_json(model, tuple(columns), suffix), [sqltext.json_of(columns, rows)])
    return _run(sqltext.insert_values, (model, tuple(columns), suffix), model, columns, rows)


def update(model: type[Model], assign: Sequence[str], where: str, columns: Sequence[str], rows: Rows) -> Answer:
    """UPDATE for each of `rows`. `assign`: `name` or `name = <SQL with one %s or none>`; `columns` names every %s's field in order.

    A row of the table must not be meant by two of `rows`.
    """
    if not rows:
        return _Done()
    shape = (model, tuple(assign), where, tuple(columns))
    if _is_postgres():
        return _send(sqltext.update_json(*shape), [sqltext.json_of(columns, rows)])
    return _run(sqltext.update_values, shape, model, columns, rows)


def ask(model: type[Model], columns: Sequence[str], where: str, parameters: Sequence[Any] = ()) -> Answer:
    """Rows as tuples, like select(); of several questions, whoever looks at the first answer has sent all."""
    sql, converters = sqltext.select(model, tuple(columns), where), sqltext.converters(_vendor(), model, tuple(columns))
    if _is_postgres():
        return _Converted(_send(sqltext.dollars(sql), [sqltext.text_of(value) for value in parameters]), converters)
    return _Converted(_Done(rows=_execute(sql.replace("%s", "?"), parameters)[1]), converters)


def select(model: type[Model], columns: Sequence[str], where: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows as tuples; UUIDs, times and JSON converted back. `parameters` are adapted already (see adapted_ids).

    `columns`: names of fields, or SQL in brackets.
    """
    return ask(model, columns, where, parameters).rows


def among(column: str, ids: Sequence[UUID]) -> tuple[str, list[Any]]:
    """`column` is one of `ids`, as a condition and its parameters."""
    if _is_postgres():
        return f"{column} = ANY(%s)", ["{" + ",".join(map(str, ids)) + "}"]
    return f"{column} IN ({', '.join(['%s'] * len(ids))})", adapted_ids(ids)


def adapted_ids(ids: Iterable[UUID]) -> list[Any]:
    """UUIDs as this database takes them in a parameter."""
    return list(ids) if _is_postgres() else [value.hex for value in ids]


def adapted_time(moment: datetime) -> Any:
    """A time as this database takes it in a parameter."""
    return moment if _is_postgres() else sqltext.naive(moment)


@contextmanager
def transaction() -> Iterator[None]:
    """For the store: all of it or nothing. On PostgreSQL in as few round trips as answers are looked at, and one."""
    if not _is_postgres():
        with django.atomic(), _cursor() as cursor:
            _open.cursor = cursor
            try:
                yield
            finally:
                _open.cursor = None
        return
    with connection.wrap_database_errors:
        _pipe().find_by_keys()
    with django.atomic(), connection.execute_wrapper(_after_ours), connection.wrap_database_errors, _pipe().transaction():
        yield


class WouldWait(Exception):
    """What is asked for is not done at once."""


@contextmanager
def at_once(cursor: Any) -> Iterator[None]:
    """Statements of this thread go to `cursor`, whose transaction the caller ends. What may take long raises WouldWait."""
    _open.cursor, _open.at_once = cursor, True
    try:
        yield
    finally:
        _open.cursor, _open.at_once = None, False


def take_time() -> None:
    """Said by who reads or writes rows of unknown number. Raises WouldWait where others would wait for it, too."""
    if _open.at_once:
        raise WouldWait


def _after_ours(execute: Callable[..., Any], *call: Any) -> Any:
    """A statement of the ORM in the same transaction comes after those of ours that wait."""
    _pipe().empty()
    return execute(*call)


@dataclass(frozen=True, slots=True)
class _Done:
    count: int = 0
    rows: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Converted:
    """The answer, in Python's values."""

    answer: Answer
    converters: Sequence[tuple[int, sqltext.Adapt]]

    @property
    def count(self) -> int:
        return self.answer.count

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        rows = self.answer.rows
        return [tuple(_converted(row, self.converters)) for row in rows] if self.converters else rows


def _converted(row: Sequence[Any], converters: Sequence[tuple[int, sqltext.Adapt]]) -> list[Any]:
    values = list(row)
    for index, convert in converters:
        value = values[index]
        if value is not None:
            values[index] = convert(value)
    return values


@cache
def _vendor() -> str:
    """Asked once: on an event loop Django makes a connection object each time."""
    return connection.vendor


@cache
def _is_postgres() -> bool:
    return _vendor() == "postgresql"


def _pipe() -> Pipe:
    connection.ensure_connection()
    return pipe_of(connection.connection)


def _send(sql: bytes, values: Sequence[bytes | None]) -> Answer:
    with connection.wrap_database_errors:
        return _pipe().send(sql, values)


def _run(build: Callable[..., str], shape: tuple[Any, ...], model: type[Model], columns: Sequence[str], rows: Rows) -> Answer:
    """For SQLite. One statement takes many rows: each statement costs two changes of threads, which is more than its work."""
    adapters, count = sqltext.adapters(model, tuple(columns)), 0
    for start in range(0, len(rows), MAX_ROWS):
        some = rows[start : start + MAX_ROWS]
        values: list[Any] = []
        for row in some:
            values += _converted(row, adapters)
        count += _execute(build(len(some), *shape), values)[0]
    return _Done(count)


class _Open(local):
    """The cursor of this thread's transaction() or at_once()."""

    cursor: Any = None
    at_once = False


_open = _Open()


def _execute(sql: str, values: Sequence[Any]) -> tuple[int, list[tuple[Any, ...]]]:
    """The number of rows written, and the rows read, by SQLite's own cursor: Django's wrappers cost more than SQLite's work."""
    cursor = _open.cursor
    if cursor is None:
        with _cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.rowcount, cursor.fetchall()
    cursor.execute(sql, values)
    return cursor.rowcount, cursor.fetchall()


@contextmanager
def _cursor() -> Iterator[Any]:
    """A cursor of the driver, whose errors are Django's."""
    connection.ensure_connection()
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        yield cursor
