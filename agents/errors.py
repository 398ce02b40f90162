"""The one error every floor raises at the door and every wire turns into its own envelope.

CODES is the closed list of stable codes (wires/README.md R3, and the tables of each wire): status and fixed sentence.
Texts from providers, tools, drivers or exceptions never enter `message` (R3.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CODES: Mapping[str, tuple[int, str]] = {
    "invalid_request": (400, "The request is not valid."),
    "invalid_json": (400, "The body is not valid JSON."),
    "bad_host": (400, "This host is not served here."),
    "invalid_cron": (400, "The cron expression is not valid."),
    "invalid_timezone": (400, "This is not the name of a time zone."),
    "schedule_timeout_exceeds_agent_cap": (400, "The agent's own limit is lower."),
    "invalid_credentials": (401, "missing or invalid bearer token"),
    "invalid_signature": (401, "The signature is missing or wrong."),
    "session_token_required": (401, "Verify your e-mail address first."),
    "session_token_invalid": (401, "The verification has expired. Verify your e-mail address again."),
    "insufficient_scope": (403, "This credential lacks the scope for this call."),
    "manager_required": (403, "Only managers of this agent may do this."),
    "not_an_approver": (403, "You may not decide this approval."),
    "agent_not_found": (404, "Agent not found"),
    "session_not_found": (404, "Session not found"),
    "message_not_found": (404, "Message not found"),
    "execution_not_found": (404, "Execution not found"),
    "approval_not_found": (404, "Approval not found"),
    "attachment_not_found": (404, "Attachment not found"),
    "workflow_not_found": (404, "Workflow not found"),
    "schedule_not_found": (404, "Schedule not found"),
    "link_invalid": (404, "Invalid or expired link"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "This method is not allowed here."),
    "request_in_progress": (409, "A request with this idempotency key is still running."),
    "session_busy": (409, "Another turn of this conversation is running."),
    "already_decided": (409, "This approval was already decided the other way."),
    "conversation_agent_mismatch": (409, "This conversation belongs to another agent."),
    "cancelled": (409, "The run was cancelled."),
    "client_left": (409, "The client left."),
    "approval_expired": (409, "The approval was not given in time."),
    "no_webhook_url": (409, "Mint the webhook's URL before its secret."),
    "request_too_large": (413, "The request body is too large."),
    "unsupported_media_type": (415, "The body must be JSON (Content-Type: application/json)."),
    "validation_error": (422, "The request has invalid fields."),
    "invalid_params": (422, "The inputs do not match what the workflow takes."),
    "model_not_allowed": (422, "This agent may not be asked with this model."),
    "idempotency_key_reused": (422, "This idempotency key was used for another request."),
    "rate_limited": (429, "Too many requests. Try again later."),
    "quota_exhausted": (429, "This link has no messages left."),
    "budget_exhausted": (429, "The budget is used up."),
    "queue_full": (429, "The agent is busy. Try again later."),
    "session_queue_full": (429, "Too many turns are waiting in this conversation."),
    "internal_error": (500, "Something went wrong on our side."),
    "run_failed": (500, "The run failed."),
    "workflow_failed": (500, "A step of the workflow failed."),
    "max_steps_reached": (500, "The agent reached its step limit before it could answer."),
    "structured_output_failed": (500, "The answer does not match the required format."),
    "interrupted": (500, "The server stopped while this run was in progress."),
    "provider_error": (502, "The model provider returned an error."),
    "agent_not_running": (503, "Agent is not running"),
    "provider_unavailable": (503, "The model provider is not available."),
    "email_unavailable": (503, "The code could not be sent. Try again later."),
    "store_unavailable": (503, "The store is not available. Try again later."),
    "circuit_open": (503, "This agent is paused after repeated failures. Try again later."),
    "shutting_down": (503, "The server is shutting down."),
    "timeout": (504, "The request took too long."),
    "queue_timeout": (504, "The run waited too long for its turn and was not started."),
}


@dataclass(slots=True, eq=False)
class SwitchboardError(Exception):
    """A refusal or failure with a stable `code`; `status` and `message` default to those of CODES.

    `param` is the JSON path of the field at fault; `retry_after_s` becomes Retry-After (R3.5); `errors` is the list of
    422 field problems (R3.2); `extra` are further keys of the envelope; `headers` are added to the response;
    `detail` is a scrubbed text for managers only, never sent to the caller.
    """

    code: str
    message: str = ""
    status: int = 0
    param: str | None = None
    retry_after_s: int | None = None
    errors: list[dict[str, Any]] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    detail: str = ""

    def __post_init__(self) -> None:
        status, message = CODES.get(self.code, (500, "The run failed."))
        self.status = self.status or status
        self.message = self.message or message
        Exception.__init__(self, self.code, self.message)
