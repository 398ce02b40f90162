"""Every way a run can go, as events: what the frames of WS-79 are made from."""

from chat.events import (
    ApprovalRequested,
    ApprovalResolved,
    JobUpdated,
    LogLine,
    NodeUpdated,
    Numbered,
    OutputMade,
    PendingApproval,
    ReasoningDelta,
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

EXECUTION = "0d5c1a52-7c1e-4a39-9b1f-3f0f6c7f1a10"
THREAD = "t-1"
MESSAGE = "5a0e7a4e-8f0b-4f6e-9a52-0c1f8b7f2d11"
USAGE = Usage(input_tokens=212, output_tokens=34, model_calls=1)
BEGUN = TurnStarted(
    execution_id=EXECUTION, agent="support", version=3, model="fake", session_id="s", message_id=MESSAGE, created_s=1795256104.0
)
FINISHED = TurnFinished(finish_reason="stop", usage=USAGE, duration_ms=1120, cost_usd=0.00041, message_id=MESSAGE)
STEP = StepFinished(step=1, usage=USAGE, model="fake")
LOOKUP = ToolCalled(call_id="call_9", name="order_lookup", arguments={"order": 1041})
SHIPPED = ToolReturned(call_id="call_9", name="order_lookup", output={"state": "shipped"}, duration_ms=212)
APPROVAL = PendingApproval(
    approval_id="ap_31",
    tool_call_id="call_9",
    name="refund",
    arguments={"order": 1041, "amount": "20.00"},
    approver="caller",
    expires_at="2026-11-21T10:15:00.000Z",
)
REFUND = ToolCalled(call_id="call_9", name="refund", arguments={"order": 1041, "amount": "20.00"})
REFUNDED = ToolReturned(call_id="call_9", name="refund", ok=False, error="The shop said no.", duration_ms=90)
WORKFLOW = "wf-report"
TOO_LONG, TOO_LATE = "The request took longer than 300 seconds.", "The approval was not given in time."
BROKEN = "The model provider returned an error."


def node(node_id: str, status: str, **more: object) -> NodeUpdated:
    return NodeUpdated(workflow_id=WORKFLOW, node_id=node_id, node_name=node_id.title(), node_type="agent", status=status, **more)


def output(name: str, value: object) -> OutputMade:
    return OutputMade(name=name, value=value, node_id="end", node_name="End")


VALUES = {
    "summary": "Sales rose.",
    "total": 1041.5,
    "ok": True,
    "rows": [1, 2, 3],
    "lines": ["one", "two"],
    "note": None,
    "picture": {"type": "image", "uri": "/attachment/x"},
    "table": {"a": {"b": [None, 2**70]}},
}
STORIES: dict[str, list[TurnEvent]] = {
    "plain": [BEGUN, StepStarted(1), TextDelta(1, "Hel"), TextDelta(1, 'lo! "Grüße" 🌍'), STEP, FINISHED],
    "tool": [
        BEGUN, StepStarted(1), ReasoningDelta(1, "Hm."), TextDelta(2, "Let me look."), LOOKUP, SHIPPED,
        SourceCited(source_id="s1", title="Orders", url="https://example.com/orders"), STEP,
        StepStarted(2), TextDelta(3, "It was shipped."), STEP, FINISHED,
    ],
    "failed": [
        BEGUN, StepStarted(1), TextDelta(1, "Let me"), LOOKUP,
        TurnFailed(code="timeout", message=TOO_LONG, status=504, usage=USAGE, duration_ms=300_000, message_id=MESSAGE),
    ],
    "failed_mute": [
        BEGUN, StepStarted(1), TurnFailed(code="provider_error", message=BROKEN, status=502, duration_ms=40),
    ],
    "stopped": [
        BEGUN, StepStarted(1), TextDelta(1, "On and"), TextDelta(1, " on"),
        TurnCancelled(code="cancelled", message="The run was cancelled.", usage=USAGE, duration_ms=900, message_id=MESSAGE),
    ],
    "stopped_in_queue": [TurnCancelled(code="cancelled", message="The run was cancelled.")],
    "paused_and_approved": [
        BEGUN, StepStarted(1), TextDelta(1, "I may refund that."), REFUND, ApprovalRequested(approval=APPROVAL),
        TurnPaused(approvals=(APPROVAL,), notice="This step needs approval before it can continue.", usage=USAGE, duration_ms=700),
        ApprovalResolved(approval_id="ap_31", tool_call_id="call_9", approved=True), TurnResumed(1), REFUNDED, STEP,
        StepStarted(2), TextDelta(2, "It did not work."), STEP, FINISHED,
    ],
    "expired": [
        BEGUN, StepStarted(1), REFUND, ApprovalRequested(approval=APPROVAL),
        TurnPaused(approvals=(APPROVAL,), notice="This step needs approval before it can continue.", usage=USAGE, duration_ms=700),
        TurnCancelled(code="approval_expired", message=TOO_LATE, usage=USAGE, duration_ms=700, message_id=MESSAGE),
    ],
    "client_tool": [
        BEGUN, StepStarted(1), ToolCalled(call_id="call_1", name="open_page", arguments={"path": "/"}, awaited=True),
        ToolReturned(call_id="call_1", name="open_page", output={"opened": True}, duration_ms=5), STEP,
        StepStarted(2), TextDelta(1, "Open."), STEP, FINISHED,
    ],
    "job": [
        BEGUN, JobUpdated(workflow_id=WORKFLOW, status="running", message="Started"),
        node("fetch", "running"), LogLine(content="12 rows", node_id="fetch", node_name="Fetch"),
        node("fetch", "completed", result={"rows": 12}),
        node("skip", "completed", skipped=True), *(output(name, value) for name, value in VALUES.items()),
        JobUpdated(workflow_id=WORKFLOW, status="completed", message="Completed in 3.42 seconds", duration_s=3.42,
                   result={name: [value] for name, value in VALUES.items()}),
        FINISHED,
    ],
    "failed_job": [
        BEGUN, JobUpdated(workflow_id=WORKFLOW, status="running", message="Started"),
        node("mail", "error", error="The mail server refused the message."),
        JobUpdated(workflow_id=WORKFLOW, status="failed", message="Failed at step mail", error="The mail server refused the message.",
                   error_code="workflow_failed", duration_s=2.07),
        TurnFailed(code="workflow_failed", message="The mail server refused the message.", status=500, duration_ms=2070),
    ],
}  # fmt: skip


def numbered(events: list[TurnEvent]) -> list[Numbered]:
    return [Numbered(number, event) for number, event in enumerate(events, 1)]
