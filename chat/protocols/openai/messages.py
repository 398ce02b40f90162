"""`messages` of a request (section 5): roles, contents and parts checked and put in canonical form (chat.requests).

Law: a role or part that is not understood is refused, never turned into something else. What depends on the agent
(images, audio, files) is asked in abilities.py; whether tool calls pair up only where the client's history is used.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from agents.settings import settings
from chat.protocols.openai.contents import text_content, user_content
from chat.protocols.openai.errors import invalid, missing, unsupported_parameter, unsupported_value
from chat.protocols.openai.parameters import array, mapping, text
from chat.requests import Part

OURS = "srv_"
"""Ids of calls that were executed here; clients send them back, and they are not theirs to tell (OAI-24)."""
CONTINUE = "Continue."


class Entry(NamedTuple):
    """One message, the one at `messages[at]`. `parts` is empty where `text` is all there is; `calls` are Chat-Completions objects.

    `step`: the provider messages of an assistant's step that was kept here (OAI-29); they take the place of its own.
    """

    at: int
    role: str
    text: str
    parts: tuple[Part, ...] = ()
    calls: tuple[dict[str, Any], ...] = ()
    call_id: str = ""
    step: tuple[dict[str, Any], ...] = ()

    @property
    def canonical(self) -> tuple[Part, ...]:
        """A user message's parts."""
        return self.parts or ({"type": "text", "text": self.text},)


class Messages(NamedTuple):
    """`instructions`: what system and developer messages say, in order (OAI-19)."""

    instructions: tuple[str, ...]
    entries: tuple[Entry, ...]


def parse_messages(value: Any) -> Messages:
    """Raises SwitchboardError (400) with the path at fault."""
    if value is None:
        raise missing("messages")
    items = array(value, "messages")
    if not items:
        raise invalid("messages", "at least one message is required")
    if len(items) > settings.CHAT_MAX_MESSAGES:
        raise invalid("messages", f"messages must have at most {settings.CHAT_MAX_MESSAGES} entries, got {len(items)}")
    instructions: list[str] = []
    entries: list[Entry] = []
    for index, item in enumerate(items):
        entry = _message(index, item)
        if entry.role == "system":
            instructions.append(entry.text)
        elif _says_something(entry):
            entries.append(entry)
    return Messages(tuple(text for text in instructions if text.strip()), _answerable(entries, len(items)))


def check_pairs(entries: Sequence[Entry]) -> None:
    """OAI-24: each call is answered by the tool messages that follow it, and nothing else is. Raises invalid_tool_history."""
    if all(not entry.calls and entry.role != "tool" for entry in entries):
        return
    unanswered: dict[str, int] = {}
    for entry in entries:
        if entry.role == "tool":
            if unanswered.pop(entry.call_id, None) is None:
                raise _unpaired(f"messages[{entry.at}].tool_call_id", f"no tool call before it has the id {entry.call_id[:64]}")
            continue
        _check_answered(unanswered)
        unanswered = {call["id"]: entry.at for call in entry.calls}
        if len(unanswered) < len(entry.calls):
            raise _unpaired(f"messages[{entry.at}].tool_calls", "two tool calls have the same id")
    _check_answered(unanswered)


def check_user(entries: Sequence[Entry]) -> None:
    """OAI-20."""
    if not any(entry.role == "user" for entry in entries):
        raise no_user_message()


def no_user_message() -> Exception:
    return invalid("messages", "no user message provided")


def _check_answered(unanswered: dict[str, int]) -> None:
    for call_id, index in unanswered.items():
        raise _unpaired(f"messages[{index}].tool_calls", f"no tool message answers the call {call_id[:64]}")


def _unpaired(path: str, message: str) -> Exception:
    return invalid(path, message, "invalid_tool_history")


def _message(index: int, item: Any) -> Entry:
    path = f"messages[{index}]"
    message = mapping(item, path)
    role = message.get("role")
    read = _READERS.get(role) if isinstance(role, str) else None
    read = read or (_READERS.get(role.strip().lower()) if isinstance(role, str) else None)
    if read is None:
        raise invalid(f"{path}.role", "role must be one of system, developer, user, assistant, tool")
    return read(index, message, path)


def _system(index: int, message: dict[str, Any], path: str) -> Entry:
    return Entry(index, "system", text_content(message.get("content"), f"{path}.content"))


def _user(index: int, message: dict[str, Any], path: str) -> Entry:
    content = message.get("content")
    if isinstance(content, str):
        return Entry(index, "user", content)
    return Entry(index, "user", *user_content(content, f"{path}.content"))


def _assistant(index: int, message: dict[str, Any], path: str) -> Entry:
    content = message.get("content")
    said = content if isinstance(content, str) else text_content([] if content is None else content, f"{path}.content", ("text", "refusal"))
    if not said and (refusal := message.get("refusal")) is not None:
        said = text(refusal, f"{path}.refusal")
    if message.get("function_call") is not None:
        raise unsupported_parameter(f"{path}.function_call", "function_call is not supported: use tool_calls instead")
    calls = message.get("tool_calls")
    return Entry(index, "assistant", said, (), _calls(calls, f"{path}.tool_calls") if calls is not None else ())


def _tool(index: int, message: dict[str, Any], path: str) -> Entry:
    call_id = text(message.get("tool_call_id"), f"{path}.tool_call_id")
    return Entry(index, "tool", text_content(message.get("content"), f"{path}.content"), call_id=call_id)


_READERS: dict[str, Callable[[int, dict[str, Any], str], Entry]] = {
    "system": _system,
    "developer": _system,
    "user": _user,
    "assistant": _assistant,
    "tool": _tool,
}


def _calls(value: Any, path: str) -> tuple[dict[str, Any], ...]:
    calls = [_call(call, f"{path}[{index}]") for index, call in enumerate(array(value, path))]
    return tuple(call for call in calls if not call["id"].startswith(OURS))


def _call(value: Any, path: str) -> dict[str, Any]:
    call = mapping(value, path)
    if call.get("type") not in (None, "function"):
        raise unsupported_value(f"{path}.type", f"{path}.type must be function")
    function = mapping(call.get("function"), f"{path}.function")
    name = text(function.get("name"), f"{path}.function.name")
    arguments = text(function.get("arguments"), f"{path}.function.arguments")
    return {"id": text(call.get("id"), f"{path}.id"), "type": "function", "function": {"name": name, "arguments": arguments}}


def _says_something(entry: Entry) -> bool:
    """Blank messages are dropped (OAI-21), results of our own calls too (OAI-24); an empty tool result stays a result."""
    if entry.role == "tool":
        return not entry.call_id.startswith(OURS)
    return bool(entry.calls) or any(part["type"] != "text" for part in entry.parts) or bool(entry.text.strip())


def _answerable(entries: list[Entry], index: int) -> tuple[Entry, ...]:
    """OAI-25: after an assistant's text the user is taken to say `Continue.`"""
    if entries and entries[-1].role == "assistant" and not entries[-1].calls and any(entry.role == "user" for entry in entries):
        entries.append(Entry(index, "user", CONTINUE))
    return tuple(entries)
