"""A conversation as its visitor reads it back: text, and for our own page the same as HTML with the names of the tools used."""

import asyncio
from collections.abc import Iterable
from typing import Any

from chat import rendering
from chat.models import ChatSession, Message
from chat.requests import Part
from chat.store import run
from chat.times import iso

NEWEST = 100


async def messages_of(session: ChatSession, *, rendered: bool = False) -> list[dict[str, Any]]:
    """The newest messages, oldest first (AG-56)."""
    rows = await run(_newest, session)
    if not rendered:
        return [_plain(row) for row in rows]
    return await asyncio.to_thread(lambda: [{**_plain(row), "incomplete": row.incomplete, "parts": _parts(row)} for row in rows])


def _newest(session: ChatSession) -> list[Message]:
    rows = Message.objects.filter(session_id=session.id, active=True).order_by("-position", "-id")
    return list(reversed(rows.only("role", "text", "parts", "created_at", "incomplete", "position", "id")[:NEWEST]))


def _plain(row: Message) -> dict[str, Any]:
    return {"role": row.role, "content": row.text, "timestamp": iso(row.created_at)}


def _parts(row: Message) -> list[dict[str, Any]]:
    """What the assistant said and used, in order; a visitor's own words are shown as they were typed."""
    return list(_shown(row.parts)) if row.role == Message.Role.ASSISTANT else []


def _shown(parts: Iterable[Part]) -> Iterable[dict[str, Any]]:
    for part in parts:
        if part["type"] in ("text", "refusal") and part["text"]:
            yield {"type": "text", "html": rendering.html(part["text"])}
        elif part["type"] == "tool":
            yield {"type": "tool", "name": part["name"], "ok": part.get("ok")}
