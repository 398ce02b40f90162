"""What a run is given: the declared inputs, each of its type (WS-59)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chat.errors import TurnError
from chat.workflows.definition import Definition, Input

_IS: Mapping[str, Callable[[Any], bool]] = {
    "any": lambda value: True,
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "message": lambda value: isinstance(value, str),
    "history": lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value),
}
_MEDIA = ("image", "audio", "video", "document")


def is_of(kind: str, value: Any) -> bool:
    """Whether a value is of an input's or an output's type."""
    if kind in _MEDIA:
        return isinstance(value, dict) and value.get("type") == kind and bool(value.keys() & {"uri", "asset_id"})
    return _IS[kind](value)


def check(definition: Definition, params: Mapping[str, Any], message: str) -> dict[str, Any]:
    """The inputs of a run; `history` is filled in when it begins. Raises invalid_params with the name of every one that is wrong."""
    declared = {given.name: given for given in definition.inputs}
    problems = [_problem(name, "the workflow has no such input") for name in params if name not in declared]
    found: dict[str, Any] = {}
    for name, given in declared.items():
        value = _value(given, params, message)
        if value is None:
            if given.required and given.type != "history":
                problems.append(_problem(name, "is required"))
        elif not is_of(given.type, value):
            problems.append(_problem(name, f"must be {_NAMES[given.type]}"))
        found[name] = value
    if problems:
        raise invalid(problems)
    return found


def _value(given: Input, params: Mapping[str, Any], message: str) -> Any:
    if params.get(given.name) is not None:
        return params[given.name]
    if given.type == "message" and message:
        return message
    return given.default


def defaults(definition: Definition) -> list[str]:
    """What is wrong with the defaults of a definition."""
    return [
        f"input {given.name}: default: must be {_NAMES[given.type]}"
        for given in definition.inputs
        if given.default is not None and not is_of(given.type, given.default)
    ]


_NAMES = {
    "string": "a string", "number": "a number", "integer": "a whole number", "boolean": "true or false", "object": "an object",
    "array": "a list", "message": "a text", "history": "a list of messages",
}  # fmt: skip


def invalid(problems: Sequence[dict[str, Any]]) -> TurnError:
    """The first problem is the sentence, for wires that have one."""
    first = problems[0]
    return TurnError("invalid_params", f"{first['loc'][-1]}: {first['msg']}", errors=list(problems))


def _problem(name: str, sentence: str) -> dict[str, Any]:
    return {"type": "value_error", "loc": ["body", "params", name[:128]], "msg": sentence}
