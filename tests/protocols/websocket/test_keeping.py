"""What is done for open sockets while they are open: pings, checks, and the end of those that say nothing (WS-10, WS-42, WS-64, §2.1)."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from chat.protocols.websocket import checks, sockets
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.watch import Watch
from chat.requests import SessionRef


def connection(monkeypatch: pytest.MonkeyPatch, *, valid: bool = True) -> tuple[Connection, list[dict[str, Any]]]:
    """An open connection whose credential counts, or not any more; what it sends."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def principal_of(credential: object) -> object:
        return SimpleNamespace(key="user:1", scopes={"read", "run"}) if valid else None

    monkeypatch.setattr("agents.credentials.principal_of", principal_of)
    credential: Any = object()
    return Connection(send, lambda: None, credential, SimpleNamespace(key="user:1"), mode="text", site=""), sent


def no_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    async def catalog() -> object:
        return SimpleNamespace(by_id={})

    monkeypatch.setattr("agents.directory.catalog", catalog)


async def test_each_socket_is_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    """WS-42: each has its own second of the twenty-five."""
    no_agents(monkeypatch)
    served, sent = connection(monkeypatch)
    await sockets.Ticker()._serve(served)
    assert [message["text"].startswith('{"type":"ping","ts":') for message in sent] == [True]
    assert sockets.PING_S == 25


async def test_a_socket_that_says_nothing_for_a_day_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """§2.1: 1000."""
    served, sent = connection(monkeypatch)
    served.heard_at -= sockets.IDLE_S + 1
    await sockets.Ticker()._serve(served)
    await served.closed()
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_a_credential_that_counts_no_more_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """WS-10: found at the next ping, though nothing was asked."""
    served, sent = connection(monkeypatch, valid=False)
    await sockets.Ticker()._serve(served)
    await served.closed()
    assert [message.get("code") for message in sent] == [None, None, 4401]
    assert '"invalid_credentials"' in sent[1]["text"]


async def test_what_may_not_be_seen_any_more_is_detached(monkeypatch: pytest.MonkeyPatch) -> None:
    """WS-64: who watches as a manager and is none any more; what is its own stays."""
    no_agents(monkeypatch)
    served, sent = connection(monkeypatch)

    async def may_not(*_: object) -> bool:
        return False

    monkeypatch.setattr(checks, "_may_read", may_not)
    for own in (True, False):
        session = SessionRef(id=uuid4(), namespace="user:2", name=None, agent_id=None, agent_name="helper", owner_id=2, wire="websocket")
        served.watches[session.id] = Watch(served, session, f"own {own}", own=own, reasoning=False)
    await checks.check(served)
    assert [watch.own for watch in served.watches.values()] == [True]
    (told,) = sent
    assert '"event":"detached"' in told["text"]
    assert '"reason":"access_withdrawn"' in told["text"]
    assert '"thread_id":"own False"' in told["text"]
