"""A request from an action and arguments. Arguments never choose the host, leave their step of the path or write a header line."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from agents.fetch import Request
from agents.tools.http.action import ABSENT, GAP, Action, ActionError, Field, arguments_of, as_text, fill, has_dot_steps, secret_for
from agents.tools.http.styles import joined, pairs_of, written

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORM = "application/x-www-form-urlencoded"


def request_for(action: Action, arguments: Mapping[str, Any], secrets: Mapping[str, str]) -> Request:
    """The request that `arguments` make of `action`. Raises ActionError."""
    known = {name: value.strip() for name, value in secrets.items()}
    pairs = [pair for field in action.query for pair in written(field, fill(field.template, arguments, known))]
    rest = _rest(action, arguments)
    if action.rest == "query":
        pairs += pairs_of(rest)
    headers = _headers(action, arguments, known)
    body = rest if action.rest == "body" else fill(action.body, arguments, known)
    return Request(method=action.method, url=_url(action.url, arguments, known, pairs), headers=headers, body=_body(body, headers))


def _rest(action: Action, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that fill no gap; undeclared ones only where the schema invites them."""
    placed, declared = arguments_of(action), action.parameters.get("properties", {})
    invited = bool(action.parameters.get("additionalProperties"))
    return {name: value for name, value in arguments.items() if name not in placed and (invited or name in declared)}


def _url(template: str, arguments: Mapping[str, Any], secrets: Mapping[str, str], pairs: list[tuple[str, str]]) -> str:
    url = GAP.sub(lambda gap: quote(secret_for(secrets, gap[1]), safe="/") if gap[1] else _step(arguments, gap[2]), template)
    if has_dot_steps(url):
        raise ActionError("An argument would lead to another path: '.' and '..' are not accepted there.")
    if not pairs:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(pairs, quote_via=quote, safe='')}"


def _step(arguments: Mapping[str, Any], name: str) -> str:
    """One argument inside the address: everything that means something there is encoded."""
    value = arguments.get(name)
    text = ",".join(map(as_text, value)) if isinstance(value, list) else as_text(value)
    if not text:
        raise ActionError(f"{name}: must not be empty.")
    return quote(text, safe="")


def _headers(action: Action, arguments: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    headers = {field.name: _header(field, text) for field, text in _singles(action.headers, arguments, secrets)}
    cookies = [f"{field.name}={quote(text)}" for field, text in _singles(action.cookies, arguments, secrets)]
    return {**headers, "Cookie": "; ".join(cookies)} if cookies else headers


def _singles(fields: tuple[Field, ...], arguments: Mapping[str, Any], secrets: Mapping[str, str]) -> list[tuple[Field, str]]:
    """The fields that are there, each as one text."""
    filled = [(field, fill(field.template, arguments, secrets)) for field in fields]
    return [(field, joined(field, value)) for field, value in filled if value is not ABSENT and value is not None]


def _header(field: Field, text: str) -> str:
    if _CONTROL.search(text):
        raise ActionError(f"{field.name}: line breaks and control characters are not accepted here.")
    return text


def _body(body: Any, headers: dict[str, str]) -> bytes | None:
    """JSON, or a form when the headers say so; None when there is nothing to send. Adds the Content-Type."""
    if body is None or body is ABSENT:
        return None
    declared = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if declared.startswith(_FORM) and isinstance(body, Mapping):
        return urlencode(pairs_of(body)).encode()
    if not declared:
        headers["Content-Type"] = "application/json"
    return orjson.dumps(body)
