"""How /api/schema and /docs describe background work."""

from drf_spectacular.utils import extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, SESSION_ID, properties
from chat.protocols.agents_api.chat_documents import ANSWER, ANSWER_EXAMPLE
from chat.protocols.agents_api.task_requests import TaskRequest

_TEXT, _UUID = {"type": "string"}, {"type": "string", "format": "uuid"}
_POLL = f"/api/agents/analyst/executions/{EXECUTION_ID}"
_ACCEPTED = properties(
    status={"const": "queued"}, execution_id=_UUID, agent_name=_TEXT, async_mode={"const": True}, message=_TEXT
)  # fmt: skip
_ACCEPTED_EXAMPLE = {
    "status": "queued",
    "execution_id": EXECUTION_ID,
    "agent_name": "analyst",
    "async_mode": True,
    "message": f"Task accepted. Poll GET {_POLL}",
}
_RESULT = {
    **ANSWER,
    "properties": {
        **ANSWER["properties"],
        "task_execution_id": _UUID,
        "chat_session_id": {**_UUID, "description": "The session that has question and answer, where that was asked."},
        "chat_persist_failed": {"const": True, "description": "They could not be stored there yet."},
    },
}
_RESULT_EXAMPLE = {**ANSWER_EXAMPLE, "task_execution_id": EXECUTION_ID, "chat_session_id": SESSION_ID}

task = extend_schema(
    operation_id="agent_task",
    tags=["agents: background work"],
    summary="Have an agent do something in the background",
    description=(
        "Answered at once; the run waits its turn, by priority and then arrival, and is taken up again if its worker dies. Poll it or "
        "watch it by its execution id. `async_mode: false` waits for the result, at most as long as any request; the task goes on "
        "when that ends first."
    ),
    parameters=[documents.IDEMPOTENCY_KEY],
    request=TaskRequest,
    responses={
        200: documents.body(_RESULT, "The result, with `async_mode: false`.", _RESULT_EXAMPLE),
        202: documents.body(_ACCEPTED, "Accepted. `Location` is where to look.", _ACCEPTED_EXAMPLE),
        **documents.refusals(*documents.EACH_TURN, "cancelled", "session_not_found", "model_not_allowed", "queue_timeout", "interrupted"),
    },
)
