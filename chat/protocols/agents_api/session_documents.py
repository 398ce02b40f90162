"""How /api/schema and /docs describe sessions and history."""

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, SESSION_ID, nullable, properties
from chat.protocols.agents_api.chat_documents import COUNT, ENDED, MONEY, REFUSED, STARTED, TEXT, TIME, UUID, array, choice
from chat.protocols.agents_api.chat_requests import FeedbackRequest, TitleRequest

TAG = "agents: sessions and history"
MESSAGE_ID = "5d3a8f10-1c2b-4d5e-9f60-718293a4b5c6"
_LIMIT = OpenApiParameter("limit", int, description="How many at most.")
_BEFORE = OpenApiParameter("before", UUID, description="The id that the page before ended with; the header `Link` has it.")
_CALL = properties(
    id=TEXT, tool=TEXT, input={"type": "object"}, output=nullable("string"), success=nullable("boolean"), duration_ms=nullable("integer")
)
_CALL_EXAMPLE = {
    "id": "toolu_1",
    "tool": "web_search",
    "input": {"q": "latest"},
    "output": "10 results",
    "success": True,
    "duration_ms": 640,
}
_SESSION = properties(
    id=UUID,
    agent_name=TEXT,
    user_id=nullable("integer"),
    user_email=nullable("string"),
    started_at=TIME,
    last_message_at=TIME,
    message_count=COUNT,
    total_cost=nullable("number"),
    total_context_used=COUNT,
    total_context_max=COUNT,
    status=choice("active", "closed"),
    title=TEXT,
    wire=TEXT,
)
_SESSION_EXAMPLE = {
    "id": SESSION_ID,
    "agent_name": "analyst",
    "user_id": 7,
    "user_email": "owner@example.com",
    "started_at": STARTED,
    "last_message_at": ENDED,
    "message_count": 6,
    "total_cost": 0.0456,
    "total_context_used": 2610,
    "total_context_max": 200000,
    "status": "active",
    "title": "Latest findings",
    "wire": "agents",
}
_FILE = properties(name=TEXT, mimetype=nullable("string"), attachment_id=nullable("string"))
_MESSAGE = properties(
    id=UUID,
    session_id=UUID,
    agent_name=TEXT,
    user_id=nullable("integer"),
    user_email=nullable("string"),
    role=choice("user", "assistant"),
    content=TEXT,
    timestamp=TIME,
    status=choice("pending", "done", "failed", "cancelled"),
    incomplete={"type": "boolean"},
    source=choice("text", "voice", "task"),
    execution_id=nullable("string", format="uuid"),
    cost=nullable("number"),
    context_used=nullable("integer"),
    context_max=nullable("integer"),
    output_tokens=nullable("integer"),
    execution_time_ms=nullable("integer"),
    tool_calls=array(_CALL),
    files=array(_FILE),
    rating=nullable("integer"),
)
_PLACED = properties(
    **_MESSAGE["properties"],
    parent_id=nullable("string", format="uuid", description="The message before it in its branch."),
    active={"type": "boolean", "description": "false: left by a branch."},
)
_MESSAGE_EXAMPLE = {
    "id": MESSAGE_ID,
    "session_id": SESSION_ID,
    "agent_name": "analyst",
    "user_id": 7,
    "user_email": "owner@example.com",
    "role": "assistant",
    "content": "Three findings stand out.",
    "timestamp": ENDED,
    "status": "done",
    "incomplete": False,
    "source": "text",
    "execution_id": EXECUTION_ID,
    "cost": 0.0123,
    "context_used": 2610,
    "context_max": 200000,
    "output_tokens": 310,
    "execution_time_ms": 8420,
    "tool_calls": [_CALL_EXAMPLE],
    "files": [],
    "rating": None,
}
_PLACED_EXAMPLE = {**_MESSAGE_EXAMPLE, "parent_id": "1c2d3e4f-5a6b-4c7d-8e9f-0a1b2c3d4e5f", "active": True}
sessions = extend_schema(
    operation_id="agent_sessions",
    tags=[TAG],
    summary="Your conversations with an agent",
    description="The one used last first. A search looks through titles and texts, some thousand conversations at a time: follow `Link`.",
    parameters=[
        OpenApiParameter("status", enum=["active", "closed"], description="Only those that are open, or closed."),
        OpenApiParameter("q", str, description="Words of the title or of what was said."),
        OpenApiParameter("user", enum=["all"], description="Everybody's, for managers of the agent."),
        _LIMIT,
        _BEFORE,
    ],
    responses={
        200: documents.body(
            properties(agent_name=TEXT, session_count=COUNT, sessions=array(_SESSION)),
            "A page of them.",
            {"agent_name": "analyst", "session_count": 1, "sessions": [_SESSION_EXAMPLE]},
        ),
        **documents.refusals(*REFUSED, "manager_required", "validation_error"),
    },
)
session = extend_schema(
    operation_id="agent_session",
    tags=[TAG],
    summary="One conversation with its messages",
    description="The newest messages, oldest first.",
    parameters=[
        OpenApiParameter("render", enum=["html"], description="Also the parts of each message in order, texts as sanitised HTML."),
        OpenApiParameter("branch", enum=["active", "all"], description="all: also what was left by edits and repeated answers."),
        _LIMIT,
        _BEFORE,
    ],
    responses={
        200: documents.body(
            properties(session=_SESSION, message_count=COUNT, messages=array(_PLACED)),
            "The conversation.",
            {"session": _SESSION_EXAMPLE, "message_count": 1, "messages": [_PLACED_EXAMPLE]},
        ),
        **documents.refusals(*REFUSED, "session_not_found", "validation_error"),
    },
)
rename = extend_schema(
    operation_id="agent_session_rename",
    tags=[TAG],
    summary="Give a conversation a title",
    request=TitleRequest,
    responses={
        200: documents.body(_SESSION, "The conversation.", _SESSION_EXAMPLE),
        **documents.refusals("invalid_json", *REFUSED, "session_not_found", "validation_error"),
    },
)
title = extend_schema(
    operation_id="agent_session_title",
    tags=[TAG],
    summary="Have the agent name a conversation",
    description="A short call of the agent's model after the first answer. A title that somebody gave stays, and so do the first words if "
    "the call fails.",
    request=None,
    responses={
        200: documents.body(_SESSION, "The conversation.", _SESSION_EXAMPLE),
        **documents.refusals(*REFUSED, "session_not_found"),
    },
)
delete = extend_schema(
    operation_id="agent_session_delete",
    tags=[TAG],
    summary="Delete a conversation for good",
    description="A running turn is cancelled first. Executions keep their numbers, without text.",
    responses={204: OpenApiResponse(description="It is gone."), **documents.refusals(*REFUSED, "session_not_found", "session_busy")},
)
close = extend_schema(
    operation_id="agent_session_close",
    tags=[TAG],
    summary="Close a conversation",
    description="Your next message opens another. It stays readable, and a message that names it opens it again.",
    request=None,
    responses={
        200: documents.body(
            properties(status={"const": "closed"}, session_id=UUID), "Closed.", {"status": "closed", "session_id": SESSION_ID}
        ),
        **documents.refusals(*REFUSED, "session_not_found"),
    },
)
export = extend_schema(
    operation_id="agent_session_export",
    tags=[TAG],
    summary="Download a conversation",
    parameters=[OpenApiParameter("format", enum=["json", "md"], description="JSON with every branch, or Markdown.")],
    responses={
        (200, "application/json"): documents.body(
            properties(session=_SESSION, messages=array(_PLACED)),
            "The whole conversation.",
            {"session": _SESSION_EXAMPLE, "messages": [_PLACED_EXAMPLE]},
        ),
        (200, "text/markdown"): documents.lines("To read.", "# Latest findings\n", "text/markdown"),
        **documents.refusals(*REFUSED, "session_not_found", "validation_error"),
    },
)
feedback = extend_schema(
    operation_id="agent_message_feedback",
    tags=[TAG],
    summary="Say what an answer was worth",
    request=FeedbackRequest,
    responses={
        200: documents.body(
            properties(message_id=UUID, rating=nullable("integer"), comment=nullable("string")),
            "Kept.",
            {"message_id": MESSAGE_ID, "rating": 1, "comment": None},
        ),
        **documents.refusals("invalid_json", *REFUSED, "message_not_found", "validation_error"),
    },
)
persistent = extend_schema(
    operation_id="agent_history_persistent",
    tags=[TAG],
    summary="What was said in all your conversations with an agent",
    description="Newest first; survives restarts and closed sessions.",
    parameters=[
        _LIMIT, _BEFORE, OpenApiParameter("user_filter", bool, description="false: everybody's, for managers of the agent."),
    ],
    responses={
        200: documents.body(
            properties(agent_name=TEXT, message_count=COUNT, messages=array(_MESSAGE)),
            "A page of messages.",
            {"agent_name": "analyst", "message_count": 1, "messages": [_MESSAGE_EXAMPLE]},
        ),
        **documents.refusals(*REFUSED, "manager_required", "validation_error"),
    },
)  # fmt: skip
_BRIEF = properties(role=choice("user", "assistant"), content=TEXT, timestamp=TIME)
history = extend_schema(
    operation_id="agent_history",
    tags=[TAG],
    summary="What was said in your current conversation",
    description="Oldest first; an empty array when there is none.",
    responses={
        200: documents.body(array(_BRIEF), "Messages.", [{"role": "user", "content": "What changed?", "timestamp": STARTED}]),
        **documents.refusals(*REFUSED),
    },
)
_EMPTY = properties(total_cost_usd=MONEY, context_tokens=COUNT, context_window=COUNT, message_count=COUNT)
reset = extend_schema(
    operation_id="agent_history_reset",
    tags=[TAG],
    summary="Begin anew",
    description="Closes your current conversation; what was said stays readable.",
    responses={
        200: documents.body(
            properties(status={"const": "cleared"}, session_reset={"type": "boolean"}, session=_EMPTY),
            "Your next message opens a new conversation.",
            {
                "status": "cleared",
                "session_reset": True,
                "session": {"total_cost_usd": 0.0, "context_tokens": 0, "context_window": 200000, "message_count": 0},
            },
        ),
        **documents.refusals(*REFUSED),
    },
)
current = extend_schema(
    operation_id="agent_session_current",
    tags=[TAG],
    summary="Your current conversation in numbers",
    responses={
        200: documents.body(
            properties(
                session_id=nullable("string", format="uuid"),
                session_started=nullable("string", format="date-time"),
                message_count=COUNT,
                total_cost_usd=nullable("number"),
                context_tokens=COUNT,
                context_window=COUNT,
                context_percent=MONEY,
                model=TEXT,
            ),
            "Zeros and null ids when there is none.",
            {
                "session_id": SESSION_ID,
                "session_started": STARTED,
                "message_count": 6,
                "total_cost_usd": 0.0456,
                "context_tokens": 2610,
                "context_window": 200000,
                "context_percent": 1.3,
                "model": "claude-sonnet",
            },
        ),
        **documents.refusals(*REFUSED),
    },
)


_EVENTS = (
    f'id: {EXECUTION_ID}:3\ndata: {{"type":"snapshot","session":{{…}},"messages":[…],'
    f'"running":{{"execution_id":"{EXECUTION_ID}","seq":3,"text":"Three findings"}}}}\n\n'
    f'id: {EXECUTION_ID}:4\ndata: {{"type":"stream_event","seq":4,"session_id":"{SESSION_ID}",'
    '"event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" stand out."}},'
    f'"execution_id":"{EXECUTION_ID}"}}\n\n'
)
events = extend_schema(
    operation_id="session_events",
    tags=[TAG],
    summary="A conversation live, whichever wire moves it",
    description=(
        "First a snapshot, then what every run of the conversation says, as stream-json with its `execution_id`, and the messages of its "
        "user. Stays open; comes back with `Last-Event-ID` without loss."
    ),
    parameters=[
        OpenApiParameter("Last-Event-ID", str, OpenApiParameter.HEADER, description="The last `id:` that was seen. Beats `after`."),
        OpenApiParameter("after", str, description="As Last-Event-ID, for clients that can't set headers."),
    ],
    responses={
        (200, documents.SSE): documents.event_stream("One JSON object per frame.", _EVENTS),
        **documents.refusals("invalid_request", "invalid_credentials", "insufficient_scope", "agent_not_found", "session_not_found"),
    },
)
