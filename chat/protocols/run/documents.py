"""How /api/schema and /docs describe the run wire."""

from drf_spectacular.utils import OpenApiParameter, extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, SESSION_ID, SSE, properties
from chat.protocols.run.serializers import RunRequest

TAG = "run: one message in, one answer out"
_METRICS = (
    '{"input_tokens":512,"output_tokens":11,"total_tokens":523,"cost_usd":0.00131,"duration_ms":1840,"first_token_ms":420,'
    '"model_calls":1,"tool_calls":0}'
)
_STREAM = (
    'id: 2\ndata: {"content":"You can return any item ","is_final":false,"metrics":null}\n\n'
    'id: 3\ndata: {"content":"within 30 days.","is_final":false,"metrics":null}\n\n'
    f'id: 6\ndata: {{"content":"","is_final":true,"metrics":{_METRICS},"conversation_id":"{SESSION_ID}",'
    f'"execution_id":"{EXECUTION_ID}","status":"success"}}\n\n'
)
_ANSWER = {
    "type": "object",
    "required": ["response", "conversation_id"],
    "properties": {
        "response": {"type": "string"},
        "conversation_id": {"type": "string"},
        "status": {"const": "paused", "description": "Only when the turn waits for an approval, like the two below."},
        "execution_id": {"type": "string", "format": "uuid"},
        "approvals": {
            "type": "array",
            "items": properties(tool_call_id={"type": "string"}, name={"type": "string"}, arguments={"type": "object"}),
        },
    },
}
_TURN_REFUSALS = documents.refusals(*documents.EACH_TURN, "conversation_agent_mismatch", "interrupted")
_EVENT = "Frames of `id:` and one `data:` line. Text events have `content`, `is_final`, `metrics`; only the last has `is_final: true`."

run = extend_schema(
    operation_id="run",
    tags=[TAG],
    summary="Ask and get the whole answer",
    description="Send the `conversation_id` of the answer to go on; the server keeps the conversation.",
    parameters=[documents.IDEMPOTENCY_KEY],
    request=RunRequest,
    responses={
        200: documents.body(
            _ANSWER,
            "The answer. The ids are also in X-Conversation-Id, X-Session-Id and X-Execution-Id.",
            {"response": "You can return any item within 30 days.", "conversation_id": SESSION_ID},
        ),
        **_TURN_REFUSALS,
    },
)
stream = extend_schema(
    operation_id="run_stream",
    tags=[TAG],
    summary="Ask and get the answer as it is written",
    description="A failure before the first event is a real status; later it is told by the final event.",
    parameters=[documents.IDEMPOTENCY_KEY],
    request=RunRequest,
    responses={(200, SSE): documents.event_stream(_EVENT, _STREAM), **_TURN_REFUSALS},
)
resume = extend_schema(
    operation_id="run_resume",
    tags=[TAG],
    summary="Follow the running or last turn of a conversation",
    description="After a drop, send the last `id:` you saw and the `execution_id`: no text is lost or repeated. 204: no turn yet.",
    parameters=[
        OpenApiParameter("conversation_id", str, OpenApiParameter.PATH, description="The conversation's id, URL-encoded."),
        OpenApiParameter("execution_id", str, description="This turn, not a newer one: send it when you resume after a drop."),
        documents.LAST_EVENT_ID,
        documents.AFTER,
    ],
    responses={
        (200, SSE): documents.event_stream(_EVENT, _STREAM),
        204: None,
        **documents.refusals("invalid_request", "invalid_credentials", "insufficient_scope", "session_not_found", "execution_not_found"),
    },
)
status = extend_schema(
    operation_id="status",
    tags=["operating"],
    summary="The process answers",
    description="Touches no store.",
    auth=[],
    responses={200: documents.body(properties(status={"const": "ok"}), "Alive", {"status": "ok"})},
)
