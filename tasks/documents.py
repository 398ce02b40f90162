"""How /api/schema and /docs describe schedules and webhooks."""

from typing import Any, Protocol, TypeVar, cast

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view

from chat import documents
from chat.documents import EXECUTION_ID, IDEMPOTENCY_KEY, nullable, properties
from chat.protocols.agents_api.documents import SUMMARY, SUMMARY_EXAMPLE
from chat.protocols.agents_api.executions_documents import BEFORE, LIMIT
from tasks.serializers import WINDOWS, NewSchedule, ScheduleChange, WebhookBody

SCHEDULES = "schedules: an agent asked by the clock"
WEBHOOKS = "webhooks: an agent asked by a call"
TEXT, COUNT, TIME = {"type": "string"}, {"type": "integer"}, nullable("string", format="date-time")
UUID = {"type": "string", "format": "uuid"}
SCHEDULE_ID = "c3f1d2e4-5a6b-4c7d-8e9f-0a1b2c3d4e5f"

_SCHEDULE = properties(
    id=UUID,
    agent_name=TEXT,
    name=TEXT,
    cron_expression=nullable("string"),
    run_at=TIME,
    message=TEXT,
    enabled={"type": "boolean"},
    timezone=TEXT,
    description=nullable("string"),
    timeout_seconds=nullable("integer"),
    allowed_tools={"type": ["array", "null"], "items": TEXT},
    model=nullable("string"),
    max_retries=COUNT,
    retry_delay_seconds=COUNT,
    session_id=nullable("string"),
    workflow=nullable("string"),
    params=nullable("object"),
    created_at=TIME,
    updated_at=TIME,
    last_run_at=TIME,
    next_run_at=nullable("string", format="date-time", description="null while it is disabled."),
)
_SCHEDULE_EXAMPLE = {
    "id": SCHEDULE_ID,
    "agent_name": "analyst",
    "name": "Monday report",
    "cron_expression": "0 9 * * 1",
    "run_at": None,
    "message": "Weekly report",
    "enabled": True,
    "timezone": "Europe/Oslo",
    "description": None,
    "timeout_seconds": None,
    "allowed_tools": None,
    "model": None,
    "max_retries": 0,
    "retry_delay_seconds": 60,
    "session_id": None,
    "workflow": None,
    "params": None,
    "created_at": "2026-01-02T10:00:00.000Z",
    "updated_at": "2026-01-02T10:00:00.000Z",
    "last_run_at": None,
    "next_run_at": "2026-01-05T08:00:00.000Z",
}
_RUN_EXAMPLE = {**SUMMARY_EXAMPLE, "trigger": "schedule", "triggered_by": "schedule", "wire": None, "schedule_id": SCHEDULE_ID}
_TRIGGERED = properties(
    status={"const": "triggered"},
    execution_id=UUID,
    schedule_id=nullable("string"),
    schedule_name=nullable("string"),
    agent_name=TEXT,
    message=TEXT,
)
_TRIGGERED_EXAMPLE = {
    "status": "triggered",
    "execution_id": EXECUTION_ID,
    "schedule_id": SCHEDULE_ID,
    "schedule_name": "Monday report",
    "agent_name": "analyst",
    "message": "Schedule triggered",
}
_ANALYTICS = properties(
    window_hours={"enum": list(WINDOWS)},
    total=COUNT,
    success=COUNT,
    failed=COUNT,
    skipped=COUNT,
    success_rate=nullable("number", description="Of the runs that ended well or badly, 0 to 1; null without runs."),
    p50_ms=nullable("integer"),
    p95_ms=nullable("integer"),
    p99_ms=nullable("integer"),
    total_cost=nullable("number"),
)
_ANALYTICS_EXAMPLE = {
    "window_hours": 168,
    "total": 7,
    "success": 6,
    "failed": 1,
    "skipped": 0,
    "success_rate": 0.8571,
    "p50_ms": 8420,
    "p95_ms": 12100,
    "p99_ms": 12100,
    "total_cost": 0.21,
}
_WEBHOOK = properties(
    schedule_id=nullable("string"),
    has_token={"type": "boolean"},
    webhook_enabled={"type": "boolean"},
    webhook_url=nullable("string"),
    auth_enabled={"type": "boolean"},
    has_secret={"type": "boolean"},
    signing_secret=nullable("string", description="Only in the answer that made it."),
)
_WEBHOOK_EXAMPLE = {
    "schedule_id": SCHEDULE_ID,
    "has_token": True,
    "webhook_enabled": True,
    "webhook_url": "https://agents.example.com/api/webhooks/kJ8sW2vQx0Zr5tYb7NcD1eFg3HiL6mPo9RuTaXwVyB4",
    "auth_enabled": True,
    "has_secret": True,
    "signing_secret": None,
}
_BY_MANAGER = ("invalid_credentials", "insufficient_scope", "manager_required", "agent_not_found")
_OF_ONE = (*_BY_MANAGER, "schedule_not_found")
_CHECKED = (
    "invalid_json", "invalid_request", "invalid_cron", "invalid_timezone", "schedule_timeout_exceeds_agent_cap", "session_not_found",
    "request_too_large", "unsupported_media_type", "validation_error", "model_not_allowed",
)  # fmt: skip
_STARTING = ("invalid_request", "idempotency_key_reused", "request_in_progress", "queue_full", "agent_not_running", "store_unavailable")


Told = TypeVar("Told")


class Decorator(Protocol):
    """Describes a method, or a view, and gives it back."""

    def __call__(self, told: Told, /) -> Told: ...


def _operation(tag: str, operation_id: str, summary: str, answers: dict[Any, Any], description: str = "", **more: Any) -> Decorator:
    told = extend_schema(operation_id=operation_id, tags=[tag], summary=summary, description=description, responses=answers, **more)
    return cast(Decorator, told)


def _one(description: str, *codes: str, status: int = 200) -> dict[Any, Any]:
    return {status: documents.body(_SCHEDULE, description, _SCHEDULE_EXAMPLE), **documents.refusals(*codes)}


def _switched(status: str) -> dict[Any, Any]:
    answer = documents.body(properties(status={"const": status}, schedule_id=UUID), "Done.", {"status": status, "schedule_id": SCHEDULE_ID})
    return {200: answer, **documents.refusals(*_OF_ONE)}


def _list(item: dict[str, Any], description: str, example: dict[str, Any], *codes: str) -> dict[Any, Any]:
    return {200: documents.body({"type": "array", "items": item}, description, [example]), **documents.refusals(*codes)}


_WHEN = "`cron_expression` has five fields (minute, hour, day of month, month, day of week; 0 and 7 are Sunday) and is read in `timezone`."

schedules = _operation(
    SCHEDULES, "schedules", "Schedules of an agent, by name", _list(_SCHEDULE, "All of them.", _SCHEDULE_EXAMPLE, *_BY_MANAGER)
)
schedule_create = _operation(
    SCHEDULES,
    "schedule_create",
    "Have an agent asked at certain times",
    _one("Stored.", *_BY_MANAGER, *_CHECKED, status=201),
    f"Exactly one of `cron_expression` and `run_at`. {_WHEN} Runs happen in your name.",
    request=NewSchedule,
)
schedule = _operation(SCHEDULES, "schedule", "One schedule", _one("The schedule.", *_OF_ONE))
schedule_patch = _operation(
    SCHEDULES,
    "schedule_change",
    "Change a schedule",
    _one("As it is now.", *_OF_ONE, *_CHECKED),
    "Absent fields stay, null clears an optional one.",
    request=ScheduleChange,
)
schedule_put = _operation(
    SCHEDULES,
    "schedule_replace",
    "Change a schedule (the same as PATCH)",
    _one("As it is now.", *_OF_ONE, *_CHECKED),
    "Absent fields stay, null clears an optional one.",
    request=ScheduleChange,
)
schedule_delete = _operation(
    SCHEDULES,
    "schedule_delete",
    "Delete a schedule",
    {204: OpenApiResponse(description="Gone."), **documents.refusals(*_OF_ONE)},
    "Its runs stay, its webhook is dead.",
)
schedule_enable = _operation(SCHEDULES, "schedule_enable", "Switch a schedule on", _switched("enabled"), request=None)
schedule_disable = _operation(SCHEDULES, "schedule_disable", "Switch a schedule off", _switched("disabled"), request=None)
schedule_trigger = _operation(
    SCHEDULES,
    "schedule_trigger",
    "Run a schedule now",
    {
        202: documents.body(_TRIGGERED, "Accepted; watch the execution.", _TRIGGERED_EXAMPLE),
        **documents.refusals(*_OF_ONE, *_STARTING),
    },
    "Also while it is disabled. Its next run stays where it is.",
    request=None,
    parameters=[IDEMPOTENCY_KEY],
)
schedule_executions = _operation(
    SCHEDULES,
    "schedule_executions",
    "Runs of a schedule, newest first",
    _list(SUMMARY, "Runs, retries and skipped ones too.", _RUN_EXAMPLE, *_OF_ONE, "validation_error"),
    "Skipped runs say why in `error_code`: overlap, missed, agent_not_running, owner_lost_access, session_not_found, queue_full.",
    parameters=[LIMIT, BEFORE],
)
schedule_analytics = _operation(
    SCHEDULES,
    "schedule_analytics",
    "What became of a schedule's runs",
    {
        200: documents.body(_ANALYTICS, "Counts, rate, percentiles, cost.", _ANALYTICS_EXAMPLE),
        **documents.refusals(*_OF_ONE, "validation_error"),
    },
    parameters=[OpenApiParameter("window_hours", int, enum=list(WINDOWS), description="Otherwise 168.")],
)


def _hook(example: dict[str, Any], *codes: str) -> dict[Any, Any]:
    return {200: documents.body(_WEBHOOK, "The webhook.", example), **documents.refusals(*codes)}


def _of(owner: str, prefix: str, example: dict[str, Any], *codes: str) -> tuple[Decorator, Decorator]:
    """Descriptions of the two views of a webhook: its address, and its secret."""
    made = {**example, "signing_secret": "whsec_shown_only_in_this_answer"}
    gone = {**example, "has_token": False, "webhook_enabled": False, "webhook_url": None, "auth_enabled": False, "has_secret": False}
    unsigned = {**example, "auth_enabled": False, "has_secret": False}
    rotates = "The address there was is dead at once, and signing is off."
    signing = "Callers then sign each body: HMAC-SHA256 in X-Switchboard-Signature. Asked again, the secret is a new one."
    address = extend_schema_view(
        get=_operation(WEBHOOKS, f"{prefix}_webhook", f"The webhook of {owner}", _hook(example, *codes)),
        post=_operation(
            WEBHOOKS, f"{prefix}_webhook_mint", f"Give {owner} a new webhook address", _hook(unsigned, *codes), rotates, request=None
        ),
        delete=_operation(WEBHOOKS, f"{prefix}_webhook_revoke", f"Revoke the webhook of {owner}", _hook(gone, *codes)),
    )
    secret = extend_schema_view(
        post=_operation(
            WEBHOOKS,
            f"{prefix}_webhook_sign",
            f"Ask callers of the webhook of {owner} for signatures",
            _hook(made, *codes, "no_webhook_url"),
            signing,
            request=None,
        ),
        delete=_operation(
            WEBHOOKS,
            f"{prefix}_webhook_unsign",
            f"Take calls of the webhook of {owner} without signatures",
            _hook(unsigned, *codes, "no_webhook_url"),
        ),
    )
    return cast(Decorator, address), cast(Decorator, secret)


schedule_webhook, schedule_webhook_secret = _of("a schedule", "schedule", _WEBHOOK_EXAMPLE, *_OF_ONE)
agent_webhook, agent_webhook_secret = _of("an agent", "agent", {**_WEBHOOK_EXAMPLE, "schedule_id": None}, *_BY_MANAGER)
webhook_call = _operation(
    WEBHOOKS,
    "webhook_call",
    "Start a run by its webhook address",
    {
        202: documents.body(_TRIGGERED, "Accepted.", _TRIGGERED_EXAMPLE),
        **documents.refusals("invalid_json", "invalid_signature", "not_found", "request_too_large", "validation_error", "rate_limited"),
        **documents.refusals(*_STARTING),
    },
    "The body is optional; any other JSON object is taken as context as a whole. With signing on, X-Switchboard-Signature (or "
    "X-Hub-Signature-256) is `sha256=` and the hex HMAC-SHA256 of the body; with X-Switchboard-Timestamp (unix seconds) of "
    "`<timestamp>.<body>`, no older than 300 seconds. An agent's own webhook needs `context`: it is the message.",
    auth=[],
    request=WebhookBody,
    parameters=[
        IDEMPOTENCY_KEY,
        OpenApiParameter("X-Switchboard-Signature", str, OpenApiParameter.HEADER),
        OpenApiParameter("X-Switchboard-Timestamp", int, OpenApiParameter.HEADER),
    ],
)
