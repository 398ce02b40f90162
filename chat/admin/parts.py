"""Parts of a message as blocks of a page. What tools were told is shown as callers may see it: masked and scrubbed when it was stored."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from chat.admin.facts import duration
from chat.requests import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`kind` chooses the look; a `call` has `arguments` and, when it is over, an `outcome`."""

    kind: Literal["text", "folded", "call", "source", "file"]
    title: str = ""
    text: str = ""
    arguments: str = ""
    outcome: str | None = None
    ok: bool = True
    took: str = ""


def blocks_of(parts: Iterable[Part]) -> list[Block]:
    """The parts that have something to show, in their order."""
    return [block for part in parts if (block := _block(part))]


def readable(value: Any) -> str:
    """Texts as they are, everything else as indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _block(part: Part) -> Block | None:
    match part.get("type"):
        case "text" | "refusal":
            return Block(kind="text", text=part.get("text", ""))
        case "reasoning":
            return Block(kind="folded", title="Reasoning", text=part.get("text", ""))
        case "tool":
            return _call(part)
        case "tool_result":
            return Block(kind="folded", title=f"Result of {part.get('name') or part.get('call_id', '')}", text=readable(part.get("output")))
        case "source":
            return Block(kind="source", title=part.get("title") or part.get("url", ""), text=part.get("url", ""))
        case "image" | "audio" | "file":
            return Block(kind="file", title=part.get("filename") or str(part["type"]).capitalize(), text=part.get("media_type", ""))
        case "node" if part.get("status") != "running":
            return _node(part)
        case "output":
            return Block(kind="folded", title=f"Output {part.get('name', '')}", text=readable(part.get("value")))
        case _:
            return None


def _node(part: Part) -> Block | None:
    """A step of a workflow that is over; outputs are parts of their own."""
    if part.get("node_type") == "output":
        return None
    failed = f": {part['error']}" if part.get("error") else ""
    title = f"Step {part.get('node_name') or part.get('node_id', '')}, {part.get('node_type', '')}: {part.get('status', '')}{failed}"
    return Block(kind="folded", title=title, text=readable(part.get("result")))


def _call(part: Part) -> Block:
    outcome = readable(part.get("error") or part.get("output")) if "ok" in part else None
    cut_off = "called_s" in part and "ok" not in part
    return Block(
        kind="call",
        title=part.get("name", "") + (" (the caller's)" if part.get("client") else ""),
        arguments=readable(part.get("arguments", {})),
        outcome="The run was stopped before it answered." if cut_off else outcome,
        ok=bool(part.get("ok", not cut_off)),
        took=duration(part["duration_ms"]) if "duration_ms" in part else "",
    )
