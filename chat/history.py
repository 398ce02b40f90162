"""From stored messages to what a provider is sent: pure functions, always provider-valid (R9.2, R9.3).

Provider messages are Chat-Completions dicts: user first, no two user turns in a row, every call followed by its result.
What they cost is estimated: four characters a token, and a little for every message.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import orjson

from chat.cleaning import NO_OUTPUT, ProviderMessage, clean, content_text
from chat.requests import Part

__all__ = [
    "ProviderMessage",
    "StoredMessage",
    "Turn",
    "clean",
    "encode",
    "fit",
    "open_calls",
    "provider_messages",
    "text_of",
    "user_messages",
]

MESSAGE_TOKENS = 4
MEDIA_TOKENS = 1000
"""What an image, a recording or a file is taken to cost, whatever its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One Message row as history sees it; `parts` are those of chat.requests."""

    role: Literal["user", "assistant"]
    parts: Sequence[Part]
    position: int = 0
    id: UUID | None = None
    status: str = "done"
    incomplete: bool = False
    in_history: bool = True
    active: bool = True


@dataclass(slots=True)
class Turn:
    """A user's input and what came of it, not cleaned yet. `mute`: it failed or was cancelled before the assistant said a word."""

    text: str = ""
    mute: bool = False
    stored: list[StoredMessage] = field(default_factory=list)
    messages: list[ProviderMessage] = field(default_factory=list)


def open_calls(messages: Sequence[ProviderMessage]) -> list[str]:
    """The ids of the newest calls that have no result yet: a client's next message may answer them."""
    answered: set[str] = set()
    for message in reversed(messages):
        if message["role"] == "tool":
            answered.add(message["tool_call_id"])
        elif message["role"] == "assistant":
            return [call["id"] for call in message.get("tool_calls") or () if call["id"] not in answered]
    return []


def provider_messages(stored: Iterable[StoredMessage], new_text: str | None = None) -> list[ProviderMessage]:
    """The conversation as the next model call sees it, steps (a) to (f) of R9.2; `new_text` is the user's new input for (a)."""
    return clean([message for turn in without_retries(turns_of(stored), new_text) for message in turn.messages])


def visible(message: StoredMessage) -> bool:
    """A pending message belongs to a turn that still runs or waits; it is that turn's own input."""
    return message.in_history and message.active and message.status != "pending"


def turns_of(stored: Iterable[StoredMessage]) -> list[Turn]:
    turns: list[Turn] = []
    for message in filter(visible, stored):
        if message.role == "user":
            turns.append(Turn(text_of(message.parts), message.status in ("failed", "cancelled"), [message], user_messages(message.parts)))
            continue
        if not turns:
            turns.append(Turn())
        turn = turns[-1]
        turn.stored.append(message)
        turn.messages += assistant_messages(message.parts)
        turn.mute = turn.mute and not text_of(message.parts).strip()
    return turns


def without_retries(turns: Sequence[Turn], new_text: str | None) -> list[Turn]:
    """R9.2a: a turn that failed without a word is left out when the next one asks the same again."""
    following = [*(turn.text for turn in turns[1:]), new_text]
    return [turn for turn, text in zip(turns, following, strict=False) if not (turn.mute and turn.text and turn.text == text)]


def text_of(parts: Iterable[Part]) -> str:
    """The text blocks of a message, parted by a blank line where both sides have text (OAI-36)."""
    return "\n\n".join(part["text"] for part in parts if part["type"] == "text" and part["text"])


def user_messages(parts: Sequence[Part]) -> list[ProviderMessage]:
    """A user's input: `tool` messages for results of client calls, then one user message if there is anything else."""
    if len(parts) == 1 and parts[0]["type"] == "text":  # as nearly always: what the rest would make of it
        return [{"role": "user", "content": parts[0]["text"]}] if parts[0]["text"] else []
    messages: list[ProviderMessage] = []
    content: list[dict[str, Any]] = []
    for part in parts:
        if part["type"] == "tool_result":
            messages.append(tool_message(part["call_id"], part["output"]))
        elif (made := _CONTENT[part["type"]](part)) is not None:
            content.append(made)
    if content:
        texts_only = all(part["type"] == "text" for part in content)
        messages.append({"role": "user", "content": content_text(content) if texts_only else content})
    return messages


def _text(part: Part) -> dict[str, Any] | None:
    return {"type": "text", "text": part["text"]} if part["text"] else None


def _image(part: Part) -> dict[str, Any]:
    detail = {"detail": part["detail"]} if part.get("detail") else {}
    return {"type": "image_url", "image_url": {"url": part["url"], **detail}}


def _audio(part: Part) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": part["data"], "format": part["format"]}}


def _file(part: Part) -> dict[str, Any]:
    """A file as bytes, else as its extracted `text`; without both it can only be mentioned."""
    if not part.get("data"):
        name = f"[file: {part.get('filename') or 'unnamed'}]"
        return {"type": "text", "text": f"{name}\n{part['text']}" if part.get("text") else name}
    return {"type": "file", "file": {"filename": part.get("filename", ""), "file_data": part["data"]}}


_CONTENT = {"text": _text, "image": _image, "audio": _audio, "file": _file}


def assistant_messages(parts: Sequence[Part]) -> list[ProviderMessage]:
    """One assistant message per model call, each followed by the `tool` messages of its calls. Reasoning is not sent back."""
    messages: list[ProviderMessage] = []
    step: list[Part] = []
    for part in parts:
        if part["type"] == "step":
            messages += _step_messages(step)
            step = []
        else:
            step.append(part)
    return messages + _step_messages(step)


def _step_messages(parts: Sequence[Part]) -> list[ProviderMessage]:
    text = text_of(parts) or "".join(part["text"] for part in parts if part["type"] == "refusal")
    own = [part for part in parts if part["type"] == "tool" and not part.get("node_id")]  # not those of a workflow's steps
    tools = [part for part in own if part.get("client") or _returned(part)]
    if not text and not tools:
        return []
    message: ProviderMessage = {"role": "assistant", "content": text or None}
    if tools:
        message["tool_calls"] = [_call(part) for part in tools]
    return [message, *(tool_message(provider_id(part), _output(part)) for part in tools if _returned(part))]


def provider_id(part: Part) -> str:
    """The id under which the provider knows a call (R11.1)."""
    return str(part.get("provider_id") or part["call_id"])


def _call(part: Part) -> dict[str, Any]:
    arguments = part.get("raw") or orjson.dumps(part.get("arguments") or {}).decode()
    return {"id": provider_id(part), "type": "function", "function": {"name": part["name"], "arguments": arguments}}


def _returned(part: Part) -> bool:
    """A client call is answered in a later user message, and a call that was cut off never."""
    return part.get("ok") is not None or part.get("output") is not None


def _output(part: Part) -> Any:
    return (part.get("error") or part.get("output")) if part.get("ok") is False else part.get("output")


def tool_message(call_id: str, output: Any) -> ProviderMessage:
    """The result of one call; `output` is any JSON value, text stays as it is."""
    text = output if isinstance(output, str) else "" if output is None else orjson.dumps(output).decode()
    return {"role": "tool", "tool_call_id": call_id, "content": text or NO_OUTPUT}


def encode(messages: Iterable[Mapping[str, Any]]) -> bytes:
    """Provider messages as JSON objects joined by commas, to be put between others."""
    return orjson.dumps(messages if isinstance(messages, list) else list(messages))[1:-1]


def estimate_tokens(message: Mapping[str, Any]) -> int:
    """About what a provider message costs of the context window."""
    content, calls = message.get("content"), message.get("tool_calls")
    tokens = MESSAGE_TOKENS
    if isinstance(content, str):
        tokens += len(content) // 4
    elif content:
        tokens += sum(len(part["text"]) // 4 if part["type"] == "text" else MEDIA_TOKENS for part in content)
    if calls:
        tokens += sum((len(call["function"]["name"]) + len(call["function"]["arguments"])) // 4 + MESSAGE_TOKENS for call in calls)
    return tokens


def fit(messages: Sequence[ProviderMessage], budget_tokens: int) -> list[ProviderMessage]:
    """R9.2g: cuts whole turns from the oldest end until the rest fits; the newest turn stays, whatever it costs."""
    left = budget_tokens
    start = len(messages)
    for index in range(len(messages) - 1, -1, -1):
        left -= estimate_tokens(messages[index])
        if messages[index]["role"] != "user":
            continue
        if left < 0 and start < len(messages):
            break
        start = index
    return list(messages[start:]) if start < len(messages) else list(messages)
