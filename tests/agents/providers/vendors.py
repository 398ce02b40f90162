"""Fakes of the Anthropic Messages API and the Gemini API on loopback: each test says which frames they send."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from agents.specs import ProviderSpec
from tests.agents.providers.asking import Answer, answer_to, request_for

STALL = object()
"""Instead of a frame: silence until the client leaves."""


@dataclass(slots=True)
class Vendor:
    """`frames` are sent as an event stream, unless `status` says otherwise. `asked` are (path, headers, body)."""

    kind: str
    url: str = ""
    frames: Sequence[Any] = ()
    status: int = 200
    error: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    listing: Any = None
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    left: int = 0
    open: int = 0

    def spec(self, **fields: Any) -> ProviderSpec:
        return ProviderSpec(**{"id": "v", "name": "v", "kind": self.kind, "base_url": self.url, "api_key": "sk-vendor", **fields})

    async def ask(self, content: Any = "Hi", spec: ProviderSpec | None = None, **fields: Any) -> Answer:
        return await answer_to(request_for(spec or self.spec(), content, **{"model": MODELS[self.kind], **fields}))

    @property
    def body(self) -> Any:
        return self.asked[-1][2]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request.path_qs, dict(request.headers), orjson.loads(body) if body else None))
        if self.status != 200:
            return web.Response(status=self.status, body=orjson.dumps(self.error), content_type="application/json", headers=self.headers)
        if request.method == "GET":
            return web.Response(body=orjson.dumps(self.listing), content_type="application/json")
        self.open += 1
        try:
            return await self._stream(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise
        finally:
            self.open -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for frame in self.frames:
            if frame is STALL:
                await asyncio.Event().wait()
            await response.write(_encoded(frame))
            await asyncio.sleep(0)
        return response


MODELS = {"anthropic": "claude-sonnet-5", "google": "gemini-2.5-flash"}


def _encoded(frame: Any) -> bytes:
    if isinstance(frame, bytes):
        return frame
    name = f"event: {frame['type']}\r\n".encode() if "type" in frame else b""
    return name + b"data: " + orjson.dumps(frame) + b"\r\n\r\n"


@asynccontextmanager
async def vendor(kind: str) -> AsyncIterator[Vendor]:
    fake = Vendor(kind)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def claude(*blocks: Any, stop: str | None = "end_turn", output_tokens: int = 9) -> list[Any]:
    """Frames of an answer of Claude: text, ("thinking", text, signature) or ("tool", id, name, arguments as JSON)."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODELS["anthropic"], "content": [], "stop_reason": None}
    frames: list[Any] = [{"type": "message_start", "message": {**message, "stop_sequence": None, "usage": usage}}]
    for index, block in enumerate(blocks):
        frames += _claude_block(index, block)
    if stop:
        frames.append(
            {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": output_tokens}}
        )
        frames.append({"type": "message_stop"})
    return frames


def _claude_block(index: int, block: Any) -> list[Any]:
    match block:
        case str():
            start = {"type": "text", "text": ""}
            deltas: list[Any] = [{"type": "text_delta", "text": piece} for piece in _halves(block)]
        case ("thinking", text, signature):
            start = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _halves(text)]
            deltas.append({"type": "signature_delta", "signature": signature})
        case ("tool", call_id, name, arguments):
            start = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *_halves(arguments))]
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def gemini(*parts: Any, finish: str | None = "STOP") -> list[Any]:
    """Frames of an answer of Gemini: one per part, as Gemini's JSON or as text."""
    frames = [_gemini_frame({"text": part} if isinstance(part, str) else part) for part in parts]
    if finish and frames:
        frames[-1]["candidates"][0]["finishReason"] = finish
        counts = {"promptTokenCount": 16, "candidatesTokenCount": 6, "thoughtsTokenCount": 3, "cachedContentTokenCount": 4}
        frames[-1]["usageMetadata"] = {**counts, "totalTokenCount": 25}
    return frames


def _gemini_frame(part: Any) -> dict[str, Any]:
    return {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}],
        "modelVersion": MODELS["google"],
        "responseId": "r1",
    }
