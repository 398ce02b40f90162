"""Tool calls of runs that go on: this process's own from memory, those of others from their event streams in Redis."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from agents.access import Principal
from agents.specs import AgentSpec
from chat import eventcodec, eventship, turns
from chat.events import Gap, ToolCalled, ToolReturned, TurnPaused, TurnResumed
from chat.protocols.agents_api.activity_calls import Seen
from chat.protocols.agents_api.activity_parts import seen_of_parts
from chat.redis import client, failures
from chat.streamjson import tool_text
from chat.toolcalls import ServerCall, under_way

_MAX_ENTRIES = 5000
_MAX_KNOWN = 1000
_TOLD = tuple(f'["{cls.__name__}"'.encode() for cls in (ToolCalled, ToolReturned, TurnPaused, TurnResumed, Gap))
"""Only entries with one of these are decoded: streams are mostly text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The visible runs of this process, and the calls of those."""

    runs: frozenset[UUID]
    calls: list[Seen]


def here(principal: Principal, agent: AgentSpec, *, everybody: bool) -> Here:
    """What is under way before what is over: a call that ends meanwhile is then told twice, not lost, and `calls` has it once."""
    running = under_way()
    mine = [turn for turn in list(turns.running().values()) if _is_seen(turn, principal, agent, everybody) and turn.entered]
    runs = frozenset(turn.execution_id for turn in mine)
    open_calls = [_under_way(UUID(run), call) for run, call in running if UUID(run) in runs]
    over = [call for turn in mine for call in seen_of_parts(turn.execution_id, turn.progress.parts)]
    return Here(runs=runs, calls=list({call.id: call for call in (*open_calls, *over)}.values()))


def _is_seen(turn: "turns.Turn", principal: Principal, agent: AgentSpec, everybody: bool) -> bool:
    asked_by = turn.request.principal
    own = asked_by.key == principal.key if principal.user_id is None else asked_by.user_id == principal.user_id
    return turn.request.agent.id == agent.id and (everybody or own)


def _under_way(execution_id: UUID, call: ServerCall) -> Seen:
    began = datetime.fromtimestamp(call.called_s, UTC)
    return Seen(id=call.id, execution_id=execution_id, name=call.tool.name, arguments=call.shown(), started_at=began)


@dataclass(slots=True)
class _Heard:
    """What was read of one stream so far: the calls by id, each with its result. `entry` is the last one read."""

    entry: str = "0"
    calls: dict[str, tuple[ToolCalled, ToolReturned | None]] = field(default_factory=dict)
    resumed_s: float = 0.0
    rests: bool = False

    def take(self, events: Sequence[Any]) -> None:
        for event in events:
            match event:
                case ToolCalled(client=False):
                    self.calls[event.call_id] = (event, None)
                case ToolReturned() if event.call_id in self.calls:
                    self.calls[event.call_id] = (self.calls[event.call_id][0], event)
                case TurnPaused():
                    self.rests = True
                case TurnResumed():
                    self.rests, self.resumed_s = False, event.resumed_s
                case Gap(restart=True):
                    self.calls.clear()
                case _:
                    pass

    def seen(self, execution_id: UUID) -> list[Seen]:
        """A call that waits for approval does not run."""
        return [self._seen(execution_id, *each) for each in self.calls.values() if each[1] is not None or not self.rests]

    def _seen(self, execution_id: UUID, called: ToolCalled, returned: ToolReturned | None) -> Seen:
        began_s = called.called_s if returned else max(called.called_s, self.resumed_s)
        return Seen(
            id=called.call_id,
            execution_id=execution_id,
            name=called.name,
            arguments=called.arguments,
            started_at=datetime.fromtimestamp(began_s, UTC),
            duration_ms=returned.duration_ms if returned else None,
            ok=returned.ok if returned else None,
            output=tool_text(returned) if returned else None,
        )


_heard: OrderedDict[UUID, _Heard] = OrderedDict()


async def elsewhere(runs: Sequence[UUID]) -> list[Seen]:
    """The calls of runs of other processes; each look reads what is new. Without Redis, or while it is away, there are none."""
    if not (settings.REDIS_URL and runs):
        return []
    known = {run: _heard.setdefault(run, _Heard()) for run in runs}
    pipeline = client().pipeline(transaction=False)
    for run, heard in known.items():
        pipeline.xrange(eventship.key(run), min=f"({heard.entry}" if heard.entry != "0" else "-", count=_MAX_ENTRIES)
    try:
        answers = await pipeline.execute()
    except failures():
        return []
    for heard, entries in zip(known.values(), answers, strict=True):
        _read(heard, entries)
    while len(_heard) > _MAX_KNOWN:
        _heard.popitem(last=False)
    return [call for run, heard in known.items() for call in heard.seen(run)]


def _read(heard: _Heard, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> None:
    for entry, fields in entries:
        data = fields.get(b"e", b"")
        if any(mark in data for mark in _TOLD):
            heard.take(eventcodec.decode(data))
        heard.entry = entry.decode()
