"""One model call with patience: retries before the first delta, then the next fallback model. Afterwards errors pass through.

A provider that failed often is not asked for a while (circuits).
Costs nothing while all goes well: waits are computed only when something failed.
"""

import logging
from asyncio import sleep
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from itertools import count

from agents.providers import build, circuits
from agents.providers.base import Delta, ModelRequest, Provider, ProviderError
from agents.specs import ModelSpec, ProviderSpec

MAX_RETRY_AFTER_S = 20.0
FIRST_WAIT_S = 0.25
MAX_WAIT_S = 8.0
MAX_PROVIDERS = 256

log = logging.getLogger(__name__)


async def ask(
    models: Sequence[ModelSpec], request_for: Callable[[ModelSpec], ModelRequest], take: Callable[[ModelSpec, Sequence[Delta]], None]
) -> None:
    """Gives `take` the model that answers and its deltas. Raises the last model's ProviderError when none of them answered.

    What was filtered is not shown to another provider; everything else may be tried elsewhere. Cancelling closes the upstream connection.
    """
    for model, fallback in zip(models, (*models[1:], None), strict=True):
        for attempt in count(1):
            begun = False
            try:
                circuits.check(model.provider)
                async with aclosing(provider_for(model.provider).stream(request_for(model))) as answer:
                    async for deltas in answer:
                        if not begun:
                            begun = True
                            circuits.answered(model.provider)
                        take(model, deltas)
                return
            except ProviderError as error:
                if begun:
                    raise
                if not await _waited(error, model, attempt):
                    circuits.failed(model.provider, error.kind)
                    if fallback is None or error.kind == "content_filter":
                        raise
                    break


_providers: OrderedDict[int, tuple[ProviderSpec, Provider]] = OrderedDict()
"""By the identity of the spec, which the entry keeps alive: a changed provider is a new spec."""


def provider_for(spec: ProviderSpec) -> Provider:
    """The provider of `spec`, the same one as long as the spec is in use."""
    found = _providers.get(id(spec))
    if found is None:
        found = _providers[id(spec)] = (spec, build(spec))
        if len(_providers) > MAX_PROVIDERS:
            _providers.popitem(last=False)
    return found[1]


async def _waited(error: ProviderError, model: ModelSpec, attempt: int) -> bool:
    """Waits if the same model may be asked again; False if not."""
    where = (model.name, model.provider.name, error.kind, attempt, error.detail)
    log.warning("model %s at %s failed (%s), attempt %d: %s", *where)
    wait_s = _wait_s(error, attempt)
    if not error.retryable or attempt > model.provider.max_retries or wait_s > MAX_RETRY_AFTER_S:
        return False
    await sleep(wait_s)
    return True


def _wait_s(error: ProviderError, attempt: int) -> float:
    """What the provider asked for, else exponential with jitter: about 0.25, 0.5, 1, 2 … 8 seconds."""
    if error.retry_after_s is not None:
        return error.retry_after_s
    from tenacity import AsyncRetrying, RetryCallState, wait_exponential_jitter

    state = RetryCallState(AsyncRetrying(), None, (), {})
    state.attempt_number = attempt
    return wait_exponential_jitter(initial=FIRST_WAIT_S, max=MAX_WAIT_S, jitter=FIRST_WAIT_S)(state)
