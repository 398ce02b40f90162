"""What a provider is to the loop: a request in, lists of deltas out, one list per read from the network.

Message JSON is that of Chat Completions (role, content, tool_calls, tool_call_id), already encoded; other kinds decode it.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from agents.specs import ModelSpec, Sampling
from agents.values import value


@dataclass(slots=True)
class Text:
    text: str


@dataclass(slots=True)
class Reasoning:
    text: str


@dataclass(slots=True)
class Refusal:
    text: str


@dataclass(slots=True)
class ToolCallPart:
    """A piece of one tool call. `id` and `name` come with the first piece of an `index`; `arguments` are appended."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(slots=True, kw_only=True)
class Usage:
    """Tokens of one model call. `input_tokens` includes cached ones (R10.1, OAI-38)."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(slots=True)
class Finish:
    reason: FinishReason
    model: str = ""


Delta = Text | Reasoning | Refusal | ToolCallPart | Usage | Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """A function offered to the model; `parameters` is JSON Schema with an object at its root."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None
    strict: bool | None = None


@value
class ModelRequest:
    """One model call. `messages` is a JSON array in bytes, `[{"role": "system", …}, …]`, always provider-valid (R9.3).

    `stream` False: nobody reads the pieces, so a provider that can may answer in one (the deltas then come at once).
    """

    model: ModelSpec
    messages: bytes
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    sampling: Sampling = field(default_factory=Sampling)
    response_format: Mapping[str, Any] | None = None
    stream: bool = True


ErrorKind = Literal[
    "auth", "rate_limit", "context_length", "content_filter", "overloaded", "network", "timeout", "bad_request", "invalid", "circuit_open"
]


class ProviderError(Exception):
    """A classified failure of a provider. `detail` may quote the provider: it is for logs and managers only (R3.3).

    `retryable`: the same request may succeed later; `retry_after_s` is what the provider asked for, in seconds.
    """

    def __init__(self, kind: ErrorKind, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        return self.kind in ("rate_limit", "overloaded", "network")


class Provider(Protocol):
    def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Delta]]:
        """Yields the deltas of one model call, one list per network read, ending with Finish (Usage before it if told).

        Raises ProviderError. Closing the iterator (aclose) closes the upstream connection at once.
        """
        ...

    async def models(self) -> list[str]:
        """Names of the served models, sorted. Raises ProviderError; used by "test connection"."""
        ...
