"""Agents as values, for definitions that name them."""

from agents.specs import AgentSpec, ModelSpec, ProviderSpec, ToolSpec

_MODEL = ModelSpec(provider=ProviderSpec(id="p", name="p", kind="demo"), name="demo")
_CLOCK = ToolSpec(name="clock", kind="clock", parameters={"type": "object", "properties": {"timezone": {"type": "string"}}})
HOST = AgentSpec(id=None, name="host", models=(_MODEL,), tools=(_CLOCK,))


def agents() -> dict[str, AgentSpec]:
    return {name: AgentSpec(id=None, name=name, models=(_MODEL,)) for name in ("writer", "hidden")} | {"host": HOST}
