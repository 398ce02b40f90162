"""A request that is looked up again because agents, keys or conversations changed meanwhile is still one request (R14.1)."""

import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest

from tests.conftest import NewServer
from tests.support.clients import http
from tests.support.server import Server

pytestmark = pytest.mark.live


def agents_changed(server: Server) -> None:
    """As if another process had published an agent a moment ago."""
    with closing(sqlite3.connect(server.data_dir / "switchboard.sqlite3")) as database:
        database.execute("UPDATE agents_catalogversion SET counter = counter + 1")
        database.commit()


def test_a_request_that_meets_a_change_of_the_catalog_counts_once(new_server: NewServer) -> None:
    server = new_server(env={"CHAT_RATE_RPM": "1000"})
    left = []
    with http(server) as client:
        for _ in range(4):
            answer = client.post("/chat/run", json={"message": "Hello", "agent": "root"})
            left.append(int(answer.headers["x-ratelimit-remaining-requests"]))
            agents_changed(server)
    for before, after in pairwise(left):
        assert after in (before - 1, 999), "one each, and a new minute begins with its first"
