"""How /api/schema and /docs describe this wire; /openapi.json (schema.py) describes it alone and in full."""

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from chat.documents import SSE
from chat.protocols.openai.schema import (
    PARAMETERS,
    STATUSES,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatCompletionResponse,
    ErrorResponse,
    Model,
    ModelsResponse,
)

TAG = "openai: agents as models of Chat Completions"
_REFUSALS = {status: OpenApiResponse(ErrorResponse, description=codes) for status, codes in STATUSES.items()}
_READ_REFUSALS = {status: _REFUSALS[status] for status in (401, 403, 404, 429)}

models = extend_schema(
    operation_id="openai_models", tags=[TAG], summary="The agents one may use", responses={200: ModelsResponse, **_READ_REFUSALS}
)
model = extend_schema(
    operation_id="openai_model",
    tags=[TAG],
    summary="One agent",
    parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, description="The agent's name.")],
    responses={200: Model, **_READ_REFUSALS},
)
chat_completions = extend_schema(
    operation_id="openai_chat_completions",
    tags=[TAG],
    summary="Ask an agent",
    description="With `stream` the answer comes in chunks, one `data:` frame each, and ends with `data: [DONE]`.",
    parameters=[OpenApiParameter(name, str, OpenApiParameter.HEADER, description=text) for name, text, _ in PARAMETERS],
    request=ChatCompletionRequest,
    responses={200: ChatCompletionResponse, (200, SSE): ChatCompletionChunk, **_REFUSALS},
)
openapi = extend_schema(exclude=True)
