"""How /api/schema and /docs describe workflows."""

from drf_spectacular.utils import extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, properties
from chat.protocols.agents_api.task_documents import _RESULT, _RESULT_EXAMPLE
from chat.protocols.agents_api.workflow_requests import WorkflowRun

_TEXT, _UUID = {"type": "string"}, {"type": "string", "format": "uuid"}
_TAGS = ["agents: workflows"]
_WORKFLOW_ID = "9d2f7c3e-1b44-4c0e-8f7a-2e5d6c7b8a90"
_POLL = f"/api/agents/analyst/executions/{EXECUTION_ID}"
_INPUT = properties(name=_TEXT, type=_TEXT, required={"type": "boolean"}, default={}, description={"type": ["string", "null"]})
_WORKFLOW = properties(
    id=_UUID,
    name={**_TEXT, "description": "What clients send as workflow_id; the id works too."},
    display_name=_TEXT,
    description={"type": ["string", "null"]},
    agent_name=_TEXT,
    version={"type": "integer"},
    inputs={"type": "array", "items": _INPUT},
    updated_at={"type": "string", "format": "date-time"},
)
_EXAMPLE = {
    "id": _WORKFLOW_ID,
    "name": "report",
    "display_name": "Monthly report",
    "description": "Sales figures, summed up.",
    "agent_name": "analyst",
    "version": 3,
    "inputs": [{"name": "month", "type": "string", "required": True, "default": None, "description": "2026-10"}],
    "updated_at": "2026-11-20T10:15:04.120Z",
}
_DETAIL = {**_WORKFLOW, "properties": {**_WORKFLOW["properties"], "steps": {"type": "array", "items": {"type": "object"}}}}
_STEPS = [{"id": "fetch", "name": "Fetch figures", "kind": "tool"}, {"id": "summary", "name": "summary", "kind": "output"}]
_ACCEPTED = properties(
    status={"const": "queued"},
    execution_id=_UUID,
    job_id={**_UUID, "description": "The same as execution_id."},
    workflow_id=_TEXT,
    agent_name=_TEXT,
    async_mode={"const": True},
    message=_TEXT,
)
_ACCEPTED_EXAMPLE = {
    "status": "queued",
    "execution_id": EXECUTION_ID,
    "job_id": EXECUTION_ID,
    "workflow_id": "report",
    "agent_name": "analyst",
    "async_mode": True,
    "message": f"Workflow accepted. Poll GET {_POLL}",
}
_OUTPUTS = {"type": ["object", "null"], "description": "Each output's name with the list of its values, of every JSON type."}
_DONE = {**_RESULT, "properties": {**_RESULT["properties"], "result": _OUTPUTS}}
_DONE_EXAMPLE = {**_RESULT_EXAMPLE, "result": {"summary": ["Sales rose."], "total": [1041.5]}}

workflows = extend_schema(
    operation_id="agent_workflows",
    tags=_TAGS,
    summary="The workflows of an agent",
    responses={
        200: documents.body({"type": "array", "items": _WORKFLOW}, "Those that are switched on, by name.", [_EXAMPLE]),
        **documents.refusals("invalid_credentials", "insufficient_scope", "agent_not_found"),
    },
)
workflow = extend_schema(
    operation_id="agent_workflow",
    tags=_TAGS,
    summary="A workflow, with its inputs and its steps",
    responses={
        200: documents.body(_DETAIL, "The workflow.", {**_EXAMPLE, "steps": _STEPS}),
        **documents.refusals("invalid_credentials", "insufficient_scope", "agent_not_found", "workflow_not_found"),
    },
)
run = extend_schema(
    operation_id="agent_workflow_run",
    tags=_TAGS,
    summary="Run a workflow",
    description=(
        "Answered at once; the run waits its turn like any background work, and goes on after its last finished step if its worker "
        "dies. Poll it or watch it by its execution id. `async_mode: false` waits for the result, at most as long as any request."
    ),
    parameters=[documents.IDEMPOTENCY_KEY],
    request=WorkflowRun,
    responses={
        200: documents.body(_DONE, "The result, with `async_mode: false`.", _DONE_EXAMPLE),
        202: documents.body(_ACCEPTED, "Accepted. `Location` is where to look.", _ACCEPTED_EXAMPLE),
        **documents.refusals(
            *documents.EACH_TURN, "cancelled", "session_not_found", "workflow_not_found", "invalid_params", "workflow_failed",
            "queue_timeout", "interrupted",
        ),
    },
)  # fmt: skip
