"""OAI-31: schemas that callers and operators bring along cost what they weigh, and no more."""

from typing import Any

import orjson
import pytest

from agents import answerschema
from agents.schemasize import MAX_SIZE, Size, size_of
from tests.support.schemas import TREE, chain, doubling


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
        answerschema.validator(orjson.dumps(schema))


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"properties": {1: {"type": "string"}}}, ""),
        ("text", "A JSON Schema is a JSON object."),
        (doubling(25), f"No answer can be checked against it: it has more than {MAX_SIZE} parts when its references are followed"),
        ({"type": "anything"}, "No answer can be checked against it: "),
        ({"const": 2**70}, "No answer can be checked against it: Integer exceeds 64-bit range"),
        ({"$ref": "https://example.com/schema"}, "No answer can be checked against it: "),
    ],
)
def test_why_a_schema_holds_no_answer_is_one_sentence(schema: Any, problem: str) -> None:
    found = answerschema.problem(schema)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)
