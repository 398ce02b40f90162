"""OAI-31, OAI-32: schemas that callers bring along cost what they weigh, and no more."""

from typing import Any

import orjson
import pytest

from chat import structured
from chat.schemasize import MAX_SIZE, Size, size_of

TREE = {"type": "object", "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}}}


def doubling(levels: int) -> dict[str, Any]:
    """Each definition names the next one twice."""
    definitions: dict[str, Any] = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": {**definitions, f"d{levels}": {"type": "string"}}}


def chain(length: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(length)}
    return {"type": "object", "allOf": [{"$ref": "#/$defs/d0"}], "$defs": {**definitions, f"d{length}": {}}}


def problem(schema: dict[str, Any], value: Any) -> str:
    return structured.parsed(orjson.dumps(value).decode(), {"type": "json_schema", "json_schema": {"schema": schema}})[1]


@pytest.mark.parametrize(
    ("schema", "size"),
    [
        ({"type": "object"}, Size(1, False)),
        ({"properties": {"a": {"enum": [{"$ref": "#"}]}, "b": True}}, Size(2, False)),
        ({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {}}}}, Size(7, False)),
        (TREE, Size(4, True)),
        ({"$dynamicAnchor": "node", "items": {"$dynamicRef": "#node"}}, Size(2, True)),
        ({"allOf": [{"$ref": "#"}]}, Size(2, True)),
    ],
)
def test_the_size_of_a_schema_is_with_its_references_followed(schema: dict[str, Any], size: Size) -> None:
    assert size_of(schema) == size


@pytest.mark.parametrize("schema", [doubling(25), doubling(2000), chain(5000)], ids=["doubling", "doubling long", "chain"])
def test_a_schema_that_multiplies_is_refused_before_it_is_used(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"{MAX_SIZE}|too far"):
        structured.validator(orjson.dumps(schema))


def test_what_is_wrong_is_told_where_that_is_short() -> None:
    assert problem({"type": "object", "required": ["a"]}, {"a": 1}) == ""
    assert "required" in problem({"type": "object", "required": ["a"]}, {})
    wide = {"type": "object", "properties": {"x": {"anyOf": [{"items": {"const": n}, "minItems": 1} for n in range(400)]}}}
    assert problem(wide, {"x": ["a"] * 10_000}) == "It does not match the schema."
    assert problem(wide, {"x": ["a"] * 50_000}) == "It is too large to be checked against its schema."


def test_schemas_that_come_back_to_themselves_are_checked() -> None:
    deep: Any = {"name": 7}
    for _ in range(40):
        deep = {"name": "n", "children": [deep]}
    assert problem(TREE, {"name": "n", "children": [{"name": "m"}]}) == ""
    assert problem(TREE, deep) == "It does not match the schema."
    twice = {"type": "object", "anyOf": [{"properties": {"children": {"items": {"$ref": "#"}}}, "required": ["gone"]}] * 2}
    assert problem(twice, deep) == "It does not match the schema."
