"""Servers of the socket tests: their own, because refused handshakes count per address (R1.8)."""

from pathlib import Path

import pytest

from tests.conftest import NewServer
from tests.support.server import Server

AGENTS = """
agents:
  - {name: rejecting, provider: fake, model: fake, turn_policy: reject}
  - {name: interrupting, provider: fake, model: fake, turn_policy: interrupt}
  - {name: thinking, provider: fake, model: fake, show_reasoning: true}
  - {name: clockwork, provider: fake, model: fake, tools: [{kind: clock}]}
  - {name: seeing, provider: fake, model: fake, accept_images: true}
  - {name: resting, provider: fake, model: fake, enabled: false}
  - {name: closed, provider: fake, model: fake, client_tools: ignore}
"""


def equipped(server: Server, folder: Path) -> Server:
    file = folder / f"agents-{server.port}.yaml"
    file.write_text(AGENTS)
    server.manage("agents", "apply", str(file))
    return server


@pytest.fixture(scope="session", params=["uvicorn", "daphne"])
def site(request: pytest.FixtureRequest, lasting_server: NewServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Each supported ASGI server in turn, with agents of every kind."""
    return equipped(lasting_server(request.param), tmp_path_factory.mktemp("agents"))


@pytest.fixture(scope="session")
def sockets_server(lasting_server: NewServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """uvicorn alone, for what does not depend on the ASGI server."""
    return equipped(lasting_server(), tmp_path_factory.mktemp("agents"))
