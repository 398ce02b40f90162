"""R10.2: the cost of a turn is the sum over its model calls, at prices valid when it started; unknown is null."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from agents.access import ANONYMOUS
from agents.specs import AgentSpec, ModelSpec, ProviderSpec
from billing import prices
from billing.gates import PriceGate
from billing.models import Price
from chat.events import Usage
from chat.gates import Gate, Spent, StepUsage
from chat.requests import TurnRequest

pytestmark = pytest.mark.django_db(transaction=True)


def spec(name, kind="openai_compatible"):
    return ModelSpec(name=name, provider=ProviderSpec(id=kind, name=kind, kind=kind))


def request(*models):
    agent = AgentSpec(id=uuid4(), name="root", models=models)
    return TurnRequest(principal=ANONYMOUS, agent=agent, wire="openai", parts=(), timeout_s=5)


def step(model="gpt-4o", kind="openai_compatible", tokens=1_000_000):
    return StepUsage(model=model, provider_kind=kind, usage=Usage(input_tokens=tokens, model_calls=1))


@sync_to_async
def price(model="gpt-4o", usd="2", provider="*"):
    Price.objects.create(provider=provider, model=model, input_usd=usd, output_usd=usd, valid_from=datetime(2020, 1, 1, tzinfo=UTC))


async def test_a_turn_costs_the_sum_of_its_model_calls():
    await price()
    await sync_to_async(prices.load)()
    gate: Gate = PriceGate()
    state = gate.before(request(spec("gpt-4o")))
    assert gate.after(state, Spent(steps=[step(), step(tokens=500_000)], status="success")) == Decimal(3)


async def test_failed_and_cancelled_turns_have_their_cost_too():
    await price()
    await sync_to_async(prices.load)()
    gate = PriceGate()
    assert gate.after(gate.before(request(spec("gpt-4o"))), Spent(steps=[step()], status="cancelled")) == Decimal(2)


async def test_a_fallback_is_priced_as_the_model_that_answered():
    await price()
    await price("claude-haiku-4-5", "5", provider="anthropic")
    await sync_to_async(prices.load)()
    gate = PriceGate()
    state = gate.before(request(spec("gpt-4o"), spec("claude-haiku-4-5", "anthropic")))
    assert gate.after(state, Spent(steps=[step(), step("claude-haiku-4-5", "anthropic")], status="success")) == Decimal(7)


async def test_one_unknown_price_makes_the_whole_cost_unknown():
    await price()
    await sync_to_async(prices.load)()
    gate = PriceGate()
    state = gate.before(request(spec("gpt-4o"), spec("homemade")))
    assert gate.after(state, Spent(steps=[step(), step("homemade")], status="success")) is None


async def test_the_demo_provider_costs_null_not_zero():
    await price()
    await sync_to_async(prices.load)()
    gate = PriceGate()
    assert gate.after(gate.before(request(spec("gpt-4o", "demo"))), Spent(steps=[step(kind="demo")], status="success")) is None


async def test_a_turn_that_called_no_model_has_no_cost():
    gate = PriceGate()
    assert gate.after(gate.before(request(spec("gpt-4o"))), Spent(steps=[], status="cancelled")) is None


async def test_a_price_changed_during_a_run_does_not_change_what_it_costs():
    await price()
    await sync_to_async(prices.load)()
    gate = PriceGate()
    state = gate.before(request(spec("gpt-4o")))
    await sync_to_async(lambda: Price.objects.get().delete())()
    await price(usd="9")
    await sync_to_async(prices.load)()
    assert gate.after(state, Spent(steps=[step()], status="success")) == Decimal(2)
