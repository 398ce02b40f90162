"""Arguments against a tool's JSON Schema (2020-12), for the loop and for approvals (R15.2). References stay inside the schema.

What is said about a mismatch names places and rules, never values: arguments may be masked.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from agents.memo import Memo

_MAX_RULE_CHARS = 300
_NAMES_ONLY = frozenset(("required", "additionalProperties", "unevaluatedProperties", "dependentRequired"))
"""Rules whose own message tells names of properties and no values."""


def check_arguments(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> str | None:
    """What is wrong with `arguments`, as one sentence; None when they match."""
    try:
        error = best_match(_validator_for(schema).iter_errors(arguments))
    except (Unresolvable, RecursionError, re.error):
        return "The schema of this tool is broken: the arguments cannot be checked."
    return None if error is None else _sentence(error)


def check_schema(schema: Any) -> None:
    """Raises ValueError with a sentence for the operator unless `schema` is JSON Schema with an object at its root."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        raise ValueError('The parameters must be a JSON Schema with "type": "object".')
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = "/".join(map(str, error.absolute_path)) or "its root"
        raise ValueError(f"The parameters are not valid JSON Schema, at {place}: {error.message[:_MAX_RULE_CHARS]}") from error
    _check_references(schema)


def _check_references(schema: Any) -> None:
    """References that leave the schema are refused: nothing is fetched to check arguments."""
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise ValueError(f"The parameters refer to another document ({reference[:100]}); only references inside are allowed.")
    children = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list | tuple) else ()
    for child in children:
        _check_references(child)


def _compiled(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema, registry=Registry())


_validator_for: Memo[Mapping[str, Any], Draft202012Validator] = Memo(_compiled)


def _sentence(error: ValidationError) -> str:
    place = ".".join(map(str, error.absolute_path)) or "arguments"
    if error.validator in _NAMES_ONLY:
        return f"{place}: {error.message[:_MAX_RULE_CHARS]}"
    rule = orjson.dumps(error.validator_value, default=str).decode()[:_MAX_RULE_CHARS]
    return f"{place}: does not satisfy {error.validator}: {rule}"
