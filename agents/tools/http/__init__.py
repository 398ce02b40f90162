"""Tool kind `http`: an operation of an OpenAPI document, or a request written by hand (docs/adding-a-tool.md shows both).

Secrets enter the request at the last moment and are masked in the answer; addresses pass the guard of agents.net (R11.4).
"""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from asgiref.sync import async_to_sync

from agents.fetch import fetch
from agents.memo import Memo
from agents.net import FetchError
from agents.scrub import Scrubber
from agents.specs import ToolSpec
from agents.tools.base import ToolContext, ToolOutcome
from agents.tools.http import documents, handwritten, openapi
from agents.tools.http.action import Action, ActionError
from agents.tools.http.answers import outcome_of
from agents.tools.http.build import request_for
from agents.tools.http.check import check_action

_SETTINGS = frozenset(("method", "url", "query", "headers", "body", "parameters", "description", "max_bytes"))
_OPENAPI_SETTINGS = frozenset(("openapi", "operation", "openapi_url", "server", "headers", "query", "description", "max_bytes"))
_MAX_BYTES = 256 * 1024
_MAX_MAX_BYTES = 4 * 1_048_576

log = logging.getLogger(__name__)


def describe(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    action = _action(config)
    return action.description, action.parameters


def check(config: Mapping[str, Any]) -> None:
    known = _OPENAPI_SETTINGS if "openapi" in config else _SETTINGS
    if unknown := sorted(set(config) - known):
        raise ValueError(f"Unknown settings: {', '.join(unknown)}. Known are {', '.join(sorted(known))}.")
    limit = config.get("max_bytes", _MAX_BYTES)
    if not isinstance(limit, int) or not 0 < limit <= _MAX_MAX_BYTES:
        raise ValueError(f'"max_bytes" must be a whole number from 1 to {_MAX_MAX_BYTES}.')
    check_action(_action_for(config))


def prepare(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is stored of `config`: a document given as text or by its address becomes the document itself."""
    document = config.get("openapi")
    if documents.is_address(document):
        return {**config, "openapi": async_to_sync(documents.download)(str(document)), "openapi_url": str(document).strip()}
    return {**config, "openapi": documents.parse(document)} if isinstance(document, str) else config


async def call(spec: ToolSpec, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
    try:
        request = request_for(_action(spec.config), arguments, spec.secrets)
        limit = spec.config.get("max_bytes", _MAX_BYTES)
        answer = await fetch(request, timeout_s=spec.timeout_s, max_bytes=limit)
    except (ActionError, FetchError) as error:
        log.warning("tool_failed name=%s reason=%s", spec.name, error)
        return ToolOutcome(output=str(error), is_error=True)
    return outcome_of(answer, _scrubber(tuple(spec.secrets.values())))


def _action_for(config: Mapping[str, Any]) -> Action:
    if "openapi" not in config:
        return handwritten.action_for(config)
    document = config["openapi"]
    if documents.is_address(document):
        raise ValueError("The OpenAPI document has not been loaded from its address yet.")
    given = openapi.Settings(
        server=str(config.get("server") or ""),
        document_url=str(config.get("openapi_url") or ""),
        description=str(config.get("description") or ""),
        headers=handwritten.fields(config, "headers"),
        query=handwritten.fields(config, "query"),
    )
    parsed = documents.parse(document) if isinstance(document, str) else document
    return openapi.action_for(parsed, str(config.get("operation") or ""), given)


_action: Memo[Mapping[str, Any], Action] = Memo(_action_for)


@lru_cache(maxsize=256)
def _scrubber(secrets: tuple[str, ...]) -> Scrubber:
    return Scrubber(secrets, lambda key: False)
