"""The texts of chat.sql's statements, built once from the models, and how values go in and come out; a dialect for each database.

SQLite is given values one by one, in statements of as many rows as there are. PostgreSQL is given the rows of a statement as one JSON
parameter, so that one prepared statement does for any number of rows.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import DateTimeField, DecimalField, ForeignKey, JSONField, Model, UUIDField

Adapt = Callable[[Any], Any]
Rows = Sequence[Sequence[Any]]

# Without these, sqlite3 asks every such value for methods that it does not have, and puts each failure into words.
sqlite3.register_adapter(type(None), lambda nothing: nothing)
sqlite3.register_adapter(bool, int)


@cache
def insert_values(rows: int, model: type[Model], columns: tuple[str, ...], suffix: str) -> str:
    """For SQLite."""
    marks = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {_table(model)} ({_names(model, columns)}) VALUES {', '.join([marks] * rows)} {suffix}"  # noqa: S608 - of the model


@cache
def insert_json(model: type[Model], columns: tuple[str, ...], suffix: str) -> bytes:
    """For PostgreSQL."""
    sql = f"INSERT INTO {_table(model)} ({_names(model, columns)}) SELECT new.* FROM {_records(model, columns)} {suffix}"  # noqa: S608 - of the model
    return sql.encode()


@cache
def update_values(rows: int, model: type[Model], assign: tuple[str, ...], where: str, columns: tuple[str, ...]) -> str:
    """For SQLite: of one row plainly; of several by joining the table with a list of values."""
    sql = _set(model, assign)
    if rows == 1:
        return f"{sql} WHERE {where}".replace("%s", "?")
    marks = f"({', '.join('?' * len(columns))})"
    joined = _numbered(f"{sql} FROM (VALUES {{rows}}) AS new WHERE {where}", [f"new.column{n + 1}" for n in range(len(columns))])
    return joined.replace("{rows}", ", ".join([marks] * rows))


@cache
def update_json(model: type[Model], assign: tuple[str, ...], where: str, columns: tuple[str, ...]) -> bytes:
    """For PostgreSQL."""
    return update_from(model, assign, where, [f"new.{key}" for key in _keys(columns)], _records(model, columns)).encode()


def update_from(model: type[Model], assign: Sequence[str], where: str, marks: Sequence[str], source: str) -> str:
    """An UPDATE that takes its values from the table `source`: `marks` stand in the places of its %s."""
    return _numbered(f"{_set(model, assign)} FROM {{source}} WHERE {where}", marks).replace("{source}", source)


def insert_from(model: type[Model], columns: Sequence[str], marks: Sequence[str], source: str) -> str:
    """An INSERT of `marks`, in the order of the columns, for each row of the table `source`."""
    return f"INSERT INTO {_table(model)} ({_names(model, columns)}) SELECT {', '.join(marks)} FROM {source}"  # noqa: S608 - of the model


@cache
def select(model: type[Model], columns: tuple[str, ...], where: str) -> str:
    """With a %s for each parameter; `columns`: names of fields, or SQL in brackets."""
    return f"SELECT {_names(model, columns)} FROM {_table(model)} WHERE {where}"  # noqa: S608 - of the model


@cache
def dollars(sql: str) -> bytes:
    """The same with $1, $2 …, as PostgreSQL itself wants it."""
    return _numbered(sql, [f"${n + 1}" for n in range(sql.count("%s"))]).encode()


def json_of(columns: Sequence[Any], rows: Rows) -> bytes:
    """The parameter of insert_json and update_json. PostgreSQL's texts refuse the character U+0000, which models and tools may produce."""
    keys = _keys(columns)
    made = [dict(zip(keys, row, strict=True)) for row in rows]
    text = orjson.dumps(made, default=_plain)
    return text if b"\\u0000" not in text else orjson.dumps(_without_nul(orjson.loads(text)))


class Record:
    """The rows of one JSON parameter (json_of) as a table `new`, for statements that fill several tables: a column for each value."""

    def __init__(self) -> None:
        self._types: list[str] = []

    def plain(self, kind: str) -> str:
        """A column of a type of PostgreSQL's; returns how a statement names it."""
        self._types.append(kind)
        return f"new.c{len(self._types)}"

    def of(self, model: type[Model], columns: Sequence[str], known: Mapping[str, str] | None = None) -> list[str]:
        """Columns like those of `model`; `known`: those whose values are there already, and how a statement names them."""
        return [known[name] if known and name in known else self.plain(_field(model, name).db_type(connection)) for name in columns]

    @property
    def width(self) -> range:
        return range(len(self._types))

    @property
    def table(self) -> str:
        typed = [f"{key} {kind}" for key, kind in zip(_keys(self.width), self._types, strict=True)]
        return f"json_to_recordset($1) AS new ({', '.join(typed)})"


def text_of(value: Any) -> bytes | None:
    """A parameter of a SELECT for PostgreSQL."""
    if value is None:
        return None
    return value.isoformat().encode() if isinstance(value, datetime) else str(value).encode()


@cache
def adapters(model: type[Model], columns: tuple[str, ...]) -> list[tuple[int, Adapt]]:
    """What is to be done to values that are given to SQLite, by their places."""
    found = [(index, _adapter(_field(model, name))) for index, name in enumerate(columns)]
    return [(index, adapt) for index, adapt in found if adapt is not None]


@cache
def converters(vendor: str, model: type[Model], columns: tuple[str, ...]) -> list[tuple[int, Adapt]]:
    """What is to be done to values that come back, by their places."""
    found = [(index, _converter(vendor, model, name)) for index, name in enumerate(columns)]
    return [(index, convert) for index, convert in found if convert is not None]


def _table(model: type[Model]) -> str:
    return model._meta.db_table


def _names(model: type[Model], columns: Sequence[str]) -> str:
    return ", ".join(_column(model, name) for name in columns)


def _set(model: type[Model], assign: Sequence[str]) -> str:
    parts = [part if "=" in part else f"{_column(model, part)} = %s" for part in assign]
    return f"UPDATE {_table(model)} SET {', '.join(parts)}"  # noqa: S608 - of the model


@cache
def _keys(columns: Sequence[Any]) -> list[str]:
    return [f"c{n + 1}" for n, _ in enumerate(columns)]


def _records(model: type[Model], columns: Sequence[str]) -> str:
    """The rows of the JSON parameter as a table `new`."""
    typed = ", ".join(f"{key} {_field(model, name).db_type(connection)}" for key, name in zip(_keys(columns), columns, strict=True))
    return f"json_to_recordset($1) AS new ({typed})"


def _numbered(sql: str, marks: Sequence[str]) -> str:
    """The n-th %s of `sql` becomes the n-th mark."""
    pieces = sql.split("%s")
    return "".join(piece + mark for piece, mark in zip(pieces, (*marks, ""), strict=True))


def _field(model: type[Model], name: str) -> Any:
    field = model._meta.get_field(name)
    return field.target_field if isinstance(field, ForeignKey) else field


def _column(model: type[Model], name: str) -> str:
    return name if name.startswith("(") else str(model._meta.get_field(name).column)  # type: ignore[union-attr]  # concrete fields only


def _adapter(field: Any) -> Adapt | None:
    if isinstance(field, JSONField):
        return _json
    if isinstance(field, DecimalField):
        return float
    if isinstance(field, UUIDField):
        return _hex
    return naive if isinstance(field, DateTimeField) else None


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
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(member) for name, member in value.items()}
    return [_without_nul(element) for element in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        return sorted(value)
    return str(value) if isinstance(value, Decimal) else dict(value)


def _hex(value: UUID) -> str:
    return value.int.to_bytes(16).hex()


@lru_cache(maxsize=64)
def naive(value: datetime) -> str:
    """As SQLite stores times: in UTC, without saying so."""
    text = orjson.dumps(value if value.tzinfo is UTC else value.astimezone(UTC)).decode()
    return f"{text[1:11]} {text[12:-7]}"


def _aware(value: Any) -> datetime:
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value.replace(tzinfo=UTC)
