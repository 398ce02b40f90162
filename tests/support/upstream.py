"""A fake model server that speaks Chat Completions, scripted by what it is asked. Run it with
`python -m tests.support.upstream --port 0` (prints its port) or as `with FakeUpstream() as upstream:`.

How it answers is written in the request (see upstream_script). GET /last, /requests and /stats tell what the server saw.
"""

import argparse
import asyncio
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import orjson
from aiohttp import web

from tests.support.upstream_script import Script, answered, burst, frame, frames, script_for, script_from, whole

MODELS = ("fake", "fake-mini")
KEPT_REQUESTS = 200


@dataclass(slots=True)
class Seen:
    """What the server saw. `disconnects` counts answers that the client did not wait for."""

    stats: Counter[str] = field(default_factory=lambda: Counter(requests=0, open=0, disconnects=0, completed=0))
    requests: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    failures: Counter[str] = field(default_factory=Counter)
    holds: dict[str, "Hold"] = field(default_factory=dict)


SEEN = web.AppKey("seen", Seen)


def application() -> web.Application:
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[SEEN] = Seen()
    app.router.add_post("/v1/chat/completions", completions)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/last", last)
    app.router.add_get("/requests", requests)
    app.router.add_get("/stats", stats)
    return app


async def models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in reversed(MODELS)]})


async def last(request: web.Request) -> web.Response:
    seen = request.app[SEEN].requests
    return web.json_response(seen[-1] if seen else None)


async def requests(request: web.Request) -> web.Response:
    return web.json_response(list(request.app[SEEN].requests))


async def stats(request: web.Request) -> web.Response:
    return web.json_response(dict(request.app[SEEN].stats))


async def completions(request: web.Request) -> web.StreamResponse:
    seen = request.app[SEEN]
    body = orjson.loads(await request.read())
    seen.requests.append({"path": request.path, "headers": {name.lower(): value for name, value in request.headers.items()}, "body": body})
    seen.stats["requests"] += 1
    seen.stats["open"] += 1
    try:
        response = await answer(request, body, script_for(body), seen)
        seen.stats["completed"] += 1
        return response
    except (asyncio.CancelledError, ConnectionError):
        seen.stats["disconnects"] += 1
        raise
    finally:
        seen.stats["open"] -= 1


async def answer(request: web.Request, body: Mapping[str, Any], script: Script, seen: Seen) -> web.StreamResponse:
    if script.slow_headers_ms:
        await asyncio.sleep(script.slow_headers_ms / 1000)
    if script.hold:
        await seen.holds[script.hold].arrive()
    if script.hang and (not script.tools or answered(body)) and _still_failing(script, seen):
        await asyncio.Event().wait()
    if script.no_stream_options and "stream_options" in body:
        return failed(400, '{"error":{"message":"Unrecognized request argument supplied: stream_options"}}', "")
    if script.status != 200 and _still_failing(script, seen):
        return failed(script.status, script.error, script.retry_after)
    if script.whole or not body.get("stream"):
        return web.Response(body=whole(script, str(body.get("model", "")), answered(body)), content_type="application/json")
    return await stream(request, script, str(body.get("model", "")), answered(body))


def _still_failing(script: Script, seen: Seen) -> bool:
    if not script.fail_first:
        return True
    seen.failures[script.key] += 1
    return seen.failures[script.key] <= script.fail_first


def failed(status: int, error: str, retry_after: str) -> web.Response:
    body = error or f'{{"error":{{"message":"status {status} was asked for","type":"fake","code":null}}}}'
    headers = {"Retry-After": retry_after} if retry_after else {}
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)


async def stream(request: web.Request, script: Script, model: str, after_tools: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"})
    await response.prepare(request)
    if script.burst:
        await response.write(burst(script, model, after_tools))
    else:
        await _paced(response, frames(script, model, after_tools), script.delay_ms / 1000)
    if script.endless:
        await _paced(response, _for_ever(frame(model, {"content": script.text})), max(script.delay_ms, 1) / 1000)
    if script.stall:
        await asyncio.Event().wait()
    if script.cut and request.transport:
        request.transport.close()
        return response
    await response.write_eof()
    return response


async def _paced(response: web.StreamResponse, pieces: Iterator[bytes] | tuple[bytes, ...], delay_s: float) -> None:
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(delay_s)


def _for_ever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[tuple[int, Seen]]:
    """Serves on the running loop; gives (port, what it saw)."""
    app = application()
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield runner.addresses[0][1], app[SEEN]
    finally:
        await runner.cleanup()


class Hold:
    """A request that is answered when the test says so; `message` asks for it."""

    def __init__(self, message: str, loop: asyncio.AbstractEventLoop) -> None:
        self.message = message
        self._loop = loop
        self._arrived, self._released = threading.Event(), asyncio.Event()

    def wait(self) -> None:
        """Returns when the request has come."""
        assert self._arrived.wait(60), "the held request did not come"

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._released.set)

    async def arrive(self) -> None:
        self._arrived.set()
        await self._released.wait()


class FakeUpstream:
    """The server in a thread of its own, for tests that are not its loop: `url`, `stats`, `requests`, `last`."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fake-upstream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the fake upstream did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def stats(self) -> Mapping[str, int]:
        return dict(self.seen.stats)

    @property
    def requests(self) -> list[dict[str, Any]]:
        return list(self.seen.requests)

    @property
    def last(self) -> dict[str, Any]:
        """The last request: `path`, `headers` (lower-case names), `body`."""
        return self.seen.requests[-1]

    def script(self, **written: Any) -> str:
        """A user message that makes the server do as `written`; the fields are those of Script."""
        script_from(written)
        return orjson.dumps(written).decode()

    def hold(self, **written: Any) -> Hold:
        """A script whose answer waits: the test knows when the request has come, and says when it goes on."""
        name = uuid4().hex
        self.seen.holds[name] = Hold(self.script(hold=name, **written), self._loop)
        return self.seen.holds[name]

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serving() as (port, self.seen):
            self.url = f"http://127.0.0.1:{port}"
            self._ready.set()
            await self._stop.wait()


async def main() -> None:
    arguments = argparse.ArgumentParser(description="A fake model server.")
    arguments.add_argument("--port", type=int, default=0)
    async with serving(arguments.parse_args().port) as (port, _):
        print(port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
