"""Claude, through pydantic-ai. `options`: `settings` (an object of pydantic-ai model settings, for example anthropic_cache)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from agents.providers import http, lazily
from agents.providers.base import Delta, ModelRequest, ProviderError
from agents.providers.loops import PerLoop
from agents.specs import ProviderSpec

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel

DEFAULT_BASE_URL = "https://api.anthropic.com"
MAX_TEMPERATURE = 1.0
"""Claude takes 0 to 1 where Chat Completions take 0 to 2."""


def build(spec: ProviderSpec) -> "Anthropic":
    return Anthropic(spec)


class Anthropic:
    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._base_url = (spec.base_url or DEFAULT_BASE_URL).rstrip("/").removesuffix("/v1")
        self._clients = PerLoop(lambda: lazily.http_client(spec), lazily.close_client)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Delta]]:
        await lazily.load()
        from agents.providers import direct

        extra = lazily.extra_settings(self._spec)
        if (temperature := request.sampling.temperature) is not None and temperature > MAX_TEMPERATURE:
            extra.setdefault("temperature", MAX_TEMPERATURE)
        answer = direct.stream(self._model(request.model.name), self._spec, request, extra=extra, fetches_urls=self._spec.fetches_urls)
        async with aclosing(answer) as reads:
            async for deltas in reads:
                yield deltas

    async def models(self) -> list[str]:
        """GET /v1/models, with the headers of the SDK; a thousand at most."""
        await lazily.load()
        client = self._client()
        headers = {**client.auth_headers, "anthropic-version": str(client.default_headers["anthropic-version"]), **self._spec.headers}
        listing = await http.get_json(f"{self._base_url}/v1/models?limit=1000", headers, self._spec)
        try:
            return sorted(str(model["id"]) for model in listing["data"])
        except (TypeError, LookupError) as error:
            raise ProviderError("invalid", f"no list of models: {error!r}") from error

    def _model(self, name: str) -> "AnthropicModel":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=self._client()))

    def _client(self) -> "AsyncAnthropic":
        """Without a key it gets a false one: the SDK would look for one in the environment and send it to any address."""
        from anthropic import AsyncAnthropic

        key = self._spec.api_key or "none"
        return AsyncAnthropic(api_key=key, base_url=self._base_url, max_retries=0, http_client=self._clients.get())
