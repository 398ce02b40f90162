"""An SDK that silently asks again is attached to the run it has lost (R4.1)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents.access import Principal
from agents.ids import uuid7
from chat import redis, repeats

OWNER = Principal(kind="user", key="user:1", namespace="user:1", user_id=1)
KEY = repeats.key_of(OWNER, "/v1/chat/completions", "chat-7", "f1")


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    repeats._recent.clear()


def test_the_same_request_is_of_one_principal_route_session_and_fingerprint() -> None:
    guest = Principal(kind="user", key="user:2", namespace="user:2", user_id=2)
    others = [(guest, "r", "s", "f"), (OWNER, "q", "s", "f"), (OWNER, "r", "t", "f"), (OWNER, "r", "s", "g")]
    assert len({repeats.key_of(*other) for other in [*others, (OWNER, "r", "s", "f")]}) == 5


async def test_a_repeat_finds_the_run_of_the_first_request() -> None:
    execution_id = uuid7()
    assert await repeats.find(KEY) is None
    repeats.remember(KEY, execution_id)
    assert await repeats.find(KEY) == execution_id


async def test_a_run_older_than_the_request_timeout_is_not_repeated(settings: Any) -> None:
    settings.CHAT_REQUEST_TIMEOUT = 0
    repeats.remember(KEY, uuid7())
    assert await repeats.find(KEY) is None


@pytest.fixture
async def store(redis_url: str, settings: Any) -> AsyncIterator[None]:
    settings.REDIS_URL = redis_url
    await redis.client().flushdb()
    yield
    await redis.close()


@pytest.mark.redis
@pytest.mark.usefixtures("store")
async def test_a_repeat_that_meets_another_process_finds_the_run_too() -> None:
    execution_id = uuid7()
    repeats.remember(KEY, execution_id)
    await asyncio.gather(*repeats._telling)
    repeats._recent.clear()
    assert await repeats.find(KEY) == execution_id


async def test_a_store_that_is_down_knows_of_no_run(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert await repeats.find(KEY) is None
    await redis.close()
