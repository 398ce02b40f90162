"""How values are written in a query, a header or a path: the styles of OpenAPI 3.1, and `plain` (RFC 6570 behind them)."""

from collections.abc import Mapping
from typing import Any

import orjson

from agents.tools.http.action import ABSENT, Field, as_text


def pairs_of(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [pair for name, value in values.items() for pair in written(Field(name=name, template=""), value)]


def written(field: Field, value: Any) -> list[tuple[str, str]]:
    """Name and text of one query parameter, as its style says; several for a list or an object."""
    name = field.name
    if value is ABSENT or value is None:
        return []
    if field.style == "json" or not isinstance(value, list | Mapping):
        return [(name, orjson.dumps(value).decode() if field.style == "json" else as_text(value))]
    if isinstance(value, Mapping):
        return _written_object(field, value)
    if field.explode and field.style in ("plain", "form"):
        return [(name, as_text(element)) for element in value]
    separator = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(field.style, ",")
    return [(name, separator.join(map(as_text, value)))]


def _written_object(field: Field, value: Mapping[str, Any]) -> list[tuple[str, str]]:
    if field.style == "deepObject":
        return [(f"{field.name}[{key}]", as_text(member)) for key, member in value.items()]
    if field.style == "form" and field.explode:
        return [(key, as_text(member)) for key, member in value.items()]
    return [(field.name, joined(field, value))]


def joined(field: Field, value: Any) -> str:
    """One text; style `simple` (RFC 6570 §3.2.2) puts commas between elements."""
    if field.style == "json":
        return orjson.dumps(value).decode()
    if isinstance(value, Mapping) and field.style != "plain":
        equals = "=" if field.explode else ","
        return ",".join(f"{key}{equals}{as_text(member)}" for key, member in value.items())
    return ",".join(map(as_text, value)) if isinstance(value, list) else as_text(value)
