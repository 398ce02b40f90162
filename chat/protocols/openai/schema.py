"""OpenAPI 3.1 of this wire alone (OAI-2), its component schemas made from the shapes below."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

Json = dict[str, Any]


class Shape(BaseModel):
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, defer_build=True)


class Model(Shape):
    """An agent."""

    id: str
    """The agent's name: what requests send as `model`."""
    object: Literal["model"]
    created: int
    """Unix seconds."""
    owned_by: str
    name: str
    """A title for people."""
    description: str


class ModelsResponse(Shape):
    object: Literal["list"]
    data: list[Model]


class ContentPart(Shape):
    """A piece of a message. User messages take all but `refusal`, assistant messages `text` and `refusal`, others `text`."""

    type: Literal["text", "refusal", "image_url", "input_audio", "file"]
    text: str | None = None
    refusal: str | None = None
    image_url: Json | None = None
    """`url`: a data: URL of an image, or http(s); `detail` is passed on."""
    input_audio: Json | None = None
    """`data` in base64, `format` wav or mp3."""
    file: Json | None = None
    """`file_data` (base64 or data: URL) with `filename`, or `file_id` of an uploaded file."""


class ToolCallReference(Shape):
    """A call of a function. Ids that begin with `srv_` were executed here."""

    id: str
    type: Literal["function"]
    function: Json
    """`name`, and `arguments` as the model wrote them."""
    server_executed: bool | None = None


class ChatCompletionMessage(Shape):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    annotations: list[Json] | None = None
    tool_calls: list[ToolCallReference] | None = None
    tool_call_id: str | None = None


class ChatCompletionRequest(Shape):
    """Parameters that change the meaning of an answer are applied or refused, hints are ignored, unknown keys too."""

    messages: list[ChatCompletionMessage] = Field(min_length=1, max_length=2000)
    model: str | None = None
    stream: bool | None = False
    stream_options: Json | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    response_format: Json | None = None
    tools: list[Json] | None = Field(None, max_length=128)
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    metadata: dict[str, str] | None = Field(None, max_length=16)
    user: str | None = Field(None, max_length=256)
    safety_identifier: str | None = Field(None, max_length=256)
    n: Literal[1] | None = None


class Usage(Shape):
    """Summed over all model calls of the turn; cached input is part of `prompt_tokens`."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]
    completion_tokens_details: dict[str, int]


class ChatCompletionChoice(Shape):
    index: int
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    logprobs: None
    message: ChatCompletionMessage


class ChatCompletionResponse(Shape):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatCompletionChoice]
    usage: Usage
    system_fingerprint: str | None
    service_tier: str | None
    metadata: dict[str, str] | None = None
    switchboard: Json | None = None
    """What waits for approval, when the turn is paused."""


class ChatCompletionChunk(Shape):
    """One `data:` frame of a stream; the last frame is `[DONE]`."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[Json]
    usage: Usage | None = None
    switchboard: Json | None = None


class ErrorResponse(Shape):
    error: Json
    """`message`, `type`, `param`, `code`: always all four."""


COMPONENTS: tuple[type[Shape], ...] = (
    Model,
    ModelsResponse,
    ChatCompletionMessage,
    ContentPart,
    ToolCallReference,
    ChatCompletionRequest,
    ChatCompletionChoice,
    ChatCompletionResponse,
    ChatCompletionChunk,
    Usage,
    ErrorResponse,
)
STATUSES: Mapping[int, str] = {
    400: "invalid_json, missing_required_parameter, invalid_value, unsupported_parameter, unsupported_value, unsupported_content_part, "
    "tool_name_conflict, invalid_tool_history, invalid_schema, invalid_idempotency_key, bad_host",
    401: "invalid_api_key",
    403: "insufficient_scope",
    404: "model_not_found, unknown_url",
    405: "method_not_allowed",
    409: "conversation_busy, request_in_progress, cancelled",
    413: "request_too_large",
    415: "unsupported_media_type",
    422: "idempotency_key_reused",
    429: "rate_limit_exceeded, insufficient_quota, queue_full, session_queue_full",
    500: "internal_error, run_failed, max_steps_reached, structured_output_failed, interrupted",
    502: "provider_error",
    503: "provider_unavailable, agent_not_running, store_unavailable, shutting_down",
    504: "timeout",
}
"""The codes of section 11 by status."""

PARAMETERS: tuple[tuple[str, str, Json], ...] = (
    ("X-Conversation-Id", "Continues a conversation that is kept here.", {"type": "string", "pattern": "^[!-~]{0,128}$"}),
    ("Idempotency-Key", "The same request with the same key runs once.", {"type": "string", "pattern": "^[!-~]{1,255}$"}),
)
_READ = (400, 401, 403, 404, 405, 429, 500, 503)


@cache
def document(server_url: str) -> Json:
    """The whole document; `server_url` as R0.10 says."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Switchboard: agents as OpenAI models", "version": "1.0.0"},
        "servers": [{"url": server_url}],
        "security": [{"bearer": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key (`sk-…`) or a JWT."}},
            "schemas": schemas(),
        },
    }


@cache
def schemas() -> Json:
    """The component schemas by name."""
    _, made = models_json_schema([(shape, "validation") for shape in COMPONENTS], ref_template="#/components/schemas/{model}")
    return dict(made["$defs"])


def _paths() -> Json:
    completions = {
        "operationId": "createChatCompletion",
        "summary": "Asks an agent; the answer is one object, or a stream of chunks",
        "parameters": [{"name": name, "in": "header", "description": text, "schema": schema} for name, text, schema in PARAMETERS],
        "requestBody": {"required": True, "content": _json("ChatCompletionRequest")},
        "responses": {
            "200": _answer("The answer", _json("ChatCompletionResponse") | {"text/event-stream": {"schema": _ref("ChatCompletionChunk")}}),
            **_refusals(*STATUSES),
        },
    }
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/v1/models": {"get": _read("listModels", "The agents the caller may use", "ModelsResponse")},
        "/v1/models/{id}": {"get": _read("retrieveModel", "One agent", "Model") | {"parameters": [name]}},
        "/v1/chat/completions": {"post": completions},
        "/openapi.json": {"get": _description()},
    }


def _read(operation: str, summary: str, shape: str) -> Json:
    responses = {"200": _answer(summary, _json(shape)), **_refusals(*_READ)}
    return {"operationId": operation, "summary": summary, "responses": responses}


def _description() -> Json:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {"operationId": "getOpenApi", "summary": "This document", "security": [], "responses": {"200": _answer("OpenAPI 3.1", content)}}


def _answer(description: str, content: Json) -> Json:
    return {"description": description, "content": content}


def _refusals(*statuses: int) -> Json:
    return {str(status): _answer(STATUSES[status], _json("ErrorResponse")) for status in statuses}


def _json(shape: str) -> Json:
    return {"application/json": {"schema": _ref(shape)}}


def _ref(shape: str) -> Json:
    return {"$ref": f"#/components/schemas/{shape}"}
