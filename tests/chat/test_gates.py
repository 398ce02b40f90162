"""What a turn counts for in its minute, and what its caller is told of it (R14)."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from agents.access import Principal
from agents.ids import uuid7
from agents.specs import AgentSpec, ModelSpec, ProviderSpec, Sampling
from chat import gates
from chat.gates import Gate, RateClaim, RateGate, RateState, Spent, rate_headers
from chat.leases_memory import Rates
from chat.requests import TurnRequest

OWNER = Principal(kind="user", key="user:1", namespace="user:1", user_id=1)
MODEL = ModelSpec(provider=ProviderSpec(id="1", name="fake", kind="demo"), name="big-model")
ROOT = AgentSpec(id=UUID(int=1), name="root", models=(MODEL,))


def request(text: str = "", **rest: Any) -> TurnRequest:
    values = {"principal": OWNER, "agent": ROOT, "wire": "run", "parts": ({"type": "text", "text": text},), "timeout_s": 60.0, **rest}
    return TurnRequest(**values)


def claimed(wanted: TurnRequest) -> RateClaim:
    claim = RateGate().before(wanted)
    assert claim is not None
    return claim


def test_a_turn_counts_per_principal_and_agent_r14_1() -> None:
    claim = claimed(request())
    assert (claim.principal, claim.model, claim.rpm, claim.tpm) == ("user:1", "root", 500, 60_000)


def test_a_temporary_agent_counts_as_its_model_r14_1() -> None:
    assert claimed(request(agent=replace(ROOT, id=None, name="inline"))).model == "big-model"


def test_keys_may_have_their_own_limits_and_zero_means_none_r14_1() -> None:
    assert claimed(request(principal=replace(OWNER, rpm=7))).rpm == 7
    assert RateGate().before(request(principal=replace(OWNER, rpm=0, tpm=0))) is None


@pytest.mark.parametrize(("trigger", "patient"), [("chat", False), ("public", False), ("task", True), ("schedule", True)])
def test_tasks_and_schedules_wait_instead_of_failing_r14_1(trigger: str, patient: bool) -> None:
    assert claimed(request(trigger=trigger)).patient is patient


def test_the_requests_own_texts_and_the_answer_are_reserved_r14_2() -> None:
    history = (
        {"role": "user", "content": "h" * 200},
        {"role": "user", "content": [{"type": "text", "text": "p" * 100}, {"type": "image_url"}]},
    )
    wanted = request(
        "t" * 400, history=history, instructions=("i" * 100,), parts=({"type": "text", "text": "t" * 400}, {"type": "image", "url": "x"})
    )
    assert claimed(wanted).tokens == 200 + 1000
    assert claimed(replace(wanted, sampling=Sampling(max_tokens=50))).tokens == 200 + 50


def test_the_six_headers_say_limit_remainder_and_reset_r14_3() -> None:
    assert rate_headers(RateState(500, 1, 60_000, 1126, 16.2)) == {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "17s",
        "x-ratelimit-limit-tokens": "60000",
        "x-ratelimit-remaining-tokens": "58874",
        "x-ratelimit-reset-tokens": "17s",
    }


def test_without_a_limit_there_is_no_header_and_no_remainder_is_negative() -> None:
    assert rate_headers(None) == {}
    assert rate_headers(RateState(0, 9, 100, 900, 0.1)) == {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1s",
    }


def test_a_new_minute_begins_at_nought_and_does_not_hear_of_the_old_one_r14_1() -> None:
    now = 1000 * 60 + 59.0
    rates = Rates(now=lambda: now)
    claim = RateClaim(principal="user:1", model="root", rpm=1, tpm=1000, tokens=100)
    state, window = rates.count(claim)
    assert (state.requests, state.reset_s) == (1, 1.0)
    assert rates.count(claim)[0].exceeded()
    now += 1
    assert not rates.count(claim)[0].exceeded()
    rates.settle(claim, window, 900)
    assert rates.count(replace(claim, tokens=0))[0].tokens == 100


@pytest.mark.parametrize(
    ("state", "exceeded"),
    [
        (RateState(3, 3, 0, 0, 1), False),
        (RateState(3, 4, 0, 0, 1), True),
        (RateState(0, 4, 100, 100, 1), False),
        (RateState(0, 4, 100, 101, 1), True),
        (RateState(0, 1, 100, 101, 1), False),
    ],
)
def test_counters_are_compared_after_counting_r14_1(state: RateState, exceeded: bool) -> None:
    assert state.exceeded() is exceeded


def test_the_gates_of_the_settings_are_made_once(settings: Any) -> None:
    settings.TURN_GATES = ["chat.gates.RateGate"]
    gates.load.cache_clear()
    try:
        (gate,) = gates.load()
        assert isinstance(gate, RateGate)
        assert gates.load()[0] is gate
    finally:
        gates.load.cache_clear()


def test_the_rate_gate_knows_no_costs() -> None:
    gate: Gate = RateGate()
    state = gate.before(request())
    assert gate.after(state, Spent(steps=(), status="success")) is None


def test_a_claim_needs_no_words_of_the_caller_in_its_key() -> None:
    assert str(uuid7()) not in repr(claimed(request(str(uuid7()))))
