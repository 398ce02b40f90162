"""Conversations and messages as the agents wire shows them (AG-22): pure functions of rows, shared by lists, feeds and links.

Rows bring their `owner` along (select_related), so nothing here asks the database.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import orjson

from chat.cleaning import NO_OUTPUT
from chat.models import ChatSession, Execution, Message
from chat.requests import Part
from chat.times import iso

Runs = Mapping[UUID, Execution]
"""Executions by id, for what a message cost (see MEASURES)."""
MEASURES = (
    "id", "cost_usd", "context_tokens", "context_window", "input_tokens", "output_tokens", "duration_ms", "status", "error_code", "error",
    "model_used",
)  # fmt: skip
"""The columns of executions that are shown with messages."""


def session_view(row: ChatSession, *, context_window: int) -> dict[str, Any]:
    """A session object; `context_window` is that of the agent's model now."""
    return {
        "id": str(row.id),
        "agent_name": row.agent_name,
        "user_id": row.owner_id,
        "user_email": row.owner.email if row.owner else None,
        "started_at": iso(row.created_at),
        "last_message_at": iso(row.last_message_at),
        "message_count": row.message_count,
        "total_cost": cost_of(row),
        "total_context_used": row.context_tokens,
        "total_context_max": context_window,
        "status": row.status,
        "title": row.title,
        "wire": row.wire,
    }


def cost_of(session: ChatSession) -> float | None:
    """What its runs cost in US dollars; 0 before the first, None when none of them had a known price (R0.3: never 0 for unknown)."""
    if session.cost_usd is None:
        return None if session.input_tokens or session.output_tokens else 0.0
    return float(session.cost_usd)


def message_view(row: Message, session: ChatSession, runs: Runs) -> dict[str, Any]:
    """A message object; what a turn cost stands with its answer."""
    answered = row.role == Message.Role.ASSISTANT
    run = runs.get(row.execution_id) if answered and row.execution_id else None
    return {
        "id": str(row.id),
        "session_id": str(session.id),
        "agent_name": session.agent_name,
        "user_id": session.owner_id,
        "user_email": session.owner.email if session.owner else None,
        "role": row.role,
        "content": content_of(row),
        "timestamp": iso(row.created_at),
        "status": row.status,
        "incomplete": row.incomplete,
        "source": row.source,
        "execution_id": str(row.execution_id) if row.execution_id else None,
        "cost": None if run is None or run.cost_usd is None else float(run.cost_usd),
        "context_used": run.context_tokens if run else None,
        "context_max": run.context_window if run else None,
        "output_tokens": run.output_tokens if run else None,
        "execution_time_ms": run.duration_ms if run else None,
        "tool_calls": tool_calls(row.parts),
        "files": files(row.parts),
        "rating": row.rating,
    }


def branched_views(rows: Iterable[Message], before: Message | None, session: ChatSession, runs: Runs) -> list[dict[str, Any]]:
    """Message objects of one conversation, oldest first, with their place in its branches (AG-26); `before` precedes the first."""
    views = []
    for row in rows:
        parent = row.parent_id or (before.id if before else None)
        named = str(parent) if parent and parent.int else None
        views.append({**message_view(row, session, runs), "parent_id": named, "active": row.active})
        before = row
    return views


def brief_view(row: Message) -> dict[str, Any]:
    return {"role": row.role, "content": content_of(row), "timestamp": iso(row.created_at)}


def content_of(row: Message) -> str:
    """What was said as text; a model that refused said its refusal."""
    return row.text or "".join(part["text"] for part in row.parts if part["type"] == "refusal")


def tool_calls(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """The calls of a turn with what came of them, as an array (AG-22)."""
    return [_tool_call(part) for part in parts if part["type"] == "tool"]


def _tool_call(part: Part) -> dict[str, Any]:
    returned = part.get("ok") is not None
    return {
        "id": part["call_id"],
        "tool": part["name"],
        "input": part.get("arguments") or {},
        "output": _output(part) if returned else None,
        "success": part.get("ok"),
        "duration_ms": part.get("duration_ms"),
    }


def _output(part: Part) -> str:
    """As text; nothing is `(no output)` (AG-17)."""
    output = part.get("output") if part["ok"] or part.get("output") is not None else part.get("error")
    text = output if isinstance(output, str) else "" if output is None else orjson.dumps(output).decode()
    return text or NO_OUTPUT


def files(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Names and types of what came with a message; never the bytes."""
    return [_file(part) for part in parts if part["type"] in ("file", "image", "audio")]


def _file(part: Part) -> dict[str, Any]:
    url = str(part.get("url", ""))
    inline = url[5:].partition(";")[0] if url.startswith("data:") else None
    return {
        "name": part.get("filename") or part["type"],
        "mimetype": part.get("media_type") or inline,
        "attachment_id": part.get("attachment_id"),
    }
