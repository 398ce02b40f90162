"""Pieces of the OpenAPI description that all native wires share; each room's documents.py stands beside its views."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from agents.errors import CODES

REQUEST_ID = "req_5f0c2b7e9a1d4c3f"
SESSION_ID = "8b1f2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
EXECUTION_ID = "0b5c1f7e-3d0a-4a52-9a51-0f6a0c1d2e3f"

COMPONENTS: Mapping[str, Any] = {
    "FieldProblem": {
        "type": "object",
        "required": ["type", "loc", "msg"],
        "properties": {
            "type": {"type": "string"},
            "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
            "msg": {"type": "string"},
        },
    },
    "Error": {
        "type": "object",
        "required": ["detail", "code", "request_id"],
        "properties": {
            "detail": {
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/FieldProblem"}}],
                "description": "A sentence; for 422 a list.",
            },
            "code": {"type": "string", "description": "Stable; branch on this."},
            "request_id": {"type": "string", "description": "Also in X-Request-Id and in the server's logs."},
        },
    },
}
"""Schemas that many answers refer to; config.schema puts them into the description."""
ERROR = {"$ref": "#/components/schemas/Error"}
_FIELD_PROBLEMS = [{"type": "string_too_short", "loc": ["body", "message"], "msg": "must not be empty"}]

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="1 to 255 visible ASCII characters. The same request sent again with the same key is answered without a second run.",
)
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID", int, OpenApiParameter.HEADER, description="The last `id:` that was seen; the stream goes on after it. Beats `after`."
)
AFTER = OpenApiParameter("after", int, description="As Last-Event-ID, for clients that can't set headers.")


def refusals(*codes: str) -> dict[Any, Any]:
    """Responses for error codes, grouped by status, each with its envelope as an example."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    return {status: _refusal(found) for status, found in sorted(by_status.items())}


def _refusal(codes: list[str]) -> OpenApiResponse:
    told = ", ".join(f"`{code}`" for code in codes)
    return OpenApiResponse(dict(ERROR), description=told, examples=[_example(code) for code in codes])


def _example(code: str) -> OpenApiExample:
    detail: Any = _FIELD_PROBLEMS if code == "validation_error" else CODES[code][1]
    return OpenApiExample(code, {"detail": detail, "code": code, "request_id": REQUEST_ID}, response_only=True)


def body(schema: Mapping[str, Any], description: str, example: Any) -> OpenApiResponse:
    """An answer with its schema and one example."""
    return OpenApiResponse(dict(schema), description=description, examples=[OpenApiExample("answer", example, response_only=True)])


def event_stream(description: str, example: str) -> OpenApiResponse:
    """Server-Sent Events, shown as text."""
    return OpenApiResponse({"type": "string"}, description=description, examples=[OpenApiExample("stream", example, media_type=SSE)])


def lines(description: str, example: str, media_type: str) -> OpenApiResponse:
    """An answer that is text of some type."""
    return OpenApiResponse({"type": "string"}, description=description, examples=[OpenApiExample("text", example, media_type=media_type)])


SSE, NDJSON = "text/event-stream", "application/x-ndjson"
EACH_TURN = (
    "invalid_json", "invalid_request", "invalid_credentials", "insufficient_scope", "agent_not_found", "session_busy",
    "request_in_progress", "request_too_large", "unsupported_media_type", "validation_error", "idempotency_key_reused",
    "rate_limited", "budget_exhausted", "queue_full", "session_queue_full", "internal_error", "run_failed", "max_steps_reached",
    "provider_error", "agent_not_running", "provider_unavailable", "store_unavailable", "shutting_down", "timeout",
)  # fmt: skip
"""Codes that every call that starts a run may answer with (R3)."""


def properties(**named: Any) -> dict[str, Any]:
    """An object of which every property is always there."""
    return {"type": "object", "required": list(named), "properties": named}


def nullable(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **more}
