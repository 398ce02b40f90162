"""Chat Completions over HTTP: OpenAI, OpenRouter, Ollama, vLLM, Groq, Mistral and whatever else speaks it.

The hot path: connections kept alive, request bytes spliced around the messages, one JSON decode and one list per read.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import orjson

from agents.providers import http
from agents.providers.base import Delta, ModelRequest, ProviderError, ToolDefinition
from agents.providers.body import Body
from agents.providers.chunks import AnswerReader
from agents.providers.connection import Connection
from agents.specs import ProviderSpec

DEFAULT_BASE_URL = "https://api.openai.com/v1"
SAMPLING_FIELDS = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "logit_bias",
    "reasoning_effort",
    "verbosity",
)
MAX_CACHED_TOOLS = 256

_without_stream_options: set[str] = set()
"""Base URLs that refused `stream_options`: they are not asked again while this process lives."""


def build(spec: ProviderSpec) -> "OpenAICompatible":
    return OpenAICompatible(spec)


class OpenAICompatible:
    """`options`: `body` (an object) is merged into every request, `max_tokens_field` names the output limit's field."""

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._base_url = (spec.base_url or DEFAULT_BASE_URL).rstrip("/")
        url = f"{self._base_url}/chat/completions"
        authorization = {"Authorization": f"Bearer {spec.api_key}"} if spec.api_key else {}
        self._headers = {**authorization, "Content-Type": "application/json", **spec.headers}
        self._target = http.Target.of("POST", url, self._headers)
        default_field = "max_completion_tokens" if self._target.origin.host == "api.openai.com" else "max_tokens"
        self._max_tokens_field = str(spec.options.get("max_tokens_field") or default_field)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Delta]]:
        body = Body(self._spec.first_token_timeout_s, self._spec.idle_timeout_s)
        body.open(await self._open(request, body.deadline))
        reader = AnswerReader()
        try:
            while not reader.done and (data := await _read(body, reader)):
                deltas = reader.feed(await body.gathered(data))
                data = b""  # not held while waiting for the next
                if deltas:
                    body.answered()
                    yield deltas
                if reader.error:
                    raise reader.error
            if deltas := reader.finish():
                yield deltas
            if reader.error:
                raise reader.error
        finally:
            body.close(complete=reader.finished)

    async def models(self) -> list[str]:
        """GET {base URL}/models."""
        listing = await http.get_json(f"{self._base_url}/models", self._headers, self._spec)
        try:
            return sorted({str(model["id"]) for model in (listing if isinstance(listing, list) else listing["data"])})
        except (TypeError, LookupError) as error:
            raise ProviderError("invalid", f"no list of models: {error!r}") from error

    async def _open(self, request: ModelRequest, deadline: float) -> Connection:
        """Sends the request and returns its connection when the answer follows."""
        asked = self._base_url not in _without_stream_options
        body = self._body(request, asked)
        connection = await http.send(self._target, body, self._spec.connect_timeout_s, deadline)
        status = connection.status
        if status == 200:
            return connection
        error = await http.refusal(connection, deadline)
        if not (asked and status in (400, 422) and "stream_options" in error.detail):
            raise error
        _without_stream_options.add(self._base_url)
        return await self._open(request, deadline)

    def _body(self, request: ModelRequest, stream_options: bool) -> bytes:
        head = orjson.dumps(self._head(request, stream_options))
        tools = _encoded(request.tools) if request.tools else b""
        return b"".join((head[:-1], tools, b',"messages":', request.messages, b"}"))

    def _head(self, request: ModelRequest, stream_options: bool) -> dict[str, Any]:
        """Everything but tools and messages; what the model does not support is left out (OAI-15)."""
        fields: dict[str, Any] = {"model": request.model.name, "stream": request.stream}
        if stream_options and request.stream:
            fields["stream_options"] = {"include_usage": True}
        self._add_sampling(request, fields)
        if request.tools:
            fields["tool_choice"], fields["parallel_tool_calls"] = request.tool_choice, request.parallel_tool_calls
        fields["response_format"] = request.response_format
        unsupported = request.model.unsupported
        fields = {name: value for name, value in fields.items() if value is not None and name not in unsupported}
        return {**fields, **self._spec.options.get("body", {})}

    def _add_sampling(self, request: ModelRequest, fields: dict[str, Any]) -> None:
        sampling = request.sampling
        for name in SAMPLING_FIELDS:
            fields[name] = getattr(sampling, name)
        fields["stop"] = list(sampling.stop) or None
        if not {"max_tokens", "max_completion_tokens"} & request.model.unsupported:
            fields[self._max_tokens_field] = sampling.max_tokens


async def _read(body: Body, reader: AnswerReader) -> bytes:
    """A failure after the model gave its reason to stop is no failure: the answer is complete."""
    try:
        return await body.read()
    except ProviderError:
        if reader.finished:
            return b""
        raise


_tools: OrderedDict[int, tuple[tuple[ToolDefinition, ...], bytes]] = OrderedDict()
"""Encoded tools by the identity of their tuple, which the entry keeps alive; agents reuse theirs from turn to turn."""


def _encoded(tools: tuple[ToolDefinition, ...]) -> bytes:
    found = _tools.get(id(tools))
    if found is None:
        found = _tools[id(tools)] = (tools, b',"tools":' + orjson.dumps([_function(tool) for tool in tools]))
        while len(_tools) > MAX_CACHED_TOOLS:
            _tools.popitem(last=False)
    return found[1]


def _function(tool: ToolDefinition) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description or None, "strict": tool.strict}
    function = {name: value for name, value in function.items() if value is not None}
    return {"type": "function", "function": {**function, "parameters": tool.parameters or {"type": "object", "properties": {}}}}
