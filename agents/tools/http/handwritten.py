"""An HTTP action written by hand in a tool's config: method, url, query, headers, body and parameters, with {argument} gaps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from agents.tools.http.action import Action, Field, arguments_of

_IN_QUERY = frozenset(("GET", "HEAD", "DELETE"))
"""Methods whose remaining arguments go into the query: their bodies have no meaning (RFC 9110 §9.3)."""


def action_for(config: Mapping[str, Any]) -> Action:
    """The action of `config`. Raises ValueError with a sentence for the operator."""
    method, url = str(config.get("method", "GET")).upper(), config.get("url")
    if not isinstance(url, str) or not url:
        raise ValueError('Set "url", or "openapi" and "operation".')
    parameters = config.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise ValueError('"parameters" must be a JSON Schema with "type": "object".')
    action = Action(
        description=str(config.get("description") or f"Sends a {method} request to {urlsplit(url).hostname}."),
        parameters=parameters,
        method=method,
        url=url,
        query=fields(config, "query"),
        headers=fields(config, "headers"),
        body=config.get("body"),
    )
    return _with_rest(action)


def fields(config: Mapping[str, Any], name: str) -> tuple[Field, ...]:
    """`config[name]`, an object of texts (numbers and booleans pass), as fields. Raises ValueError."""
    values = config.get(name) or {}
    if not isinstance(values, Mapping) or not all(isinstance(value, str | int | float) for value in values.values()):
        raise ValueError(f'"{name}" must be an object whose values are text.')
    return tuple(Field(name=key, template=value if isinstance(value, str) else str(value).lower()) for key, value in values.items())


def _with_rest(action: Action) -> Action:
    """Arguments without a gap go into the query or, where no body is written, into the JSON body."""
    if not set(action.parameters.get("properties", {})) - arguments_of(action):
        return action
    if action.method in _IN_QUERY:
        return replace(action, rest="query")
    return action if action.body is not None else replace(action, rest="body")
