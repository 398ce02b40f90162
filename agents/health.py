"""Asking a provider whether it answers and what it serves: one question, one sentence for the operator, never an exception."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.utils import timezone

from agents import providers
from agents.models import Provider
from agents.providers.base import ErrorKind, ProviderError
from agents.scrub import Scrubber
from agents.specs import ProviderSpec
from agents.versions import provider_spec

PATIENCE_S = 10.0
"""How long an operator waits for a provider's list of models."""

SENTENCES: Mapping[ErrorKind, str] = {
    "auth": "The provider refused the key.",
    "rate_limit": "The provider is limiting requests; try again in a minute.",
    "overloaded": "The provider answered that it is not available.",
    "network": "The provider could not be reached. Is the address right, and is it running?",
    "timeout": f"The provider did not answer within {PATIENCE_S:g} seconds.",
    "bad_request": "The provider does not know this request. Is the base URL right (up to and including /v1)?",
    "invalid": "Something answered, but not as this kind of provider does. Is the base URL right (up to and including /v1)?",
    "context_length": "The provider refused the request.",
    "content_filter": "The provider refused the request.",
}

_SAID_NOTHING = frozenset(("network", "timeout"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of asking. `text` is a sentence for operators; `models` the served models, sorted, when it is `ok`."""

    ok: bool
    text: str
    models: tuple[str, ...] = ()

    def serves(self, model: str) -> bool:
        """Whether `model` is in the list. Ollama lists `name:latest` for what it serves as `name`."""
        return model in self.models or f"{model}:latest" in self.models


def test(provider: Provider) -> Answer:
    """Asks a stored provider and keeps the answer in its row. The catalog holds none of it, so its counter stays."""
    answer = ask(provider)
    Provider.objects.filter(pk=provider.pk).update(
        last_checked_at=timezone.now(), last_check_ok=answer.ok, last_check_text=answer.text[:500], served_models=list(answer.models)
    )
    return answer


def ask(provider: Provider) -> Answer:
    """Asks a provider, stored or not, for its models."""
    try:
        spec = provider_spec(provider)
        models = async_to_sync(_models)(spec)
    except ValueError as error:
        return Answer(ok=False, text=f"The provider's settings cannot be used: {error}")
    except TimeoutError:
        return Answer(ok=False, text=SENTENCES["timeout"])
    except ProviderError as error:
        return Answer(ok=False, text=_sentence(spec, error))
    if not models:
        return Answer(ok=False, text="The provider answers, but it serves no models.")
    return Answer(ok=True, text=f"It answers and serves {_counted(len(models))}.", models=tuple(models))


async def _models(spec: ProviderSpec) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        return await providers.build(spec).models()


def _sentence(spec: ProviderSpec, error: ProviderError) -> str:
    """The sentence of the error's kind, and what the provider said, without the key it may have quoted."""
    if error.kind in _SAID_NOTHING:
        return SENTENCES[error.kind]
    secrets = Scrubber([spec.api_key, *spec.headers.values()], lambda _: False)
    detail = secrets.text(" ".join(error.detail.split()))[:300]
    return f"{SENTENCES[error.kind]} ({detail})" if detail else SENTENCES[error.kind]


def _counted(number: int) -> str:
    return "one model" if number == 1 else f"{number} models"
