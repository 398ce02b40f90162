"""One model call: deltas of the provider become events, scrubbed, with one event per network read and kind."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agents import directory
from agents.providers import base, chain
from agents.scrub import Stream
from agents.specs import ModelSpec
from chat.events import ReasoningDelta, RefusalDelta, TextDelta, TurnEvent, Usage
from chat.progress import Progress

Emit = Callable[[TurnEvent], None]
_DELTAS = {base.Text: TextDelta, base.Reasoning: ReasoningDelta, base.Refusal: RefusalDelta}


@dataclass(slots=True)
class Call:
    """A tool call as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class Answer:
    """What one model call produced. `texts`/`thoughts`: block number -> text."""

    blocks: list[tuple[type, int, list[str]]] = field(default_factory=list)
    calls: dict[int, Call] = field(default_factory=dict)
    usage: Usage | None = None
    finish: base.FinishReason = "stop"
    model: ModelSpec | None = None
    model_name: str = ""

    def text_of(self, kind: type) -> str:
        return "\n\n".join("".join(pieces) for block_kind, _, pieces in self.blocks if block_kind is kind)

    @property
    def text(self) -> str:
        return self.text_of(TextDelta)


class Listener:
    """Turns deltas into blocks and events. `held`: text is kept back until the step's nature is known (OAI-32)."""

    __slots__ = ("_emit", "_kind", "_pieces", "_progress", "_started_s", "_stream", "answer", "held")

    def __init__(self, progress: Progress, emit: Emit, started_s: float, held: bool) -> None:
        self.answer = Answer()
        self.held = held
        self._progress, self._emit, self._started_s = progress, emit, started_s
        self._kind: type | None = None
        self._pieces: list[str] = []
        self._stream: Stream = directory.current().scrubber.stream()

    def take(self, model: ModelSpec, deltas: Sequence[base.Delta]) -> None:
        """The deltas of one network read, by `model`."""
        self.answer.model = model
        for delta in deltas:
            kind = _DELTAS.get(type(delta))
            if kind is not None:
                self._text(kind, delta.text)  # type: ignore[union-attr]  # the three text kinds
            elif isinstance(delta, base.ToolCallPart):
                self._call(delta)
            elif isinstance(delta, base.Usage):
                self.answer.usage = _usage(delta)
            elif isinstance(delta, base.Finish):
                self.answer.finish, self.answer.model_name = delta.reason, delta.model

    def _text(self, kind: type, text: str) -> None:
        if kind is not self._kind:
            self._open(kind)
        self._say(self._stream.feed(text.replace("\0", "") if "\0" in text else text))

    def _open(self, kind: type) -> None:
        self.close()
        self._progress.block += 1
        self._kind, self._pieces = kind, []
        self.answer.blocks.append((kind, self._progress.block, self._pieces))

    def _say(self, text: str) -> None:
        if not text or self._kind is None:
            return
        self._first()
        self._pieces.append(text)
        if not (self.held and self._kind is TextDelta):
            self._emit(self._kind(self._progress.block, text))

    def _first(self) -> None:
        if self._progress.first_token_s is None:
            self._progress.first_token_s = time.monotonic() - self._started_s

    def _call(self, part: base.ToolCallPart) -> None:
        self._first()
        call = self.answer.calls.get(part.index)
        if call is None:
            self.answer.calls[part.index] = Call(part.id, part.name, part.arguments)
            return
        call.id = call.id or part.id
        call.name = call.name or part.name
        call.arguments += part.arguments

    def close(self) -> None:
        """Ends the open block: what the scrubber held back goes out."""
        if self._kind is not None:
            self._say(self._stream.end())
            self._kind = None


async def ask(models: Sequence[ModelSpec], request_for: Callable[[ModelSpec], base.ModelRequest], listener: Listener) -> Answer:
    """Streams one model call into `listener`. Raises ProviderError; cancelling the task closes the upstream connection."""
    try:
        await chain.ask(models, request_for, listener.take)
    finally:
        listener.close()
    return listener.answer


def _usage(usage: base.Usage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        model_calls=1,
    )


def estimated(messages: bytes, answer: Answer) -> Usage:
    """Characters ÷ 4, for providers that report nothing (R10.1)."""
    written = sum(len(piece) for _, _, pieces in answer.blocks for piece in pieces)
    written += sum(len(call.arguments) + len(call.name) for call in answer.calls.values())
    return Usage(input_tokens=len(messages) // 4, output_tokens=max(1, written // 4), model_calls=1, estimated=True)
