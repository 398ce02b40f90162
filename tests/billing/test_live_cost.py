"""A turn's cost reaches the caller (R0.3, R10.2): dollars of the price list, null for the unknown, also right after the start."""

import orjson
import pytest

from tests.support import clients
from tests.support.upstream_script import USAGE

pytestmark = pytest.mark.live

AGENTS = """
agents:
  - {name: priced, provider: fake, model: gpt-4o-mini}
  - {name: unpriced, provider: fake, model: homemade-model}
  - {name: free, provider: fake, model: free-model}
"""


@pytest.fixture(scope="module")
def priced(server):
    path = server.data_dir / "priced.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))
    metrics(server, "root")  # the turn in which the running process sees that the catalog has changed
    return server


def metrics(server, agent):
    with clients.http(server) as client, client.stream("POST", "/chat/stream", json={"message": "Hello!", "agent": agent}) as stream:
        return [orjson.loads(frame.data) for frame in clients.frames(stream.iter_lines()) if frame.data][-1]["metrics"]


def test_a_model_on_the_price_list_costs_what_the_list_says(priced):
    told = metrics(priced, "priced")
    cached = USAGE["prompt_tokens_details"]["cached_tokens"]
    expected = ((told["input_tokens"] - cached) * 0.15 + cached * 0.075 + told["output_tokens"] * 0.60) / 1_000_000
    assert told["cost_usd"] == round(expected, 6)


def test_a_model_without_a_price_costs_null(priced):
    assert metrics(priced, "unpriced")["cost_usd"] is None


def test_an_operators_price_counts_from_the_next_turn(priced):
    columns = "provider='fake', model='homemade-model', input_usd=1000000, output_usd=0"
    priced.manage("shell", "-v", "0", "-c", f"from billing.models import Price; Price.objects.create({columns})")
    told = metrics(priced, "unpriced")
    assert told["cost_usd"] == told["input_tokens"]


def test_what_is_free_costs_0_and_what_nobody_knows_null(priced):
    """R0.3: of a turn, of its conversation, and of a conversation in which both happened."""
    columns = "provider='fake', model='free-model', input_usd=0, output_usd=0"
    priced.manage("shell", "-v", "0", "-c", f"from billing.models import Price; Price.objects.create({columns})")
    metrics(priced, "root")
    with clients.http(priced) as client:
        for agent, cost in (("free", 0.0), ("root", None)):
            told = [client.post(f"/api/agents/{agent}/chat", json={"message": "Hello"}).json() for _ in range(2)][-1]
            listed = client.get(f"/api/agents/{agent}/chat/sessions").json()["sessions"][0]
            assert [told["metadata"]["cost_usd"], told["session"]["total_cost_usd"], listed["total_cost"]] == [cost] * 3
