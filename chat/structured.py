"""Structured output (OAI-31 to OAI-33): which format binds the answer, and whether the answer keeps to it."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from agents.answerschema import size, validator
from agents.specs import AgentSpec
from chat.requests import TurnRequest


def format_of(request: TurnRequest) -> Mapping[str, Any] | None:
    """The `response_format` in force: the request's, else the agent's; None for plain text."""
    chosen = request.response_format or _of_agent(request.agent)
    return None if chosen is None or chosen.get("type") == "text" else chosen


def _of_agent(agent: AgentSpec) -> Mapping[str, Any] | None:
    if agent.output_mode == "json_schema" and agent.output_schema:
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": agent.output_schema}}
    return {"type": "json_object"} if agent.output_mode == "json_object" else None


def parsed(text: str, wanted: Mapping[str, Any]) -> tuple[Any, str]:
    """The value of the answer and what is wrong with it ("" when nothing is)."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return None, f"It is not valid JSON (at position {error.pos})."
    if wanted["type"] == "json_schema":
        return value, _mismatch(orjson.dumps(wanted["json_schema"]["schema"]), value)
    return value, "" if isinstance(value, dict) else "It is not a JSON object."


def _mismatch(schema: bytes, value: Any) -> str:
    """Callers write these schemas, so patterns run on an engine without exponential backtracking, and references are counted before.

    What is wrong is only asked where that is short: the engine lists all of it, branch by branch, and could fill the memory.
    """
    engine, (schemas, recursive) = validator(schema), size(schema)
    checks = schemas * _values_in(value)
    if checks > _CHECKED:
        return "It is too large to be checked against its schema."
    if engine.is_valid(value):
        return ""
    if recursive or checks > _EXPLAINED:
        return "It does not match the schema."
    return str(next(iter(engine.iter_errors(value))).message)[:500]


_EXPLAINED, _CHECKED = 20_000, 20_000_000
"""Schemas times values up to which the model is told what is wrong, and up to which there is an answer at all: about a second's work."""


def _values_in(value: Any) -> int:
    level, count = [value], 1
    while level := [inner for item in level for inner in _children(item)]:
        count += len(level)
    return count


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def repair_messages(text: str, problem: str) -> list[dict[str, Any]]:
    """What the model is told after a wrong answer."""
    order = f"Your answer does not match the required format. {problem} Answer again with the corrected JSON and nothing else."
    return [{"role": "assistant", "content": text or "(empty)"}, {"role": "user", "content": order}]
