"""How large a JSON Schema is when its references are followed. Callers bring schemas along (OAI-31), and a few references that
multiply are work for hours: 25 definitions that each name the next one twice are 33 million checks of a single word.

Pure. What comes back to itself is counted once: the engine that checks remembers what it knows of such schemas.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

MAX_SIZE = 10_000
"""Schemas in a schema. Real ones have hundreds."""

_ONE_OR_MORE = (
    "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "items", "prefixItems", "additionalItems", "additionalProperties", "contains",
    "propertyNames", "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip
_BY_NAME = ("properties", "patternProperties", "dependentSchemas", "dependencies")


class Size(NamedTuple):
    schemas: int
    recursive: bool


def size_of(schema: Mapping[str, Any]) -> Size:
    """Raises ValueError for more than MAX_SIZE, and for a chain of references nobody would write."""
    walk = _Walk(schema)
    try:
        walk.visit(schema, frozenset((id(schema),)))
    except RecursionError:
        raise ValueError("its references lead too far") from None
    return Size(walk.schemas, walk.recursive)


def pointed(schema: Any, reference: str) -> Any:
    """What a JSON pointer (RFC 6901) as a fragment leads to; None: nothing."""
    found = schema
    for word in reference.removeprefix("#").split("/")[1:]:
        key = word.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            return None
    return found


class _Walk:
    """Follows every reference that does not come back to where it is."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root, self.schemas, self.recursive = root, 0, False
        self.anchors = dict(_anchors(root))

    def visit(self, schema: Any, path: frozenset[int]) -> None:
        """`path`: the schemas through whose references the way came here, by identity."""
        if not isinstance(schema, Mapping):
            return
        self.schemas += 1
        if self.schemas > MAX_SIZE:
            raise ValueError(f"it has more than {MAX_SIZE} parts when its references are followed")
        for reference in (schema[key] for key in ("$ref", "$dynamicRef") if isinstance(schema.get(key), str)):
            target = self._meant(reference)
            if id(target) in path:
                self.recursive = True
            else:
                self.visit(target, path | {id(target)})
        for inner in _inside(schema):
            self.visit(inner, path)

    def _meant(self, reference: str) -> Any:
        return pointed(self.root, reference) if reference == "#" or "/" in reference else self.anchors.get(reference[1:])


def _inside(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in _ONE_OR_MORE:
        found = schema.get(key)
        yield from found if isinstance(found, list) else (found,)
    for key in _BY_NAME:
        found = schema.get(key)
        yield from found.values() if isinstance(found, Mapping) else ()


def _anchors(value: Any) -> Iterator[tuple[str, Any]]:
    children: Iterable[Any] = value if isinstance(value, list) else ()
    if isinstance(value, Mapping):
        yield from ((value[key], value) for key in ("$anchor", "$dynamicAnchor") if isinstance(value.get(key), str))
        children = value.values()
    for child in children:
        yield from _anchors(child)
