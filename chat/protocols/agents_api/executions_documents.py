"""How /api/schema and /docs describe the runs of an agent."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, properties
from chat.models import Execution, Wire
from chat.protocols.agents_api.documents import EXAMPLE, RUN, SEEN, SUMMARY, SUMMARY_EXAMPLE, TEXT, TIME, UUID, stream_answer

TAG = "agents: runs"
_LISTED = ("invalid_credentials", "insufficient_scope", "agent_not_found")
_ONE = (*SEEN, "agent_not_found")
_LOG = {"type": ["array", "null"], "items": {"type": "object"}}
_LOG_EXAMPLE = {
    "execution_id": EXECUTION_ID,
    "agent_name": "support",
    "has_log": True,
    "log": EXAMPLE["execution_log"],
    "started_at": "2026-01-05T09:30:00.000Z",
    "completed_at": "2026-01-05T09:30:01.840Z",
    "status": "success",
}
_ENDED = ["terminated", "already_finished", "cancelled_while_queued", "cancelled_while_paused"]


def _filter(name: str, description: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, description=description, **more)


LIMIT = OpenApiParameter("limit", int, description="How many at most: 1 to 200, 50 if absent.")
_ID = {"type": "string", "format": "uuid"}
BEFORE = OpenApiParameter("before", _ID, description="The last id of the page before: what is older follows.")
_FILTERS = [
    _filter("status", "Only runs in this state.", enum=Execution.Status.values),
    _filter("trigger", "Only runs started by this.", enum=Execution.Trigger.values),
    _filter("triggered_by", "The same as `trigger`.", enum=Execution.Trigger.values),
    _filter("wire", "Only runs that came over this wire.", enum=Wire.values),
    _filter("schedule_id", "Only runs of this schedule.", type=_ID),
    _filter("since", "Only runs made at or after this time (ISO 8601; UTC without a zone).", type=OpenApiTypes.DATETIME),
]

listing = extend_schema(
    operation_id="agent_executions",
    tags=[TAG],
    summary="Runs of an agent, newest first",
    description="Your own; managers of the agent see all. The header `Link` leads to the next page. A bad parameter is 422.",
    parameters=[LIMIT, BEFORE, *_FILTERS],
    responses={
        200: documents.body({"type": "array", "items": SUMMARY}, "The runs, without their large fields.", [SUMMARY_EXAMPLE]),
        **documents.refusals(*_LISTED, "validation_error"),
    },
)
running = extend_schema(
    operation_id="agent_executions_running",
    tags=[TAG],
    summary="Runs that are not over",
    description="Queued, running or paused, newest first.",
    responses={
        200: documents.body(
            properties(executions={"type": "array", "items": SUMMARY}),
            "The runs.",
            {"executions": [{**SUMMARY_EXAMPLE, "status": "running", "completed_at": None, "duration_ms": None}]},
        ),
        **documents.refusals(*_LISTED),
    },
)
execution = extend_schema(
    operation_id="agent_execution",
    tags=[TAG],
    summary="One run: state, answer, tool calls, usage, log",
    description="As `/api/executions/{id}`; a run of another agent is 404.",
    responses={200: documents.body(RUN, "The run.", EXAMPLE), **documents.refusals(*_ONE)},
)
log = extend_schema(
    operation_id="agent_execution_log",
    tags=[TAG],
    summary="What happened in a run",
    description="stream-json objects, the newest 2 000; null while there are none.",
    responses={
        200: documents.body(
            properties(
                execution_id=UUID,
                agent_name=TEXT,
                has_log={"type": "boolean"},
                log=_LOG,
                started_at=TIME,
                completed_at=TIME,
                status=TEXT,
            ),
            "The log.",
            _LOG_EXAMPLE,
        ),
        **documents.refusals(*_ONE),
    },
)
stream = extend_schema(
    operation_id="agent_execution_stream",
    tags=[TAG],
    summary="Watch a run live, from any event on",
    description="As `/api/executions/{id}/stream`; a run of another agent is 404.",
    **stream_answer(*_ONE),
)
terminate = extend_schema(
    operation_id="agent_execution_terminate",
    tags=[TAG],
    summary="Stop a run",
    description="From any process, within a second; text that was written stays. Repeating it is harmless.",
    request=None,
    responses={
        200: documents.body(
            properties(status={"enum": _ENDED}, execution_id=UUID),
            "Stopped, or ended before.",
            {"status": "terminated", "execution_id": EXECUTION_ID},
        ),
        **documents.refusals(*_ONE),
    },
)
