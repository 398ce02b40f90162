"""What a turn hands to the store when it begins and when it ends, and what it is told: plain values, for records and endrecords."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from chat.events import PendingApproval, Usage
from chat.requests import Part, TurnRequest
from chat.transcripts import Transcript

_PLAIN, _SHORT_PARTS, _SHORT_CHARACTERS = frozenset(("text", "reasoning", "step")), 16, 20_000


@dataclass(slots=True, kw_only=True)
class Begin:
    """A turn about to run. `message_id` is the user message's; `known_version` the cached transcript's (None: none cached)."""

    execution_id: UUID
    message_id: UUID
    request: TurnRequest
    process: str
    created_at: datetime
    catalog_counter: int
    known_version: int | None = None
    queued: bool = False
    store_execution: bool = True
    attempt: int = 1
    unreported: bool | None = None
    paused: Mapping[str, Any] | None = None
    error_detail: str = ""

    @property
    def short(self) -> bool:
        """Little is written, and history is not read."""
        request, session = self.request, self.request.session
        reads = request.branch is not None or (session and not session.is_new and (request.seed or self.known_version is None))
        return not reads and not request.seed and is_short(request.parts)


@dataclass(slots=True, kw_only=True)
class Began:
    """`stale`: the catalog moved. `missing`/`taken`: the session row is not there / its name is another's. `busy`: it waits

    for an approval and the policy is reject (R8.5). In all four nothing was written. `superseded`: the paused run that ended for this.
    `transcript`: the conversation read anew, when the cached version was not the stored one. `parent`: where a branch begins (AG-26);
    `left`: the last message of the branch that it left, where the turn may have to give it back (OAI-54).
    `first`: the first of the messages that the client says came before (OAI-52), None: the turn's own is the branch's first.
    """

    stale: int | None = None
    missing: bool = False
    taken: bool = False
    version: int = 0
    position: int = 0
    transcript: Transcript | None = None
    superseded: UUID | None = None
    busy: bool = False
    parent: UUID | None = None
    left: UUID | None = None
    first: UUID | None = None

    @property
    def admitted(self) -> bool:
        return self.stale is None and not (self.missing or self.taken or self.busy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the conversation's counters hold already of a run that paused."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(slots=True, kw_only=True)
class Finish:
    """A turn that ended. `parts` of the assistant are empty when it said nothing; `stored` False: the Execution row is not there yet.

    `reopens`: it went on after a pause, its assistant message is there. `waited`: it ended before it had a place (position).
    """

    begin: Begin
    stored: bool
    status: str
    message_status: str
    in_history: bool
    position: int
    assistant_id: UUID
    parts: list[Part]
    text: str
    incomplete: bool
    reopens: bool = False
    waited: bool = False
    counted: Counted = field(default_factory=Counted)
    completed_at: datetime
    finish_reason: str = ""
    error_code: str = ""
    error: str = ""
    error_detail: str = ""
    steps: list[Any] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal | None = None
    context_tokens: int = 0
    model_used: str = ""
    started_at: datetime | None = None
    duration_ms: int = 0
    queue_ms: int | None = None
    first_token_ms: int | None = None
    model_ms: int = 0
    last_seq: int = 0
    paused_state: Mapping[str, Any] | None = None
    approvals: list[PendingApproval] = field(default_factory=list)
    client_calls: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def short(self) -> bool:
        """Little is written."""
        return is_short(self.parts) and len(self.steps) <= _SHORT_PARTS


def is_short(parts: Sequence[Part]) -> bool:
    """Text alone, of a few pages."""
    characters = 0
    for part in parts:
        if part["type"] not in _PLAIN:
            return False
        characters += len(part.get("text", ""))
    return characters <= _SHORT_CHARACTERS and len(parts) <= _SHORT_PARTS


@dataclass(slots=True, kw_only=True)
class Promotion:
    """A queued turn whose time has come."""

    begin: Begin
    started_at: datetime
