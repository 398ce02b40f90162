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


def insert(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], suffix: str = "") -> int:
    """INSERT of `rows` (values in the order of the field names `columns`); returns the number of rows written."""
    if not rows:
        return 0
    sql, adapters = _insert(connection.vendor, model, tuple(columns), suffix)
    return _many(sql, adapters, rows)


def update(model: type[Model], assign: Sequence[str], where: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """UPDATE for each of `rows`. `assign`: `name` or `name = <SQL with one %s or none>`; `columns` names every %s's field in order."""
    if not rows:
        return 0
    sql, adapters = _update(connection.vendor, model, tuple(assign), where, tuple(columns))
    return _many(sql, adapters, rows)


def select(model: type[Model], columns: Sequence[str], where: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Rows as tuples; UUIDs, times and JSON converted back. `parameters` are adapted already (see adapted_ids)."""
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


def _many(sql: str, adapters: Sequence[Adapt | None], rows: Sequence[Sequence[Any]]) -> int:
    """Runs the statement for every row on the driver's own cursor: Django's wrappers cost more than SQLite's work."""
    adapted = [
        [value if adapt is None or value is None else adapt(value) for adapt, value in zip(adapters, row, strict=True)] for row in rows
    ]
    with _cursor() as cursor:
        if len(adapted) == 1:
            cursor.execute(sql, adapted[0])
        else:
            cursor.executemany(sql, adapted)
        return int(cursor.rowcount)


@contextmanager
def _cursor() -> Iterator[Any]:
    """A cursor of the driver, whose errors are Django's."""
    connection.ensure_connection()
    with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
        yield cursor


@cache
def _insert(vendor: str, model: type[Model], columns: tuple[str, ...], suffix: str) -> tuple[str, list[Adapt | None]]:
    names = ", ".join(_column(model, name) for name in columns)
    marks = ", ".join(_mark(vendor, model, name) for name in columns)
    sql = f"INSERT INTO {model._meta.db_table} ({names}) VALUES ({marks}) {suffix}"  # noqa: S608 - names come from the model
    return _dialect(vendor, sql), [_adapter(vendor, model, name) for name in columns]


@cache
def _update(
    vendor: str, model: type[Model], assign: tuple[str, ...], where: str, columns: tuple[str, ...]
) -> tuple[str, list[Adapt | None]]:
    parts = [part if "=" in part else f"{_column(model, part)} = {_mark(vendor, model, part)}" for part in assign]
    sql = f"UPDATE {model._meta.db_table} SET {', '.join(parts)} WHERE {where}"  # noqa: S608 - names come from the model
    return _dialect(vendor, sql), [_adapter(vendor, model, name) for name in columns]


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
    return str(model._meta.get_field(name).column)  # type: ignore[union-attr]  # concrete fields only


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
