"""How /api/schema and /docs describe what an agent's tools are doing."""

from drf_spectacular.utils import OpenApiParameter, extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, nullable, properties
from chat.protocols.agents_api.documents import COUNT, TEXT, TIME, UUID

TAG = "agents: activity"
_CODES = ("invalid_credentials", "insufficient_scope", "agent_not_found")
_OBJECT = {"type": "object"}
_CALL = properties(
    id=TEXT,
    execution_id=UUID,
    tool=TEXT,
    input=_OBJECT,
    input_summary=TEXT,
    output_summary=nullable("string"),
    duration_ms=nullable("integer"),
    started_at=TIME,
    ended_at=TIME,
    success=nullable("boolean"),
    status={"enum": ["running", "completed"]},
)
_SUMMARY = properties(
    status={"enum": ["running", "idle"]},
    active_tool={"oneOf": [properties(name=TEXT, input_summary=TEXT, started_at=TIME), {"type": "null"}]},
    tool_counts={"type": "object", "additionalProperties": COUNT},
    totals=properties(calls=COUNT, duration_ms=COUNT, started_at=TIME),
    timeline={"type": "array", "items": _CALL},
)
_EXAMPLE = {
    "status": "running",
    "active_tool": {"name": "web_search", "input_summary": "latest", "started_at": "2026-01-05T09:30:02.110Z"},
    "tool_counts": {"web_search": 3},
    "totals": {"calls": 3, "duration_ms": 1900, "started_at": "2026-01-05T09:00:00.000Z"},
    "timeline": [
        {
            "id": "srv_8mZq2LwXc0aT",
            "execution_id": EXECUTION_ID,
            "tool": "web_search",
            "input": {"q": "latest"},
            "input_summary": "latest",
            "output_summary": None,
            "duration_ms": None,
            "started_at": "2026-01-05T09:30:02.110Z",
            "ended_at": None,
            "success": None,
            "status": "running",
        }
    ],
}
_ONE = properties(
    id=TEXT,
    tool=TEXT,
    input=_OBJECT,
    output=nullable("string"),
    duration_ms=nullable("integer"),
    started_at=TIME,
    ended_at=TIME,
    success=nullable("boolean"),
)
_ONE_EXAMPLE = {
    "id": "srv_8mZq2LwXc0aT",
    "tool": "web_search",
    "input": {"q": "latest"},
    "output": "10 results",
    "duration_ms": 640,
    "started_at": "2026-01-05T09:30:02.110Z",
    "ended_at": "2026-01-05T09:30:02.750Z",
    "success": True,
}

summary = extend_schema(
    operation_id="agent_activity",
    tags=[TAG],
    summary="Tool calls of the last 24 hours, and what runs now",
    description="Of your own runs; managers of the agent see all. Counts and totals are of all calls, `timeline` has the newest.",
    parameters=[OpenApiParameter("limit", int, description="How many calls `timeline` has at most: 1 to 200, 50 if absent.")],
    responses={200: documents.body(_SUMMARY, "The summary.", _EXAMPLE), **documents.refusals(*_CODES, "validation_error")},
)
clear = extend_schema(
    operation_id="agent_activity_clear",
    tags=[TAG],
    summary="Hide what is there now from your own summary",
    description="Runs are untouched, and nobody else's summary changes. Repeating it is harmless.",
    request=None,
    responses={
        200: documents.body(
            properties(status={"const": "cleared"}, message=TEXT), "Cleared.", {"status": "cleared", "message": "Activity cleared"}
        ),
        **documents.refusals(*_CODES),
    },
)
tool = extend_schema(
    operation_id="agent_activity_tool",
    tags=[TAG],
    summary="One tool call in full",
    description="For as long as the summary shows it, with its whole input and output.",
    responses={200: documents.body(_ONE, "The call.", _ONE_EXAMPLE), **documents.refusals(*_CODES, "not_found")},
)
