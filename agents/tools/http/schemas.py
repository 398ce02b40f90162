"""Schemas of an OpenAPI document as plain JSON Schema (2020-12): references followed inside the document, 3.0's dialect translated."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

_MAX_NODES = 5_000
_MAX_REFERENCES = 20
_KEPT = frozenset(
    (
        "type", "enum", "const", "format", "description", "title", "default", "required", "pattern", "multipleOf", "maximum", "minimum",
        "exclusiveMaximum", "exclusiveMinimum", "maxLength", "minLength", "maxItems", "minItems", "uniqueItems", "maxContains",
        "minContains", "maxProperties", "minProperties", "dependentRequired",
    )
)  # fmt: skip
_ONE = frozenset(("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"))
_SEVERAL = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED = frozenset(("properties", "patternProperties", "dependentSchemas"))


def as_object(value: Any, place: str) -> Mapping[str, Any]:
    """`value`, which has to be an object. Raises ValueError naming its place."""
    if not isinstance(value, Mapping):
        raise ValueError(f"The OpenAPI document is not valid: {place} must be an object.")
    return value


def as_list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"The OpenAPI document is not valid: {place} must be a list.")
    return value


class Schemas:
    """Reads one document. `plain` gives schemas that stand alone; both methods raise ValueError with a sentence for operators."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._nodes = 0

    def resolve(self, value: Any, place: str) -> Mapping[str, Any]:
        """The object itself, or what its `$ref` stands for."""
        found = as_object(value, place)
        for _ in range(_MAX_REFERENCES):
            if "$ref" not in found:
                return found
            found = self._target(found["$ref"])
        raise ValueError(f"The OpenAPI document is not valid: {place} refers to itself.")

    def plain(self, schema: Any, within: frozenset[str] = frozenset()) -> Any:
        """The schema without references. What contains itself is cut where it begins again: anything goes there."""
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise ValueError("The schemas of this operation are too large.")
        if isinstance(schema, bool):
            return schema
        schema = as_object(schema, "a schema")
        reference = schema.get("$ref")
        if reference is None:
            return self._translated(schema, within)
        if isinstance(reference, str) and reference in within:
            return {}
        own = {name: value for name, value in schema.items() if name != "$ref"}
        return self.plain({**self._target(reference), **own}, within | {reference})

    def _translated(self, schema: Mapping[str, Any], within: frozenset[str]) -> dict[str, Any]:
        plain: dict[str, Any] = {name: value for name, value in schema.items() if name in _KEPT}
        if not isinstance(plain.get("required", []), list):
            del plain["required"]  # draft 4 of JSON Schema had booleans there
        for name in _ONE & schema.keys():
            plain[name] = self.plain(schema[name], within)
        for name in _SEVERAL & schema.keys():
            plain[name] = [self.plain(element, within) for element in as_list(schema[name], name)]
        for name in _NAMED & schema.keys():
            plain[name] = {key: self.plain(member, within) for key, member in as_object(schema[name], name).items()}
        for name in [name for name, member in schema.get("properties", {}).items() if self._is_read_only(member)]:
            del plain["properties"][name]
            plain["required"] = [other for other in plain.get("required", ()) if other != name]
        return _modern(plain, nullable=schema.get("nullable") is True)

    def _is_read_only(self, member: Any) -> bool:
        return isinstance(member, Mapping) and self.resolve(member, "a property").get("readOnly") is True

    def _target(self, reference: Any) -> Mapping[str, Any]:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise ValueError(f"The OpenAPI document refers to another document ({str(reference)[:100]}); put everything into one.")
        node: Any = self._document
        for step in unquote(reference[2:]).split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            node = node[int(key)] if isinstance(node, list) and key.isdigit() and int(key) < len(node) else _member(node, key)
            if node is None:
                raise ValueError(f"The OpenAPI document refers to something it lacks: {reference[:100]}")
        return as_object(node, reference)


def _member(node: Any, key: str) -> Any:
    return node.get(key) if isinstance(node, Mapping) else None


def _modern(schema: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    """OpenAPI 3.0 has `nullable` and boolean exclusive bounds; patterns are ECMA's and may mean nothing here."""
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(bound), bool):
            exclusive = schema.pop(bound)
            if exclusive and limit in schema:
                schema[bound] = schema.pop(limit)
    if "pattern" in schema and not _compiles(schema["pattern"]):
        del schema["pattern"]
    return _nullable(schema) if nullable else schema


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        schema["enum"] = [*as_list(schema["enum"], "enum"), None]
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


def _compiles(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError):
        return False
    return True
