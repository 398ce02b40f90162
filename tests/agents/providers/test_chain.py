"""Retries and fallbacks: before the first delta only."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from agents.providers import chain
from agents.providers.base import Delta, ModelRequest, ProviderError, Text
from agents.specs import ModelSpec, ProviderSpec
from tests.agents.providers.asking import Fake


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Instead of waiting, the chain writes down how long it would have waited."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(chain, "sleep", sleep)
    return waited


def model(script: str, name: str = "demo", **fields: Any) -> ModelSpec:
    """A demo model that always plays `script`."""
    options = {"script": script, "delay_ms": 0}
    return ModelSpec(provider=ProviderSpec(**{"id": name, "name": name, "kind": "demo", "options": options, **fields}), name=name)


async def run(*models: ModelSpec) -> tuple[str, str]:
    """(name of the model that answered, its text)."""
    answered, text = "", ""

    def take(spec: ModelSpec, deltas: Sequence[Delta]) -> None:
        nonlocal answered, text
        answered, text = spec.name, text + _text(deltas)

    await chain.ask(models, _request, take)
    return answered, text


def _request(spec: ModelSpec) -> ModelRequest:
    return ModelRequest(model=spec, messages=orjson.dumps([{"role": "user", "content": "Hi"}]))


def _text(deltas: Any) -> str:
    said: list[Delta] = list(deltas)
    return "".join(delta.text for delta in said if isinstance(delta, Text))


GOOD = model("text fine", "good")


async def test_a_model_that_answers_is_not_waited_for(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_wait_s", None)
    assert await run(GOOD, model("error auth")) == ("good", "fine")
    assert waits == []


@pytest.mark.parametrize("kind", ["rate_limit", "overloaded", "network"])
async def test_what_may_pass_is_retried_with_growing_waits_then_given_to_the_fallback(kind: str, waits: list[float]) -> None:
    assert await run(model(f"error {kind}", max_retries=3), GOOD) == ("good", "fine")
    assert len(waits) == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 0.75 < 1 <= waits[2] <= 1.25


async def test_waits_never_grow_beyond_eight_seconds(waits: list[float]) -> None:
    with pytest.raises(ProviderError):
        await run(model("error overloaded", max_retries=10))
    assert len(waits) == 10
    assert max(waits) <= chain.MAX_WAIT_S


@pytest.mark.parametrize("kind", ["auth", "context_length", "timeout", "bad_request", "invalid"])
async def test_what_will_not_pass_goes_straight_to_the_fallback(kind: str, waits: list[float]) -> None:
    assert await run(model(f"error {kind}"), GOOD) == ("good", "fine")
    assert waits == []


async def test_what_was_filtered_is_shown_to_nobody_else(waits: list[float]) -> None:
    with pytest.raises(ProviderError) as raised:
        await run(model("error content_filter"), GOOD)
    assert (raised.value.kind, waits) == ("content_filter", [])


async def test_without_fallback_the_error_of_the_last_model_counts(waits: list[float]) -> None:
    with pytest.raises(ProviderError) as raised:
        await run(model("error auth"), model("error overloaded", max_retries=0))
    assert raised.value.kind == "overloaded"


async def test_retry_after_is_honoured_up_to_a_limit(waits: list[float]) -> None:
    assert await run(model("error rate_limit retry_after=3", max_retries=1), GOOD) == ("good", "fine")
    assert waits == [3]
    with pytest.raises(ProviderError) as raised:
        await run(model("error rate_limit retry_after=21"))
    assert (raised.value.retry_after_s, waits) == (21, [3])


@pytest.mark.parametrize("kind", ["overloaded", "auth"])
async def test_after_the_first_delta_errors_propagate(kind: str, waits: list[float]) -> None:
    said: list[str] = []
    with pytest.raises(ProviderError) as raised:
        await chain.ask((model(f"text Half\nerror {kind}"), GOOD), _request, lambda _, deltas: said.append(_text(deltas)))
    assert (raised.value.kind, said, waits) == (kind, ["Half"], [])


async def test_a_server_that_recovers_is_asked_until_it_answers(fake: Fake, waits: list[float]) -> None:
    script = orjson.dumps({"status": 503, "fail_first": 2, "key": "recovers", "text": "Back again"}).decode()
    spec = ModelSpec(provider=fake.spec(), name="fake")
    request = ModelRequest(model=spec, messages=orjson.dumps([{"role": "user", "content": script}]))
    said: list[str] = []
    await chain.ask((spec,), lambda _: request, lambda _, deltas: said.append(_text(deltas)))
    assert ("".join(said), len(waits), fake.seen.stats["requests"]) == ("Back again", 2, 3)


async def test_cancelling_the_chain_closes_the_upstream_connection(fake: Fake) -> None:
    """R6.1"""
    spec, began = ModelSpec(provider=fake.spec(), name="endless=1"), asyncio.Event()
    asking = asyncio.create_task(chain.ask((spec,), _request, lambda *_: began.set()))
    await began.wait()
    asking.cancel()
    await asyncio.wait([asking])
    async with asyncio.timeout(30):
        while not fake.seen.stats["disconnects"]:  # noqa: ASYNC110  the server is not ours to signal
            await asyncio.sleep(0.005)


def test_a_provider_is_built_once_per_spec() -> None:
    spec = GOOD.provider
    assert chain.provider_for(spec) is chain.provider_for(spec)
    assert chain.provider_for(spec) is not chain.provider_for(model("text fine", "good").provider)


def test_providers_of_specs_long_gone_are_forgotten() -> None:
    for number in range(chain.MAX_PROVIDERS + 10):
        chain.provider_for(model("text x", str(number)).provider)
    assert len(chain._providers) == chain.MAX_PROVIDERS
