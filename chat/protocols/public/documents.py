"""How /api/schema and /docs describe public links: for managers, and for the visitors who hold one."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, NDJSON, SSE, nullable, properties
from chat.protocols.public.serializers import ChatRequest, CodeRequest, ConfirmRequest, LinkChange, LinkRequest

MANAGING = "public links: for managers"
VISITING = "public links: for visitors"
_TEXT, _COUNT, _FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_ID, _TIME = {"type": "string", "format": "uuid"}, {"type": "string", "format": "date-time"}
_LINK_TOKEN = "Qm3vX8kLp2Rt5wYz7aBcDeFgHiJkN0sU"  # noqa: S105  # an example
_SESSION = "session_2Zk9pQ7rXw4tYb8nCd1eFg3hIj5kLm6oP0uVaSxTyB"
_LINK = properties(
    id=_ID,
    agent=_TEXT,
    token=_TEXT,
    name=nullable("string"),
    link_type={"const": "chat"},
    enabled=_FLAG,
    created_by=nullable("integer"),
    created_at=_TIME,
    expires_at=nullable("string", format="date-time"),
    max_messages=nullable("integer"),
    url={"type": "string", "format": "uri"},
    external_url=nullable("string"),
    usage_stats=properties(total_messages=_COUNT, unique_visitors=_COUNT, last_used_at=nullable("string", format="date-time")),
)
_LINK_EXAMPLE: dict[str, Any] = {
    "id": "e1d2c3b4-a596-4877-8695-a4b3c2d1e0f9",
    "agent": "support",
    "token": _LINK_TOKEN,
    "name": "Website",
    "link_type": "chat",
    "enabled": True,
    "created_by": 7,
    "created_at": "2026-01-05T09:00:00.000Z",
    "expires_at": None,
    "max_messages": None,
    "url": f"https://agents.example.com/chat/{_LINK_TOKEN}",
    "external_url": None,
    "usage_stats": {"total_messages": 12, "unique_visitors": 3, "last_used_at": "2026-01-05T09:30:00.000Z"},
}
_MANAGED = ("invalid_credentials", "insufficient_scope", "manager_required", "agent_not_found")
_ONE = (*_MANAGED, "not_found")
_WRITTEN = ("invalid_json", "invalid_request", "unsupported_media_type", "validation_error")
_VISITED = ("link_invalid", "rate_limited", "store_unavailable")
_VERIFIED = ("session_token_required", "session_token_invalid")

links = extend_schema(
    operation_id="public_links",
    tags=[MANAGING],
    summary="The public links of an agent",
    description="Newest first, with how much they were used.",
    responses={200: documents.body({"type": "array", "items": _LINK}, "The links.", [_LINK_EXAMPLE]), **documents.refusals(*_MANAGED)},
)
make_link = extend_schema(
    operation_id="public_link_create",
    tags=[MANAGING],
    summary="Make a public link",
    description="Whoever has its address may chat with the agent, without an account, until it ends, is switched off or is deleted.",
    request=LinkRequest,
    responses={201: documents.body(_LINK, "The link.", _LINK_EXAMPLE), **documents.refusals(*_MANAGED, *_WRITTEN)},
)
link = extend_schema(
    operation_id="public_link",
    tags=[MANAGING],
    summary="One public link",
    description="With its address and how much it was used.",
    responses={200: documents.body(_LINK, "The link.", _LINK_EXAMPLE), **documents.refusals(*_ONE)},
)
_CHANGE: dict[str, Any] = {
    "tags": [MANAGING],
    "summary": "Change a public link",
    "description": "What is left out stays as it is; null takes away the end or the limit. The token never changes.",
    "request": LinkChange,
    "responses": {200: documents.body(_LINK, "The link as it is now.", _LINK_EXAMPLE), **documents.refusals(*_ONE, *_WRITTEN)},
}
change_link = extend_schema(operation_id="public_link_change", **_CHANGE)
replace_link = extend_schema(operation_id="public_link_put", **_CHANGE)
delete_link = extend_schema(
    operation_id="public_link_delete",
    tags=[MANAGING],
    summary="Delete a public link",
    description="Its token is dead at once. What was said through it stays for managers.",
    responses={204: None, **documents.refusals(*_ONE)},
)

_SESSION_QUERY = [
    OpenApiParameter("session_id", str, description="As an answer of `chat` gave it."),
    OpenApiParameter("session_token", str, description="Of a verified visitor, where the link requires it."),
]
_RENDER = OpenApiParameter("render", str, enum=["html"], description="Markdown also as sanitised HTML, as our own page shows it.")

info = extend_schema(
    operation_id="public_link_info",
    tags=[VISITING],
    summary="Is this link valid, and who answers?",
    description="Always 200: a link that is not valid says so.",
    auth=[],
    responses={
        200: documents.body(
            properties(
                valid=_FLAG,
                require_email=_FLAG,
                agent_available=_FLAG,
                reason=nullable("string"),
                agent_display_name=nullable("string"),
                agent_description=nullable("string"),
                is_autonomous=_FLAG,
                is_read_only=_FLAG,
            ),
            "What is known of the link.",
            {
                "valid": True,
                "require_email": False,
                "agent_available": True,
                "reason": None,
                "agent_display_name": "Support",
                "agent_description": "Answers questions about orders",
                "is_autonomous": False,
                "is_read_only": False,
            },
        ),
        **documents.refusals("rate_limited", "store_unavailable"),
    },
)
_ANSWER = properties(
    response=_TEXT,
    session_id=nullable("string"),
    message_count=_COUNT,
    usage={"type": "null"},
    execution_id=_ID,
    session_restarted=_FLAG,
)
_ANSWER["properties"]["status"] = {"const": "paused", "description": "Only while the agent waits for an approval."}
_ACCEPTED = properties(
    status={"const": "accepted"}, execution_id=_ID, agent_name=_TEXT, session_id=nullable("string"), async_mode={"const": True}
)
_STREAM = (
    f'id: 1\ndata: {{"type":"system","subtype":"init","seq":1,"session_id":"{_SESSION}","execution_id":"{EXECUTION_ID}",'
    '"tools":[],"mcp_servers":[]}\n\n'
    f'id: 3\ndata: {{"type":"stream_event","seq":3,"session_id":"{_SESSION}","event":{{"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Hello! We open"}}}\n\n'
    'id: 6\ndata: {"type":"stream_end"}\n\n'
)
_LINES = "\n".join(line.removeprefix("data: ") for line in _STREAM.splitlines() if line.startswith("data: "))
chat = extend_schema(
    operation_id="public_chat",
    tags=[VISITING],
    summary="Send a message through a link",
    description=(
        "The answer's `session_id` continues the conversation. `Accept: text/event-stream` or `application/x-ndjson` (or `?stream=sse`, "
        "`?stream=ndjson`) gives stream-json, without tool inputs and outputs, costs, usage and model names."
    ),
    auth=[],
    parameters=[
        documents.IDEMPOTENCY_KEY,
        OpenApiParameter("stream", str, enum=["sse", "ndjson", "true", "false"], description="As the body's `stream`, with the form."),
        OpenApiParameter("partial", bool, description="false: finished steps only, no text as it is written."),
        _RENDER,
    ],
    request=ChatRequest,
    responses={
        200: documents.body(
            _ANSWER,
            "The whole answer.",
            {
                "response": "Hello! We open at 9.",
                "session_id": _SESSION,
                "message_count": 2,
                "usage": None,
                "execution_id": EXECUTION_ID,
                "session_restarted": False,
            },
        ),
        (200, SSE): documents.event_stream("One JSON object per frame; the last is `stream_end`.", _STREAM),
        (200, NDJSON): documents.lines("One JSON object per line.", _LINES, NDJSON),
        202: documents.body(
            _ACCEPTED,
            "With `async_mode`: ask for the status, or follow the stream.",
            {"status": "accepted", "execution_id": EXECUTION_ID, "agent_name": "support", "session_id": _SESSION, "async_mode": True},
        ),
        **documents.refusals(
            *_WRITTEN,
            *_VISITED,
            *_VERIFIED,
            "request_in_progress",
            "session_busy",
            "request_too_large",
            "idempotency_key_reused",
            "quota_exhausted",
            "queue_full",
            "session_queue_full",
            "internal_error",
            "run_failed",
            "provider_error",
            "agent_not_running",
            "provider_unavailable",
            "shutting_down",
            "timeout",
        ),
    },
)
history = extend_schema(
    operation_id="public_history",
    tags=[VISITING],
    summary="What was said",
    description="The newest 100 messages, oldest first; empty for a conversation that is not known.",
    auth=[],
    parameters=[*_SESSION_QUERY, _RENDER],
    responses={
        200: documents.body(
            properties(
                messages={
                    "type": "array",
                    "items": properties(role={"enum": ["user", "assistant"]}, content=_TEXT, timestamp=_TIME),
                },
                session_id=nullable("string"),
                message_count=_COUNT,
            ),
            "The conversation.",
            {
                "messages": [{"role": "user", "content": "When do you open?", "timestamp": "2026-01-05T09:30:00.000Z"}],
                "session_id": _SESSION,
                "message_count": 1,
            },
        ),
        **documents.refusals("validation_error", *_VISITED, *_VERIFIED),
    },
)
clear = extend_schema(
    operation_id="public_session_clear",
    tags=[VISITING],
    summary="Begin a new conversation",
    description="The old one can't be read by the visitor any more.",
    auth=[],
    parameters=_SESSION_QUERY,
    responses={
        200: documents.body(
            properties(cleared={"const": True}, new_session_id=nullable("string")),
            "The next message begins anew.",
            {"cleared": True, "new_session_id": _SESSION},
        ),
        **documents.refusals("invalid_request", *_VISITED, *_VERIFIED),
    },
)
status = extend_schema(
    operation_id="public_execution_status",
    tags=[VISITING],
    summary="What became of a message",
    description="Runs of this link and this conversation only.",
    auth=[],
    parameters=_SESSION_QUERY,
    responses={
        200: documents.body(
            properties(execution_id=_ID, status=_TEXT, response=nullable("string"), error=nullable("string")),
            "The run.",
            {"execution_id": EXECUTION_ID, "status": "success", "response": "Hello! We open at 9.", "error": None},
        ),
        **documents.refusals(*_VISITED, *_VERIFIED, "execution_not_found"),
    },
)
stream = extend_schema(
    operation_id="public_execution_stream",
    tags=[VISITING],
    summary="Follow an answer, from any event on",
    description="stream-json as visitors may see it; a finished run is replayed and ends.",
    auth=[],
    parameters=[*_SESSION_QUERY, documents.LAST_EVENT_ID, documents.AFTER, _RENDER],
    responses={
        (200, SSE): documents.event_stream("One JSON object per frame; the last is `stream_end`.", _STREAM),
        **documents.refusals("validation_error", "invalid_request", *_VISITED, *_VERIFIED, "execution_not_found"),
    },
)
terminate = extend_schema(
    operation_id="public_execution_terminate",
    tags=[VISITING],
    summary="Stop an answer",
    description="What was written stays. Repeating it is harmless.",
    auth=[],
    request=None,
    parameters=_SESSION_QUERY,
    responses={
        200: documents.body(
            properties(
                status={"enum": ["terminated", "cancelled_while_queued", "cancelled_while_paused", "already_finished"]}, execution_id=_ID
            ),
            "Stopped, or ended before.",
            {"status": "terminated", "execution_id": EXECUTION_ID},
        ),
        **documents.refusals(*_VISITED, *_VERIFIED, "execution_not_found"),
    },
)
request_code = extend_schema(
    operation_id="public_verify_request",
    tags=[VISITING],
    summary="Ask for a one-time code by e-mail",
    description="The answer is the same for any address. A new code voids those before; three in ten minutes.",
    auth=[],
    request=CodeRequest,
    responses={
        200: documents.body(
            properties(message=_TEXT, expires_in_seconds=_COUNT),
            "The code is on its way.",
            {"message": "Verification code sent", "expires_in_seconds": 600},
        ),
        **documents.refusals(*_WRITTEN, *_VISITED, "email_unavailable"),
    },
)
confirm_code = extend_schema(
    operation_id="public_verify_confirm",
    tags=[VISITING],
    summary="Prove an e-mail address with its code",
    description="A code serves once; five wrong tries void it.",
    auth=[],
    request=ConfirmRequest,
    responses={
        200: documents.body(
            {
                "anyOf": [
                    properties(verified={"const": True}, session_token=_TEXT, expires_at=_TIME),
                    properties(verified={"const": False}, error={"enum": ["invalid_code", "code_expired"]}),
                ]
            },
            "Verified for 24 hours, or not.",
            {"verified": True, "session_token": "kJ8sW2vQx0Zr5tYb7NcD1eFg3HiL6mPo9RuTaXwVyB4", "expires_at": "2026-01-06T09:30:00.000Z"},
        ),
        **documents.refusals(*_WRITTEN, *_VISITED),
    },
)
page = extend_schema(exclude=True)
