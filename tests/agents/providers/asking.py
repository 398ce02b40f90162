"""Asking a provider in a test, and what it answered, put together."""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from agents.providers import build
from agents.providers.base import Delta, Finish, ModelRequest, ProviderError, Reasoning, Refusal, Text, ToolCallPart, Usage
from agents.specs import ModelSpec, ProviderSpec
from tests.support.upstream import Seen


@dataclass(slots=True)
class Answer:
    """Deltas put together; `error` is what ended them."""

    deltas: list[Delta]
    reads: int = 0
    error: ProviderError | None = None

    def text(self, kind: type = Text) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, Text | Reasoning | Refusal) and isinstance(delta, kind))

    @property
    def calls(self) -> list[tuple[str, str, str]]:
        """(id, name, arguments) in the order of their indexes."""
        found: dict[int, list[str]] = {}
        for delta in self.deltas:
            if isinstance(delta, ToolCallPart):
                call = found.setdefault(delta.index, ["", "", ""])
                for place, piece in enumerate((delta.id, delta.name, delta.arguments)):
                    call[place] += piece
        return [(call[0], call[1], call[2]) for _, call in sorted(found.items())]

    @property
    def usage(self) -> Usage | None:
        return next((delta for delta in self.deltas if isinstance(delta, Usage)), None)

    @property
    def finish(self) -> Finish | None:
        return self.deltas[-1] if self.deltas and isinstance(self.deltas[-1], Finish) else None


def request_for(spec: ProviderSpec, content: Any = "Hi", **fields: Any) -> ModelRequest:
    """A request with one user message, or with `messages`."""
    messages = fields.pop(
        "messages", [{"role": "user", "content": content if isinstance(content, str) else orjson.dumps(content).decode()}]
    )
    model = ModelSpec(provider=spec, name=fields.pop("model", "fake"), unsupported=frozenset(fields.pop("unsupported", ())))
    return ModelRequest(model=model, messages=orjson.dumps(messages), **fields)


async def answer_to(request: ModelRequest) -> Answer:
    answer = Answer([])
    try:
        async with aclosing(build(request.model.provider).stream(request)) as reads:
            async for deltas in reads:
                assert deltas, "a read without deltas is not told"
                answer.deltas += deltas
                answer.reads += 1
    except ProviderError as error:
        answer.error = error
    return answer


@dataclass(slots=True)
class Fake:
    url: str
    seen: Seen

    def spec(self, **fields: Any) -> ProviderSpec:
        return ProviderSpec(**{"id": "fake", "name": "fake", "kind": "openai_compatible", "base_url": f"{self.url}/v1", **fields})

    async def ask(self, content: Any = "Hi", spec: ProviderSpec | None = None, **fields: Any) -> Answer:
        """`content` may be a script of the fake server."""
        return await answer_to(request_for(spec or self.spec(), content, **fields))

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = self.seen.requests[-1]["body"]
        return body


Feed = Callable[[bytes], Sequence[bytes]]
"""How the network cuts a stream into reads."""
