"""Vendors through pydantic-ai's `direct` layer: one streamed model call, its events as deltas, its errors classified.

Importing this costs seconds and megabytes: only the modules of such providers do, when their first call comes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

import httpx2
import orjson
from pydantic_ai import exceptions
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPartDelta,
    ToolReturnPart,
)
from pydantic_ai.messages import ToolCallPart as ToolCall
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from agents.providers import failures, lazily
from agents.providers.base import (
    Delta,
    ErrorKind,
    Finish,
    FinishReason,
    ModelRequest,
    ProviderError,
    Reasoning,
    Text,
    ToolCallPart,
    Usage,
)
from agents.providers.direct_messages import Message, messages_from, parameters_from, settings_from
from agents.specs import ProviderSpec

T = TypeVar("T")

FINISH_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "content_filter", "tool_call": "stop"}
"""tool_calls follows from the calls themselves."""

ERRORS: tuple[tuple[type[Exception], ErrorKind], ...] = (
    (exceptions.ModelConnectionError, "network"),
    (exceptions.ModelRateLimitError, "rate_limit"),
    (exceptions.ModelQuotaExceededError, "auth"),
    (exceptions.ModelUnavailableError, "overloaded"),
    (exceptions.ModelServerError, "overloaded"),
    (exceptions.ModelContextWindowExceededError, "context_length"),
    (exceptions.ModelAuthenticationError, "auth"),
    (exceptions.ContentFilterError, "content_filter"),
    (exceptions.UnexpectedModelBehavior, "invalid"),
)
"""What could not be decoded has a ValueError as its cause. Other errors that an API reported are classified by their body;
what is left was refused before it was sent."""

MAX_REMEMBERED = 1000


async def stream(
    model: Model[Any], spec: ProviderSpec, request: ModelRequest, *, extra: ModelSettings, fetches_urls: bool
) -> AsyncGenerator[Sequence[Delta]]:
    """One model call under the time limits of `spec`; `extra` settings win over those of the request."""
    loop, begun = asyncio.get_running_loop(), False
    deadline = loop.time() + spec.first_token_timeout_s
    async with AsyncExitStack() as stack:
        answer = await _classified(_open(stack, model, request, extra, fetches_urls), deadline)
        events, reader = aiter(answer), EventReader()
        while (event := await _classified(anext(events, None), deadline)) is not None:
            deltas = reader.read(event)
            begun = begun or bool(deltas)
            deadline = loop.time() + spec.idle_timeout_s if begun else deadline
            if deltas:
                yield deltas
        _remember(answer.get())
        yield _end(answer, reader)


async def _open(
    stack: AsyncExitStack, model: Model[Any], request: ModelRequest, extra: ModelSettings, fetches_urls: bool
) -> StreamedResponse:
    """The first way to ask that this model admits; pydantic-ai refuses the others before anything is sent."""
    settings: ModelSettings = {**settings_from(request), **extra}
    messages = messages_from(request.messages, fetches_urls, _recalled)
    if "thinking" in settings and _answers_forgotten_calls(messages):
        del settings["thinking"]
    *others, last = parameters_from(request)
    for parameters in others:
        with suppress(exceptions.UserError):
            return await _enter(stack, model, messages, settings, parameters)
    return await _enter(stack, model, messages, settings, last)


async def _enter(
    stack: AsyncExitStack,
    model: Model[Any],
    messages: list[ModelMessage],
    settings: ModelSettings,
    parameters: ModelRequestParameters,
) -> StreamedResponse:
    asked = model_request_stream(model, messages, model_settings=settings, model_request_parameters=parameters, instrument=False)
    opened: list[httpx2.Response] = []
    stack.push_async_callback(_close, opened)
    token = lazily.responses.set(opened)
    try:
        return await stack.enter_async_context(asked)
    finally:
        lazily.responses.reset(token)


async def _close(opened: Sequence[httpx2.Response]) -> None:
    """Last of all, and at once whatever the SDK left open."""
    for response in opened:
        await response.aclose()


async def _classified(awaited: Awaitable[T], deadline: float) -> T:
    """Raises ProviderError for a deadline that passes and for whatever pydantic-ai raises (all of it RuntimeError)."""
    try:
        async with asyncio.timeout_at(deadline):
            return await awaited
    except TimeoutError as error:
        raise ProviderError("timeout", "silence") from error
    except (RuntimeError, ValueError) as error:
        raise classified(error) from error


def classified(error: RuntimeError | ValueError) -> ProviderError:
    kind = next((kind for known, kind in ERRORS if isinstance(error, known)), None)
    wait_s: float | None = getattr(error, "retry_after", None)
    if kind is None and isinstance(error.__cause__, ValueError):
        kind = "invalid"
    if kind is None and isinstance(error, exceptions.ModelAPIError):
        return failures.reported(error.body or error.message, getattr(error, "status_code", 0), wait_s)
    return ProviderError(kind or "bad_request", str(error)[: failures.MAX_DETAIL_CHARS], retry_after_s=wait_s)


class EventReader:
    """Gives each tool call the next index; parts of an answer have indexes of their own."""

    def __init__(self) -> None:
        self.calls: dict[int, int] = {}

    def read(self, event: ModelResponseStreamEvent) -> list[Delta]:
        match event:
            case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                return [Text(text)] if text else []
            case PartStartEvent(part=ThinkingPart(content=text)) | PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text)):
                return [Reasoning(text)] if text else []
            case PartStartEvent(index=place, part=ToolCall() as call):
                self.calls[place] = len(self.calls)
                return [ToolCallPart(self.calls[place], call.tool_call_id, call.tool_name, _arguments(call.args))]
            case PartDeltaEvent(index=place, delta=ToolCallPartDelta(args_delta=arguments)) if place in self.calls and arguments:
                return [ToolCallPart(self.calls[place], "", "", _arguments(arguments))]
        return []


def _arguments(arguments: str | dict[str, Any] | None) -> str:
    return orjson.dumps(arguments).decode() if isinstance(arguments, dict) else arguments or ""


def _end(answer: StreamedResponse, reader: EventReader) -> list[Delta]:
    """Usage if it was told, then Finish. Raises ProviderError if the model gave no reason to stop."""
    told = (answer.provider_details or {}).get("finish_reason")
    if answer.finish_reason == "error":
        raise ProviderError("overloaded", f"the model stopped: {told}")
    if answer.finish_reason is None and told is None:
        raise ProviderError("network", "the answer was cut")
    reason = FINISH_REASONS.get(answer.finish_reason or "stop", "stop")
    usage: list[Delta] = [_usage(answer.usage)] if answer.usage.has_values() else []
    return [*usage, Finish("tool_calls" if reader.calls and reason == "stop" else reason, answer.model_name)]


def _usage(usage: RequestUsage) -> Usage:
    thoughts = usage.output_reasoning_tokens or usage.details.get("thoughts_tokens", 0)
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=thoughts,
    )


_remembered: OrderedDict[str, ModelResponse] = OrderedDict()
"""Answers by the ids of their tool calls: the next step of the turn must return their thoughts and signatures, for which
messages have no place. After a restart they are gone, and models then go on without thinking."""


def _remember(answer: ModelResponse) -> None:
    for part in answer.parts:
        if isinstance(part, ToolCall):
            _remembered[part.tool_call_id] = answer
    while len(_remembered) > MAX_REMEMBERED:
        _remembered.popitem(last=False)


def _recalled(calls: list[Message]) -> ModelResponse | None:
    return next((found for call in calls if (found := _remembered.get(call["id"]))), None)


def _answers_forgotten_calls(messages: list[ModelMessage]) -> bool:
    """The conversation ends with results of calls whose answer is not remembered: it carries no provider's name."""
    if len(messages) < 2 or not any(isinstance(part, ToolReturnPart) for part in messages[-1].parts):
        return False
    answer = messages[-2]
    return isinstance(answer, ModelResponse) and answer.provider_name is None
