"""The bundled price list: seeded once, appended when it changes, never over an operator's price."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices.data import providers

from agents.specs import ModelSpec, ProviderSpec
from billing import pricelist, prices
from billing.models import Price
from billing.vendors import VENDORS

pytestmark = pytest.mark.django_db


def find(vendor, name, at=None):
    base_url = {"openai": "", "groq": "https://api.groq.com/openai/v1"}.get(vendor, "")
    kind = vendor if vendor in ("anthropic", "google") else "openai_compatible"
    prices.load()
    return prices.price_for(ModelSpec(name=name, provider=ProviderSpec(id="p", name="p", kind=kind, base_url=base_url)), at)


def test_vendors_have_the_addresses_of_the_price_list():
    listed = {provider.id: provider.api_pattern for provider in providers}
    assert {name: listed[name] for name in VENDORS} == dict(VENDORS)


def test_seeding_twice_changes_nothing():
    assert pricelist.seed() > 500
    assert pricelist.seed() == 0


def test_well_known_models_have_prices_also_under_dated_names():
    pricelist.seed()
    assert find("openai", "gpt-4o-mini").input_usd == Decimal("0.15")
    assert find("openai", "gpt-4o-mini-2024-07-18") == find("openai", "gpt-4o-mini")
    assert find("anthropic", "claude-sonnet-4-5-20250929").output_usd == 15
    assert find("groq", "llama-3.3-70b-versatile") is not None
    assert find("openai", "no-such-model") is None


def test_every_name_the_list_knows_is_matched_as_the_list_itself_matches_it():
    pricelist.seed()
    prices.load()
    by_id = {provider.id: provider for provider in providers}
    seeded = set(Price.objects.values_list("provider", "model"))
    for vendor in ("openai", "anthropic", "google"):
        for probe in (f"{model.id}{tail}" for model in by_id[vendor].models for tail in ("", "-2026-01-01", "-latest")):
            expected = next((model.id for model in by_id[vendor].models if model.is_match(probe)), None)
            listed = prices._table._lookup(vendor, probe)
            if (vendor, expected) in seeded and (vendor, probe) not in seeded:
                assert listed is prices._table._listed[vendor][expected.lower()], probe


def test_long_requests_have_the_lists_tiers():
    pricelist.seed()
    price = find("google", "gemini-2.5-pro")
    assert (price.input_usd, price.tiers[0].above_tokens, price.tiers[0].input_usd) == (Decimal("1.25"), 200_000, Decimal("2.5"))


def test_an_operators_price_is_left_alone():
    pricelist.seed()
    Price.objects.create(provider="openai", model="gpt-4o-mini", input_usd=9, output_usd=9)
    assert pricelist.seed() == 0
    assert find("openai", "gpt-4o-mini").input_usd == 9


def test_a_changed_list_price_is_appended_and_the_old_one_stays_for_old_runs():
    pricelist.seed()
    Price.objects.filter(provider="openai", model="gpt-4o-mini").update(input_usd="0.5", valid_from=datetime(2024, 1, 1, tzinfo=UTC))
    assert pricelist.seed() == 1
    assert find("openai", "gpt-4o-mini").input_usd == Decimal("0.15")
    assert find("openai", "gpt-4o-mini", datetime(2025, 1, 1, tzinfo=UTC)).input_usd == Decimal("0.5")
