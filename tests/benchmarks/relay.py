"""The limit: a bare ASGI app on uvicorn that posts the body upstream and passes the bytes on as they come. It does nothing else."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

UPSTREAM = os.environ.get("BENCH_UPSTREAM", "")
_session: aiohttp.ClientSession | None = None


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    global _session
    if scope["type"] != "http":
        return
    if _session is None:
        _session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout())
    body = await _body(receive)
    async with _session.post(f"{UPSTREAM}/v1/chat/completions", data=body, headers={"content-type": "application/json"}) as answer:
        headers = [(b"content-type", answer.headers["content-type"].encode())]
        if "content-length" in answer.headers:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": await answer.read()})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for data in answer.content.iter_any():
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _body(receive: Callable[[], Awaitable[Any]]) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body
