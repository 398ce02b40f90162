"""Which price a model has: the most specific row, valid at the time, read again when the catalog moved."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async

from agents import catalog, directory
from agents.specs import ModelSpec, ProviderSpec
from billing import prices
from billing.models import Price

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def model(name="gpt-4o", *, base_url="", kind="openai_compatible", provider="main"):
    return ModelSpec(name=name, provider=ProviderSpec(id="p", name=provider, kind=kind, base_url=base_url))


def price(provider="*", name="gpt-4o", usd="1", **columns):
    return Price.objects.create(provider=provider, model=name, input_usd=usd, output_usd=usd, **{"valid_from": LONG_AGO, **columns})


def usd_for(spec, at=None):
    prices.load()
    found = prices.price_for(spec, at)
    return found and found.input_usd


@pytest.mark.django_db
def test_an_unknown_model_has_no_price():
    price()
    assert usd_for(model("another")) is None


@pytest.mark.django_db
def test_the_demo_provider_has_no_price_even_where_any_provider_has():
    price()
    assert usd_for(model(kind="demo")) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("winner", "base_url"),
    [("main", "https://api.groq.com/openai/v1"), ("groq", "https://api.groq.com/openai/v1"), ("openai", ""), ("openai_compatible", "")],
)
def test_the_most_specific_row_wins(winner, base_url):
    order = ["main", "groq" if base_url else "openai", "openai_compatible", "*"]
    for place, key in enumerate(order[order.index(winner) :]):
        price(key, usd=str(place + 1))
    assert usd_for(model(base_url=base_url)) == 1


@pytest.mark.django_db
def test_another_vendor_pays_none_of_openais_prices():
    price("openai")
    assert usd_for(model(base_url="https://api.groq.com/openai/v1")) is None
    assert usd_for(model(base_url="https://api.openai.com/v1")) == 1


@pytest.mark.django_db
def test_a_gateway_at_an_unknown_address_is_priced_like_the_vendor_of_its_kind():
    price("openai")
    assert usd_for(model(base_url="http://127.0.0.1:4000/v1")) == 1


@pytest.mark.django_db
def test_a_pattern_covers_dated_names_but_an_own_row_wins():
    price(pattern="^gpt\\-4o")
    price(name="gpt-4o-mini", usd="2")
    assert usd_for(model("gpt-4o-2024-11-20")) == 1
    assert usd_for(model("GPT-4o-mini")) == 2


@pytest.mark.django_db
def test_the_price_is_the_one_valid_when_the_run_started():
    price(usd="1", valid_from=datetime(2026, 1, 1, tzinfo=UTC))
    price(usd="2", valid_from=datetime(2026, 6, 1, tzinfo=UTC))
    assert usd_for(model(), datetime(2025, 12, 31, tzinfo=UTC)) is None
    assert usd_for(model(), datetime(2026, 5, 31, tzinfo=UTC)) == 1
    assert usd_for(model(), datetime(2026, 6, 1, tzinfo=UTC)) == 2


@pytest.mark.django_db
def test_a_price_that_begins_later_is_picked_up_without_loading_again():
    soon = datetime.now(UTC) + timedelta(hours=1)
    price(usd="1")
    price(usd="2", valid_from=soon)
    assert usd_for(model()) == 1
    assert prices.price_for(model(), soon + timedelta(seconds=1)).input_usd == 2


@pytest.mark.django_db
def test_tiers_of_a_row_inherit_what_they_do_not_name():
    row = price(usd="2", cache_read_usd="0.5", tiers=[{"above_tokens": 200_000, "input_usd": "4"}])
    row.refresh_from_db()
    (tier,) = prices.value_of(row).tiers
    assert (tier.above_tokens, tier.input_usd, tier.output_usd, tier.cache_read_usd) == (200_000, 4, 2, Decimal("0.5"))


@pytest.mark.django_db(transaction=True)
async def test_a_saved_price_counts_from_the_next_turn_and_a_warm_table_is_kept():
    await directory.catalog()
    await sync_to_async(price)(usd="3")
    await directory.catalog()
    table = prices._table
    assert prices.price_for(model()).input_usd == 3
    await sync_to_async(catalog.changed)()
    await directory.catalog()
    assert prices._table is table


@pytest.mark.django_db
def test_edited_and_deleted_prices_are_noticed():
    row = price(usd="3")
    assert usd_for(model()) == 3
    row.input_usd = 4
    row.save()
    assert usd_for(model()) == 4
    row.delete()
    assert usd_for(model()) is None
