"""How /api/schema and /docs describe agents and chat."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema

from chat import documents
from chat.documents import EXECUTION_ID, NDJSON, SESSION_ID, SSE, nullable, properties
from chat.protocols.agents_api.chat_requests import ChatRequest

TAG = "agents: chat"
TEXT, COUNT, MONEY = {"type": "string"}, {"type": "integer"}, {"type": "number"}
TIME, UUID = {"type": "string", "format": "date-time"}, {"type": "string", "format": "uuid"}
STARTED, ENDED = "2026-01-05T09:00:00.000Z", "2026-01-05T09:30:08.420Z"


def array(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def choice(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


_AGENT = properties(
    name=TEXT,
    display_name=TEXT,
    description=TEXT,
    avatar=TEXT,
    status=choice("running", "stopped"),
    model=TEXT,
    version=COUNT,
    voice={"type": "boolean"},
    paid={"type": "boolean"},
    can_manage={"type": "boolean"},
    conversation_starters=array(TEXT),
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
            id=UUID, task_execution_id=UUID, queue_status=choice("running", "queued"), was_queued={"type": "boolean"},
            status=choice("success", "paused"),
        ),
        "metadata": {"type": "object", "description": "Sums over the turn: cost, time, model calls, tokens."},
        "session": properties(
            total_cost_usd=nullable("number"), context_tokens=COUNT, context_window=COUNT, message_count=COUNT, model=TEXT,
        ),
        "execution_log": array(_LINE),
        "execution_log_simplified": array({"type": "object"}),
        "timestamp": TIME,
        "approvals": array({"type": "object", "description": "Only when the turn waits for an approval."}),
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
    "timestamp": ENDED,
}  # fmt: skip
_LINES = (
    f'{{"type":"system","subtype":"init","seq":1,"session_id":"{SESSION_ID}","execution_id":"{EXECUTION_ID}","model":"claude-sonnet",'
    '"tools":[],"mcp_servers":[]}\n'
    f'{{"type":"stream_event","seq":3,"session_id":"{SESSION_ID}","event":{{"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Three findings"}}}\n'
    f'{{"type":"result","subtype":"success","seq":7,"session_id":"{SESSION_ID}","is_error":false,"result":"Three findings stand out."}}\n'
)
_FRAMES = "".join(f"id: {number}\ndata: {line}\n\n" for number, line in zip((1, 3, 7), _LINES.splitlines(), strict=True))
REFUSED = ("invalid_credentials", "insufficient_scope", "agent_not_found")
_STREAM = OpenApiParameter("stream", enum=["sse", "ndjson", "true", "false"], description="As `Accept`, for clients that can't set it.")
_PARTIAL = OpenApiParameter("partial", bool, description="false: leave out the text as it is written, send finished steps only.")

agents = extend_schema(
    operation_id="agents",
    tags=[TAG],
    summary="The agents you may use",
    description="Published ones, by name.",
    responses={
        200: documents.body(array(_AGENT), "The agents.", [_AGENT_EXAMPLE]),
        **documents.refusals("invalid_credentials", "insufficient_scope"),
    },
)
agent = extend_schema(
    operation_id="agent",
    tags=[TAG],
    summary="One agent",
    responses={200: documents.body(_AGENT, "The agent.", _AGENT_EXAMPLE), **documents.refusals(*REFUSED)},
)
chat = extend_schema(
    operation_id="agent_chat",
    tags=[TAG],
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
