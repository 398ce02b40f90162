"""What the demo knows of the conversation, and what it says when nobody scripted it: honestly, that it is a demo."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from agents.providers.base import ModelRequest
from agents.providers.demo.acts import HOPELESS
from agents.providers.demo.instances import instance
from agents.providers.demo.script import Act, ScriptError, Step, script_in, script_of

MAX_QUOTED_CHARS = 2000
ASKS_FOR_TIME = re.compile(r"\b(time|clock|date|today|o'clock|uhr|heure|hora)\b", re.IGNORECASE)
INTRODUCTION = "I am the demo agent: there is no model behind me, so I cannot think, but I can show you that everything works."
HINT = (
    "To script me, begin a line with `/demo`, for example `/demo text Hello`, `/demo reasoning Hmm` or "
    "`/demo error overloaded`; `docs/adding-a-provider.md` lists what I understand."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """The conversation. `step` counts the model calls with tool calls since the last user message."""

    text: str = ""
    others: int = 0
    turns: int = 0
    step: int = 0
    results: tuple[tuple[str, str], ...] = ()
    last_answer: str = ""


def talk_of(messages: bytes) -> Talk:
    said: list[dict[str, Any]] = orjson.loads(messages)
    users = [place for place, message in enumerate(said) if message["role"] == "user"]
    since = said[users[-1] + 1 :] if users else said
    parts = _parts(said[users[-1]]) if users else []
    answers = [message for message in said if message["role"] == "assistant"]
    return Talk(
        text="\n\n".join(part["text"] for part in parts if part.get("type") == "text"),
        others=sum(part.get("type") != "text" for part in parts),
        turns=len(users),
        step=sum(bool(message.get("tool_calls")) for message in since),
        results=tuple(_results(since)),
        last_answer=str(answers[-1].get("content") or "") if answers else "",
    )


def acts_for(request: ModelRequest, options: Mapping[str, Any]) -> tuple[Sequence[Act], Sequence[Act]]:
    """(what earlier model calls of the script did, what this one does)."""
    talk = talk_of(request.messages)
    try:
        script = script_in(talk.text) or script_of(options)
    except ScriptError as error:
        return (), [Act("text", f"{INTRODUCTION}\n\nI cannot play this script: {error}.")]
    return _played(script, talk) or ((), _unscripted(request, talk))


def _played(script: Sequence[Step], talk: Talk) -> tuple[Sequence[Act], Sequence[Act]] | None:
    if talk.step >= len(script):
        return None
    return [act for step in script[: talk.step] for act in step], script[talk.step]


def _unscripted(request: ModelRequest, talk: Talk) -> list[Act]:
    if talk.last_answer == HOPELESS:
        return [Act("json", "hopeless")]
    if talk.step == 0 and (call := _call(request, talk)):
        return [call]
    kind = (request.response_format or {}).get("type")
    if kind == "json_schema":
        return [Act("json", "valid")]
    if kind == "json_object":
        return [Act("json", {"demo": True, "you_wrote": talk.text})]
    return [Act("text", _quoted(talk) if talk.results else _echo(request, talk))]


def _call(request: ModelRequest, talk: Talk) -> Act | None:
    """The call that tool_choice demands, or the clock when the user asks for the time."""
    names = [tool.name for tool in request.tools]
    choice = request.tool_choice
    wanted = choice.get("function", {}).get("name") if isinstance(choice, Mapping) else None
    if choice == "required" and names:
        wanted = names[0]
    elif choice != "none" and "clock" in names and ASKS_FOR_TIME.search(talk.text):
        wanted = wanted or "clock"
    if wanted not in names:
        return None
    parameters = request.tools[names.index(wanted)].parameters or {}
    return Act("tool", wanted, {"arguments": instance({"type": "object", **parameters})})


def _quoted(talk: Talk) -> str:
    return "\n\n".join(f"The tool {name} returned: {output}" for name, output in talk.results)


def _echo(request: ModelRequest, talk: Talk) -> str:
    quoted = talk.text[:MAX_QUOTED_CHARS] + "…" * (len(talk.text) > MAX_QUOTED_CHARS)
    wrote = "You wrote:\n\n" + "\n".join(f"> {line}".rstrip() for line in quoted.splitlines()) if quoted else "You wrote nothing."
    files = f"With it came {talk.others} other part{'s' * (talk.others > 1)} (images or files)." if talk.others else ""
    names = ", ".join(f"`{tool.name}`" for tool in request.tools)
    tools = f"I have these tools: {names}; `/demo tool NAME {{…}}` calls one." if names else ""
    if talk.turns > 1:
        return _joined(wrote, files, f"This is your message number {talk.turns} in our conversation; I am still the demo agent.")
    return _joined(INTRODUCTION, wrote, files, tools, HINT)


def _joined(*paragraphs: str) -> str:
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content") or ""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _results(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(name, output) of every tool result of the turn, of the last model call only."""
    names: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for message in messages:
        if calls := message.get("tool_calls"):
            names, found = {call["id"]: call["function"]["name"] for call in calls}, []
        elif message["role"] == "tool":
            text = "".join(part.get("text", "") for part in _parts(message))
            found.append((names.get(message["tool_call_id"], "unknown"), text))
    return found
