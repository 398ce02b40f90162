"""Failed authentications are counted per address and minute (R1.8), in memory and in Redis."""

from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from agents import throttle
from agents.errors import SwitchboardError


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh address, in a minute that does not end during the test."""
    monkeypatch.setattr("agents.throttle.time.time", lambda: 1_800_000_030.0)
    return f"host-{uuid4()}"


async def twenty_first_is_refused(address: str) -> None:
    for _ in range(throttle.MAX_FAILURES):
        assert not await throttle.blocked(address)
        await throttle.failed(address)
    assert await throttle.blocked(address)
    with pytest.raises(SwitchboardError) as refusal:
        await throttle.failed(address)
    assert (refusal.value.status, refusal.value.code, refusal.value.retry_after_s) == (429, "rate_limited", 30)
    assert not await throttle.blocked("198.51.100.1")


async def test_after_twenty_failures_in_memory(address: str, settings: Settings) -> None:
    settings.REDIS_URL = ""
    await twenty_first_is_refused(address)


@pytest.mark.redis
async def test_after_twenty_failures_in_redis(address: str, settings: Settings, redis_url: str) -> None:
    settings.REDIS_URL = redis_url
    await twenty_first_is_refused(address)
    throttle._counts.clear()
    assert await throttle.blocked(address)


async def test_the_next_minute_is_a_new_one(address: str, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.REDIS_URL = ""
    await twenty_first_is_refused(address)
    monkeypatch.setattr("agents.throttle.time.time", lambda: 1_800_000_060.0)
    assert not await throttle.blocked(address)


async def test_without_redis_each_process_counts_for_itself(address: str, settings: Settings) -> None:
    """R14.4: a counter store that is down locks nobody out and lets nobody guess for ever."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    await twenty_first_is_refused(address)


async def a_use_over_its_limit_is_refused() -> None:
    use = f"webhook:{uuid4()}"
    for _ in range(3):
        await throttle.spend(use, 3)
    with pytest.raises(SwitchboardError) as refusal:
        await throttle.spend(use, 3)
    assert (refusal.value.status, refusal.value.code, refusal.value.retry_after_s) == (429, "rate_limited", 30)
    await throttle.spend(f"webhook:{uuid4()}", 3)


@pytest.mark.usefixtures("address")
async def test_uses_are_counted_in_memory(settings: Settings) -> None:
    settings.REDIS_URL = ""
    await a_use_over_its_limit_is_refused()


@pytest.mark.redis
@pytest.mark.usefixtures("address")
async def test_uses_are_counted_in_redis(settings: Settings, redis_url: str) -> None:
    settings.REDIS_URL = redis_url
    await a_use_over_its_limit_is_refused()


async def test_without_the_store_a_use_is_refused(settings: Settings) -> None:
    """R14.4: traffic without a login gets 503 where it cannot be counted."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(SwitchboardError) as refusal:
        await throttle.spend("webhook:198.51.100.1", 3)
    assert (refusal.value.status, refusal.value.code) == (503, "store_unavailable")


async def windows_have_their_own_length() -> None:
    use = f"mail:{uuid4()}"
    for _ in range(2):
        await throttle.spend(use, 2, 600)
    with pytest.raises(SwitchboardError) as refusal:
        await throttle.spend(use, 2, 600)
    assert refusal.value.retry_after_s == 600 - 1_800_000_030 % 600
    await throttle.give_back(use, 600)
    await throttle.give_back(use, 600)
    await throttle.spend(use, 2, 600)


@pytest.mark.usefixtures("address")
async def test_longer_windows_and_what_is_given_back_in_memory(settings: Settings) -> None:
    """R4.3: a replay costs nothing."""
    settings.REDIS_URL = ""
    await windows_have_their_own_length()


@pytest.mark.redis
@pytest.mark.usefixtures("address")
async def test_longer_windows_and_what_is_given_back_in_redis(settings: Settings, redis_url: str) -> None:
    settings.REDIS_URL = redis_url
    await windows_have_their_own_length()


@pytest.mark.usefixtures("address")
async def test_memory_is_bounded_and_open_windows_are_kept(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.REDIS_URL = ""
    throttle._counts.clear()
    monkeypatch.setattr(throttle, "_MAX_ADDRESSES", 10)
    await throttle.spend("open", 1, 3600)
    for number in range(20):
        monkeypatch.setattr("agents.throttle.time.time", lambda number=number: 1_800_000_030.0 + 60 * number)
        await throttle.spend(f"use-{number}", 1)
    assert len(throttle._counts) <= 10
    with pytest.raises(SwitchboardError):
        await throttle.spend("open", 1, 3600)
