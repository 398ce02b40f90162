"""A provider that fails call after call is left alone, then tried by one call (agents.providers.circuits)."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings

from agents.providers import chain, circuits
from agents.providers.base import ProviderError
from agents.specs import ProviderSpec
from tests.agents.providers.test_chain import model, run

DOWN, GOOD = model("error network", "down", max_retries=0), model("text fine", "good")


@pytest.fixture(autouse=True)
def clock(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, to be moved by hand; three failures open a circuit for thirty seconds."""
    settings.PROVIDER_CIRCUIT_FAILURES, settings.PROVIDER_CIRCUIT_SECONDS = 3, 30
    now = [1000.0]
    monkeypatch.setattr(circuits.time, "monotonic", lambda: now[0])
    circuits.forget()
    yield now
    circuits.forget()


async def kind_of(*models: Any) -> str:
    with pytest.raises(ProviderError) as raised:
        await run(*models)
    return raised.value.kind


async def test_after_failures_in_a_row_calls_fail_at_once_and_say_for_how_long(clock: list[float]) -> None:
    assert [await kind_of(DOWN) for _ in range(4)] == ["network", "network", "network", "circuit_open"]
    clock[0] += 10
    with pytest.raises(ProviderError) as raised:
        await run(DOWN)
    assert (raised.value.kind, raised.value.retry_after_s, raised.value.retryable) == ("circuit_open", 20, False)
    assert circuits.openings() == {"down": (1, True)}


async def test_meanwhile_the_fallback_answers() -> None:
    for _ in range(5):
        assert await run(DOWN, GOOD) == ("good", "fine")
    assert circuits.open_s("down") == 30


async def test_one_call_tries_it_then_and_what_comes_of_that_counts(clock: list[float]) -> None:
    for _ in range(3):
        await kind_of(DOWN)
    clock[0] += 31
    assert [await kind_of(DOWN) for _ in range(2)] == ["network", "circuit_open"]
    clock[0] += 31
    circuits.check(DOWN.provider)  # the probe, still under way
    assert await kind_of(DOWN) == "circuit_open"
    circuits.answered(DOWN.provider)
    assert await kind_of(DOWN) == "network"
    assert circuits.openings() == {"down": (1, False)}


@pytest.mark.parametrize("kind", ["auth", "rate_limit", "context_length", "content_filter", "bad_request", "invalid"])
async def test_an_answer_of_any_kind_says_that_it_is_there(kind: str) -> None:
    answers = model(f"error {kind}", "down", max_retries=0)
    for spec in (DOWN, DOWN, answers, DOWN, DOWN, answers):
        assert await kind_of(spec) == spec.provider.options["script"].removeprefix("error ")
    assert circuits.openings() == {}


@pytest.mark.parametrize("kind", ["network", "overloaded", "timeout"])
async def test_what_counts_as_not_being_there(kind: str) -> None:
    gone = model(f"error {kind}", "gone", max_retries=0)
    assert [await kind_of(gone) for _ in range(4)] == [kind, kind, kind, "circuit_open"]


async def test_failures_that_are_far_apart_are_no_outage(clock: list[float]) -> None:
    for _ in range(6):
        assert await kind_of(DOWN) == "network"
        clock[0] += circuits.WINDOW_S + 1


async def test_a_call_counts_once_whatever_it_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_seconds: float) -> None:
        pass

    monkeypatch.setattr(chain, "sleep", sleep)
    patient = model("error network", "down", max_retries=5)
    assert [await kind_of(patient) for _ in range(4)] == ["network", "network", "network", "circuit_open"]


async def test_a_changed_provider_is_asked_at_once() -> None:
    for _ in range(3):
        await kind_of(DOWN)
    mended = model("text fine", "down")
    assert await run(mended) == ("down", "fine")


async def test_0_switches_it_off(settings: LazySettings) -> None:
    settings.PROVIDER_CIRCUIT_FAILURES = 0
    assert {await kind_of(DOWN) for _ in range(9)} == {"network"}


def test_a_provider_in_good_health_is_not_even_remembered() -> None:
    spec = ProviderSpec(id="x", name="x", kind="demo")
    circuits.check(spec)
    circuits.answered(spec)
    assert not circuits._circuits
