"""`response_format` of a request (OAI-31): text, any JSON, or JSON of a schema that can be checked."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError

from agents import answerschema
from agents.schemasize import pointed
from chat.protocols.openai.errors import invalid
from chat.protocols.openai.parameters import boolean, mapping, one_of, text
from chat.protocols.openai.tools import tool_name

MAX_SCHEMA_BYTES = 65_536
_PATH = "response_format.json_schema"
_NO_FORMATS = FormatChecker(formats=())
_DIALECTS = ("json-schema.org/draft/2020-12", "json-schema.org/draft-07")
_kind = one_of("text", "json_object", "json_schema")


def parse_format(value: Any) -> Mapping[str, Any] | None:
    """The format as providers take it, unknown keys left out; None when there is none. Raises SwitchboardError (400).

    Whether a schema is one is asked by check_schema(), since that may take long.
    """
    if value is None:
        return None
    chosen = mapping(value, "response_format")
    kind = _kind(chosen.get("type"), "response_format.type")
    return {"type": kind} if kind != "json_schema" else {"type": kind, "json_schema": _named_schema(chosen.get("json_schema"))}


async def check_schema(chosen: Mapping[str, Any] | None) -> None:
    """Raises invalid_schema. In a thread: a large schema takes seconds, and others are being answered meanwhile."""
    if chosen is None or "json_schema" not in chosen:
        return
    if problem := await asyncio.to_thread(_problem, orjson.dumps(chosen["json_schema"]["schema"])):
        raise _bad(problem)


def _named_schema(value: Any) -> dict[str, Any]:
    named = mapping(value, _PATH)
    schema: dict[str, Any] = {"name": tool_name(named.get("name"), f"{_PATH}.name"), "schema": _schema(named.get("schema"))}
    if (description := named.get("description")) is not None:
        schema["description"] = text(description, f"{_PATH}.description")
    if (strict := named.get("strict")) is not None:
        schema["strict"] = boolean(strict, f"{_PATH}.strict")
    return schema


def _schema(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad("the schema must be an object")
    if (size := len(orjson.dumps(value))) > MAX_SCHEMA_BYTES:
        raise _bad(f"the schema must have at most {MAX_SCHEMA_BYTES} bytes, got {size}")
    return value


def _bad(message: str) -> Exception:
    return invalid(_PATH, message, "invalid_schema")


@lru_cache(maxsize=256)
def _problem(encoded: bytes) -> str:
    """Why the schema cannot be used; clients send the same one again and again, and checking costs milliseconds."""
    schema = orjson.loads(encoded)
    dialect = schema.get("$schema", "")
    if not isinstance(dialect, str) or (dialect and not any(known in dialect for known in _DIALECTS)):
        return "the schema's dialect must be JSON Schema 2020-12 or draft-07"
    validator = Draft7Validator if "draft-07" in dialect else Draft202012Validator
    try:
        validator.check_schema(schema, format_checker=_NO_FORMATS)
    except SchemaError as error:
        return f"the schema is not valid JSON Schema at {error.json_path}"
    references = list(_references(schema))
    if any(not reference.startswith("#") for reference in references):
        return "the schema must not refer to other documents"
    if any(not _resolves(schema, reference) for reference in references):
        return "the schema has a reference to something it does not hold"
    if _root(schema).get("type") != "object":
        return "the schema must have an object at its root"
    return _unusable(encoded)


def _unusable(encoded: bytes) -> str:
    """The engine that will check the answer has the last word, before a model is asked (OAI-31)."""
    try:
        answerschema.validator(encoded)
    except ValueError as error:
        return f"the schema cannot be used: {error}"[:300]
    return ""


def _references(value: Any) -> Iterator[str]:
    """Every `$ref`, also of schemas deep inside."""
    if isinstance(value, dict):
        yield from (value[key] for key in ("$ref", "$dynamicRef") if isinstance(value.get(key), str))
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _resolves(schema: Mapping[str, Any], reference: str) -> bool:
    return not reference.startswith("#/") or pointed(schema, reference) is not None


def _root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, or what its root refers to (recursive models are written so)."""
    found = schema
    for _ in range(8):
        target = pointed(schema, found["$ref"]) if isinstance(found.get("$ref"), str) else None
        if not isinstance(target, dict):
            break
        found = target
    return found
