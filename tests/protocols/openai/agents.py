"""Agents of the tests of this room."""

from typing import Any
from uuid import UUID

from agents.specs import AgentSpec, ModelSpec, ProviderSpec, Sampling, ToolSpec

AGENT_ID = UUID("7e0c3b5a-93a5-4a0a-b6f0-7f3b2a1c0d9e")
CLOCK = ToolSpec(name="clock", kind="clock")


def agent(*, unsupported: frozenset[str] = frozenset(), takes: tuple[str, ...] = (), fetches_urls: bool = True, **fields: Any) -> AgentSpec:
    """An agent whose model takes `takes` (images, audio, files)."""
    provider = ProviderSpec(id="1", name="fake", kind="demo", fetches_urls=fetches_urls)
    abilities = {f"takes_{name}": True for name in takes}
    model = ModelSpec(provider=provider, name="fake", unsupported=unsupported, **abilities)
    return AgentSpec(**{"id": AGENT_ID, "name": "root", "models": (model,), "sampling": Sampling(), **fields})
