"""An HTTP action: a request with gaps for arguments and secrets, as a value. What fills a gap, and what an unfilled one does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import orjson

GAP = re.compile(r"\{\{secret:([A-Za-z0-9_.-]{1,64})\}\}|\{([A-Za-z0-9_.-]{1,64})\}")
_STEP_ENDS = re.compile(r"[/\\]")

Style = Literal["plain", "form", "simple", "spaceDelimited", "pipeDelimited", "deepObject", "json"]
"""How a list or an object is written (OpenAPI 3.1, "Style Values"); `plain`: repeated, objects as JSON."""


class ActionError(Exception):
    """The arguments, or the secrets, do not make a request. The text is a sentence without values."""


class _Absent:
    """What a gap gives when its argument was not passed: whatever needs it is left out."""


ABSENT = _Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One query parameter, header or cookie; `template` is text with gaps, or exactly one gap."""

    name: str
    template: str
    style: Style = "plain"
    explode: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """`parameters` is JSON Schema. `body` is JSON with gaps; `rest` says where arguments go that fill no gap."""

    description: str = ""
    parameters: Mapping[str, Any]
    method: str
    url: str
    query: tuple[Field, ...] = ()
    headers: tuple[Field, ...] = ()
    cookies: tuple[Field, ...] = ()
    body: Any = None
    rest: Literal["body", "query", "nowhere"] = "nowhere"


def has_dot_steps(url: str) -> bool:
    """Whether the path has the steps `.` or `..`, however they are encoded: servers take them for another path."""
    return any(step in (".", "..") for step in _STEP_ENDS.split(unquote(urlsplit(url).path)))


def arguments_of(action: Action) -> set[str]:
    """Names of the arguments that fill a gap."""
    return {gap[2] for text in all_texts(action) for gap in GAP.finditer(text) if gap[2]}


def fill(template: Any, arguments: Mapping[str, Any], secrets: Mapping[str, str]) -> Any:
    """The template with its gaps filled. A text that is one gap takes the argument as it is, a list for a list."""
    if isinstance(template, str):
        return _fill_text(template, arguments, secrets)
    if isinstance(template, Mapping):
        members = {name: fill(value, arguments, secrets) for name, value in template.items()}
        return {name: value for name, value in members.items() if value is not ABSENT}
    if isinstance(template, list | tuple):
        return [value for element in template if (value := fill(element, arguments, secrets)) is not ABSENT]
    return template


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


def _fill_text(template: str, arguments: Mapping[str, Any], secrets: Mapping[str, str]) -> Any:
    gap = GAP.fullmatch(template)
    if gap and gap[2]:
        return arguments.get(gap[2], ABSENT)
    if any(gap[2] and gap[2] not in arguments for gap in GAP.finditer(template)):
        return ABSENT
    return GAP.sub(lambda gap: secret_for(secrets, gap[1]) if gap[1] else as_text(arguments[gap[2]]), template)


def secret_for(secrets: Mapping[str, str], name: str) -> str:
    if name not in secrets:
        raise ActionError("This tool lacks one of its secrets; an operator has to set it.")
    return secrets[name]


def all_texts(action: Action) -> list[str]:
    fields = (*action.query, *action.headers, *action.cookies)
    return [action.url, *(field.template for field in fields), *_texts(action.body)]


def _texts(template: Any) -> list[str]:
    if isinstance(template, str):
        return [template]
    children = template.values() if isinstance(template, Mapping) else template if isinstance(template, list | tuple) else ()
    return [text for child in children for text in _texts(child)]
