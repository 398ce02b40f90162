"""Folding events into what they amount to: the text of a turn, its calls and its end. Pure; every whole answer is made from it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from chat.events import (
    FileMade,
    Gap,
    Numbered,
    OutputMade,
    ReasoningDelta,
    RefusalDelta,
    SegmentEnd,
    SourceCited,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnCancelled,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnPaused,
    TurnStarted,
)


@dataclass(slots=True)
class Outcome:
    """What the events say so far. `blocks`/`thoughts` map block number to the pieces of its text, in order of appearance."""

    started: TurnStarted | None = None
    blocks: dict[int, list[str]] = field(default_factory=dict)
    thoughts: dict[int, list[str]] = field(default_factory=dict)
    refusal: str = ""
    client_calls: list[ToolCalled] = field(default_factory=list)
    server_calls: dict[str, tuple[ToolCalled, ToolReturned | None]] = field(default_factory=dict)
    sources: list[SourceCited] = field(default_factory=list)
    files: list[FileMade] = field(default_factory=list)
    outputs: list[OutputMade] = field(default_factory=list)
    end: SegmentEnd | None = None

    @property
    def text(self) -> str:
        """All blocks, parted by a blank line where both sides have text (OAI-36)."""
        return _joined(self.blocks)

    @property
    def reasoning(self) -> str:
        return _joined(self.thoughts)


def _joined(blocks: dict[int, list[str]]) -> str:
    return "\n\n".join(text for pieces in blocks.values() if (text := "".join(pieces)))


_LISTS: dict[type, Callable[[Outcome], list[Any]]] = {
    SourceCited: lambda outcome: outcome.sources,
    FileMade: lambda outcome: outcome.files,
    OutputMade: lambda outcome: outcome.outputs,
}


def fold(events: Iterable[Numbered | TurnEvent]) -> Outcome:
    """The outcome of events 1…n. A gap counts as nothing, unless it says to start over."""
    outcome = Outcome()
    for item in events:
        _add(outcome, item.event if isinstance(item, Numbered) else item)
    return outcome


def _add(outcome: Outcome, event: TurnEvent | Gap) -> None:
    match event:
        case TextDelta(block, text):
            outcome.blocks.setdefault(block, []).append(text)
        case ReasoningDelta(block, text):
            outcome.thoughts.setdefault(block, []).append(text)
        case RefusalDelta(_, text):
            outcome.refusal += text
        case ToolCalled(client=True):
            outcome.client_calls.append(event)
        case ToolCalled():
            outcome.server_calls[event.call_id] = (event, None)
        case ToolReturned():
            called = outcome.server_calls.get(event.call_id)
            if called:
                outcome.server_calls[event.call_id] = (called[0], event)
        case TurnStarted():
            outcome.started = outcome.started or event
        case SourceCited() | FileMade() | OutputMade():
            _LISTS[type(event)](outcome).append(event)
        case TurnFinished() | TurnFailed() | TurnCancelled() | TurnPaused():
            outcome.end = event
        case Gap(restart=True):
            outcome.__init__()  # type: ignore[misc]  # what was said before is void (R7.4)
        case _:
            pass
