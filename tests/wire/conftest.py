"""Who calls: the owner and the guest, at the server of the tests' module."""

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.support import clients
from tests.support.server import Server


@pytest.fixture
def owner(server: Server) -> Iterator[httpx.Client]:
    with clients.http(server) as client:
        yield client


@pytest.fixture
def guest(server: Server) -> Iterator[httpx.Client]:
    with clients.http(server, "guest") as client:
        yield client


@pytest.fixture
def client(owner: httpx.Client) -> httpx.Client:
    """Where only one calls, it is the owner."""
    return owner
