"""Gemini, through pydantic-ai. `options`: `settings` (an object of pydantic-ai model settings, for example google_safety_settings)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from agents.providers import http, lazily
from agents.providers.base import Delta, ModelRequest, ProviderError
from agents.providers.loops import PerLoop
from agents.specs import ProviderSpec

if TYPE_CHECKING:
    from pydantic_ai.models.google import GoogleModel

DEFAULT_BASE_URL = "https://generativelanguage.googleapis.com"


def build(spec: ProviderSpec) -> "Google":
    return Google(spec)


class Google:
    """Gemini does not fetch image URLs (pydantic-ai would, from here): they are refused, whatever the spec says."""

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._base_url = (spec.base_url or DEFAULT_BASE_URL).rstrip("/").removesuffix("/v1").removesuffix("/v1beta")
        self._clients = PerLoop(lambda: lazily.http_client(spec), lazily.close_client)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Delta]]:
        await lazily.load()
        from agents.providers import direct

        extra = lazily.extra_settings(self._spec)
        answer = direct.stream(self._model(request.model.name), self._spec, request, extra=extra, fetches_urls=False)
        async with aclosing(answer) as reads:
            async for deltas in reads:
                yield deltas

    async def models(self) -> list[str]:
        """GET /v1beta/models; a thousand at most, of those that generate content."""
        headers = {"x-goog-api-key": self._spec.api_key, **self._spec.headers}
        listing = await http.get_json(f"{self._base_url}/v1beta/models?pageSize=1000", headers, self._spec)
        try:
            models = [
                model for model in listing["models"] if "generateContent" in model.get("supportedGenerationMethods", ["generateContent"])
            ]
            return sorted(str(model["name"]).removeprefix("models/") for model in models)
        except (AttributeError, TypeError, LookupError) as error:
            raise ProviderError("invalid", f"no list of models: {error!r}") from error

    def _model(self, name: str) -> "GoogleModel":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        provider = GoogleProvider(api_key=self._spec.api_key or "none", base_url=self._base_url, http_client=self._clients.get())
        return GoogleModel(name, provider=provider)
