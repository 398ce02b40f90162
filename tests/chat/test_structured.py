"""OAI-32: what is wrong with an answer is told where that is short, and found in any case."""

from typing import Any

import orjson

from chat import structured
from tests.support.schemas import TREE


def problem(schema: dict[str, Any], value: Any) -> str:
    return structured.parsed(orjson.dumps(value).decode(), {"type": "json_schema", "json_schema": {"schema": schema}})[1]


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
