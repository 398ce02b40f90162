"""The vocabulary of a turn: every wire translates these and nothing else. Imports nothing of ours but how values are made.

Events are numbered 1, 2, 3 … per execution by the event log (R7.1); an event does not carry its own number.
Exactly one terminal event (TurnFinished, TurnFailed, TurnCancelled) ends an execution; TurnPaused ends a segment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, NamedTuple

from agents.values import value


@value
class Usage:
    """Sums over model calls (R10.1); `input_tokens` includes cached ones. `estimated`: a provider reported nothing."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@value
class PendingApproval:
    """A server tool call that waits for a decision (R15). `expires_at` is ISO 8601 UTC."""

    approval_id: str
    tool_call_id: str
    name: str
    arguments: Mapping[str, Any]
    approver: Literal["caller", "manager"]
    expires_at: str


@value
class TurnStarted:
    """First event of every run. `session_id` is empty for stateless runs; `created_s` is Unix time; `waited`: it stood in a queue."""

    execution_id: str
    agent: str
    version: int
    model: str
    session_id: str = ""
    message_id: str = ""
    tools: tuple[str, ...] = ()
    created_s: float = 0.0
    context_window: int = 0
    waited: bool = False


@value(kw_only=False)
class StepStarted:
    """A model call begins; `step` counts from 1."""

    step: int


@value(kw_only=False)
class TextDelta:
    """Text of one block. A new block starts with its own number; blocks of one turn are joined by `\\n\\n` (OAI-36)."""

    block: int
    text: str


@value(kw_only=False)
class ReasoningDelta:
    block: int
    text: str


@value(kw_only=False)
class RefusalDelta:
    block: int
    text: str


@value
class ToolCalled:
    """One complete tool call. `client`: the caller executes it and the turn ends; then `raw` is the model's own text.

    Server calls have ids `srv_…` (R11.1); ids of client calls are the provider's. `called_s` is Unix time, of server calls only.
    `awaited`: a connected client executes it, and the turn goes on with its result; to all others it is like a server call.
    """

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    raw: str = ""
    client: bool = False
    awaited: bool = False
    called_s: float = 0.0


@value
class ToolReturned:
    """The one result of a server call. `output` is any JSON value; `error` is a sentence when `ok` is false."""

    call_id: str
    name: str
    output: Any = None
    ok: bool = True
    error: str = ""
    duration_ms: int = 0


@value
class ApprovalRequested:
    approval: PendingApproval


@value
class ApprovalResolved:
    """`reason` is the decider's text, `superseded` (R8.5) or `expired` (R15.4); `by` is caller, manager or system."""

    approval_id: str
    tool_call_id: str
    approved: bool
    reason: str = ""
    by: str = "caller"


@value
class SourceCited:
    source_id: str
    title: str
    url: str = ""
    media_type: str = ""
    filename: str = ""


@value
class FileMade:
    file_id: str
    url: str
    media_type: str
    filename: str = ""


@value
class JobUpdated:
    """A workflow's run goes on (WS-54). Its end is told by the `job` of the terminal event, its pauses by TurnPaused and TurnResumed."""

    workflow_id: str
    status: str
    message: str = ""
    result: Mapping[str, Any] | None = None
    error: str = ""
    error_code: str = ""
    duration_s: float | None = None


@value
class NodeUpdated:
    """A workflow step changed (WS-55)."""

    workflow_id: str
    node_id: str
    node_name: str
    node_type: str
    status: str
    error: str = ""
    result: Any = None
    skipped: bool = False


@value
class NodeProgressed:
    """How far a step is: `progress` of `total` parts of it are over (WS-55)."""

    node_id: str
    progress: int
    total: int
    chunk: str = ""


@value(kw_only=False)
class NodeSaid:
    """Text of a step that asks an agent, as it comes (WS-55). It is no part of the run's own answer: that is made of its outputs."""

    node_id: str
    text: str


@value
class OutputMade:
    """`node_id` empty: the turn's structured output (OAI-31, UI-22); else a workflow output."""

    name: str
    value: Any
    node_id: str = ""
    node_name: str = ""
    output_type: str = "any"


@value
class LogLine:
    content: str
    severity: Literal["info", "warning", "error"] = "info"
    node_id: str = ""
    node_name: str = ""


@value
class StepFinished:
    """A model call and its tools ended. `usage` is this step's alone; `finish_reason` is the model's."""

    step: int
    usage: Usage
    model: str
    finish_reason: str = "stop"


@value
class TurnPaused:
    """The segment ends until every approval is decided; `usage` and `duration_ms` are those so far."""

    approvals: tuple[PendingApproval, ...]
    notice: str
    usage: Usage = field(default_factory=Usage)
    duration_ms: int = 0
    first_token_ms: int | None = None
    cost_usd: float | None = None


@value(kw_only=False)
class TurnResumed:
    """The paused execution goes on; numbers continue (R15.3). `resumed_s` is Unix time."""

    step: int
    resumed_s: float = 0.0


@value
class TurnFinished:
    """Success: everything is stored when this event exists (R0.7). `finish_reason` is one of OAI-37.

    `job`, of every end of a workflow's run: `workflow_id`, `result` (output name -> values, null unless it succeeded), and `step`, the
    path of the step that failed ("" else). So there is one end of a job, whoever ends it (WS-54).
    """

    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    usage: Usage
    duration_ms: int
    first_token_ms: int | None = None
    cost_usd: float | None = None
    context_tokens: int = 0
    message_id: str = ""
    job: Mapping[str, Any] | None = None


@value
class TurnFailed:
    """`code`, `message` and `status` are those of agents.errors.CODES; `message` is a fixed sentence (R3.3)."""

    code: str
    message: str
    status: int
    usage: Usage = field(default_factory=Usage)
    duration_ms: int = 0
    first_token_ms: int | None = None
    cost_usd: float | None = None
    context_tokens: int = 0
    message_id: str = ""
    job: Mapping[str, Any] | None = None


@value
class TurnCancelled:
    """`code` is cancelled, client_left, interrupted by a newer turn (cancelled) or approval_expired."""

    code: str
    message: str
    usage: Usage = field(default_factory=Usage)
    duration_ms: int = 0
    first_token_ms: int | None = None
    cost_usd: float | None = None
    context_tokens: int = 0
    message_id: str = ""
    job: Mapping[str, Any] | None = None


@value(kw_only=False)
class Gap:
    """Made by the reader, never numbered: events `first`…`last` were lost; `restart`: drop what you have (R7.4, R7.5)."""

    first: int
    last: int
    restart: bool = False


TerminalEvent = TurnFinished | TurnFailed | TurnCancelled
TurnEvent = (
    TurnStarted
    | StepStarted
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCalled
    | ToolReturned
    | ApprovalRequested
    | ApprovalResolved
    | SourceCited
    | FileMade
    | JobUpdated
    | NodeUpdated
    | NodeProgressed
    | NodeSaid
    | OutputMade
    | LogLine
    | StepFinished
    | TurnPaused
    | TurnResumed
    | TurnFinished
    | TurnFailed
    | TurnCancelled
)

SegmentEnd = TerminalEvent | TurnPaused

TERMINAL: frozenset[type] = frozenset((TurnFinished, TurnFailed, TurnCancelled))
"""These three sets are asked for an event's type by every event of every turn: in a set it is found at once."""
SEGMENT_ENDS = TERMINAL | {TurnPaused}
PRODUCED = SEGMENT_ENDS | {TextDelta, ReasoningDelta, RefusalDelta, ToolCalled}
"""Events that decide the HTTP status: R5.1's first event is the first of these."""


class Numbered(NamedTuple):
    """One event with its number (R7.1); a Gap carries the number of the last event it stands for."""

    seq: int
    event: TurnEvent | Gap


Batch = Sequence[Numbered]
"""What a reader is given at a time: the events that were there, in order, at least one; empty means silence (keep-alive)."""
