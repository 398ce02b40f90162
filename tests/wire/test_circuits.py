"""A provider that fails call after call, as callers and operators see it (agents.md section 2: circuit_open)."""

import time

import httpx2 as httpx
import orjson
import pytest

from tests.conftest import NewServer
from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream

pytestmark = pytest.mark.live
DOWN, PAUSE_S = orjson.dumps({"status": 500}).decode(), 3
AGENTS = """
providers:
  - {name: failing, kind: openai_compatible, base_url: "UPSTREAM/v1", api_key: sk-fake-upstream-key, max_retries: 0}
agents:
  - {name: frail, provider: failing, model: fake}
  - {name: backed, provider: failing, model: fake, fallbacks: [{provider: scripted, model: demo-fast}]}
"""


@pytest.fixture
def site(new_server: NewServer, upstream: FakeUpstream) -> Server:
    server = new_server(env={"PROVIDER_CIRCUIT_FAILURES": "2", "PROVIDER_CIRCUIT_SECONDS": f"{PAUSE_S}s"})
    path = server.data_dir / "circuits.yaml"
    path.write_text(AGENTS.replace("UPSTREAM", upstream.url))
    server.manage("agents", "apply", str(path))
    return server


def ask(client: httpx.Client, message: str = "Hello", agent: str = "frail") -> httpx.Response:
    return client.post(f"/api/agents/{agent}/chat", json={"message": message})


def metric(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f'switchboard_provider_{name}{{provider="failing"}}'))


def test_it_is_left_alone_then_asked_again(site: Server) -> None:
    """R3.5, AG-1: 503 with the seconds to wait; a fallback answers meanwhile; the key of a refused call is free (R4.4)."""
    with clients.http(site) as owner:
        assert [ask(owner, DOWN).status_code for _ in range(2)] == [503, 503]
        refused = owner.post("/api/agents/frail/chat", json={"message": "Hello"}, headers={"idempotency-key": "once"})
        assert (refused.status_code, refused.json()["code"], refused.headers["x-circuit-open"]) == (503, "circuit_open", "true")
        told = refused.json()["detail"]
        assert (told["error"], told["retry_after_seconds"]) == ("circuit_open", int(refused.headers["retry-after"]))
        assert 1 <= told["retry_after_seconds"] <= PAUSE_S
        assert ask(owner, agent="backed").status_code == 200
        openai = owner.post("/v1/chat/completions", json={"model": "frail", "messages": [{"role": "user", "content": "Hello"}]})
        assert (openai.status_code, openai.json()["error"]["code"]) == (503, "agent_not_running")
        assert (metric(owner, "circuit_open"), metric(owner, "circuit_openings_total")) == (1, 1)
        time.sleep(PAUSE_S)
        again = owner.post("/api/agents/frail/chat", json={"message": "Hello"}, headers={"idempotency-key": "once"})
        assert (again.status_code, again.json()["response"]) == (200, "Hello! How can I help?")
        assert (metric(owner, "circuit_open"), metric(owner, "circuit_openings_total")) == (0, 1)
