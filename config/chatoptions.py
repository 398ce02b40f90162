"""Options of `serve_chat` as settings of this process (openai.md section 2): an option wins over the environment.

Raises OptionError, which names the option, for everything that OAI-6 and OAI-7 refuse.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from config import cors, env, serving

DEFAULT_LISTEN = "127.0.0.1:8083"
_MAX_REQUEST_SIZE, _REQUEST_TIMEOUT_S, _CONVERSATION_TTL_S = 1_048_576, 300, 1800

Parsed = TypeVar("Parsed")


class OptionError(ValueError):
    """`--option: what is wrong`."""


def listen(options: Mapping[str, Any]) -> serving.Address:
    return _parsed("--listen", serving.parse_address, options["listen"] or env.text("CHAT_LISTEN") or DEFAULT_LISTEN)


def settings_for(options: Mapping[str, Any], address: serving.Address, site: Any) -> dict[str, Any]:
    """Settings to set, beside those of the site (`site`) that stay."""
    key = static_key(options, site.CHAT_API_KEY)
    origins = site.CHAT_CORS_ORIGIN if options["cors_origin"] is None else options["cors_origin"]
    cors_settings = _parsed("--cors-origin", lambda text: cors.settings_for(text, openai_only=True), origins)
    return {
        "CHAT_WIRE_ONLY": True,
        "EMBEDDED_WORKER": False,
        "CHAT_API_KEY": key,
        "CHAT_ANONYMOUS": address.is_loopback and not key,
        "CHAT_CONVERSATIONS_MAX": _conversations_max(options["conversations_max"], site.CHAT_CONVERSATIONS_MAX),
        "CORS": cors_settings,
        "WIRE_MIDDLEWARE": [cors.MIDDLEWARE] if cors_settings else [],
        **cors_settings,
        **dict(_given(options)),
    }


def static_key(options: Mapping[str, Any], of_the_site: str) -> str:
    """The static key, "" for none. A variable that is named but empty would make an open server: refused (OAI-6)."""
    if options["api_key"] is not None and options["api_key_env"] is not None:
        raise OptionError("--api-key and --api-key-env cannot be used together")
    if options["api_key"] is not None:
        if not options["api_key"].strip():
            raise OptionError("--api-key: must not be empty")
        return str(options["api_key"]).strip()
    if options["api_key_env"] is not None:
        return _from_variable("--api-key-env", options["api_key_env"])
    if not os.environ.get("CHAT_API_KEY") and (name := env.text("CHAT_API_KEY_ENV")):
        return _from_variable("CHAT_API_KEY_ENV", name)
    return of_the_site


def _from_variable(option: str, name: str) -> str:
    key = os.environ.get(name, "").strip()
    if not key:
        raise OptionError(f"{option}: the environment variable {name!r} is not set or empty")
    return key


def _conversations_max(option: int | None, of_the_site: int) -> int:
    """Off unless somebody asked for conversations; negative means off (OAI-7)."""
    if option is not None:
        return max(0, option)
    return of_the_site if env.text("CHAT_CONVERSATIONS_MAX") else 0


def _given(options: Mapping[str, Any]) -> Any:
    if options["max_request_size"] is not None:
        yield "CHAT_MAX_REQUEST_SIZE", _parsed("--max-request-size", env.parse_size, options["max_request_size"], _MAX_REQUEST_SIZE)
    if options["request_timeout"] is not None:
        yield "CHAT_REQUEST_TIMEOUT", _parsed("--request-timeout", env.parse_duration, options["request_timeout"], _REQUEST_TIMEOUT_S)
    if options["conversation_ttl"] is not None:
        yield "CHAT_CONVERSATION_TTL", _parsed("--conversation-ttl", env.parse_duration, options["conversation_ttl"], _CONVERSATION_TTL_S)
    if options["max_idle_runtimes"] is not None:
        yield "CHAT_MAX_IDLE_RUNTIMES", max(0, options["max_idle_runtimes"])


def _parsed(option: str, parse: Callable[..., Parsed], *values: Any) -> Parsed:
    try:
        return parse(*values)
    except ValueError as error:
        raise OptionError(f"{option}: {error}") from error
