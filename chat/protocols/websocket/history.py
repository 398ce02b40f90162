"""Stored messages as frames (WS-37, WS-62): what a user said, and what an assistant said and called, step by step. Pure but for rows()."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any
from uuid import UUID

import orjson

from agents.attachments import signed_path_of
from chat.models import Message
from chat.protocols.websocket.frames import Body, message_body
from chat.protocols.websocket.values import cut, safe
from chat.requests import Part
from chat.times import iso

LONGEST_INLINE_CHARS = 65_536
_STATUS = {"failed": "incomplete", "cancelled": "incomplete"}


def rows(session_id: UUID, limit: int) -> list[Message]:
    """The newest messages of the conversation as it stands, oldest first."""
    if not limit:
        return []
    return list(Message.objects.filter(session_id=session_id, active=True).order_by("-position")[:limit])[::-1]


def bodies(messages: Iterable[Message], *, thread_id: str | None, agent: str) -> list[Body]:
    """What attaching replays."""
    return [body for message in messages for body in _bodies(message, thread_id, agent)]


def user_body(message: Message, *, thread_id: str | None, wire: str | None, replay: bool = False) -> Body:
    """What a user said, on whichever wire (`origin`, WS-63)."""
    return message_body(
        id=str(message.id),
        role="user",
        content=content_of(message.parts),
        client_message_id=message.client_id or None,
        thread_id=thread_id,
        execution_id=str(message.execution_id) if message.execution_id else None,
        created_at=iso(message.created_at),
        replay=replay,
        origin=wire,
    )


def _bodies(message: Message, thread_id: str | None, agent: str) -> list[Body]:
    if message.role == Message.Role.USER:
        return [user_body(message, thread_id=thread_id, wire=None, replay=True)]
    steps = _steps(message.parts)
    made = list(chain.from_iterable(_step(message, step, thread_id, agent) for step in steps))
    if not made:
        made = [_said(message, "", thread_id, agent)]
    made[-1]["id"] = str(message.id)
    return made


def _steps(parts: Sequence[Part]) -> list[list[Part]]:
    """The parts by model call."""
    steps: list[list[Part]] = [[]]
    for part in parts:
        if part["type"] == "step":
            steps.append([])
        else:
            steps[-1].append(part)
    return [step for step in steps if step]


def _step(message: Message, step: Sequence[Part], thread_id: str | None, agent: str) -> list[Body]:
    """One model call: what it said with its calls, then their results."""
    text = "\n\n".join(part["text"] for part in step if part["type"] in ("text", "refusal") and part["text"])
    calls = [part for part in step if part["type"] == "tool"]
    if not text and not calls:
        return []
    said = _said(message, text, thread_id, agent)
    said["tool_calls"] = [
        {"id": part["call_id"], "name": part["name"], "args": safe(part.get("arguments") or {})} for part in calls
    ] or None
    said["sources"] = [
        {"id": part["source_id"], "title": part["title"], "url": part.get("url", "")} for part in step if part["type"] == "source"
    ]
    return [said, *(_result(message, part, thread_id, agent) for part in calls if part.get("ok") is not None)]


def _call(part: Part) -> Body:
    return {"id": part["call_id"], "name": part["name"], "args": safe(part.get("arguments") or {})}


def _said(message: Message, content: Any, thread_id: str | None, agent: str) -> Body:
    return _body(message, "assistant", content, thread_id, agent)


def _result(message: Message, part: Part, thread_id: str | None, agent: str) -> Body:
    output = part.get("output") if part["ok"] else {"error": part.get("error", "")}
    body = _body(message, "tool", orjson.dumps(cut(safe(output))).decode(), thread_id, agent)
    return {**body, "id": f"{message.id}:{part['call_id']}", "tool_call_id": part["call_id"], "name": part["name"]}


def _body(message: Message, role: str, content: Any, thread_id: str | None, agent: str) -> Body:
    return message_body(
        id=f"{message.id}:step",
        role=role,
        content=content,
        thread_id=thread_id,
        execution_id=str(message.execution_id) if message.execution_id else None,
        agent=agent,
        model=agent,
        status="incomplete" if message.incomplete else _STATUS.get(message.status, "complete"),
        created_at=iso(message.created_at),
        replay=True,
    )


def content_of(parts: Sequence[Part]) -> Any:
    """A user's words as a string, or as a list of parts when files came with them."""
    if all(part["type"] == "text" for part in parts):
        return "\n\n".join(part["text"] for part in parts if part["text"])
    return [_part(part) for part in parts]


def _part(part: Part) -> Body:
    match part["type"]:
        case "text":
            return {"type": "text", "text": part["text"]}
        case "image":
            return {"type": "image_url", "image": {"type": "image", **_place(part, "url")}}
        case "audio":
            return {"type": "audio", "audio": {"type": "audio", "uri": None, "asset_id": None, "mime_type": f"audio/{part['format']}"}}
        case "tool_result":
            return {"type": "tool_result", "tool_call_id": part["call_id"], "content": safe(part["output"])}
        case _:
            named = {"name": part.get("filename", ""), "mime_type": part.get("media_type", "")}
            return {"type": "document", "document": {"type": "document", **_place(part, "data"), **named}}


def _place(part: Part, key: str) -> Body:
    """Where the file is: on this server, or its own address; bytes are repeated only when they are few."""
    asset_id = part.get("attachment_id")
    inline = str(part.get(key) or "")
    uri = signed_path_of(asset_id) if asset_id else inline if len(inline) <= LONGEST_INLINE_CHARS else None
    return {"uri": uri or None, "asset_id": asset_id}
