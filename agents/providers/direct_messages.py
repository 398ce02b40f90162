"""Chat Completions requests as pydantic-ai's: messages, tools, sampling and the format of the answer."""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.messages import ModelRequest as UserSide
from pydantic_ai.messages import ToolCallPart as ToolCall
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from agents.providers import base
from agents.providers.base import ModelRequest, ProviderError
from agents.specs import Sampling

Message = Mapping[str, Any]
Recall = Callable[[list[Message]], ModelResponse | None]
"""The answer, as the provider gave it, that made these tool calls; None when it is not remembered."""

AUDIO_TYPES: Mapping[str, str] = {"wav": "audio/wav", "mp3": "audio/mpeg"}
FIELDS = ("temperature", "top_p", "max_tokens", "presence_penalty", "frequency_penalty", "seed", "logit_bias")
"""Fields of Sampling that pydantic-ai's settings call the same."""


def messages_from(messages: bytes, fetches_urls: bool, recall: Recall) -> list[ModelMessage]:
    """Instructions first; what stands between two answers becomes one request. Raises ProviderError (bad_request)."""
    decoded: list[Message] = orjson.loads(messages)
    parts: list[ModelRequestPart] = [SystemPromptPart(_text(message)) for message in decoded if message["role"] in ("system", "developer")]
    names = {call["id"]: call["function"]["name"] for message in decoded for call in message.get("tool_calls") or ()}
    made: list[ModelMessage] = []
    for message in decoded:
        match message["role"]:
            case "user":
                parts.append(UserPromptPart(_contents(message, fetches_urls)))
            case "tool":
                parts.append(ToolReturnPart(names.get(message["tool_call_id"], "unknown"), _text(message), message["tool_call_id"]))
            case "assistant":
                made += [UserSide(parts)] if parts else []
                made.append(_answer(message, recall))
                parts = []
    return [*made, UserSide(parts)] if parts else made


def _answer(message: Message, recall: Recall) -> ModelResponse:
    """An earlier answer. Thoughts and signatures, which messages do not hold, come back when they are remembered."""
    calls: list[Message] = message.get("tool_calls") or []
    original = recall(calls) if calls else None
    known = {part.tool_call_id: part for part in original.parts if isinstance(part, ToolCall)} if original else {}
    parts: list[ModelResponsePart] = [part for part in original.parts if part.part_kind == "thinking"] if original else []
    if text := _text(message):
        parts.append(TextPart(text))
    for call in calls:
        parts.append(known.get(call["id"]) or ToolCall(call["function"]["name"], call["function"]["arguments"] or "{}", call["id"]))
    return ModelResponse(parts) if original is None else _with_parts(original, parts)


def _with_parts(answer: ModelResponse, parts: list[ModelResponsePart]) -> ModelResponse:
    """Signatures are only sent back with the names of the provider and the system they came from."""
    return ModelResponse(
        parts, model_name=answer.model_name, provider_name=answer.provider_name, provider_url=answer.provider_url,
        provider_details=answer.provider_details, canonical_system=answer.canonical_system,
    )  # fmt: skip


def _text(message: Message) -> str:
    return "\n\n".join(part.get("text") or part.get("refusal") or "" for part in _parts(message))


def _parts(message: Message) -> list[Message]:
    content = message.get("content") or ""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _contents(message: Message, fetches_urls: bool) -> str | list[UserContent]:
    content = message["content"]
    return content if isinstance(content, str) else [_content(part, fetches_urls) for part in content]


def _content(part: Message, fetches_urls: bool) -> UserContent:
    match part["type"]:
        case "text":
            return str(part["text"])
        case "image_url":
            return _image(part["image_url"]["url"], fetches_urls)
        case "input_audio":
            audio = part["input_audio"]
            return BinaryContent(base64.b64decode(audio["data"]), media_type=AUDIO_TYPES.get(audio["format"], audio["format"]))
        case "file":
            return BinaryContent.from_data_uri(part["file"]["file_data"])
        case kind:
            raise ProviderError("bad_request", f"a part of type {kind} cannot be sent to this provider")


def _image(url: str, fetches_urls: bool) -> UserContent:
    """Remote images are for providers that fetch them; nobody fetches them here (OAI-23, R11.4)."""
    if url.startswith("data:"):
        return BinaryContent.from_data_uri(url)
    if not fetches_urls:
        raise ProviderError("bad_request", "this provider does not fetch image URLs")
    return ImageUrl(url)


def settings_from(request: ModelRequest) -> ModelSettings:
    """What was asked for and the model knows (OAI-15); `thinking` is reasoning_effort."""
    sampling, unsupported = request.sampling, request.model.unsupported
    found: dict[str, Any] = {name: value for name, value in _sampled(sampling) if name not in unsupported and value is not None}
    if request.tools and request.tool_choice is not None:
        found["tool_choice"] = _choice(request.tool_choice)
    if request.tools and request.parallel_tool_calls is not None:
        found["parallel_tool_calls"] = request.parallel_tool_calls
    if "stop" in found:
        found["stop_sequences"] = found.pop("stop")
    if effort := found.pop("reasoning_effort", None):
        found["thinking"] = False if effort == "none" else effort
    settings: ModelSettings = ModelSettings(**found)  # type: ignore[typeddict-item]  # its keys are only known here
    return settings


def _sampled(sampling: Sampling) -> Iterator[tuple[str, Any]]:
    yield from ((name, getattr(sampling, name)) for name in FIELDS)
    yield "stop", list(sampling.stop) or None
    yield "reasoning_effort", sampling.reasoning_effort


def _choice(choice: str | Mapping[str, Any]) -> Any:
    """A named function becomes the list of the one tool that must be called."""
    return choice if isinstance(choice, str) else [choice["function"]["name"]]


def parameters_from(request: ModelRequest) -> list[ModelRequestParameters]:
    """What to try in turn: the provider's own structured output, else the schema as an instruction (OAI-32)."""
    tools = [_tool(tool) for tool in request.tools]
    wanted = request.response_format or {}
    if wanted.get("type") not in ("json_schema", "json_object") or "response_format" in request.model.unsupported:
        return [ModelRequestParameters(function_tools=tools)]
    described = wanted.get("json_schema", {})
    schema = OutputObjectDefinition(
        json_schema=dict(described.get("schema", {"type": "object"})), name=described.get("name"), description=described.get("description")
    )
    native = [ModelRequestParameters(function_tools=tools, output_mode="native", output_object=schema)] if described else []
    return [*native, ModelRequestParameters(function_tools=tools, output_mode="prompted", output_object=schema)]


def _tool(tool: base.ToolDefinition) -> ToolDefinition:
    parameters = dict(tool.parameters or {"type": "object", "properties": {}})
    return ToolDefinition(name=tool.name, description=tool.description or None, parameters_json_schema=parameters, strict=tool.strict)
