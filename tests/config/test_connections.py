"""What one connection keeps in memory while it waits: thousands of them do.

CPython lets instances share the names of their attributes, unless one gets a name that the first ones did not have.
"""

import asyncio

from uvicorn import Config
from uvicorn.server import ServerState

from config.asgi import application
from config.uvicornserver import PatientProtocol


class Transport(asyncio.Transport):
    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 1) if name in ("sockname", "peername") else default


async def test_what_a_request_adds_to_its_connection_is_in_slots():
    config = Config(application, log_config=None)
    config.load()
    connection = PatientProtocol(config=config, server_state=ServerState(), app_state={})
    known = set(vars(connection))
    connection.connection_made(Transport())
    connection.on_message_begin()
    connection._enter("idle")
    assert set(vars(connection)) == known
