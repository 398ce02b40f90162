"""One story that holds every event there is, told to every room (its bytes are in tests/protocols/golden/)."""

from chat.events import (
    ApprovalRequested,
    ApprovalResolved,
    FileMade,
    Gap,
    JobUpdated,
    LogLine,
    NodeProgressed,
    NodeSaid,
    NodeUpdated,
    Numbered,
    OutputMade,
    PendingApproval,
    ReasoningDelta,
    RefusalDelta,
    SourceCited,
    StepFinished,
    StepStarted,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnCancelled,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    Usage,
)

EXECUTION = "0b5c1f7e-3d0a-4a52-9a51-0f6a0c1d2e3f"
SESSION = "8b1f2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
APPROVAL = PendingApproval(
    approval_id="4f6f1c56-7f0a-4a6f-8a55-0a8b6f0f8b11",
    tool_call_id="srv_refund000001",
    name="refund",
    arguments={"order": 1187, "amount": 20},
    approver="caller",
    expires_at="2026-01-06T09:30:02.000Z",
)
_FIRST = Usage(input_tokens=2510, output_tokens=40, cache_read_tokens=1024, model_calls=1, tool_calls=2)
_SECOND = Usage(input_tokens=2610, output_tokens=270, cache_read_tokens=1024, reasoning_tokens=12, model_calls=1)
_TOTAL = Usage(input_tokens=5120, output_tokens=310, cache_read_tokens=2048, reasoning_tokens=12, model_calls=2, tool_calls=2)

BEGINNING: list[TurnEvent] = [
    TurnStarted(
        execution_id=EXECUTION,
        agent="analyst",
        version=4,
        model="claude-sonnet",
        session_id=SESSION,
        message_id="5d3a8f10-1c2b-4d5e-9f60-718293a4b5c6",
        tools=("web_search", "refund"),
        created_s=1767605400.0,
        context_window=200_000,
    ),
    StepStarted(1),
    ReasoningDelta(1, "The numbers first."),
    TextDelta(2, "Let me "),
    TextDelta(2, 'look: "Grüße" 🌍\n'),
    ToolCalled(call_id="srv_search000001", name="web_search", arguments={"q": "latest"}),
    ToolCalled(call_id="srv_refund000001", name="refund", arguments={"order": 1187, "amount": 20}),
    ToolReturned(call_id="srv_search000001", name="web_search", output="10 results", duration_ms=640),
    SourceCited(source_id="source_1", title="Findings", url="https://example.com/findings", media_type="text/html"),
    ApprovalRequested(approval=APPROVAL),
]
PAUSE = TurnPaused(
    approvals=(APPROVAL,),
    notice="This step needs approval before it can continue.",
    usage=_FIRST,
    duration_ms=2100,
    first_token_ms=420,
    cost_usd=0.004,
)
MIDDLE: list[TurnEvent] = [
    TurnResumed(1),
    ApprovalResolved(approval_id=APPROVAL.approval_id, tool_call_id=APPROVAL.tool_call_id, approved=True),
    ToolReturned(call_id="srv_refund000001", name="refund", output=None, ok=False, error="The shop said no.", duration_ms=90),
    StepFinished(step=1, usage=_FIRST, model="claude-sonnet", finish_reason="tool_calls"),
    JobUpdated(workflow_id="w1", status="running", message="Two of three"),
    NodeUpdated(workflow_id="w1", node_id="n1", node_name="Sum", node_type="code", status="success", result=40),
    NodeProgressed(node_id="n1", progress=2, total=3),
    NodeSaid("n1", "Forty."),
    LogLine(content="Forty units.", node_id="n1", node_name="Sum"),
    OutputMade(name="units", value=40, node_id="n1", node_name="Sum", output_type="number"),
    FileMade(file_id="f1", url="https://agents.example.com/files/f1", media_type="text/csv", filename="units.csv"),
    StepStarted(2),
    TextDelta(3, "Three findings"),
    TextDelta(3, " stand out."),
    RefusalDelta(4, "I will not guess more."),
    StepFinished(step=2, usage=_SECOND, model="claude-sonnet"),
]
FINISH = TurnFinished(
    finish_reason="stop",
    usage=_TOTAL,
    duration_ms=8420,
    first_token_ms=420,
    cost_usd=0.0123,
    context_tokens=2610,
    message_id="6e4b9021-2d3c-4e6f-8a71-8293a4b5c6d7",
)
FAILURE = TurnFailed(
    code="timeout",
    message="The request took longer than 300 seconds.",
    status=504,
    usage=Usage(input_tokens=5120, output_tokens=54, cache_read_tokens=2048, model_calls=2, tool_calls=2),
    duration_ms=300_000,
    first_token_ms=420,
)
CANCEL = TurnCancelled(
    code="cancelled",
    message="The run was cancelled.",
    usage=Usage(input_tokens=2510, output_tokens=12, model_calls=1),
    duration_ms=900,
    first_token_ms=420,
    cost_usd=0.0000004,
)
LOST = Gap(first=1, last=214, restart=True)


def numbered(*events: TurnEvent, first: int = 1) -> list[Numbered]:
    return [Numbered(number, event) for number, event in enumerate(events, first)]


PAUSED = numbered(*BEGINNING, PAUSE)
WHOLE = PAUSED[:-1] + numbered(*MIDDLE, FINISH, first=len(PAUSED) + 1)
FAILED = numbered(*BEGINNING[:6], BEGINNING[7], MIDDLE[3], MIDDLE[11], MIDDLE[12], FAILURE)
CANCELLED = numbered(*BEGINNING[:4], CANCEL)
REPLAYED = [Numbered(214, LOST), *numbered(*BEGINNING[:1], TextDelta(1, "All of it."), FINISH, first=215)]
STORIES = {"whole": WHOLE, "paused": PAUSED, "failed": FAILED, "cancelled": CANCELLED, "replayed": REPLAYED}
"""Every way a reader can meet a run: as it happened (the log passes over a pause that is over), up to that pause, the other ends."""
