"""Alive, ready and measured, against live servers."""

import pytest
from django.db import OperationalError

from config import health
from tests.conftest import NewServer
from tests.support import clients
from tests.support.server import Server
from tests.support.waiting import until

live = pytest.mark.live


@live
def test_alive_and_ready_need_no_credential(any_server: Server) -> None:
    with clients.http(any_server, None) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz/").json() == {"status": "ok", "database": "ok"}


@live
@pytest.mark.redis
def test_without_redis_it_is_not_ready(new_server: NewServer) -> None:
    """Ready means that database and Redis answer; the process lives all the same."""
    server = new_server(env={"REDIS_URL": "redis://127.0.0.1:1/0"})
    with clients.http(server, None) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "database": "ok", "redis": "down"})
        assert client.get("/healthz").status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_without_a_database_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise OperationalError("the database is gone")

    monkeypatch.setattr(health, "_ask_database", gone)
    assert (await health.stores())["database"] == "down"


async def test_a_store_that_hangs_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(health, "PATIENCE_S", 0.05)
    assert await health._state(asyncio.Event().wait) == "down"


@live
def test_metrics_tell_of_turns_without_any_id(server: Server) -> None:
    with clients.http(server) as client:
        done = client.post("/chat/run", json={"message": "Hello", "agent": "root"})
        client.get(f"/api/executions/{done.headers['x-execution-id']}")
        told = client.get("/metrics").text
    assert 'switchboard_turns_started_total{wire="run"}' in told
    assert 'switchboard_turns_finished_total{status="success",wire="run"}' in told
    assert 'switchboard_first_token_seconds_count{wire="run"}' in told
    assert 'switchboard_tokens_total{direction="output"}' in told
    assert "switchboard_open_streams" in told
    assert 'route="api/executions/<str:execution_id>",status="200"' in told
    assert done.headers["x-execution-id"] not in told


@live
def test_metrics_are_for_this_machine_or_the_token(new_server: NewServer) -> None:
    """A local proxy speaks for others: what it forwards needs the token."""
    server = new_server(env={"METRICS_TOKEN": "scrape-me-please"})
    with clients.http(server, None) as client:
        assert client.get("/metrics").status_code == 200
        forwarded = {"x-forwarded-for": "203.0.113.9"}
        assert client.get("/metrics", headers=forwarded).status_code == 401
        for wrong in ("Bearer wrong", "Bearer", "scrape-me-please"):
            assert client.get("/metrics", headers={**forwarded, "authorization": wrong}).status_code == 401
        assert client.get("/metrics", headers={**forwarded, "authorization": "bearer scrape-me-please"}).status_code == 200


@live
def test_one_line_per_request_and_no_query_string(server: Server) -> None:
    """R1.7, R3.4: on the wire as in the unit tests of config.logs."""
    with clients.http(server, None, **{"x-request-id": "find-me-1"}) as client:
        client.get("/status?token=do-not-log-me")
        client.get("/api/public/chat/Qm3vX8kLp2Rt5wYz7aBcDeFgHiJkN0sU")
    lines = until(lambda: len(found := [line for line in server.log.splitlines() if "find-me-1" in line]) >= 2 and found)
    assert len(lines) == 2
    assert '"path":"/status"' in lines[0]
    assert '"path":"/api/public/chat/Qm3vX8…"' in lines[1]
    assert "do-not-log-me" not in server.log
