"""`?render=html` of a conversation: beside each message its parts in order, texts as sanitised HTML; what our chat page shows."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agents.attachments import signed_path_of
from agents.specs import AgentSpec
from chat import rendering
from chat.archive import Stretch
from chat.models import Execution, Message
from chat.requests import Part
from chat.sessionviews import files, tool_calls

Shown = dict[str, Any]
LONGEST_INLINE_CHARS = 262_144


async def with_parts(views: Iterable[Shown], found: Stretch, agent: AgentSpec) -> list[Shown]:
    """Rendering a long conversation takes its time: not on the event loop."""
    return await asyncio.to_thread(lambda: [_with_parts(*pair, found.runs, agent) for pair in zip(views, found.rows, strict=True)])


def _with_parts(view: Shown, row: Message, runs: Mapping[Any, Execution], agent: AgentSpec) -> Shown:
    """A user's own words are shown as they were typed. `run` says what became of the turn, also where nothing was answered."""
    run = runs.get(row.execution_id)
    shown = _said if row.role == Message.Role.ASSISTANT else _asked
    return {**view, "parts": list(shown(row.parts, agent)), "comment": row.rating_comment or None, "run": _run(run) if run else None}


def _run(run: Execution) -> Shown:
    return {
        "status": run.status,
        "error_code": run.error_code or None,
        "error": run.error or None,
        "model": run.model_used or None,
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
    }


def _said(parts: Iterable[Part], agent: AgentSpec) -> Iterator[Shown]:
    for part in parts:
        match part["type"]:
            case "text" | "refusal" if part["text"]:
                yield {"type": "text", "text": part["text"], "html": rendering.html(part["text"])}
            case "reasoning" if agent.show_reasoning and part["text"]:
                yield {"type": "reasoning", "text": part["text"]}
            case "tool":
                yield {"type": "tool", **tool_calls([part])[0]}
            case "source":
                yield {"type": "source", "id": part["source_id"], "title": part["title"], "url": part.get("url", "")}
            case _:
                pass


def _asked(parts: Iterable[Part], agent: AgentSpec) -> Iterator[Shown]:
    for part in parts:
        if part["type"] == "text" and part["text"]:
            yield {"type": "text", "text": part["text"]}
        for file in files([part]):
            yield {"type": "file", **file, "url": _place(part)}


def _place(part: Part) -> str | None:
    """Where the page may load the file from: this server, or the message itself when it is a small picture."""
    if part.get("attachment_id"):
        return signed_path_of(part["attachment_id"])
    inline = str(part.get("url", ""))
    return inline if inline.startswith("data:image/") and len(inline) <= LONGEST_INLINE_CHARS else None
