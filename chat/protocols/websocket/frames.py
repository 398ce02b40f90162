"""Frames as JSON text or MessagePack (websocket.md §3), and the bodies that several modules fill (§4, §6). Pure.

Both encoders start from one JSON-safe object (WS-14).
"""

from typing import Any, Literal

import msgpack
import orjson

Mode = Literal["text", "binary"]
Body = dict[str, Any]


class Frame:
    """One frame; it is encoded once per mode, however many connections send it.

    `awaits`: the id of a client tool call that the turn waits for; whoever is to answer it is sent the frame with `client` true.
    """

    __slots__ = ("_binary", "_text", "awaits", "body")

    def __init__(self, body: Body, awaits: str = "") -> None:
        self.body = body
        self.awaits = awaits
        self._text: str | None = None
        self._binary: bytes | None = None

    def encoded(self, mode: Mode) -> str | bytes:
        return self.text if mode == "text" else self.binary

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = orjson.dumps(self.body).decode()
        return self._text

    @property
    def binary(self) -> bytes:
        if self._binary is None:
            self._binary = msgpack.packb(self.body)
        return self._binary

    def merged(self, later: "Frame") -> "Frame | None":
        """Both as one, when they are adjacent text of one run: the text joined, the number of the later one (WS-69)."""
        mine, theirs = self.body, later.body
        if mine["type"] != "chunk" or theirs["type"] != "chunk" or mine["done"] or theirs["done"]:
            return None
        if any(mine[name] != theirs[name] for name in ("execution_id", "thinking", "content_type", "node_id")):
            return None
        return Frame({**mine, "content": mine["content"] + theirs["content"], "seq": theirs["seq"]})


def message_body(
    *,
    id: str,
    role: str,
    content: Any,
    thread_id: str | None,
    execution_id: str | None,
    created_at: str,
    workflow_id: str | None = None,
    tool_calls: list[Body] | None = None,
    tool_call_id: str | None = None,
    name: str | None = None,
    client_message_id: str | None = None,
    output_files: list[Body] | None = None,
    agent: str | None = None,
    model: str | None = None,
    status: str = "complete",
    error_type: str | None = None,
    replay: bool = False,
    seq: int | None = None,
    **more: Any,
) -> Body:
    """A stored message (§6.2); `more` are keys of ours, after those of the contract."""
    return {
        "type": "message", "id": id, "role": role, "content": content, "thread_id": thread_id, "workflow_id": workflow_id,
        "tool_calls": tool_calls, "tool_call_id": tool_call_id, "name": name, "client_message_id": client_message_id,
        "output_files": output_files or [], "agent": agent, "model": model, "provider": None, "status": status, "error_type": error_type,
        "created_at": created_at, "replay": replay, "execution_id": execution_id, "seq": seq, **more,
    }  # fmt: skip


def error_body(
    code: str,
    message: str,
    *,
    kind: str,
    ts: float,
    thread_id: str | None = None,
    execution_id: str | None = None,
    request_id: str | None = None,
    retry_after: int | None = None,
    fatal: bool = False,
    **more: Any,
) -> Body:
    """An error (WS-40); `kind` is connection, request, agent or workflow."""
    return {
        "type": "error", "code": code, "message": message, "error": message, "error_type": kind, "retry_after": retry_after,
        "fatal": fatal, "thread_id": thread_id, "execution_id": execution_id, "request_id": request_id, "ts": ts, **more,
    }  # fmt: skip
