"""Instances of JSON Schemas: valid, and small."""

from typing import Any

import jsonschema
import pytest

from agents.providers.demo.instances import instance

LIST = {"$defs": {"list": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/seven"}}, "seven": {"const": 7}}}
SCHEMAS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "object"}, {}),
    ({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "null"}}, "required": ["a"]}, {"a": "demo"}),
    ({"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1}, {"a": "demo"}),
    ({"enum": ["x", "y"]}, "x"),
    ({"const": 3}, 3),
    ({"type": "integer", "default": 5}, 5),
    ({"type": "string", "minLength": 6}, "demo.."),
    ({"type": "string", "maxLength": 2}, "de"),
    ({"type": "string", "format": "date"}, "2026-01-05"),
    ({"type": "string", "pattern": "^[A-Z]{2}$"}, "AB"),
    ({"type": "integer", "minimum": 3}, 3),
    ({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 5}, 5),
    ({"type": "integer", "exclusiveMinimum": 5, "multipleOf": 5}, 10),
    ({"type": "number", "maximum": -2}, -3),
    ({"type": "number", "minimum": 0.5, "multipleOf": 0.5}, 0.5),
    ({"type": "boolean"}, True),
    ({"type": ["null", "integer"]}, 0),
    ({"type": "array", "items": {"type": "string"}}, []),
    ({"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True}, ["demo", "demo 1"]),
    ({"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True}, [1, 2, 3]),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "minItems": 2}, [0, True]),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
    ({"type": "object", "allOf": [{"required": [name], "properties": {name: {"type": "integer"}}} for name in "ab"]}, {"a": 0, "b": 0}),
    ({**LIST, "properties": {"a": {"$ref": "#/$defs/list"}}, "required": ["a"]}, {"a": [7]}),
    ({"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 0}),
    ({}, "demo"),
]


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS)
def test_an_instance_is_valid_and_small(schema: dict[str, Any], expected: Any) -> None:
    made = instance(schema)
    jsonschema.validate(made, schema)
    assert made == expected


def test_a_schema_that_needs_itself_ends() -> None:
    assert instance({"$ref": "#"}) == "demo"
    assert isinstance(instance({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}), dict)


def test_no_schema_takes_all_memory_or_time() -> None:
    """Callers write them: here each part asks for the next one twice, for a billion items, or for a billion characters."""
    definitions: dict[str, Any] = {
        f"d{n}": {"type": "object", "required": ["a", "b"], "properties": {key: {"$ref": f"#/$defs/d{n + 1}"} for key in "ab"}}
        for n in range(30)
    }
    twice = {"$ref": "#/$defs/d0", "$defs": {**definitions, "d30": {"type": "string"}}}
    merged = {"$ref": "#/$defs/d0", "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)}}
    for schema in (twice, merged, {"type": "array", "minItems": 10**9}, {"type": "string", "minLength": 10**9}):
        assert len(str(instance(schema))) < 1_000_000


@pytest.mark.parametrize(
    "no_schema",
    [{"type": "object", "required": 5}, {"enum": {"a": 1}}, {"$ref": "#/anyOf/9", "anyOf": [{}]}, {"type": "integer", "multipleOf": 0},
     {"type": "string", "pattern": "(("}, {"type": "string", "minLength": "x"}],
)  # fmt: skip
def test_what_is_no_schema_stops_no_run(no_schema: dict[str, Any]) -> None:
    assert instance(no_schema) == "demo"
