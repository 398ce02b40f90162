"""The fields of section 4 that do not depend on the agent: one line a field, checked by hand because every turn pays for it.

Law: what changes the answer's meaning is applied or refused, hints may be ignored; null is absent; a bool is no number.
"""

from collections.abc import Callable, Mapping
from typing import Any

from chat.protocols.openai.errors import invalid, unsupported_parameter, unsupported_value

Check = Callable[[Any, str], Any]
"""(value, path) -> the value as it is used. Raises SwitchboardError (400) with the path."""


def boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(path, f"{path} must be true or false")
    return value


def text(value: Any, path: str, longest: int = 0) -> str:
    if not isinstance(value, str):
        raise invalid(path, f"{path} must be a string")
    if longest and len(value) > longest:
        raise invalid(path, f"{path} must have at most {longest} characters, got {len(value)}")
    return value


def mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(path, f"{path} must be an object")
    return value


def array(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(path, f"{path} must be an array")
    return value


def integer(value: Any, path: str) -> int:
    if type(value) is not int:
        raise invalid(path, f"{path} must be an integer")
    return value


def one_of(*words: str) -> Check:
    def check(value: Any, path: str) -> str:
        if text(value, path) not in words:
            raise invalid(path, f"{path} must be one of {', '.join(words)}, got {_shown(value)}")
        return str(value)

    return check


def _number(low: float, high: float, above: bool = False) -> Check:
    """A number from `low` (not included when `above`) to `high`."""
    bounds = f"{'(' if above else '['}{low}, {high}]"

    def check(value: Any, path: str) -> float:
        if type(value) is not int and type(value) is not float:
            raise invalid(path, f"{path} must be a number")
        if value > high or value < low or (above and value == low):
            raise invalid(path, f"{path} must be in {bounds}, got {value}")
        return value

    return check


def _limit(value: Any, path: str) -> int:
    if integer(value, path) < 1:
        raise invalid(path, f"{path} must be at least 1, got {value}")
    return int(value)


def _text(longest: int) -> Check:
    return lambda value, path: text(value, path, longest)


def _stop(value: Any, path: str) -> tuple[str, ...]:
    words, one = ([value], True) if isinstance(value, str) else (value, False)
    if not isinstance(words, list):
        raise invalid(path, f"{path} must be a string or an array of strings")
    if not 1 <= len(words) <= 4:
        raise invalid(path, f"{path} must have 1 to 4 entries, got {len(words)}")
    for index, word in enumerate(words):
        where = path if one else f"{path}[{index}]"
        if not text(word, where, 256):
            raise invalid(where, f"{where} must not be empty")
    return tuple(words)


_bias = _number(-100, 100)


def _logit_bias(value: Any, path: str) -> dict[str, float]:
    return {token: _bias(bias, f"{path}.{token}") for token, bias in mapping(value, path).items()}


def _metadata(value: Any, path: str) -> dict[str, str]:
    pairs = mapping(value, path)
    if len(pairs) > 16:
        raise invalid(path, f"{path} must have at most 16 pairs, got {len(pairs)}")
    for key, item in pairs.items():
        if len(key) > 64:
            raise invalid(path, f"keys of {path} must have at most 64 characters, got {len(key)}")
        text(item, f"{path}.{key}", 512)
    return pairs


def _n(value: Any, path: str) -> int:
    if _limit(value, path) > 1:
        raise unsupported_value(path, f"{path} must be 1: one answer is made for each request, got {value}")
    return 1


def _logprobs(value: Any, path: str) -> bool:
    if boolean(value, path):
        raise unsupported_value(path, "log probabilities are not available")
    return False


def _top_logprobs(value: Any, path: str) -> int:
    if integer(value, path) < 0:
        raise invalid(path, f"{path} must be at least 0, got {value}")
    if value > 0:
        raise unsupported_value(path, "log probabilities are not available")
    return 0


def _modalities(value: Any, path: str) -> list[str]:
    words = [text(word, f"{path}[{index}]") for index, word in enumerate(array(value, path))]
    if unknown := next((word for word in words if word != "text"), ""):
        raise unsupported_value(path, f'{path} must be ["text"], got {_shown(unknown)}')
    if not words:
        raise invalid(path, f'{path} must be ["text"]')
    return words


def _refused(message: str) -> Check:
    def check(_: Any, path: str) -> None:
        raise unsupported_parameter(path, message)

    return check


def _shown(value: str) -> str:
    return value if len(value) <= 64 else value[:64] + "…"


FIELDS: Mapping[str, Check] = {
    "model": text,
    "stream": boolean,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1, above=True),
    "max_completion_tokens": _limit,
    "max_tokens": _limit,
    "stop": _stop,
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "seed": integer,
    "logit_bias": _logit_bias,
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "verbosity": one_of("low", "medium", "high"),
    "parallel_tool_calls": boolean,
    "metadata": _metadata,
    "user": _text(256),
    "safety_identifier": _text(256),
    "n": _n,
    "logprobs": _logprobs,
    "top_logprobs": _top_logprobs,
    "modalities": _modalities,
    "audio": _refused("audio answers are not available on this endpoint"),
    "functions": _refused("functions is not supported: use tools instead"),
    "function_call": _refused("function_call is not supported: use tool_choice instead"),
    "moderation": _refused("moderation is not supported"),
    "web_search_options": _refused("web_search_options is not supported: an agent searches the web if it has that tool"),
}

SAMPLED = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "logit_bias", "reasoning_effort", "verbosity")
"""Parameters an operator may lock and a model may not know (OAI-15)."""


def fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Every known field of `body` that is not null, checked (OAI-16, OAI-17); other keys are ignored."""
    found = {}
    for name, value in body.items():
        if value is not None and (check := FIELDS.get(name)) is not None:
            found[name] = check(value, name)
    return found


def include_usage(body: Mapping[str, Any]) -> bool:
    """`stream_options.include_usage`; asked for only when streaming, since the field is ignored otherwise."""
    options = body.get("stream_options")
    if options is None:
        return False
    value = mapping(options, "stream_options").get("include_usage")
    return value is not None and boolean(value, "stream_options.include_usage")
