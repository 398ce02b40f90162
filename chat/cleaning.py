"""Making provider messages valid for every provider: steps (b) to (f) of R9.2. Pure; what comes in is not changed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

ProviderMessage = dict[str, Any]

NO_OUTPUT = "(no output)"
SPOKE_FIRST = "(the assistant spoke first)"


def clean(messages: Iterable[Mapping[str, Any]], *, first: bool = True) -> list[ProviderMessage]:
    """Steps (b) to (f): user first, no two user messages in a row, every call followed by its result, nothing empty.

    Roles other than user, assistant and tool are dropped: instructions travel beside history. `first` False: more stands before.
    """
    cleaned: list[ProviderMessage] = []
    for message in _paired(messages):
        _add(cleaned, message)
    if first and cleaned and cleaned[0]["role"] == "assistant":
        cleaned.insert(0, {"role": "user", "content": SPOKE_FIRST})
    return cleaned


def _add(cleaned: list[ProviderMessage], message: ProviderMessage) -> None:
    """Appends a message, or joins it to a user message before it (e)."""
    if message["role"] == "user" and cleaned and cleaned[-1]["role"] == "user":
        message = {"role": "user", "content": joined(cleaned.pop()["content"], message["content"])}
    cleaned.append(message)


def joined(first: Any, second: Any) -> Any:
    """The content of two user messages as one, separated by a blank line."""
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_as_parts(first), *_as_parts(second)]


def _as_parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _paired(messages: Iterable[Mapping[str, Any]]) -> Iterable[ProviderMessage]:
    """Steps (b) to (d). Results count for the nearest assistant message before them and follow it at once."""
    group: list[Mapping[str, Any]] = []
    for message in messages:
        if message["role"] == "assistant":
            yield from _answered(group)
            group = []
        group.append(message)
    yield from _answered(group)


def _answered(group: Sequence[Mapping[str, Any]]) -> Iterable[ProviderMessage]:
    """`group`: an assistant message (but for the first group) and what follows up to the next one."""
    if group and group[0]["role"] == "assistant":
        yield from _assistant(group[0], _results(group))
    for message in group:
        if message["role"] == "user" and (user := _user(message)):
            yield user


def _results(group: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    results: dict[str, str] = {}
    for message in group:
        if message["role"] == "tool":
            results.setdefault(str(message.get("tool_call_id")), content_text(message.get("content")) or NO_OUTPUT)
    return results


def _assistant(message: Mapping[str, Any], results: Mapping[str, str]) -> Iterable[ProviderMessage]:
    text = content_text(message.get("content")) or content_text(message.get("refusal"))
    calls: dict[str, dict[str, Any]] = {}
    for call in message.get("tool_calls") or ():
        if call["id"] in results:
            calls.setdefault(call["id"], _call(call))
    if calls:
        yield {"role": "assistant", "content": text or None, "tool_calls": list(calls.values())}
        for call_id in calls:
            yield {"role": "tool", "tool_call_id": call_id, "content": results[call_id]}
    elif text:
        yield {"role": "assistant", "content": text}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": function["name"], "arguments": _arguments(function.get("arguments"))},
    }


def _arguments(text: Any) -> str:
    """A JSON object in text: half a one, kept from a cut-off model, would poison the next turn with most providers."""
    try:
        return text if isinstance(orjson.loads(text), dict) else "{}"
    except (orjson.JSONDecodeError, TypeError):
        return "{}"


def _user(message: Mapping[str, Any]) -> ProviderMessage | None:
    content = message.get("content")
    if isinstance(content, str):
        return {"role": "user", "content": content} if content.strip() else None
    parts = [part for part in content or () if part["type"] != "text" or part["text"]]
    return {"role": "user", "content": parts} if parts else None


def content_text(content: Any) -> str:
    """The text of a message's content: a string, text and refusal parts (joined by blank lines), or nothing."""
    if isinstance(content, str):
        return content if content.strip() else ""
    texts = (part.get("text") or part.get("refusal") or "" for part in content or ())
    return "\n\n".join(text for text in texts if text)
