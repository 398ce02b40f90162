"""JSON Schemas that answers have to match: made into a validator, unless checking against them could take hours.

Callers bring such schemas along (OAI-31), operators give them to agents and to steps of workflows: one rule for all of them.
"""

from functools import lru_cache
from typing import Any

import orjson

from agents.schemasize import Size, size_of


def problem(schema: Any) -> str:
    """Why no answer can be held to this schema; "" when one can."""
    if not isinstance(schema, dict):
        return "A JSON Schema is a JSON object."
    try:
        validator(orjson.dumps(schema, option=orjson.OPT_NON_STR_KEYS))  # the keys that YAML reads as numbers: they are stored as text
    except (ValueError, orjson.JSONEncodeError) as error:
        return f"No answer can be checked against it: {error}"[:300]
    return ""


@lru_cache(maxsize=256)
def size(schema: bytes) -> Size:
    """How large an encoded schema is. Raises ValueError for one that is too large to check anything against."""
    return size_of(orjson.loads(schema))


@lru_cache(maxsize=256)
def validator(schema: bytes) -> Any:
    """The validator of an encoded schema; documents outside of it are never fetched. Raises ValueError when there can be none."""
    import jsonschema_rs  # here: 3 MB that only schemas need

    size(schema)
    try:
        return jsonschema_rs.validator_for(orjson.loads(schema), retriever=_refuse)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(error.message if isinstance(error, jsonschema_rs.ValidationError) else str(error)) from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema")
