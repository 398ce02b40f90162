"""How /api/schema and /docs describe agents, chat, sessions and history."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, SESSION_ID, SSE, nullable, properties
from chat.protocols.agents_api.chat_requests import ChatRequest, FeedbackRequest, TitleRequest

CHAT, SESSIONS = "agents: chat", "agents: sessions and history"
TEXT, COUNT, MONEY = {"type": "string"}, {"type": "integer"}, {"type": "number"}
TIME, UUID = {"type": "string", "format": "date-time"}, {"type": "string", "format": "uuid"}
NDJSON = "application/x-ndjson"
MESSAGE_ID = "5d3a8f10-1c2b-4d5e-9f60-718293a4b5c6"
_STARTED, _ENDED = "2026-01-05T09:00:00.000Z", "2026-01-05T09:30:08.420Z"


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _choice(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


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
_AGENT = properties(
    name=TEXT,
    display_name=TEXT,
    description=TEXT,
    avatar=TEXT,
    status=_choice("running", "stopped"),
    model=TEXT,
    version=COUNT,
    voice={"type": "boolean"},
    paid={"type": "boolean"},
    can_manage={"type": "boolean"},
    conversation_starters=_list(TEXT),
)
_AGENT_EXAMPLE = {
    "name": "analyst",
    "display_name": "Analyst",
    "description": "Finds and explains numbers",
    "avatar": "📊",
    "status": "running",
    "model": "claude-sonnet",
    "version": 4,
    "voice": False,
    "paid": False,
    "can_manage": True,
    "conversation_starters": ["What changed last week?"],
}
_SESSION = properties(
    id=UUID,
    agent_name=TEXT,
    user_id=nullable("integer"),
    user_email=nullable("string"),
    started_at=TIME,
    last_message_at=TIME,
    message_count=COUNT,
    total_cost=MONEY,
    total_context_used=COUNT,
    total_context_max=COUNT,
    status=_choice("active", "closed"),
    title=TEXT,
    wire=TEXT,
)
_SESSION_EXAMPLE = {
    "id": SESSION_ID,
    "agent_name": "analyst",
    "user_id": 7,
    "user_email": "owner@example.com",
    "started_at": _STARTED,
    "last_message_at": _ENDED,
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
    role=_choice("user", "assistant"),
    content=TEXT,
    timestamp=TIME,
    status=_choice("pending", "done", "failed", "cancelled"),
    incomplete={"type": "boolean"},
    source=_choice("text", "voice", "task"),
    execution_id=nullable("string", format="uuid"),
    cost=nullable("number"),
    context_used=nullable("integer"),
    context_max=nullable("integer"),
    output_tokens=nullable("integer"),
    execution_time_ms=nullable("integer"),
    tool_calls=_list(_CALL),
    files=_list(_FILE),
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
    "timestamp": _ENDED,
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
_LINE = {"type": "object", "description": "One stream-json object."}
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": [
        "response", "session_id", "execution", "metadata", "session", "execution_log", "execution_log_simplified", "timestamp",
    ],
    "properties": {
        "response": TEXT,
        "session_id": UUID,
        "execution": properties(
            id=UUID, task_execution_id=UUID, queue_status=_choice("running", "queued"), was_queued={"type": "boolean"},
            status=_choice("success", "paused"),
        ),
        "metadata": {"type": "object", "description": "Sums over the turn: cost, time, model calls, tokens."},
        "session": properties(
            total_cost_usd=MONEY, context_tokens=COUNT, context_window=COUNT, message_count=COUNT, model=TEXT,
        ),
        "execution_log": _list(_LINE),
        "execution_log_simplified": _list({"type": "object"}),
        "timestamp": TIME,
        "approvals": _list({"type": "object", "description": "Only when the turn waits for an approval."}),
    },
}  # fmt: skip
ANSWER_EXAMPLE = {
    "response": "Three findings stand out.",
    "session_id": SESSION_ID,
    "execution": {
        "id": EXECUTION_ID, "task_execution_id": EXECUTION_ID, "queue_status": "running", "was_queued": False, "status": "success",
    },
    "metadata": {
        "cost_usd": 0.0123, "duration_ms": 8420, "num_turns": 2, "tool_count": 1, "input_tokens": 5120, "output_tokens": 310,
        "cache_read_tokens": 2048, "cache_creation_tokens": 0, "context_window": 200000, "model_name": "claude-sonnet",
        "session_id": SESSION_ID, "execution_id": EXECUTION_ID, "status": "success", "error_code": None, "error_type": None,
        "error_message": None,
    },
    "session": {"total_cost_usd": 0.0456, "context_tokens": 2610, "context_window": 200000, "message_count": 6, "model": "claude-sonnet"},
    "execution_log": [{"type": "system", "subtype": "init"}, {"type": "result", "subtype": "success", "is_error": False}],
    "execution_log_simplified": [
        {"id": "toolu_1", "type": "tool_use", "tool": "web_search", "input": {"q": "latest"}, "timestamp": "2026-01-05T09:30:02.110Z"},
    ],
    "timestamp": _ENDED,
}  # fmt: skip
_LINES = (
    f'{{"type":"system","subtype":"init","seq":1,"session_id":"{SESSION_ID}","execution_id":"{EXECUTION_ID}","model":"claude-sonnet",'
    '"tools":[],"mcp_servers":[]}\n'
    f'{{"type":"stream_event","seq":3,"session_id":"{SESSION_ID}","event":{{"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Three findings"}}}\n'
    f'{{"type":"result","subtype":"success","seq":7,"session_id":"{SESSION_ID}","is_error":false,"result":"Three findings stand out."}}\n'
)
_FRAMES = "".join(f"id: {number}\ndata: {line}\n\n" for number, line in zip((1, 3, 7), _LINES.splitlines(), strict=True))
_REFUSED = ("invalid_credentials", "insufficient_scope", "agent_not_found")
_LIMIT = OpenApiParameter("limit", int, description="How many at most.")
_BEFORE = OpenApiParameter("before", UUID, description="The id that the page before ended with; the header `Link` has it.")
_STREAM = OpenApiParameter("stream", enum=["sse", "ndjson", "true", "false"], description="As `Accept`, for clients that can't set it.")
_PARTIAL = OpenApiParameter("partial", bool, description="false: leave out the text as it is written, send finished steps only.")

agents = extend_schema(
    operation_id="agents",
    tags=[CHAT],
    summary="The agents you may use",
    description="Published ones, by name.",
    responses={
        200: documents.body(_list(_AGENT), "The agents.", [_AGENT_EXAMPLE]),
        **documents.refusals("invalid_credentials", "insufficient_scope"),
    },
)
agent = extend_schema(
    operation_id="agent",
    tags=[CHAT],
    summary="One agent",
    responses={200: documents.body(_AGENT, "The agent.", _AGENT_EXAMPLE), **documents.refusals(*_REFUSED)},
)
chat = extend_schema(
    operation_id="agent_chat",
    tags=[CHAT],
    summary="Say something to an agent",
    description=(
        "Goes to your current session with it, or to the one you name. JSON unless a stream is asked for: `Accept: text/event-stream`, "
        "`Accept: application/x-ndjson`, `?stream=` or `stream: true`. The turn goes on when you leave; watch it by its execution id."
    ),
    parameters=[documents.IDEMPOTENCY_KEY, _STREAM, _PARTIAL],
    request=ChatRequest,
    responses={
        (200, "application/json"): documents.body(ANSWER, "The answer.", ANSWER_EXAMPLE),
        (200, NDJSON): documents.lines("One JSON object per line.", _LINES, NDJSON),
        (200, SSE): documents.event_stream("One JSON object per frame; the last is `stream_end`.", _FRAMES),
        **documents.refusals(*documents.EACH_TURN, "session_not_found", "message_not_found", "model_not_allowed", "circuit_open"),
    },
)
sessions = extend_schema(
    operation_id="agent_sessions",
    tags=[SESSIONS],
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
            properties(agent_name=TEXT, session_count=COUNT, sessions=_list(_SESSION)),
            "A page of them.",
            {"agent_name": "analyst", "session_count": 1, "sessions": [_SESSION_EXAMPLE]},
        ),
        **documents.refusals(*_REFUSED, "manager_required", "validation_error"),
    },
)
session = extend_schema(
    operation_id="agent_session",
    tags=[SESSIONS],
    summary="One conversation with its messages",
    description="The newest messages, oldest first.",
    parameters=[
        OpenApiParameter("branch", enum=["active", "all"], description="all: also what was left by edits and repeated answers."),
        _LIMIT,
        _BEFORE,
    ],
    responses={
        200: documents.body(
            properties(session=_SESSION, message_count=COUNT, messages=_list(_PLACED)),
            "The conversation.",
            {"session": _SESSION_EXAMPLE, "message_count": 1, "messages": [_PLACED_EXAMPLE]},
        ),
        **documents.refusals(*_REFUSED, "session_not_found", "validation_error"),
    },
)
rename = extend_schema(
    operation_id="agent_session_rename",
    tags=[SESSIONS],
    summary="Give a conversation a title",
    request=TitleRequest,
    responses={
        200: documents.body(_SESSION, "The conversation.", _SESSION_EXAMPLE),
        **documents.refusals("invalid_json", *_REFUSED, "session_not_found", "validation_error"),
    },
)
delete = extend_schema(
    operation_id="agent_session_delete",
    tags=[SESSIONS],
    summary="Delete a conversation for good",
    description="A running turn is cancelled first. Executions keep their numbers, without text.",
    responses={204: OpenApiResponse(description="It is gone."), **documents.refusals(*_REFUSED, "session_not_found", "session_busy")},
)
close = extend_schema(
    operation_id="agent_session_close",
    tags=[SESSIONS],
    summary="Close a conversation",
    description="Your next message opens another. It stays readable, and a message that names it opens it again.",
    request=None,
    responses={
        200: documents.body(
            properties(status={"const": "closed"}, session_id=UUID), "Closed.", {"status": "closed", "session_id": SESSION_ID}
        ),
        **documents.refusals(*_REFUSED, "session_not_found"),
    },
)
export = extend_schema(
    operation_id="agent_session_export",
    tags=[SESSIONS],
    summary="Download a conversation",
    parameters=[OpenApiParameter("format", enum=["json", "md"], description="JSON with every branch, or Markdown.")],
    responses={
        (200, "application/json"): documents.body(
            properties(session=_SESSION, messages=_list(_PLACED)),
            "The whole conversation.",
            {"session": _SESSION_EXAMPLE, "messages": [_PLACED_EXAMPLE]},
        ),
        (200, "text/markdown"): documents.lines("To read.", "# Latest findings\n", "text/markdown"),
        **documents.refusals(*_REFUSED, "session_not_found", "validation_error"),
    },
)
feedback = extend_schema(
    operation_id="agent_message_feedback",
    tags=[SESSIONS],
    summary="Say what an answer was worth",
    request=FeedbackRequest,
    responses={
        200: documents.body(
            properties(message_id=UUID, rating=nullable("integer"), comment=nullable("string")),
            "Kept.",
            {"message_id": MESSAGE_ID, "rating": 1, "comment": None},
        ),
        **documents.refusals("invalid_json", *_REFUSED, "message_not_found", "validation_error"),
    },
)
persistent = extend_schema(
    operation_id="agent_history_persistent",
    tags=[SESSIONS],
    summary="What was said in all your conversations with an agent",
    description="Newest first; survives restarts and closed sessions.",
    parameters=[
        _LIMIT, _BEFORE, OpenApiParameter("user_filter", bool, description="false: everybody's, for managers of the agent."),
    ],
    responses={
        200: documents.body(
            properties(agent_name=TEXT, message_count=COUNT, messages=_list(_MESSAGE)),
            "A page of messages.",
            {"agent_name": "analyst", "message_count": 1, "messages": [_MESSAGE_EXAMPLE]},
        ),
        **documents.refusals(*_REFUSED, "manager_required", "validation_error"),
    },
)  # fmt: skip
_BRIEF = properties(role=_choice("user", "assistant"), content=TEXT, timestamp=TIME)
history = extend_schema(
    operation_id="agent_history",
    tags=[SESSIONS],
    summary="What was said in your current conversation",
    description="Oldest first; an empty array when there is none.",
    responses={
        200: documents.body(_list(_BRIEF), "Messages.", [{"role": "user", "content": "What changed?", "timestamp": _STARTED}]),
        **documents.refusals(*_REFUSED),
    },
)
_EMPTY = properties(total_cost_usd=MONEY, context_tokens=COUNT, context_window=COUNT, message_count=COUNT)
reset = extend_schema(
    operation_id="agent_history_reset",
    tags=[SESSIONS],
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
        **documents.refusals(*_REFUSED),
    },
)
current = extend_schema(
    operation_id="agent_session_current",
    tags=[SESSIONS],
    summary="Your current conversation in numbers",
    responses={
        200: documents.body(
            properties(
                session_id=nullable("string", format="uuid"),
                session_started=nullable("string", format="date-time"),
                message_count=COUNT,
                total_cost_usd=MONEY,
                context_tokens=COUNT,
                context_window=COUNT,
                context_percent=MONEY,
                model=TEXT,
            ),
            "Zeros and null ids when there is none.",
            {
                "session_id": SESSION_ID,
                "session_started": _STARTED,
                "message_count": 6,
                "total_cost_usd": 0.0456,
                "context_tokens": 2610,
                "context_window": 200000,
                "context_percent": 1.3,
                "model": "claude-sonnet",
            },
        ),
        **documents.refusals(*_REFUSED),
    },
)
