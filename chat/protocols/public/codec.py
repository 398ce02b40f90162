"""What visitors see of a run (AG-59, AG-60): text and tool names, sentences that name no model, provider or limit. Pure.

Events in, events out: chat.streamjson makes bytes of what is left.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from chat.events import (
    Batch,
    Gap,
    Numbered,
    RefusalDelta,
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
)

SENTENCES: Mapping[str, str] = {
    "provider_error": "The agent could not answer. Try again.",
    "provider_unavailable": "The agent is not available at the moment. Try again later.",
    "run_failed": "The agent could not answer. Try again.",
    "timeout": "The answer took too long. Try again.",
    "interrupted": "The answer was interrupted. Try again.",
    "internal_error": "Something went wrong. Try again.",
    "cancelled": "The answer was stopped.",
    "client_left": "The answer was stopped.",
    "approval_expired": "The approval was not given in time.",
    "agent_not_running": "The agent is not available at the moment. Try again later.",
    "circuit_open": "The agent is not available at the moment. Try again later.",
    "budget_exhausted": "The agent is not available at the moment. Try again later.",
    "queue_full": "The agent is busy. Try again in a moment.",
    "session_busy": "The agent is still answering your last message.",
    "session_queue_full": "Wait for the answers to your last messages.",
}
"""What visitors are told, by code; other codes keep their fixed sentence."""
_SAME_TO_VISITORS = {"max_steps_reached": "run_failed", "structured_output_failed": "run_failed"}
_NOTICE_BLOCK = 1_000_000
"""The notice of a paused run is a block of text of its own (OAI-41)."""


def code_for(code: str) -> str:
    """The code that visitors are told: some would tell a limit of the agent."""
    return _SAME_TO_VISITORS.get(code, code)


def veiled(batch: Batch, session_id: str | None) -> list[Numbered]:
    """The events as visitors may see them; `session_id` is what they call their conversation."""
    return [Numbered(item.seq, event) for item in batch for event in _veiled(item.event, session_id or "")]


def _veiled(event: TurnEvent | Gap, session_id: str) -> Iterable[TurnEvent | Gap]:
    match event:
        case TurnStarted():
            return (replace(event, session_id=session_id, model="", message_id="", version=0, context_window=0),)
        case ToolCalled():
            return (replace(event, arguments={}, raw=""),)
        case ToolReturned():
            return (replace(event, output=None, error=""),)
        case TurnPaused():
            paused = replace(event, approvals=tuple(replace(approval, arguments={}) for approval in event.approvals))
            return (TextDelta(_NOTICE_BLOCK, event.notice), paused) if event.notice else (paused,)
        case TurnFailed():
            code = code_for(event.code)
            return (replace(event, code=code, message=SENTENCES.get(code, event.message)),)
        case TurnCancelled():
            return (replace(event, message=SENTENCES.get(event.code, event.message)),)
        case TextDelta() | RefusalDelta() | StepStarted() | StepFinished() | TurnResumed() | TurnFinished() | Gap():
            return (event,)
        case _:  # thoughts, sources, nodes of workflows, and whatever an agent learns to say: not for visitors unless named here
            return ()
