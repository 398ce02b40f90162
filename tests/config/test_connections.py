"""What one connection keeps in memory while it waits: thousands of them do.

CPython lets instances share the names of their attributes, unless one gets a name that the first ones did not have.
"""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from uvicorn import Config
from uvicorn.server import ServerState

from agents.providers import http
from config.asgi import application
from config.uvicornserver import PatientProtocol


class Transport(asyncio.Transport):
    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 1) if name in ("sockname", "peername") else default


@pytest.fixture
async def upstream_url():
    async def answer(request):
        return web.Response(text="hello")

    server = web.AppRunner(web.Application())
    server.app.router.add_post("/", answer)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"
    await server.cleanup()


async def test_what_a_request_adds_to_its_connection_is_in_slots():
    config = Config(application, log_config=None)
    config.load()
    connection = PatientProtocol(config=config, server_state=ServerState(), app_state={})
    known = set(vars(connection))
    connection.connection_made(Transport())
    connection.on_message_begin()
    connection._enter("idle", None)
    assert set(vars(connection)) == known


async def test_what_the_session_adds_to_an_answer_is_in_slots(upstream_url):
    limits = aiohttp.ClientTimeout(total=5)
    deadline = asyncio.get_running_loop().time() + 5
    response = await http.send("POST", http.URL(upstream_url), b"{}", {}, limits, deadline)
    assert response.status == 200
    assert "_history" not in vars(response)
    response.close()
