"""Statements compiled once from the models, for the few rows every turn writes: the ORM's own compilation costs ten times more.

Values are adapted to the database by the field's type; tables and columns come from the model, so a migration is enough.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import DateTimeField, DecimalField, ForeignKey, JSONField, Model, UUIDField

Adapt = Callable[[Any], Any]
MAX_ROWS = 100
"""Rows of one statement: SQLite takes 32 766 parameters."""


def insert(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], suffix: str = "") -> int:
    """INSERT of `rows` (values in the order of the field names `columns`); returns the number of rows written."""
    return sum(_run(_insert, (model, tuple(columns), suffix), some) for some in _portions(rows))


def update(model: type[Model], assign: Sequence[str], where: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """UPDATE for each of `rows`. `assign`: `name` or `name = <SQL with one %s or none>`; `columns` names every %s's field in order.

    A row of the table must not be meant by two of `rows`. Returns the number of rows changed.
    """
    return sum(_run(_update, (model, tuple(assign), where, tuple(columns)), some) for some in _portions(rows))


def _portions(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    """One statement takes many rows: each statement costs two changes of threads, which is more than its work."""
    for start in range(0, len(rows), MAX_ROWS):
        yield rows[start : start + MAX_ROWS]


def select(model: type[Model], columns: Sequence[str], where: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows as tuples; UUIDs, times and JSON converted back. `parameters` are adapted already (see adapted_ids).

    `columns`: names of fields, or SQL in brackets.
    """
    sql, converters = _select(connection.vendor, model, tuple(columns), where)
    with _cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    if not converters:
        return rows
    return [_converted(row, converters) for row in rows]


def adapted_ids(ids: Iterable[UUID]) -> list[Any]:
    """UUIDs as this database takes them in a parameter."""
    return [value.hex for value in ids] if connection.vendor == "sqlite" else list(ids)


def adapted_time(moment: datetime) -> Any:
    """A time as this database takes it in a parameter."""
    return _naive(moment) if connection.vendor == "sqlite" else moment


def _run(build: Callable[..., tuple[str, list[Adapt | None]]], key: tuple[Any, ...], rows: Sequence[Sequence[Any]]) -> int:
    """Runs the statement for all rows on the driver's own cursor: Django's wrappers cost more than SQLite's work."""
    sql, adapters = build(connection.vendor, len(rows), *key)
    values = [value if adapt is None or value is None else adapt(value) for row in rows for adapt, value in zip(adapters, row, strict=True)]
    with _cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


@contextmanager
def _cursor() -> Iterator[Any]:
    """A cursor of the driver, whose errors are Django's."""
    connection.ensure_connection()
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        yield cursor


@cache
def _insert(vendor: str, count: int, model: type[Model], columns: tuple[str, ...], suffix: str) -> tuple[str, list[Adapt | None]]:
    names = ", ".join(_column(model, name) for name in columns)
    marks = ", ".join(_mark(vendor, model, name) for name in columns)
    rows = ", ".join([f"({marks})"] * count)
    sql = f"INSERT INTO {model._meta.db_table} ({names}) VALUES {rows} {suffix}"  # noqa: S608 - names come from the model
    return _dialect(vendor, sql), [_adapter(vendor, model, name) for name in columns]


@cache
def _update(
    vendor: str, count: int, model: type[Model], assign: tuple[str, ...], where: str, columns: tuple[str, ...]
) -> tuple[str, list[Adapt | None]]:
    """Of one row plainly; of several by joining the table with a list of values, in whose first row PostgreSQL needs the types."""
    parts = [part if "=" in part else f"{_column(model, part)} = %s" for part in assign]
    sql = f"UPDATE {model._meta.db_table} SET {', '.join(parts)}"  # noqa: S608 - names come from the model
    marks = [_mark(vendor, model, name) for name in columns]
    if count == 1:
        sql = _numbered(f"{sql} WHERE {where}", marks)
    else:
        typed = ", ".join(_typed(vendor, model, name) for name in columns)
        more = f", ({', '.join(marks)})" * (count - 1)
        joined = _numbered(
            f"{sql} FROM (VALUES ({{typed}}){{more}}) AS new WHERE {where}", [f"new.column{n}" for n in range(1, len(marks) + 1)]
        )
        sql = joined.replace("{typed}", typed).replace("{more}", more)
    return _dialect(vendor, sql), [_adapter(vendor, model, name) for name in columns]


def _numbered(sql: str, marks: Sequence[str]) -> str:
    """The n-th %s of `sql` becomes the n-th mark."""
    pieces = sql.split("%s")
    return "".join(piece + mark for piece, mark in zip(pieces, (*marks, ""), strict=True))


def _typed(vendor: str, model: type[Model], name: str) -> str:
    return f"%s::{_field(model, name).db_type(connection)}" if vendor == "postgresql" else "%s"


@cache
def _select(vendor: str, model: type[Model], columns: tuple[str, ...], where: str) -> tuple[str, list[tuple[int, Adapt]]]:
    names = ", ".join(_column(model, name) for name in columns)
    sql = f"SELECT {names} FROM {model._meta.db_table} WHERE {where}"  # noqa: S608 - names come from the model
    found = [(index, _converter(vendor, model, name)) for index, name in enumerate(columns)]
    return _dialect(vendor, sql), [(index, convert) for index, convert in found if convert is not None]


def _dialect(vendor: str, sql: str) -> str:
    return sql.replace("%s", "?") if vendor == "sqlite" else sql


def _converted(row: tuple[Any, ...], converters: Sequence[tuple[int, Adapt]]) -> tuple[Any, ...]:
    values = list(row)
    for index, convert in converters:
        if values[index] is not None:
            values[index] = convert(values[index])
    return tuple(values)


def _field(model: type[Model], name: str) -> Any:
    field = model._meta.get_field(name)
    return field.target_field if isinstance(field, ForeignKey) else field


def _column(model: type[Model], name: str) -> str:
    return name if name.startswith("(") else str(model._meta.get_field(name).column)  # type: ignore[union-attr]  # concrete fields only


def _mark(vendor: str, model: type[Model], name: str) -> str:
    return "%s::jsonb" if vendor == "postgresql" and isinstance(_field(model, name), JSONField) else "%s"


def _adapter(vendor: str, model: type[Model], name: str) -> Adapt | None:
    field = _field(model, name)
    if isinstance(field, JSONField):
        return _json
    if vendor != "sqlite":
        return None
    if isinstance(field, DecimalField):
        return float
    if isinstance(field, UUIDField):
        return _hex
    return _naive if isinstance(field, DateTimeField) else None


def _converter(vendor: str, model: type[Model], name: str) -> Adapt | None:
    if name.startswith("("):
        return None
    field = _field(model, name)
    if isinstance(field, JSONField):
        return orjson.loads
    if vendor != "sqlite":
        return None
    if isinstance(field, UUIDField):
        return UUID
    return _aware if isinstance(field, DateTimeField) else None


def _json(value: Any) -> str:
    text = orjson.dumps(value, default=_plain).decode()
    return text if "\\u0000" not in text else orjson.dumps(_without_nul(orjson.loads(text))).decode()


def _without_nul(value: Any) -> Any:
    """PostgreSQL's jsonb refuses the character U+0000, which models and tools may produce."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(member) for name, member in value.items()}
    return [_without_nul(element) for element in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        return sorted(value)
    return dict(value)


def _hex(value: UUID) -> str:
    return value.hex


def _naive(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")


def _aware(value: Any) -> datetime:
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value.replace(tzinfo=UTC)
