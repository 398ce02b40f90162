"""What is checked of an action when an operator saves it: it can work, and no argument can choose its host."""

import re

from agents.net import FetchError, check_url
from agents.tools.arguments import check_schema
from agents.tools.http.action import GAP, Action, all_texts, arguments_of, has_dot_steps

_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
_ORIGIN = re.compile(r"https?://[^/?#{}@\\\s]+(?=[/?#]|\Z)")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_NOT_OURS = frozenset(("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "proxy-authorization"))
"""Headers that belong to the connection."""


def check_action(action: Action) -> None:
    """Raises ValueError with a sentence for the operator when the action can never work, or would let an argument choose the host."""
    if action.method not in _METHODS:
        raise ValueError(f'"method" must be one of {", ".join(sorted(_METHODS))}.')
    check_schema(action.parameters)
    _check_url(action.url)
    _check_gaps(action)
    for field in action.headers:
        if not _HEADER_NAME.match(field.name) or field.name.lower() in _NOT_OURS:
            raise ValueError(f'The header "{field.name}" may not be set.')


def _check_url(url: str) -> None:
    origin = _ORIGIN.match(url)
    if origin is None or "#" in url:
        raise ValueError('"url" must begin with http:// or https:// and a host without gaps and credentials, and have no fragment.')
    if has_dot_steps(url):
        raise ValueError('"url" must not hold the steps "." or "..".')
    try:
        check_url(origin[0])
    except FetchError as error:
        raise ValueError(f"{error} The setting ALLOW_PRIVATE_ADDRESSES names the private hosts and networks that may be.") from error


def _check_gaps(action: Action) -> None:
    properties, required = action.parameters.get("properties", {}), action.parameters.get("required", ())
    for name in sorted(arguments_of(action) - set(properties)):
        raise ValueError(f'"{{{name}}}" is used but is not among the properties of "parameters".')
    for gap in GAP.finditer(action.url):
        if gap[2] and gap[2] not in required:
            raise ValueError(f'"{{{gap[2]}}}" stands in "url": it has to be among "required" of "parameters".')
    if any("{{" in GAP.sub("", text) for text in all_texts(action)):
        raise ValueError("A secret is written {{secret:NAME}}, with letters, digits, '.', '_' and '-' in its name.")
