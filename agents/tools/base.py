"""What a tool kind is to the loop: settings checked on save, a function shown to the model, a call with a time limit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agents.specs import ToolSpec
from agents.values import value


@value
class ToolContext:
    """Who is asking: plain values only, so that tools know nothing of turns. `user_name` may be empty."""

    execution_id: str
    agent_name: str
    user_id: int | None = None
    user_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """`output` is any JSON value; `is_error` tells the model that the call failed (the turn goes on).

    `sources` are citations `{"url", "title"}`.
    """

    output: Any = None
    is_error: bool = False
    sources: tuple[Mapping[str, str], ...] = field(default_factory=tuple)


class ToolKind(Protocol):
    """The functions a module named in TOOLS must have."""

    def describe(self, config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Default description and JSON-Schema parameters that follow from `config`."""
        ...

    def check(self, config: Mapping[str, Any]) -> None:
        """Raises ValueError with a sentence for the operator when `config` cannot work."""
        ...

    def prepare(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is stored of `config` when an operator saves it, before check(): whatever has to be fetched once is in it.

        Raises ValueError with a sentence for the operator. Not to be called on an event loop: it may wait for the network.
        """
        ...

    async def call(self, spec: ToolSpec, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Runs one call; arguments were validated against the schema. Failures become an outcome, never an exception."""
        ...
