"""A local website that echoes, redirects, dawdles and floods: what tools and fetches meet outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from agents import net

DOCUMENT = """{"openapi": "3.1.0", "servers": [{"url": "/told"}],
 "paths": {"/a": {"get": {"operationId": "a", "parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}]}}}}"""


@asynccontextmanager
async def website() -> AsyncIterator[TestServer]:
    """Serves on 127.0.0.1 while the block runs:

    `/told/…` JSON of what it received; `/redirect/<status>?to=`; `/slow`; `/endless`; `/say?type=&status=` sends the body back;
    `/openapi.json` the text of DOCUMENT.
    """
    app = web.Application()
    app.router.add_route("*", "/told/{rest:.*}", _told)
    app.router.add_route("*", "/redirect/{status}", _redirect)
    app.router.add_route("*", "/say", _say)
    app.router.add_get("/openapi.json", _document)
    app.router.add_get("/slow", _slow)
    app.router.add_get("/endless", _endless)
    async with TestServer(app, host="127.0.0.1") as running:
        yield running
    await net.close()


async def _told(request: web.Request) -> web.Response:
    received = {"method": request.method, "path": request.raw_path, "headers": dict(request.headers), "body": await request.text()}
    return web.json_response(received)


async def _redirect(request: web.Request) -> web.Response:
    return web.Response(status=int(request.match_info["status"]), headers={"Location": request.query["to"]})


async def _say(request: web.Request) -> web.Response:
    headers = {"Content-Type": request.query["type"]} if "type" in request.query else {}
    return web.Response(status=int(request.query.get("status", "200")), body=await request.read(), headers=headers)


async def _document(request: web.Request) -> web.Response:
    return web.Response(text=DOCUMENT)


async def _slow(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 10_000)
