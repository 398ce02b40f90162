"""How /api/schema and /docs describe executions, approvals and tokens."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, SESSION_ID, SSE, nullable, properties
from chat.protocols.agents_api.serializers import DecisionRequest, RefreshRequest, TokenRequest, VerifyRequest

RUNS = "executions: any run you may see"
TOKENS = "tokens: sign in and out"
TEXT, COUNT, TIME = {"type": "string"}, {"type": "integer"}, nullable("string", format="date-time")
UUID = {"type": "string", "format": "uuid"}

_CALL = properties(
    id=TEXT, tool=TEXT, input={"type": "object"}, output=nullable("string"), success=nullable("boolean"), duration_ms=nullable("integer")
)
_APPROVAL = properties(
    tool_call_id=TEXT, name=TEXT, arguments={"type": "object"}, approver={"enum": ["caller", "manager"]}, expires_at=TIME
)
_STATUS = {"enum": ["queued", "running", "paused", "success", "failed", "cancelled", "skipped"]}
_SUMMARY: dict[str, Any] = {
    "id": UUID,
    "agent_name": TEXT,
    "agent_version": COUNT,
    "status": _STATUS,
    "trigger": TEXT,
    "triggered_by": TEXT,
    "wire": nullable("string"),
    "schedule_id": nullable("string"),
    "session_id": nullable("string"),
    "message": TEXT,
    "started_at": TIME,
    "completed_at": TIME,
    "queued_at": TIME,
    "duration_ms": nullable("integer"),
    "model_used": nullable("string"),
    "cost": nullable("number"),
    "context_used": COUNT,
    "context_max": COUNT,
    "source_user_id": nullable("integer"),
    "source_user_email": nullable("string"),
    "error_code": nullable("string"),
    "skip_reason": nullable("string"),
    "attempt_number": COUNT,
    "retry_of_execution_id": nullable("string"),
}
SUMMARY = properties(**_SUMMARY)
RUN = properties(
    **_SUMMARY,
    response=nullable("string"),
    error=nullable("string"),
    tool_calls={"type": "array", "items": _CALL},
    usage={"type": "object"},
    execution_log={"type": ["array", "null"], "items": {"type": "object"}},
    log_truncated={"type": "boolean"},
    approvals={"type": "array", "items": _APPROVAL},
)
RUN["properties"]["error_detail"] = nullable("string", description="What the provider or tool said; managers only.")
SUMMARY_EXAMPLE: dict[str, Any] = {
    "id": EXECUTION_ID,
    "agent_name": "support",
    "agent_version": 4,
    "status": "success",
    "trigger": "chat",
    "triggered_by": "chat",
    "wire": "run",
    "schedule_id": None,
    "session_id": SESSION_ID,
    "message": "What is your return policy?",
    "started_at": "2026-01-05T09:30:00.000Z",
    "completed_at": "2026-01-05T09:30:01.840Z",
    "queued_at": None,
    "duration_ms": 1840,
    "model_used": "gpt-5-mini",
    "cost": 0.00131,
    "context_used": 512,
    "context_max": 128000,
    "source_user_id": 7,
    "source_user_email": "owner@example.com",
    "error_code": None,
    "skip_reason": None,
    "attempt_number": 1,
    "retry_of_execution_id": None,
}
EXAMPLE: dict[str, Any] = {
    **SUMMARY_EXAMPLE,
    "response": "You can return any item within 30 days.",
    "error": None,
    "tool_calls": [],
    "usage": {"input_tokens": 512, "output_tokens": 11, "model_calls": 1, "tool_calls": 0, "estimated": False},
    "execution_log": [{"type": "system", "subtype": "init", "seq": 1, "session_id": SESSION_ID}],
    "log_truncated": False,
    "approvals": [],
}
_STREAM = (
    f'id: 1\ndata: {{"type":"system","subtype":"init","seq":1,"session_id":"{SESSION_ID}","execution_id":"{EXECUTION_ID}",'
    '"model":"gpt-5-mini","tools":[],"mcp_servers":[]}\n\n'
    f'id: 3\ndata: {{"type":"stream_event","seq":3,"session_id":"{SESSION_ID}","event":{{"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"You can"}}}\n\n'
    'id: 9\ndata: {"type":"stream_end"}\n\n'
)
_PAIR = properties(access=TEXT, refresh=TEXT, access_token=TEXT, token_type={"const": "bearer"}, expires_in=COUNT)
_PAIR_EXAMPLE = {
    "access": "eyJhbGciOi…",
    "refresh": "eyJhbGciOi…",
    "access_token": "eyJhbGciOi…",
    "token_type": "bearer",
    "expires_in": 3600,
}
SEEN = ("invalid_credentials", "insufficient_scope", "execution_not_found")
_SIGNING = documents.refusals(
    "invalid_json", "invalid_request", "invalid_credentials", "unsupported_media_type", "validation_error", "rate_limited"
)


def stream_answer(*codes: str) -> dict[str, Any]:
    """Parameters and responses of every stream of a run."""
    partial = OpenApiParameter("partial", bool, description="false: leave out the text as it is written, send finished steps only.")
    answer = documents.event_stream("One JSON object per frame; the last is `stream_end`.", _STREAM)
    return {
        "parameters": [documents.LAST_EVENT_ID, documents.AFTER, partial],
        "responses": {(200, SSE): answer, **documents.refusals("invalid_request", "validation_error", *codes)},
    }


execution = extend_schema(
    operation_id="execution",
    tags=[RUNS],
    summary="One run: state, answer, tool calls, usage, log",
    description="Your own runs, and all runs of agents you manage; managers also see `error_detail`. Any other id is 404.",
    responses={200: documents.body(RUN, "The run.", EXAMPLE), **documents.refusals(*SEEN)},
)
stream = extend_schema(
    operation_id="execution_stream",
    tags=[RUNS],
    summary="Watch a run live, from any event on",
    description="stream-json as Server-Sent Events. Runs can be watched while they live and replayed afterwards.",
    **stream_answer(*SEEN),
)
cancel = extend_schema(
    operation_id="execution_cancel",
    tags=[RUNS],
    summary="Stop a run",
    description="From any process, within a second; text that was written stays. Repeating it is harmless.",
    request=None,
    responses={
        200: documents.body(
            properties(
                execution_id=UUID,
                status=_STATUS,
                result={"enum": ["terminated", "cancelled_while_queued", "cancelled_while_paused", "already_finished"]},
            ),
            "Stopped, or ended before.",
            {"execution_id": EXECUTION_ID, "status": "cancelled", "result": "terminated"},
        ),
        **documents.refusals(*SEEN),
    },
)
approval = extend_schema(
    operation_id="approval_decide",
    tags=[RUNS],
    summary="Approve or deny a tool call that waits",
    description="The same decision again is harmless, the opposite one is 409. The tool's setting says whether its caller may decide.",
    request=DecisionRequest,
    responses={
        200: documents.body(
            properties(execution_id=UUID, tool_call_id=TEXT, decision={"enum": ["approved", "denied"]}, status=_STATUS, pending=COUNT),
            "Decided. When nothing is pending any more the run goes on.",
            {"execution_id": EXECUTION_ID, "tool_call_id": "srv_call_2", "decision": "approved", "status": "running", "pending": 0},
        ),
        **documents.refusals("invalid_json", *SEEN, "not_an_approver", "approval_not_found", "already_decided", "validation_error"),
    },
)
token = extend_schema(
    operation_id="token",
    tags=[TOKENS],
    summary="Sign in with a password",
    description="After too many wrong passwords from one address it answers 429 for the rest of the minute.",
    auth=[],
    request={"application/json": TokenRequest, "application/x-www-form-urlencoded": TokenRequest},
    responses={200: documents.body(_PAIR, "A pair of tokens; `access_token` repeats `access`.", _PAIR_EXAMPLE), **_SIGNING},
)
refresh = extend_schema(
    operation_id="token_refresh",
    tags=[TOKENS],
    summary="A new pair for a refresh token",
    description="The refresh token that was sent is dead afterwards.",
    auth=[],
    request=RefreshRequest,
    responses={200: documents.body(_PAIR, "A new pair.", _PAIR_EXAMPLE), **_SIGNING},
)
verify = extend_schema(
    operation_id="token_verify",
    tags=[TOKENS],
    summary="Is this token good now?",
    description="Of either type: 200 with an empty object, or 401.",
    auth=[],
    request=VerifyRequest,
    responses={200: documents.body({"type": "object"}, "It is.", {}), **_SIGNING},
)
blacklist = extend_schema(
    operation_id="token_blacklist",
    tags=[TOKENS],
    summary="Sign out",
    description="The refresh token can't be used any more; access tokens made from it end with their hour.",
    auth=[],
    request=RefreshRequest,
    responses={200: documents.body({"type": "object"}, "The refresh token is dead.", {}), **_SIGNING},
)
