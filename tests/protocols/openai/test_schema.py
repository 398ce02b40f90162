"""/openapi.json describes this wire and nothing else (OAI-2)."""

import orjson
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from chat.protocols.openai.choice import shown
from chat.protocols.openai.codec import completion
from chat.protocols.openai.errors import envelope, missing
from chat.protocols.openai.schema import (
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatCompletionResponse,
    ErrorResponse,
    ModelsResponse,
    document,
)
from tests.protocols.openai.test_choice import AGENTS, ENVELOPES
from tests.protocols.openai.test_codec import BASE, TURNS, chunks, encoded
from tests.protocols.story import numbered

SHAPES = [
    "Model",
    "ModelsResponse",
    "ChatCompletionMessage",
    "ContentPart",
    "ToolCallReference",
    "ChatCompletionRequest",
    "ChatCompletionChoice",
    "ChatCompletionResponse",
    "ChatCompletionChunk",
    "Usage",
    "ErrorResponse",
]


def test_it_is_valid_openapi_3_1() -> None:
    made = orjson.loads(orjson.dumps(document("https://agents.example.com")))
    validate(made, cls=OpenAPIV31SpecValidator)
    assert made["openapi"].startswith("3.1")
    assert made["servers"][0]["url"] == "https://agents.example.com"


def test_it_names_what_the_contract_names() -> None:
    made = document("http://localhost:8000")
    assert list(made["paths"]) == ["/v1/models", "/v1/models/{id}", "/v1/chat/completions", "/openapi.json"]
    assert sorted(made["components"]["schemas"]) == sorted(SHAPES)
    asked = made["paths"]["/v1/chat/completions"]["post"]
    assert [parameter["name"] for parameter in asked["parameters"]] == ["X-Conversation-Id", "Idempotency-Key"]
    assert {"200", *(str(row[1]) for row in ENVELOPES)} <= set(asked["responses"])
    assert made["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_the_shapes_fit_what_is_sent() -> None:
    """The schemas are those of our own answers."""
    for turn in ("plain", "client_tools", "refusal", "citations"):
        ChatCompletionResponse.model_validate(completion(numbered(*TURNS[turn]), BASE))
        for chunk in chunks(encoded(numbered(*TURNS[turn]), include_usage=True)):
            ChatCompletionChunk.model_validate(chunk)
    ErrorResponse.model_validate(envelope(missing("model"), ""))
    ChatCompletionRequest.model_validate({"model": "root", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]})
    ModelsResponse.model_validate({"object": "list", "data": [shown(agent) for agent in AGENTS.values()]})
