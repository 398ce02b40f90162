"""A request with an Idempotency-Key runs once, whoever asks how often (R4)."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.utils import timezone

from agents.access import Principal
from agents.database import run
from agents.ids import uuid7
from chat import idempotency
from chat.errors import TurnError
from chat.models import Execution, IdempotencyRecord
from chat.requests import IdempotencyClaim

OWNER = Principal(kind="user", key="user:1", namespace="user:1", user_id=1)
BODY = {"message": "hi", "conversation_id": "a"}
database = pytest.mark.django_db(transaction=True)


def claim(header: str | None = "k1", body: Any = BODY, **rest: Any) -> IdempotencyClaim:
    values = {"principal": OWNER, "route": "/chat/run", "agent_name": "root", "shaping": {}, **rest}
    made = idempotency.claim_for(header=header, body=body, **values)
    assert made is not None
    return made


async def executed(execution_id: UUID, status: str) -> None:
    await run(Execution.objects.create, id=execution_id, agent_name="root", principal="user:1", status=status)


async def refusal(wanted: IdempotencyClaim) -> TurnError:
    with pytest.raises(TurnError) as refused:
        await idempotency.take(wanted, uuid7())
    return refused.value


async def aged(by: timedelta) -> None:
    await run(IdempotencyRecord.objects.update, created_at=timezone.now() - by)


# The claim


def test_without_the_header_there_is_nothing_to_claim() -> None:
    assert idempotency.claim_for(OWNER, "/chat/run", "root", None, BODY, {}) is None


@pytest.mark.parametrize("header", ["", "a b", "ü", "x" * 256, "tab\t"])
def test_a_key_is_1_to_255_visible_ascii_characters_r4_1(header: str) -> None:
    with pytest.raises(TurnError) as refused:
        claim(header)
    assert (refused.value.code, refused.value.status) == ("invalid_request", 400)


@pytest.mark.parametrize(
    "other", [{"principal": Principal(kind="user", key="user:2", namespace="x")}, {"route": "/chat/stream"}, {"agent_name": "b"}]
)
def test_a_key_belongs_to_principal_route_and_agent_r4_1(other: dict[str, Any]) -> None:
    assert claim(**other).key_hash != claim().key_hash


def test_the_fingerprint_is_of_the_parsed_body_and_what_shapes_the_answer_r4_2() -> None:
    assert claim(body=dict(reversed(BODY.items()))) == claim()
    assert claim(body={**BODY, "message": "ho"}).fingerprint != claim().fingerprint
    assert claim(shaping={"accept": "text/event-stream"}).fingerprint != claim().fingerprint


# Taking it


@database
async def test_the_first_takes_the_key_and_the_second_is_told_who_runs_r4_2() -> None:
    first = uuid7()
    assert await idempotency.take(claim(), first) is None
    for status in (None, "running"):
        if status:
            await executed(first, status)
        refused = await refusal(claim())
        assert (refused.code, refused.status, refused.retry_after_s) == ("request_in_progress", 409, 1)
        assert (refused.headers["X-Execution-Id"], refused.extra["execution_id"]) == (str(first), str(first))


@database
@pytest.mark.parametrize("status", ["success", "failed", "cancelled", "paused"])
async def test_what_has_ended_is_given_again_r4_3(status: str) -> None:
    first = uuid7()
    await idempotency.take(claim(), first)
    await executed(first, status)
    assert await idempotency.take(claim(), uuid7()) == first


@database
async def test_the_same_key_for_something_else_is_refused_r4_2() -> None:
    await idempotency.take(claim(), uuid7())
    refused = await refusal(claim(body={"message": "ho"}))
    assert (refused.code, refused.status) == ("idempotency_key_reused", 422)


@database
async def test_two_requests_at_once_run_once_r4_1() -> None:
    outcomes = await asyncio.gather(*[idempotency.take(claim(), uuid7()) for _ in range(8)], return_exceptions=True)
    assert outcomes.count(None) == 1
    assert all(isinstance(outcome, TurnError) and outcome.code == "request_in_progress" for outcome in outcomes if outcome is not None)


@database
async def test_a_released_key_is_free_r4_4() -> None:
    await idempotency.take(claim(), uuid7())
    await idempotency.release(claim())
    assert await idempotency.take(claim(), uuid7()) is None


@database
async def test_a_key_lives_24_hours_r4_1() -> None:
    first = uuid7()
    await idempotency.take(claim(), first)
    await executed(first, "success")
    await aged(timedelta(hours=23))
    assert await idempotency.take(claim(), uuid7()) == first
    await aged(timedelta(hours=25))
    assert await idempotency.take(claim(body="another"), uuid7()) is None


@database
async def test_a_key_whose_run_never_came_to_be_is_free_after_a_minute() -> None:
    await idempotency.take(claim(), uuid7())
    await aged(timedelta(minutes=2))
    outcomes = await asyncio.gather(*[idempotency.take(claim(), uuid7()) for _ in range(4)], return_exceptions=True)
    assert outcomes.count(None) == 1


@database
async def test_old_records_are_purged() -> None:
    await idempotency.take(claim("old"), uuid7())
    await aged(timedelta(hours=25))
    await idempotency.take(claim("new"), uuid7())
    await idempotency.purge()
    assert await run(IdempotencyRecord.objects.count) == 1


@database
async def test_without_the_database_nothing_runs_unprotected_r4_5(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(**_: Any) -> None:
        raise OperationalError("the database is gone")

    monkeypatch.setattr(IdempotencyRecord.objects, "get_or_create", down)
    refused = await refusal(claim())
    assert (refused.code, refused.status, refused.retry_after_s) == ("store_unavailable", 503, 1)
