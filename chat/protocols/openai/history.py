"""Entries of a request as the spine takes them: new input as parts, earlier messages as provider messages or as seeds.

Pure. A run of user and tool messages after the last assistant message is one turn's input (R9.2e).
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import orjson

from chat.cleaning import ProviderMessage
from chat.history import tool_message, user_messages
from chat.protocols.openai.messages import Entry
from chat.requests import Part, Seed


def split(entries: Sequence[Entry]) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """What was said before, and the new input: everything after the last assistant message."""
    at = next((index for index in range(len(entries) - 1, -1, -1) if entries[index].role == "assistant"), -1)
    return entries[: at + 1], entries[at + 1 :]


def input_parts(entries: Sequence[Entry]) -> tuple[Part, ...]:
    """User and tool messages as the parts of one user message: results first, as providers want them."""
    results = tuple(tool_result(entry.call_id, entry.text) for entry in entries if entry.role == "tool")
    return results + tuple(part for entry in entries if entry.role == "user" for part in entry.canonical)


def tool_result(call_id: str, output: str) -> Part:
    return {"type": "tool_result", "call_id": call_id, "output": output}


def provider_history(entries: Sequence[Entry]) -> tuple[ProviderMessage, ...]:
    return tuple(message for entry in entries for message in _messages(entry))


def _messages(entry: Entry) -> list[ProviderMessage]:
    if entry.role == "user":
        return user_messages(entry.parts) if entry.parts else [{"role": "user", "content": entry.text}]
    if entry.role == "tool":
        return [tool_message(entry.call_id, entry.text)]
    if entry.step:
        return list(entry.step)
    return [{"role": "assistant", "content": entry.text or None, **({"tool_calls": list(entry.calls)} if entry.calls else {})}]


def seeds(entries: Sequence[Entry]) -> tuple[Seed, ...]:
    """Earlier messages as they are stored: one message for each assistant entry, one for what stands between two of them."""
    made: list[Seed] = []
    for is_assistant, group in groupby(entries, key=lambda entry: entry.role == "assistant"):
        if is_assistant:
            made += [Seed(role="assistant", parts=tuple(_assistant_parts(entry))) for entry in group]
        else:
            made.append(Seed(role="user", parts=input_parts(list(group))))
    return tuple(made)


def _assistant_parts(entry: Entry) -> list[Part]:
    """Text and calls; the results of calls that were executed here stand with them (OAI-29)."""
    said, *results = entry.step or _messages(entry)
    outputs = {result["tool_call_id"]: result["content"] for result in results}
    text: list[Part] = [{"type": "text", "block": 1, "text": entry.text}] if entry.text else []
    return text + [_tool_part(call, outputs.get(call["id"])) for call in said.get("tool_calls", ())]


def _tool_part(call: dict[str, Any], output: Any) -> Part:
    raw = call["function"]["arguments"]
    part = {"type": "tool", "call_id": call["id"], "provider_id": call["id"], "name": call["function"]["name"]}
    part |= {"arguments": _object(raw), "raw": raw, "client": output is None}
    return part if output is None else {**part, "output": output, "ok": True, "error": "", "duration_ms": 0}


def _object(raw: str) -> dict[str, Any]:
    """The arguments where the model wrote an object; its own text stays beside it (OAI-28)."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
