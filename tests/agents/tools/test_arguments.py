"""R15.2: arguments are checked against the tool's schema; what is said about them repeats no value and fetches nothing."""

from typing import Any

import pytest

from agents.tools.arguments import check_arguments, check_schema

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["city"],
    "properties": {
        "city": {"type": "string", "maxLength": 10},
        "unit": {"enum": ["C", "F"]},
        "days": {"type": "array", "items": {"$ref": "#/$defs/day"}},
    },
    "$defs": {"day": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"city": "Paris", "unit": "C", "days": [1, 2]}, None),
        ({}, "arguments: 'city' is a required property"),
        ({"city": 5}, 'city: does not satisfy type: "string"'),
        ({"city": "hidden-value-too-long"}, "city: does not satisfy maxLength: 10"),
        ({"city": "Paris", "unit": "hidden"}, 'unit: does not satisfy enum: ["C","F"]'),
        ({"city": "Paris", "days": [1, 0]}, "days.1: does not satisfy minimum: 1"),
        ({"city": "Paris", "x": "hidden"}, "arguments: Additional properties are not allowed ('x' was unexpected)"),
    ],
)
def test_a_mismatch_is_one_sentence_without_values(given: dict[str, Any], said: str | None) -> None:
    assert check_arguments(SCHEMA, given) == said


@pytest.mark.parametrize(
    "rule", [{"$ref": "http://127.0.0.1:9/schema.json"}, {"$ref": "#/$defs/none"}, {"$ref": "#/properties/a"}, {"pattern": "["}]
)
def test_a_broken_schema_is_said_to_be_broken_and_nothing_is_fetched(rule: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"a": rule}}
    assert check_arguments(schema, {"a": "b"}) == "The schema of this tool is broken: the arguments cannot be checked."


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("text", '"type": "object"'),
        ({"type": "string"}, '"type": "object"'),
        ({"type": "object", "properties": {"a": {"type": "strung"}}}, "at properties/a/type"),
        ({"type": "object", "properties": {"a": {"anyOf": [{"$ref": "https://x.test/a"}]}}}, "another document"),
        ({"type": "object", "properties": {"a": {"pattern": r"\p{L}"}}}, "at properties/a/pattern"),
    ],
)
def test_operators_are_told_what_is_wrong_with_a_schema(schema: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_schema(schema)
