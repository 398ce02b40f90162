"""OpenAPI documents as operators give them: an object, its text as JSON or YAML, or the address where it is read once, at save."""

from collections.abc import Mapping
from typing import Any

import orjson
import yaml

from agents.fetch import Request, fetch
from agents.net import FetchError

_MAX_BYTES = 4 * 1_048_576
_MAX_NODES = 500_000
_TIMEOUT_S = 20.0


def is_address(value: Any) -> bool:
    return isinstance(value, str) and value.strip().startswith(("http://", "https://"))


async def download(url: str) -> dict[str, Any]:
    """The document at `url`, through the guard of outgoing fetches. Raises ValueError with a sentence for the operator."""
    request = Request(method="GET", url=url.strip(), headers={"Accept": "application/json, application/yaml, */*"})
    try:
        answer = await fetch(request, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES)
    except FetchError as error:
        raise ValueError(f"The OpenAPI document could not be loaded. {error}") from error
    if answer.status != 200 or answer.cut:
        reason = "it is larger than 4 MiB" if answer.cut else f"the server answered {answer.status}"
        raise ValueError(f"The OpenAPI document could not be loaded: {reason}.")
    return parse(answer.body.decode(errors="replace"))


def parse(text: str) -> dict[str, Any]:
    """The document in `text`, as JSON has it: no dates, only text for names. Raises ValueError."""
    try:
        document = yaml.load(text, Loader=yaml.CSafeLoader)  # JSON is YAML too
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError("The OpenAPI document is neither JSON nor YAML.") from error
    if not isinstance(document, dict):
        raise ValueError("The OpenAPI document must be an object.")
    _check_size(document)
    plain: dict[str, Any] = orjson.loads(orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS))
    return plain


def _check_size(document: Mapping[str, Any]) -> None:
    """YAML's aliases make a small text a huge value, even an endless one: count before anything walks through it."""
    waiting: list[Any] = [document]
    for _ in range(_MAX_NODES):
        if not waiting:
            return
        node = waiting.pop()
        waiting += node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    raise ValueError("The OpenAPI document is too large.")
