"""A small instance of a JSON Schema, so that the demo can answer in any required format. `pattern` is met by luck only."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]

MAX_DEPTH = 32
MAX_PARTS, MAX_ITEMS, MAX_CHARS = 5_000, 1_000, 10_000
"""Schemas are anybody's: beyond these the demo stops, and the value does not satisfy the schema."""
FORMATS = {
    "date-time": "2026-01-05T09:30:00Z",
    "date": "2026-01-05",
    "time": "09:30:00Z",
    "duration": "PT1M",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
GUESSES = ("demo", "Demo", "DEMO", "a", "A", "0", "1", "00", "000", "0000", "AB", "en", "en-US", "+10000000000", *FORMATS.values())


class _Root:
    """The whole schema, and how many of its parts may still be looked at."""

    def __init__(self, schema: Schema) -> None:
        self.schema, self._left = schema, MAX_PARTS

    def spent(self) -> bool:
        self._left -= 1
        return self._left < 0


def instance(schema: Schema | bool) -> Any:
    """A value that satisfies `schema`: required properties only, shortest lists. What is no schema is satisfied by nothing."""
    if isinstance(schema, bool):
        return "demo"
    try:
        return _instance(schema, _Root(schema), 0, 0)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, re.error):
        return "demo"


def _instance(schema: Schema | bool, root: _Root, nth: int, depth: int) -> Any:
    """`nth` varies it for lists without repeats."""
    if isinstance(schema, bool) or depth > MAX_DEPTH or root.spent():
        return "demo"
    schema = _merged(schema, root, depth)
    for name in ("enum", "examples"):
        if schema.get(name):
            return schema[name][nth % len(schema[name])]
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    return MAKERS[_type(schema)](schema, root, nth, depth + 1)


def _merged(schema: Schema, root: _Root, depth: int) -> Schema:
    """References followed, all of allOf and the first of anyOf and oneOf taken over."""
    if depth > MAX_DEPTH or root.spent():
        return {}
    others: list[Any] = [_referred(schema["$ref"], root.schema)] if "$ref" in schema else []
    others.extend(schema.get("allOf", []))
    others.extend(schema[name][0] for name in ("anyOf", "oneOf") if schema.get(name))
    merged: dict[str, Any] = {name: value for name, value in schema.items() if name not in ("$ref", "allOf", "anyOf", "oneOf")}
    for other in others:
        found = _merged(other, root, depth + 1) if isinstance(other, Mapping) else {}
        required = [*merged.get("required", ()), *found.get("required", ())]
        properties = {**merged.get("properties", {}), **found.get("properties", {})}
        merged = {**found, **merged, "required": required, "properties": properties}
    return merged


def _referred(reference: str, root: Schema) -> Schema:
    """Only references into the schema itself (`#/…`) are followed."""
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found[int(name)] if isinstance(found, list) else found.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _type(schema: Schema) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        named = next((name for name in named if name != "null"), "null")
    if named in MAKERS:
        return str(named)
    hints = {"properties": "object", "required": "object", "items": "array", "minimum": "number"}
    return next((kind for name, kind in hints.items() if schema.get(name)), "string")


def _object(schema: Schema, root: _Root, _: int, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    names = list(dict.fromkeys((*schema.get("required", ()), *properties)))
    least = max(len(set(schema.get("required", ()))), schema.get("minProperties", 0))
    return {name: _instance(properties.get(name, True), root, 0, depth) for name in names[:least]}


def _array(schema: Schema, root: _Root, _: int, depth: int) -> list[Any]:
    first = schema.get("prefixItems", [])
    items = schema.get("items", True)
    count = min(schema.get("minItems", 0), MAX_ITEMS)
    return [_instance(first[n] if n < len(first) else items, root, n, depth) for n in range(count)]


def _string(schema: Schema, _: _Root, nth: int, __: int) -> str:
    text = FORMATS.get(schema.get("format", "")) or (f"demo {nth}" if nth else "demo")
    if pattern := schema.get("pattern"):
        text = next((guess for guess in GUESSES if re.search(pattern, guess)), text)
    return text.ljust(min(schema.get("minLength", 0), MAX_CHARS), ".")[: schema.get("maxLength")]


def _number(schema: Schema, _: _Root, nth: int, __: int) -> float:
    """The least multiple within the bounds; with an upper bound only, the greatest."""
    step = schema.get("multipleOf", 1)
    low = schema.get("exclusiveMinimum", schema.get("minimum"))
    if low is None:
        high = schema.get("exclusiveMaximum", schema.get("maximum"))
        low = 0 if high is None or high > 0 else high - step
    least: float = math.ceil(low / step) * step
    least += step * (nth + (least == schema.get("exclusiveMinimum")))
    return least


def _integer(schema: Schema, root: _Root, nth: int, depth: int) -> int:
    return math.ceil(_number(schema, root, nth, depth))


MAKERS: Mapping[str, Callable[[Schema, _Root, int, int], Any]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": lambda *_: True,
    "null": lambda *_: None,
}
